"""ReSSL: match the similarities with a queue (arXiv:2107.09282)."""

from ssl_host import Register, RegisterPreset, hookimpl

ssl_host_api = 1


@hookimpl
def register_methods(register: Register) -> None:
    register("ressl", "ssl_plugin_ressl.method:ReSSL", "match the similarities with a queue")


@hookimpl
def register_augmentations(register: Register) -> None:
    register(
        "weak_strong", "ssl_plugin_ressl.views:WeakStrongViews", "a weak and a strong view (ReSSL)"
    )


@hookimpl
def register_presets(register: RegisterPreset) -> None:
    register("ressl", "ssl_plugin_ressl:presets")
