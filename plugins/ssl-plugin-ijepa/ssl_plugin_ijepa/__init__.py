"""I-JEPA: predict the tokens of target blocks (arXiv:2301.08243)."""

from ssl_host import Register, RegisterPreset, hookimpl

ssl_host_api = 1


@hookimpl
def register_methods(register: Register) -> None:
    register("ijepa", "ssl_plugin_ijepa.method:IJEPA", "predict the tokens of target blocks")


@hookimpl
def register_presets(register: RegisterPreset) -> None:
    register("ijepa", "ssl_plugin_ijepa:presets")
