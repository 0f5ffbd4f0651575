"""The online linear probe: what the features are worth while they are being learned."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ssl_host.config.schema import ProbeSettings
from ssl_host.toolkit.distributed import world_size


class OnlineProbe:
    """A linear classifier on detached features, with an optimizer and a state of its own.

    It is no part of the method: its loss has a backward of its own, and no gradient of it can
    reach the backbone. Features are standardised by a batch norm without parameters, so that
    one learning rate serves all backbones.
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
        self.seen = 0

    @property
    def norm(self) -> nn.Module:
        """What standardises the features."""
        return self.network[0]

    @property
    def layer(self) -> nn.Linear:
        """The classifier."""
        found = self.network[1]
        assert isinstance(found, nn.Linear)
        return found

    def to(self, device: torch.device) -> OnlineProbe:
        """Move it to a device, before the first step."""
        self.network.to(device)
        self.correct = self.correct.to(device)
        return self

    def step(self, features: Tensor, labels: Tensor) -> None:
        """One step on features B D and labels B; counts what it got right before it."""
        with torch.autocast(features.device.type, enabled=False), torch.enable_grad():
            logits = self.network(features.detach().float())
            loss = functional.cross_entropy(logits, labels)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
        if world_size() > 1:
            for parameter in self.layer.parameters():
                assert parameter.grad is not None
                torch.distributed.all_reduce(parameter.grad)
                parameter.grad /= world_size()
        self.optimizer.step()
        self.correct += (logits.detach().argmax(dim=1) == labels).sum()
        self.seen += len(labels)

    def accuracy(self) -> float:
        """Top-1 on the training batches of all processes since the last call, from 0 to 1.

        Every process has to call it.
        """
        counts = torch.stack([self.correct, torch.full_like(self.correct, float(self.seen))])
        if world_size() > 1:
            torch.distributed.all_reduce(counts)
        correct, seen = counts.tolist()
        self.correct.zero_()
        self.seen = 0
        return correct / seen if seen else float("nan")

    @torch.no_grad()
    def predict(self, features: Tensor) -> Tensor:
        """Logits N C of features N D, by the statistics gathered in training."""
        self.network.eval()
        logits: Tensor = self.network(features.to(self.layer.weight.device).float())
        self.network.train()
        return logits

    def state_dict(self) -> dict[str, Any]:
        """Everything that is state."""
        return {
            "norm": self.norm.state_dict(),
            "layer": self.layer.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "correct": self.correct,
            "seen": self.seen,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The reverse of :meth:`state_dict`."""
        self.norm.load_state_dict(state["norm"])
        self.layer.load_state_dict(state["layer"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.correct.copy_(state["correct"])
        self.seen = state["seen"]
