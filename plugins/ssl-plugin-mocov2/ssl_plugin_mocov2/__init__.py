"""MoCo v2: contrast with a queue of keys from an EMA network (arXiv:2003.04297)."""

from ssl_host import Register, RegisterPreset, hookimpl

ssl_host_api = 1


@hookimpl
def register_methods(register: Register) -> None:
    register(
        "mocov2",
        "ssl_plugin_mocov2.method:MoCoV2",
        "contrast with a queue of keys from an EMA network",
    )


@hookimpl
def register_presets(register: RegisterPreset) -> None:
    register(
        "mocov2/mnist5k",
        "ssl_plugin_mocov2:presets/mnist5k.ini",
        "5,000 digits, a few minutes on two CPU cores",
    )
    register(
        "mocov2/cifar10", "ssl_plugin_mocov2:presets/cifar10.ini", "ResNet-18 with the CIFAR stem"
    )
    register(
        "mocov2/cifar100", "ssl_plugin_mocov2:presets/cifar100.ini", "ResNet-18 with the CIFAR stem"
    )
    register(
        "mocov2/imagenet-100ep",
        "ssl_plugin_mocov2:presets/imagenet-100ep.ini",
        "ResNet-50, the paper's values",
    )
    register(
        "mocov2/imagefolder",
        "ssl_plugin_mocov2:presets/imagefolder.ini",
        "a folder of photographs on one machine",
    )
    register(
        "mocov2/continue",
        "ssl_plugin_mocov2:presets/continue.ini",
        "from pretrained weights, on a folder of photographs",
    )
