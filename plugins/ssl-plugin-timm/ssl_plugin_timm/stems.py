"""First layers for small images and data sets, to replace those of timm's models."""

from __future__ import annotations

from typing import Any

from timm.layers.conv_bn_act import ConvNormAct
from timm.layers.hybrid_embed import HybridEmbed
from torch import nn

from ssl_host import UserError
from ssl_plugin_timm.tokens import patch_size


def use_cifar_stem(model: Any, name: str) -> None:
    """Adapt a ResNet to 32-pixel images: He et al., arXiv:1512.03385, section 4.2.

    Raises:
        UserError: if the model is not a ResNet.
    """
    if not (isinstance(getattr(model, "conv1", None), nn.Conv2d) and hasattr(model, "maxpool")):
        raise UserError(
            f"[backbone] stem = cifar is for ResNets, but {name} is not one; set stem = default"
        )
    channels, width = model.conv1.in_channels, model.conv1.out_channels
    model.conv1 = nn.Conv2d(channels, width, 3, stride=1, padding=1, bias=False)
    nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
    model.maxpool = nn.Identity()


def conv_patch_embedding(model: Any) -> HybridEmbed:
    """Return convolutions that can replace a model's linear patch embedding.

    Each 3 x 3 convolution halves the image and doubles the channels, and is followed by batch norm
    and ReLU; the last layer is linear (arXiv:2106.14881, section 5.1).

    Raises:
        UserError: if the side of the patches is not a power of 2.
    """
    side, width = patch_size(model), int(model.embed_dim)
    count = side.bit_length() - 1
    if side != 2**count or not count:
        raise UserError(
            f"[backbone] stem = conv: each convolution halves the image, so patch_size = {side} "
            "cannot be reached; use 2, 4, 8 or 16"
        )
    channels = [max(8, width // 2 ** (count - 1 - i)) for i in range(count)]
    inputs = [model.patch_embed.proj.in_channels, *channels]
    return HybridEmbed(
        nn.Sequential(
            *(ConvNormAct(inputs[i], channels[i], 3, stride=2) for i in range(count)),
        ),
        img_size=model.patch_embed.img_size,
        patch_size=1,
        in_chans=inputs[0],
        embed_dim=width,
        output_fmt="NHWC",
        strict_img_size=False,
    )
