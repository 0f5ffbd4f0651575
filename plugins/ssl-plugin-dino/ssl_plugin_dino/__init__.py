"""DINO: predict the prototypes of an EMA teacher (arXiv:2104.14294)."""

from ssl_host import Register, RegisterPreset, hookimpl

ssl_host_api = 1


@hookimpl
def register_methods(register: Register) -> None:
    register("dino", "ssl_plugin_dino.method:DINO", "predict the prototypes of an EMA teacher")


@hookimpl
def register_presets(register: RegisterPreset) -> None:
    register("dino", "ssl_plugin_dino:presets")
