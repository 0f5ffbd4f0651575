"""MoCo v2: contrast with a queue of keys from an EMA network (arXiv:2003.04297)."""

from ssl_host import Register, RegisterPreset, hookimpl

ssl_host_api = 1


@hookimpl
def register_methods(register: Register) -> None:
    register(
        "mocov2",
        "ssl_plugin_mocov2.method:MoCoV2",
        "contrast with a queue of keys from an EMA network",
    )


@hookimpl
def register_presets(register: RegisterPreset) -> None:
    register("mocov2", "ssl_plugin_mocov2:presets")
