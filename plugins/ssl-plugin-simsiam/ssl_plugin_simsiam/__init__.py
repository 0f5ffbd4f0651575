"""SimSiam: predict one view from the other; no negatives or EMA network (arXiv:2011.10566)."""

from ssl_host import Register, RegisterPreset, hookimpl

ssl_host_api = 1


@hookimpl
def register_methods(register: Register) -> None:
    register(
        "simsiam",
        "ssl_plugin_simsiam.method:SimSiam",
        "predict one view from the other, no negatives, no EMA network",
    )


@hookimpl
def register_presets(register: RegisterPreset) -> None:
    register("simsiam", "ssl_plugin_simsiam:presets")
