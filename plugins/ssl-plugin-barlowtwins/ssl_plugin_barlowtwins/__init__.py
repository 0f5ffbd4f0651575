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
    register(
        "barlowtwins/mnist5k",
        "ssl_plugin_barlowtwins:presets/mnist5k.ini",
        "5,000 digits, a few minutes on two CPU cores",
    )
    register(
        "barlowtwins/cifar10",
        "ssl_plugin_barlowtwins:presets/cifar10.ini",
        "ResNet-18 with the CIFAR stem",
    )
    register(
        "barlowtwins/cifar100",
        "ssl_plugin_barlowtwins:presets/cifar100.ini",
        "ResNet-18 with the CIFAR stem",
    )
    register(
        "barlowtwins/imagenet-100ep",
        "ssl_plugin_barlowtwins:presets/imagenet-100ep.ini",
        "ResNet-50, the paper's values",
    )
    register(
        "barlowtwins/imagefolder",
        "ssl_plugin_barlowtwins:presets/imagefolder.ini",
        "a folder of photographs on one machine",
    )
    register(
        "barlowtwins/continue",
        "ssl_plugin_barlowtwins:presets/continue.ini",
        "from pretrained weights, on a folder of photographs",
    )
