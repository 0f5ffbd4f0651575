"""DINOv2: DINO, iBOT and KoLeo together (arXiv:2304.07193)."""

from ssl_host import Register, RegisterPreset, hookimpl

ssl_host_api = 1


@hookimpl
def register_methods(register: Register) -> None:
    register("dinov2", "ssl_plugin_dinov2.method:DINOv2", "DINO, iBOT and KoLeo together")


@hookimpl
def register_presets(register: RegisterPreset) -> None:
    register(
        "dinov2/mnist5k",
        "ssl_plugin_dinov2:presets/mnist5k.ini",
        "5,000 digits, a few minutes on two CPU cores",
    )
    register(
        "dinov2/imagenet",
        "ssl_plugin_dinov2:presets/imagenet.ini",
        "the paper's values, for several GPUs",
    )
    register(
        "dinov2/imagefolder",
        "ssl_plugin_dinov2:presets/imagefolder.ini",
        "a folder of photographs on one machine",
    )
    register(
        "dinov2/continue",
        "ssl_plugin_dinov2:presets/continue.ini",
        "from pretrained weights, on a folder of photographs",
    )
    register(
        "dinov2/cifar10",
        "ssl_plugin_dinov2:presets/cifar10.ini",
        "ViT with patches of 4 pixels",
    )
