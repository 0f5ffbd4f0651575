"""Online linear probe that measures the quality of the features during training."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ssl_host.config.schema import ProbeSettings
from ssl_host.toolkit.distributed import world_size


class OnlineProbe:
    """Linear classifier that is trained on detached features with a separate optimizer.

    It is not part of the SSL method: its loss has a separate backward pass, so no gradient can
    reach the backbone. A batch norm layer without parameters standardises the features, so one
    learning rate suits all backbones.

    Args:
        settings: the settings of ``[probe]``.
        dim: the dimension D of the features.
        num_classes: the number of classes C.
        seed: the random seed for the initial weights.
    """

    def __init__(self, settings: ProbeSettings, dim: int, num_classes: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        weight = torch.randn(num_classes, dim, generator=generator) * 0.01
        self.network = nn.Sequential(nn.BatchNorm1d(dim, affine=False), nn.Linear(dim, num_classes))
        with torch.no_grad():
            self.layer.weight.copy_(weight)
            self.layer.bias.zero_()
        self.optimizer = torch.optim.Adam(
            self.layer.parameters(), lr=settings.lr, weight_decay=settings.weight_decay
        )
        self.correct = torch.zeros(())
        self.seen = torch.zeros(())

    @property
    def norm(self) -> nn.Module:
        """Batch norm layer that standardises the features."""
        return self.network[0]

    @property
    def layer(self) -> nn.Linear:
        """Linear layer of the classifier."""
        layer = self.network[1]
        assert isinstance(layer, nn.Linear)
        return layer

    def to(self, device: torch.device) -> OnlineProbe:
        """Move network, optimizer state and prediction counts to a device; return the probe."""
        self.network.to(device)
        # Loading moves the optimizer state to the device of the parameters.
        self.optimizer.load_state_dict(self.optimizer.state_dict())
        self.correct, self.seen = self.correct.to(device), self.seen.to(device)
        return self

    def step(self, features: Tensor, labels: Tensor) -> None:
        """Count the correct predictions for features (B, D) and labels (B,), then train on them.

        Images with the label -1 are unlabelled: they are not counted and do not affect the loss.
        """
        labelled = (labels >= 0).sum()
        weight = labelled.float()
        if world_size() > 1:  # the gradients are averaged over processes below
            torch.distributed.all_reduce(weight)
            weight /= world_size()
        with torch.autocast(features.device.type, enabled=False), torch.enable_grad():
            logits = self.network(features.detach().float())
            loss = functional.cross_entropy(logits, labels, ignore_index=-1, reduction="sum")
            loss = loss / weight.clamp(min=1 / world_size())
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
        if world_size() > 1:
            for parameter in self.layer.parameters():
                assert parameter.grad is not None
                torch.distributed.all_reduce(parameter.grad)
                parameter.grad /= world_size()
        self.optimizer.step()
        self.correct += (logits.detach().argmax(dim=1) == labels).sum()
        self.seen += labelled

    def accuracy(self) -> float:
        """Return the top-1 accuracy (0 to 1) on the training batches since the last call.

        The accuracy covers the batches of all processes, so all processes must call this method.
        It is NaN if there have been no labelled images.
        """
        counts = torch.stack([self.correct, self.seen])
        if world_size() > 1:
            torch.distributed.all_reduce(counts)
        correct, seen = counts.tolist()
        self.correct.zero_()
        self.seen.zero_()
        return correct / seen if seen else float("nan")

    @torch.no_grad()
    def predict(self, features: Tensor) -> Tensor:
        """Return logits (N, C) for features (N, D), standardised with the running statistics."""
        self.network.eval()
        logits: Tensor = self.network(features.to(self.layer.weight.device).float())
        self.network.train()
        return logits

    def state_dict(self) -> dict[str, Any]:
        """Return the weights, running statistics, optimizer state and counts for a checkpoint."""
        return {
            "norm": self.norm.state_dict(),
            "layer": self.layer.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "correct": self.correct,
            "seen": self.seen,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state that :meth:`state_dict` returned."""
        self.norm.load_state_dict(state["norm"])
        self.layer.load_state_dict(state["layer"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.correct.copy_(state["correct"])
        self.seen.copy_(state["seen"])
