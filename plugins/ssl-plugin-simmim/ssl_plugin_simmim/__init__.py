"""SimMIM: reconstruct masked patches with a linear layer (arXiv:2111.09886)."""

from ssl_host import Register, RegisterPreset, hookimpl

ssl_host_api = 1


@hookimpl
def register_methods(register: Register) -> None:
    register(
        "simmim",
        "ssl_plugin_simmim.method:SimMIM",
        "reconstruct masked patches with a linear layer",
    )


@hookimpl
def register_presets(register: RegisterPreset) -> None:
    register("simmim", "ssl_plugin_simmim:presets")
