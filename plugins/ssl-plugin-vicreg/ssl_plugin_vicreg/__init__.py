"""VICReg and VIbCReg: keep embeddings varied and uncorrelated (arXiv:2105.04906)."""

from ssl_host import Register, RegisterPreset, hookimpl

ssl_host_api = 1


@hookimpl
def register_methods(register: Register) -> None:
    register("vicreg", "ssl_plugin_vicreg.method:VICReg", "variance, invariance, covariance")
    register("vibcreg", "ssl_plugin_vicreg.vibcreg:VIbCReg", "VICReg with whitened embeddings")


@hookimpl
def register_heads(register: Register) -> None:
    register("whitened_mlp", "ssl_plugin_vicreg.vibcreg:WhitenedMLP", "MLP with whitened outputs")


@hookimpl
def register_losses(register: Register) -> None:
    register("vicreg", "ssl_plugin_vicreg.loss:VICRegLoss", "variance, invariance, covariance")
    register("vibcreg", "ssl_plugin_vicreg.loss:VIbCRegLoss", "VICReg's loss with correlations")


@hookimpl
def register_presets(register: RegisterPreset) -> None:
    register("vicreg", "ssl_plugin_vicreg:presets/vicreg")
    register("vibcreg", "ssl_plugin_vicreg:presets/vibcreg")
