"""DeepCluster v2: predict the clusters of the last epoch (arXiv:2006.09882)."""

from ssl_host import Register, RegisterPreset, hookimpl

ssl_host_api = 1


@hookimpl
def register_methods(register: Register) -> None:
    register(
        "deepclusterv2",
        "ssl_plugin_deepclusterv2.method:DeepClusterV2",
        "predict the clusters of the last epoch",
    )


@hookimpl
def register_presets(register: RegisterPreset) -> None:
    register(
        "deepclusterv2/mnist5k",
        "ssl_plugin_deepclusterv2:presets/mnist5k.ini",
        "5,000 digits, a few minutes on two CPU cores",
    )
    register(
        "deepclusterv2/imagenet",
        "ssl_plugin_deepclusterv2:presets/imagenet.ini",
        "the paper's values, for several GPUs",
    )
    register(
        "deepclusterv2/imagefolder",
        "ssl_plugin_deepclusterv2:presets/imagefolder.ini",
        "a folder of photographs on one machine",
    )
    register(
        "deepclusterv2/continue",
        "ssl_plugin_deepclusterv2:presets/continue.ini",
        "from pretrained weights, on a folder of photographs",
    )
    register(
        "deepclusterv2/cifar10",
        "ssl_plugin_deepclusterv2:presets/cifar10.ini",
        "ResNet-18 with the CIFAR stem",
    )
