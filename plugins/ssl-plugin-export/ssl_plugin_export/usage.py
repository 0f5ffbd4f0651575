"""Code for model cards that computes features with torch."""

from __future__ import annotations

from ssl_host import Backbone


def torch_usage(backbone: Backbone, model_code: str) -> str:
    """Return code that makes ``model`` and computes the features of two random images.

    Args:
        backbone: gives the size, mean and standard deviation of its input.
        model_code: imports torch and makes ``model``.
    """
    size = backbone.image_size
    return f"""\
{model_code}
model.eval()

images = torch.rand(2, {backbone.in_channels}, {size}, {size})  # B C H W, from 0 to 1
mean = torch.tensor({list(backbone.mean)}).view(1, -1, 1, 1)
std = torch.tensor({list(backbone.std)}).view(1, -1, 1, 1)
with torch.no_grad():
    features = model((images - mean) / std)  # B {backbone.feature_dim}
"""
