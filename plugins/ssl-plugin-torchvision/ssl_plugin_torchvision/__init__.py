"""Torchvision's classification models as backbones for ssl-host."""

from ssl_host import Register, hookimpl

ssl_host_api = 1


@hookimpl
def register_backbones(register: Register) -> None:
    register(
        "torchvision",
        "ssl_plugin_torchvision.backbone:Torchvision",
        "classification models of torchvision",
    )
