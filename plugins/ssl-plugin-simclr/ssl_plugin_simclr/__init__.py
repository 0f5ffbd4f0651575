"""SimCLR: contrast every view with all other views in the batch (arXiv:2002.05709)."""

from ssl_host import Register, RegisterPreset, hookimpl

ssl_host_api = 1


@hookimpl
def register_methods(register: Register) -> None:
    register(
        "simclr",
        "ssl_plugin_simclr.method:SimCLR",
        "contrast every view with all others of the batch",
    )


@hookimpl
def register_presets(register: RegisterPreset) -> None:
    register(
        "simclr/mnist5k",
        "ssl_plugin_simclr:presets/mnist5k.ini",
        "5,000 digits, a few minutes on two CPU cores",
    )
    register(
        "simclr/cifar10", "ssl_plugin_simclr:presets/cifar10.ini", "ResNet-18 with the CIFAR stem"
    )
    register(
        "simclr/cifar100", "ssl_plugin_simclr:presets/cifar100.ini", "ResNet-18 with the CIFAR stem"
    )
    register(
        "simclr/imagenet-100ep",
        "ssl_plugin_simclr:presets/imagenet-100ep.ini",
        "ResNet-50, the paper's values",
    )
    register(
        "simclr/imagefolder",
        "ssl_plugin_simclr:presets/imagefolder.ini",
        "a folder of photographs on one machine",
    )
    register(
        "simclr/continue",
        "ssl_plugin_simclr:presets/continue.ini",
        "from pretrained weights, on a folder of photographs",
    )
