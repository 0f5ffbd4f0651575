"""Python code for model cards that computes features with torch."""

from __future__ import annotations

from ssl_host import Backbone


def torch_usage(backbone: Backbone, model_code: str) -> str:
    """Return Python code that creates ``model`` and computes features of two random images.

    Args:
        backbone: network; the code uses its image size and the mean and std of its images.
        model_code: code that imports torch and creates ``model``.
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
