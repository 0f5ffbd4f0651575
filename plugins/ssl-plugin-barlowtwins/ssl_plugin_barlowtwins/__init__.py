"""Barlow Twins: make the cross-correlation of two views the identity (arXiv:2103.03230)."""

from ssl_host import Register, RegisterPreset, hookimpl

ssl_host_api = 1


@hookimpl
def register_methods(register: Register) -> None:
    register(
        "barlowtwins",
        "ssl_plugin_barlowtwins.method:BarlowTwins",
        "make the cross-correlation of views the identity",
    )


@hookimpl
def register_losses(register: Register) -> None:
    register(
        "barlow_twins",
        "ssl_plugin_barlowtwins.loss:BarlowTwinsLoss",
        "make the cross-correlation of views the identity",
    )


@hookimpl
def register_presets(register: RegisterPreset) -> None:
    register("barlowtwins", "ssl_plugin_barlowtwins:presets")
