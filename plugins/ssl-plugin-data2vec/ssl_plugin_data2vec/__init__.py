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
    register("data2vec", "ssl_plugin_data2vec:presets")
