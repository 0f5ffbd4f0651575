"""Evaluator ``lidar``: how many directions of the features separate one image from another?"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from ssl_host import Evaluation, Evaluator, FeatureBank, Figure, Settings, evenly_spaced_indices
from ssl_plugin_evaluators.network import BATCH_SIZE, FrozenNetwork, freeze_network


class LiDAR(Evaluator):
    """LiDAR, the effective rank of a linear discriminant analysis of views: arXiv:2312.04000.

    Every image is a class of its own, and its views are the samples of the class. The views are
    random crops and flips with the settings of the augmentation's first view, without its changes
    of colour. The features are those of the evaluated network; the paper also measures the output
    of the projector. No labels are needed.
    """

    needs_labels = False
    needs_test = False
    needs_encoder = True
    has_baselines = False

    figures = {
        "": Figure(
            "effective rank of what separates images, from 1 to the dimension of the features",
            headline=True,
        ),
    }

    class Config(Settings):
        num_images: int = Field(
            1000,
            ge=2,
            le=1_000_000,
            description="number of training images n; they are evenly spaced",
        )
        num_views: int = Field(50, ge=2, le=10_000, description="number of views q of each image")
        delta: float = Field(
            1e-4,
            gt=0,
            le=1,
            description="number δ that is added to the diagonal of the covariance within images",
        )

    config: Config

    def evaluate(self, bank: FeatureBank) -> Evaluation:
        network = freeze_network(bank)
        if network is None:
            note = "lidar was skipped, because some images cannot be read"
            return Evaluation({}, notes=(note,))
        return Evaluation({"": lidar(self._view_features(network), self.config.delta)})

    @torch.no_grad()
    def _view_features(self, network: FrozenNetwork) -> Tensor:
        """Return the features of several views of each image, (n, q, D)."""
        images = network.train_images
        features = []
        for index in evenly_spaced_indices(len(images), self.config.num_images).split(BATCH_SIZE):
            pixels, rows = images[index].to(network.device), index.to(network.device)
            views = [
                network.encoder(network.train_transform(pixels, rows, epoch)).float().cpu()
                for epoch in range(self.config.num_views)
            ]
            features.append(torch.stack(views, dim=1))
        return torch.cat(features)


def lidar(features: Tensor, delta: float = 1e-4) -> float:
    """Return LiDAR of the features of views, (n, q, D): arXiv:2312.04000.

    It is the exponential of the entropy of the normalised eigenvalues of Σw^(-½) Σb Σw^(-½), where
    Σb is the covariance of the images' mean features and Σw that of the views of an image.

    Args:
        features: features of q views of each of n images.
        delta: number that is added to the diagonal of Σw.
    """
    features = features.double()
    means = features.mean(dim=1)
    within = (features - means[:, None]).flatten(0, 1)
    within = within.T @ within / len(within) + delta * torch.eye(within.shape[1]).double()
    between = means - means.mean(dim=0)
    # Σb = between' between / n, so the eigenvalues are the squared singular values of
    # between Σw^(-½) / √n.
    values, vectors = torch.linalg.eigh(within)
    spectrum = torch.linalg.svdvals(between @ vectors / values.sqrt()).square()
    shares = spectrum / spectrum.sum().clamp(min=1e-300) + 1e-7
    return float((-(shares * shares.log()).sum()).exp())
