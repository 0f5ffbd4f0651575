"""SupCon: contrast with all images of the same class (arXiv:2004.11362)."""

from ssl_host import Register, RegisterPreset, hookimpl

ssl_host_api = 1


@hookimpl
def register_methods(register: Register) -> None:
    register("supcon", "ssl_plugin_supcon.method:SupCon", "contrast with labels; not SSL")


@hookimpl
def register_losses(register: Register) -> None:
    register("sup_con", "ssl_plugin_supcon.loss:SupConLoss", "contrast with labels as positives")


@hookimpl
def register_presets(register: RegisterPreset) -> None:
    register("supcon", "ssl_plugin_supcon:presets")
