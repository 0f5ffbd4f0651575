"""MAE: reconstruct the pixels of masked patches (arXiv:2111.06377)."""

from ssl_host import Register, RegisterPreset, hookimpl

ssl_host_api = 1


@hookimpl
def register_methods(register: Register) -> None:
    register("mae", "ssl_plugin_mae.method:MAE", "reconstruct the pixels of masked patches")


@hookimpl
def register_presets(register: RegisterPreset) -> None:
    register(
        "mae/mnist5k",
        "ssl_plugin_mae:presets/mnist5k.ini",
        "5,000 digits, a few minutes on two CPU cores",
    )
    register(
        "mae/imagenet",
        "ssl_plugin_mae:presets/imagenet.ini",
        "the paper's values, for several GPUs",
    )
    register(
        "mae/imagefolder",
        "ssl_plugin_mae:presets/imagefolder.ini",
        "a folder of photographs on one machine",
    )
    register(
        "mae/continue",
        "ssl_plugin_mae:presets/continue.ini",
        "from pretrained weights, on a folder of photographs",
    )
    register(
        "mae/cifar10",
        "ssl_plugin_mae:presets/cifar10.ini",
        "ViT with patches of 4 pixels",
    )
