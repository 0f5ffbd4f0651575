"""MoCo v3: contrast predictions with the keys of the batch (arXiv:2104.02057)."""

from ssl_host import Register, RegisterPreset, hookimpl

ssl_host_api = 1


@hookimpl
def register_methods(register: Register) -> None:
    register(
        "mocov3",
        "ssl_plugin_mocov3.method:MoCoV3",
        "contrast predictions with the keys of the batch",
    )


@hookimpl
def register_presets(register: RegisterPreset) -> None:
    register(
        "mocov3/mnist5k",
        "ssl_plugin_mocov3:presets/mnist5k.ini",
        "5,000 digits, a few minutes on two CPU cores",
    )
    register(
        "mocov3/imagenet",
        "ssl_plugin_mocov3:presets/imagenet.ini",
        "the paper's values, for several GPUs",
    )
    register(
        "mocov3/imagefolder",
        "ssl_plugin_mocov3:presets/imagefolder.ini",
        "a folder of photographs on one machine",
    )
    register(
        "mocov3/continue",
        "ssl_plugin_mocov3:presets/continue.ini",
        "from pretrained weights, on a folder of photographs",
    )
    register(
        "mocov3/cifar10",
        "ssl_plugin_mocov3:presets/cifar10.ini",
        "ResNet-18 with the CIFAR stem",
    )
