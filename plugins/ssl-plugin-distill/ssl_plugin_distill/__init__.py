"""Distillation: learn from a frozen pretrained backbone."""

from ssl_host import Register, RegisterPreset, hookimpl

ssl_host_api = 1


@hookimpl
def register_methods(register: Register) -> None:
    register(
        "distill", "ssl_plugin_distill.method:Distill", "learn from a frozen pretrained backbone"
    )


@hookimpl
def register_presets(register: RegisterPreset) -> None:
    register(
        "distill/mnist5k",
        "ssl_plugin_distill:presets/mnist5k.ini",
        "5,000 digits, a minute on two CPU cores",
    )
    register(
        "distill/imagenet", "ssl_plugin_distill:presets/imagenet.ini", "ImageNet, for several GPUs"
    )
    register(
        "distill/imagefolder",
        "ssl_plugin_distill:presets/imagefolder.ini",
        "a folder of photographs on one machine",
    )
    register(
        "distill/cifar10",
        "ssl_plugin_distill:presets/cifar10.ini",
        "ResNet-18 with the CIFAR stem",
    )
