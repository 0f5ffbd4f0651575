"""DINOv2: DINO, iBOT and KoLeo together (arXiv:2304.07193)."""

from ssl_host import Register, RegisterPreset, hookimpl

ssl_host_api = 1


@hookimpl
def register_methods(register: Register) -> None:
    register("dinov2", "ssl_plugin_dinov2.method:DINOv2", "DINO, iBOT and KoLeo together")


@hookimpl
def register_presets(register: RegisterPreset) -> None:
    register("dinov2", "ssl_plugin_dinov2:presets")
