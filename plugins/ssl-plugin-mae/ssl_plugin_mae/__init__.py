"""MAE: reconstruct the pixels of masked patches (arXiv:2111.06377)."""

from ssl_host import Register, RegisterPreset, hookimpl

ssl_host_api = 1


@hookimpl
def register_methods(register: Register) -> None:
    register("mae", "ssl_plugin_mae.method:MAE", "reconstruct the pixels of masked patches")


@hookimpl
def register_presets(register: RegisterPreset) -> None:
    register("mae", "ssl_plugin_mae:presets")
