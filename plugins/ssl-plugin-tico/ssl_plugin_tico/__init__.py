"""TiCo: agreement of views with a covariance contrast (arXiv:2206.10698)."""

from ssl_host import Register, RegisterPreset, hookimpl

ssl_host_api = 1


@hookimpl
def register_methods(register: Register) -> None:
    register("tico", "ssl_plugin_tico.method:TiCo", "agreement with a covariance contrast")


@hookimpl
def register_losses(register: Register) -> None:
    register("tico", "ssl_plugin_tico.loss:TiCoLoss", "agreement and covariance contrast")


@hookimpl
def register_presets(register: RegisterPreset) -> None:
    register("tico", "ssl_plugin_tico:presets")
