"""I-JEPA: predict the tokens of target blocks (arXiv:2301.08243)."""

from ssl_host import Register, RegisterPreset, hookimpl

ssl_host_api = 1


@hookimpl
def register_methods(register: Register) -> None:
    register("ijepa", "ssl_plugin_ijepa.method:IJEPA", "predict the tokens of target blocks")


@hookimpl
def register_presets(register: RegisterPreset) -> None:
    register(
        "ijepa/mnist5k",
        "ssl_plugin_ijepa:presets/mnist5k.ini",
        "5,000 digits, a few minutes on two CPU cores",
    )
    register(
        "ijepa/imagenet",
        "ssl_plugin_ijepa:presets/imagenet.ini",
        "the paper's values, for several GPUs",
    )
    register(
        "ijepa/imagefolder",
        "ssl_plugin_ijepa:presets/imagefolder.ini",
        "a folder of photographs on one machine",
    )
    register(
        "ijepa/continue",
        "ssl_plugin_ijepa:presets/continue.ini",
        "from pretrained weights, on a folder of photographs",
    )
    register(
        "ijepa/cifar10",
        "ssl_plugin_ijepa:presets/cifar10.ini",
        "ViT with patches of 4 pixels",
    )
