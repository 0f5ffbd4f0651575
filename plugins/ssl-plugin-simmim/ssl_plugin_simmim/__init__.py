"""SimMIM: reconstruct masked patches with a linear layer (arXiv:2111.09886)."""

from ssl_host import Register, RegisterPreset, hookimpl

ssl_host_api = 1


@hookimpl
def register_methods(register: Register) -> None:
    register(
        "simmim",
        "ssl_plugin_simmim.method:SimMIM",
        "reconstruct masked patches with a linear layer",
    )


@hookimpl
def register_presets(register: RegisterPreset) -> None:
    register(
        "simmim/mnist5k",
        "ssl_plugin_simmim:presets/mnist5k.ini",
        "5,000 digits, a few minutes on two CPU cores",
    )
    register(
        "simmim/imagenet",
        "ssl_plugin_simmim:presets/imagenet.ini",
        "the paper's values, for several GPUs",
    )
    register(
        "simmim/imagefolder",
        "ssl_plugin_simmim:presets/imagefolder.ini",
        "a folder of photographs on one machine",
    )
    register(
        "simmim/continue",
        "ssl_plugin_simmim:presets/continue.ini",
        "from pretrained weights, on a folder of photographs",
    )
    register(
        "simmim/cifar10",
        "ssl_plugin_simmim:presets/cifar10.ini",
        "ViT with patches of 4 pixels",
    )
