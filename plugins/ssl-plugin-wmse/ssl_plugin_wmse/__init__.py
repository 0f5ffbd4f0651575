"""W-MSE: match whitened embeddings (arXiv:2007.06346)."""

from ssl_host import Register, RegisterPreset, hookimpl

ssl_host_api = 1


@hookimpl
def register_methods(register: Register) -> None:
    register("wmse", "ssl_plugin_wmse.method:WMSE", "match whitened embeddings")


@hookimpl
def register_losses(register: Register) -> None:
    register("w_mse", "ssl_plugin_wmse.loss:WMSELoss", "distance of whitened embeddings")


@hookimpl
def register_presets(register: RegisterPreset) -> None:
    register("wmse", "ssl_plugin_wmse:presets")
