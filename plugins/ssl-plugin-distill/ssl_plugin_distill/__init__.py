"""Distillation: learn from a frozen pretrained backbone."""

from ssl_host import Register, RegisterPreset, hookimpl

ssl_host_api = 1


@hookimpl
def register_methods(register: Register) -> None:
    register(
        "distill", "ssl_plugin_distill.method:Distill", "learn from a frozen pretrained backbone"
    )


@hookimpl
def register_presets(register: RegisterPreset) -> None:
    register("distill", "ssl_plugin_distill:presets")
