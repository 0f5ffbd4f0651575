"""SimSiam: predict one view from the other; no negatives or EMA network (arXiv:2011.10566)."""

from ssl_host import Register, RegisterPreset, hookimpl

ssl_host_api = 1


@hookimpl
def register_methods(register: Register) -> None:
    register(
        "simsiam",
        "ssl_plugin_simsiam.method:SimSiam",
        "predict one view from the other, no negatives, no EMA network",
    )


@hookimpl
def register_presets(register: RegisterPreset) -> None:
    register(
        "simsiam/mnist5k",
        "ssl_plugin_simsiam:presets/mnist5k.ini",
        "5,000 digits, a few minutes on two CPU cores",
    )
    register(
        "simsiam/cifar10", "ssl_plugin_simsiam:presets/cifar10.ini", "ResNet-18 with the CIFAR stem"
    )
    register(
        "simsiam/cifar100",
        "ssl_plugin_simsiam:presets/cifar100.ini",
        "ResNet-18 with the CIFAR stem",
    )
    register(
        "simsiam/imagenet-100ep",
        "ssl_plugin_simsiam:presets/imagenet-100ep.ini",
        "ResNet-50, the paper's values",
    )
    register(
        "simsiam/imagefolder",
        "ssl_plugin_simsiam:presets/imagefolder.ini",
        "a folder of photographs on one machine",
    )
    register(
        "simsiam/continue",
        "ssl_plugin_simsiam:presets/continue.ini",
        "from pretrained weights, on a folder of photographs",
    )
