"""All timm models as backbones for ssl-host."""

from ssl_host import Register, hookimpl

ssl_host_api = 1


@hookimpl
def register_backbones(register: Register) -> None:
    register("timm", "ssl_plugin_timm.backbone:Timm", "all models of timm")
