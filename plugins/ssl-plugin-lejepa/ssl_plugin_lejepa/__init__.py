"""LeJEPA: agreement of views with normally distributed embeddings (arXiv:2511.08544)."""

from ssl_host import Register, RegisterPreset, hookimpl

ssl_host_api = 1


@hookimpl
def register_methods(register: Register) -> None:
    register(
        "lejepa", "ssl_plugin_lejepa.method:LeJEPA", "agreement and normally distributed embeddings"
    )


@hookimpl
def register_losses(register: Register) -> None:
    register("sigreg", "ssl_plugin_lejepa.loss:SIGReg", "distance from a normal distribution")


@hookimpl
def register_presets(register: RegisterPreset) -> None:
    register("lejepa", "ssl_plugin_lejepa:presets")
