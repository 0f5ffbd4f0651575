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
    register("deepclusterv2", "ssl_plugin_deepclusterv2:presets")
