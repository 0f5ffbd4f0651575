"""DINO: predict the prototypes of an EMA teacher (arXiv:2104.14294)."""

from ssl_host import Register, RegisterPreset, hookimpl

ssl_host_api = 1


@hookimpl
def register_methods(register: Register) -> None:
    register("dino", "ssl_plugin_dino.method:DINO", "predict the prototypes of an EMA teacher")


@hookimpl
def register_presets(register: RegisterPreset) -> None:
    register(
        "dino/mnist5k",
        "ssl_plugin_dino:presets/mnist5k.ini",
        "5,000 digits, a few minutes on two CPU cores",
    )
    register(
        "dino/imagenet",
        "ssl_plugin_dino:presets/imagenet.ini",
        "the paper's values, for several GPUs",
    )
    register(
        "dino/imagefolder",
        "ssl_plugin_dino:presets/imagefolder.ini",
        "a folder of photographs on one machine",
    )
    register(
        "dino/continue",
        "ssl_plugin_dino:presets/continue.ini",
        "from pretrained weights, on a folder of photographs",
    )
    register(
        "dino/cifar10",
        "ssl_plugin_dino:presets/cifar10.ini",
        "ResNet-18 with the CIFAR stem",
    )
