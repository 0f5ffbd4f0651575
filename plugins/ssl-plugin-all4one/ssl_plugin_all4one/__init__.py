"""All4One: contrast with several neighbours by self-attention (arXiv:2303.09417)."""

from ssl_host import Register, RegisterPreset, hookimpl

ssl_host_api = 1


@hookimpl
def register_methods(register: Register) -> None:
    register("all4one", "ssl_plugin_all4one.method:All4One", "contrast with joined neighbours")


@hookimpl
def register_presets(register: RegisterPreset) -> None:
    register("all4one", "ssl_plugin_all4one:presets")
