"""BYOL: predict the output of an EMA network, without negatives (arXiv:2006.07733)."""

from ssl_host import Register, RegisterPreset, hookimpl

ssl_host_api = 1


@hookimpl
def register_methods(register: Register) -> None:
    register(
        "byol", "ssl_plugin_byol.method:BYOL", "predict the output of an EMA network, no negatives"
    )


@hookimpl
def register_presets(register: RegisterPreset) -> None:
    register(
        "byol/mnist5k",
        "ssl_plugin_byol:presets/mnist5k.ini",
        "5,000 digits, a few minutes on two CPU cores",
    )
    register("byol/cifar10", "ssl_plugin_byol:presets/cifar10.ini", "ResNet-18 with the CIFAR stem")
    register(
        "byol/cifar100", "ssl_plugin_byol:presets/cifar100.ini", "ResNet-18 with the CIFAR stem"
    )
    register(
        "byol/imagenet-100ep",
        "ssl_plugin_byol:presets/imagenet-100ep.ini",
        "ResNet-50, the paper's values",
    )
    register(
        "byol/imagefolder",
        "ssl_plugin_byol:presets/imagefolder.ini",
        "a folder of photographs on one machine",
    )
    register(
        "byol/continue",
        "ssl_plugin_byol:presets/continue.ini",
        "from pretrained weights, on a folder of photographs",
    )
