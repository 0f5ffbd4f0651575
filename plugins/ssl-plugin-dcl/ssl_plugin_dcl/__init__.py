"""DCL and DCLW: decoupled contrastive learning (arXiv:2110.06848)."""

from ssl_host import Register, RegisterPreset, hookimpl

ssl_host_api = 1


@hookimpl
def register_methods(register: Register) -> None:
    register("dcl", "ssl_plugin_dcl.method:DCL", "contrast without the positive among negatives")
    register("dclw", "ssl_plugin_dcl.method:DCLW", "DCL with more weight for distant views")


@hookimpl
def register_losses(register: Register) -> None:
    register("dcl", "ssl_plugin_dcl.loss:DCLLoss", "NT-Xent without the positive in the sum")
    register("dclw", "ssl_plugin_dcl.loss:DCLWLoss", "DCL with weighted positives")


@hookimpl
def register_presets(register: RegisterPreset) -> None:
    register("dcl", "ssl_plugin_dcl:presets/dcl")
    register("dclw", "ssl_plugin_dcl:presets/dclw")
