"""VICReg: variance-invariance-covariance regularisation (arXiv:2105.04906), for ssl-host."""

from ssl_host import Register, hookimpl

ssl_host_api = 1


@hookimpl
def register_methods(register: Register) -> None:
    register("vicreg", "ssl_plugin_vicreg.method:VICReg", "variance, invariance, covariance")


@hookimpl
def register_losses(register: Register) -> None:
    register("vicreg", "ssl_plugin_vicreg.method:VICRegLoss", "the loss of VICReg")
