"""NNCLR, NNSiam and NNBYOL: learn from nearest neighbours in a queue (arXiv:2104.14548)."""

from ssl_host import Register, RegisterPreset, hookimpl

ssl_host_api = 1


@hookimpl
def register_methods(register: Register) -> None:
    register(
        "nnclr",
        "ssl_plugin_nnclr.method:NNCLR",
        "contrast with the nearest neighbour of the other view",
    )
    register("nnsiam", "ssl_plugin_nnclr.variants:NNSiam", "SimSiam with nearest neighbours")
    register("nnbyol", "ssl_plugin_nnclr.variants:NNBYOL", "BYOL with nearest neighbours")


@hookimpl
def register_presets(register: RegisterPreset) -> None:
    register("nnclr", "ssl_plugin_nnclr:presets")
    register("nnsiam", "ssl_plugin_nnclr:presets/nnsiam")
    register("nnbyol", "ssl_plugin_nnclr:presets/nnbyol")
