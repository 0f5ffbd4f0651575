"""MoCo v3: contrast predictions with the keys of the batch (arXiv:2104.02057)."""

from ssl_host import Register, RegisterPreset, hookimpl

ssl_host_api = 1


@hookimpl
def register_methods(register: Register) -> None:
    register(
        "mocov3",
        "ssl_plugin_mocov3.method:MoCoV3",
        "contrast predictions with the keys of the batch",
    )


@hookimpl
def register_presets(register: RegisterPreset) -> None:
    register("mocov3", "ssl_plugin_mocov3:presets")
