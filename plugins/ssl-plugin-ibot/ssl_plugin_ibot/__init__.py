"""iBOT: DINO on class tokens and masked patches (arXiv:2111.07832)."""

from ssl_host import Register, RegisterPreset, hookimpl

ssl_host_api = 1


@hookimpl
def register_methods(register: Register) -> None:
    register("ibot", "ssl_plugin_ibot.method:IBOT", "DINO on class tokens and masked patches")


@hookimpl
def register_presets(register: RegisterPreset) -> None:
    register(
        "ibot/mnist5k",
        "ssl_plugin_ibot:presets/mnist5k.ini",
        "5,000 digits, a few minutes on two CPU cores",
    )
    register(
        "ibot/imagenet",
        "ssl_plugin_ibot:presets/imagenet.ini",
        "the paper's values, for several GPUs",
    )
    register(
        "ibot/imagefolder",
        "ssl_plugin_ibot:presets/imagefolder.ini",
        "a folder of photographs on one machine",
    )
    register(
        "ibot/continue",
        "ssl_plugin_ibot:presets/continue.ini",
        "from pretrained weights, on a folder of photographs",
    )
    register(
        "ibot/cifar10",
        "ssl_plugin_ibot:presets/cifar10.ini",
        "ViT with patches of 4 pixels",
    )
