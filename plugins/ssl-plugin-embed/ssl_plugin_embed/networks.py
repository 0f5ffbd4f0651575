"""Build networks with pretrained weights, and recognise a network again by its weights."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch

import ssl_host
from ssl_host import Backbone, Catalog, DataSource, component_options

IMAGE_SIZE = 224
"""Image size in pixels for which a backbone is built unless another one is given."""


def build_backbone(
    name: str, options: Sequence[str], catalog: Catalog, image_size: int | None = None
) -> tuple[Backbone, list[str]]:
    """Return a backbone with pretrained weights, and remarks about it.

    A backbone with the setting ``pretrained`` loads its pretrained weights unless the options say
    otherwise. Without a mean and a standard deviation of its own, it gets those of ImageNet.

    Args:
        name: registered name of the backbone, such as ``timm``.
        options: its settings, each as ``key=value`` or ``backbone.key=value``.
        catalog: registry of the installed plugins.
        image_size: side of its input in pixels; None for 224.

    Raises:
        ConfigError: when a setting is invalid.
        UserError: when the network cannot be built, or its weights cannot be downloaded.
    """
    schema = catalog.load("backbone", name).Config
    settings = component_options("backbone", schema, options)
    if "pretrained" in schema.model_fields:
        settings.setdefault("pretrained", True)
    sizes = {"in_channels": len(DataSource.mean), "image_size": image_size or IMAGE_SIZE}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # layers without pretrained weights are the same after a restart
        backbone: Backbone = ssl_host.build("backbone", name, **sizes, **settings)
    if backbone.mean:
        return backbone, []
    backbone.mean, backbone.std = DataSource.mean, DataSource.std
    return backbone, [f"backbone {name} has no mean and std of its own; ImageNet's are used"]


def backbone_digest(backbone: Backbone) -> str:
    """Return a hash of a network's weights, its sizes and how its images are prepared."""
    digest = hashlib.sha256()
    prepared = (backbone.mean, backbone.std, backbone.fit, backbone.value_range)
    sizes = (backbone.in_channels, backbone.image_size)
    about = (
        type(backbone).__qualname__,
        backbone.config.model_dump(mode="json"),
        *prepared,
        *sizes,
    )
    digest.update(repr(about).encode())
    for name, tensor in backbone.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(memoryview(flat.view(torch.uint8).numpy()))
    return digest.hexdigest()
