"""BYOL: predict the output of an EMA network, without negatives (arXiv:2006.07733)."""

from ssl_host import Register, RegisterPreset, hookimpl

ssl_host_api = 1


@hookimpl
def register_methods(register: Register) -> None:
    register(
        "byol", "ssl_plugin_byol.method:BYOL", "predict the output of an EMA network, no negatives"
    )


@hookimpl
def register_presets(register: RegisterPreset) -> None:
    register("byol", "ssl_plugin_byol:presets")
