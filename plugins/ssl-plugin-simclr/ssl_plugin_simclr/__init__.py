"""SimCLR: contrast every view with all other views in the batch (arXiv:2002.05709)."""

from ssl_host import Register, RegisterPreset, hookimpl

ssl_host_api = 1


@hookimpl
def register_methods(register: Register) -> None:
    register(
        "simclr",
        "ssl_plugin_simclr.method:SimCLR",
        "contrast every view with all others of the batch",
    )


@hookimpl
def register_presets(register: RegisterPreset) -> None:
    register("simclr", "ssl_plugin_simclr:presets")
