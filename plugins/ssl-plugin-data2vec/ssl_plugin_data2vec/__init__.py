"""data2vec: predict the mean of a teacher's last blocks (arXiv:2202.03555)."""

from ssl_host import Register, RegisterPreset, hookimpl

ssl_host_api = 1


@hookimpl
def register_methods(register: Register) -> None:
    register(
        "data2vec",
        "ssl_plugin_data2vec.method:Data2Vec",
        "predict the mean of a teacher's last blocks",
    )


@hookimpl
def register_presets(register: RegisterPreset) -> None:
    register(
        "data2vec/mnist5k",
        "ssl_plugin_data2vec:presets/mnist5k.ini",
        "5,000 digits, a few minutes on two CPU cores",
    )
    register(
        "data2vec/imagenet",
        "ssl_plugin_data2vec:presets/imagenet.ini",
        "the paper's values, for several GPUs",
    )
    register(
        "data2vec/imagefolder",
        "ssl_plugin_data2vec:presets/imagefolder.ini",
        "a folder of photographs on one machine",
    )
    register(
        "data2vec/continue",
        "ssl_plugin_data2vec:presets/continue.ini",
        "from pretrained weights, on a folder of photographs",
    )
    register(
        "data2vec/cifar10",
        "ssl_plugin_data2vec:presets/cifar10.ini",
        "ViT with patches of 4 pixels",
    )
