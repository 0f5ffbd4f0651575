"""MMCR: maximum manifold capacity representations (arXiv:2303.03307), for ssl-host."""

from ssl_host import Register, hookimpl

ssl_host_api = 1


@hookimpl
def register_methods(register: Register) -> None:
    register("mmcr", "ssl_plugin_mmcr.method:MMCR", "large nuclear norm of mean embeddings")


@hookimpl
def register_losses(register: Register) -> None:
    register("mmcr", "ssl_plugin_mmcr.method:MMCRLoss", "the loss of MMCR")
