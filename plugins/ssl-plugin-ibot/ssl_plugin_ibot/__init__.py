"""iBOT: DINO on class tokens and masked patches (arXiv:2111.07832)."""

from ssl_host import Register, RegisterPreset, hookimpl

ssl_host_api = 1


@hookimpl
def register_methods(register: Register) -> None:
    register("ibot", "ssl_plugin_ibot.method:IBOT", "DINO on class tokens and masked patches")


@hookimpl
def register_presets(register: RegisterPreset) -> None:
    register("ibot", "ssl_plugin_ibot:presets")
