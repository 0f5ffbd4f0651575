"""SwAV: predict the cluster assignments of another view (arXiv:2006.09882)."""

from ssl_host import Register, RegisterPreset, hookimpl

ssl_host_api = 1


@hookimpl
def register_methods(register: Register) -> None:
    register("swav", "ssl_plugin_swav.method:SwAV", "predict the assignments of another view")


@hookimpl
def register_losses(register: Register) -> None:
    register("swav", "ssl_plugin_swav.loss:SwAVLoss", "balanced cluster assignments")


@hookimpl
def register_presets(register: RegisterPreset) -> None:
    register("swav", "ssl_plugin_swav:presets")
