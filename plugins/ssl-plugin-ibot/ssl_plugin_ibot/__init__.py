"""iBOT: DINO on class tokens and masked patches (arXiv:2111.07832)."""

from ssl_host import Register, hookimpl

ssl_host_api = 1


@hookimpl
def register_methods(register: Register) -> None:
    register("ibot", "ssl_plugin_ibot.method:IBOT", "DINO on class tokens and masked patches")
