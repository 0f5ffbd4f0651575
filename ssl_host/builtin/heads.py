"""Built-in heads."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from ssl_host import Head, Settings


class MLP(Head):
    """Linear layers with batch norm and an activation between them.

    The projectors and predictors of SimCLR (arXiv:2002.05709), BYOL (arXiv:2006.07733), SimSiam
    (arXiv:2011.10566) and Barlow Twins (arXiv:2103.03230) differ only in these settings.
    """

    class Config(Settings):
        hidden_dim: int = Field(2048, ge=1, le=65536, description="width of the hidden layers")
        output_dim: int = Field(128, ge=1, le=65536, description="width of the output")
        num_layers: int = Field(2, ge=1, le=10, description="number of linear layers")
        hidden_norm: bool = Field(True, description="add batch norm after each hidden layer")
        last_norm: bool = Field(False, description="add batch norm after the last layer")
        last_affine: bool = Field(
            True, description="learn a scale and a shift in the batch norm after the last layer"
        )
        bias: bool = Field(True, description="add a bias to layers without batch norm")
        activation: Literal["relu", "gelu"] = Field(
            "relu", description="activation after each hidden layer"
        )

    config: Config

    def setup(self) -> None:
        config = self.config
        widths = [self.in_dim, *[config.hidden_dim] * (config.num_layers - 1), config.output_dim]
        layers: list[nn.Module] = []
        for i, (width, next_width) in enumerate(pairwise(widths)):
            is_last = i == config.num_layers - 1
            norm = config.last_norm if is_last else config.hidden_norm
            layers.append(nn.Linear(width, next_width, bias=config.bias and not norm))
            if norm:
                layers.append(nn.BatchNorm1d(next_width, affine=config.last_affine or not is_last))
            if not is_last:
                gelu = config.activation == "gelu"
                layers.append(nn.GELU() if gelu else nn.ReLU(inplace=True))
        self.layers = nn.Sequential(*layers)
        self.output_dim = config.output_dim

    def forward(self, features: Tensor) -> Tensor:
        embeddings: Tensor = self.layers(features)
        return embeddings


class DINOHead(Head):
    """MLP with GELU, a bottleneck of unit length, and weight-normalised prototypes.

    Caron et al., arXiv:2104.14294, appendix C, and the authors' code. The outputs are
    similarities to the prototypes. The head accepts features (B, D) and tokens (B, T, D).
    """

    class Config(Settings):
        hidden_dim: int = Field(2048, ge=1, le=65536, description="width of the hidden layers")
        bottleneck_dim: int = Field(256, ge=1, le=65536, description="width of the bottleneck")
        output_dim: int = Field(65536, ge=2, le=1_000_000, description="number of prototypes")
        num_layers: int = Field(
            3, ge=1, le=10, description="number of linear layers, including the bottleneck"
        )
        train_norm: bool = Field(
            False, description="train the length of the prototypes, which is otherwise 1"
        )

    config: Config

    def setup(self) -> None:
        config = self.config
        hidden = [config.hidden_dim] * (config.num_layers - 1)
        layers: list[nn.Module] = []
        for width, next_width in pairwise([self.in_dim, *hidden, config.bottleneck_dim]):
            layers += [nn.Linear(width, next_width), nn.GELU()]
        self.layers = nn.Sequential(*layers[:-1])
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)
        self.prototypes = nn.Parameter(torch.empty(config.output_dim, config.bottleneck_dim))
        nn.init.trunc_normal_(self.prototypes, std=0.02)
        self.norm = nn.Parameter(torch.ones(config.output_dim, 1), requires_grad=config.train_norm)
        self.output_dim = config.output_dim

    def forward(self, features: Tensor) -> Tensor:
        unit = functional.normalize(self.layers(features), dim=-1)
        return functional.linear(unit, functional.normalize(self.prototypes, dim=1) * self.norm)
