"""NNCLR: contrast with the nearest neighbour of the other view (arXiv:2104.14548)."""

from ssl_host import Register, RegisterPreset, hookimpl

ssl_host_api = 1


@hookimpl
def register_methods(register: Register) -> None:
    register(
        "nnclr",
        "ssl_plugin_nnclr.method:NNCLR",
        "contrast with the nearest neighbour of the other view",
    )


@hookimpl
def register_presets(register: RegisterPreset) -> None:
    register(
        "nnclr/mnist5k",
        "ssl_plugin_nnclr:presets/mnist5k.ini",
        "5,000 digits, a few minutes on two CPU cores",
    )
    register(
        "nnclr/cifar10", "ssl_plugin_nnclr:presets/cifar10.ini", "ResNet-18 with the CIFAR stem"
    )
    register(
        "nnclr/cifar100", "ssl_plugin_nnclr:presets/cifar100.ini", "ResNet-18 with the CIFAR stem"
    )
    register(
        "nnclr/imagenet-100ep",
        "ssl_plugin_nnclr:presets/imagenet-100ep.ini",
        "ResNet-50, the paper's values",
    )
    register(
        "nnclr/imagefolder",
        "ssl_plugin_nnclr:presets/imagefolder.ini",
        "a folder of photographs on one machine",
    )
    register(
        "nnclr/continue",
        "ssl_plugin_nnclr:presets/continue.ini",
        "from pretrained weights, on a folder of photographs",
    )
