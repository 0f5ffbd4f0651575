"""MSN: match masked views with an EMA teacher's prototypes (arXiv:2204.07141)."""

from ssl_host import Register, RegisterPreset, hookimpl

ssl_host_api = 1


@hookimpl
def register_methods(register: Register) -> None:
    register("msn", "ssl_plugin_msn.method:MSN", "match masked views with a teacher's prototypes")


@hookimpl
def register_presets(register: RegisterPreset) -> None:
    register("msn", "ssl_plugin_msn:presets")
