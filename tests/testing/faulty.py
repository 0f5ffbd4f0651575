"""Correct methods and losses, and variants with one fault each."""

from __future__ import annotations

import torch
import torch.distributed as dist
from pydantic import Field
from torch.nn import functional

from ssl_host import (
    Batch,
    CosineSchedule,
    FeatureQueue,
    Loss,
    Method,
    Settings,
    StepOutput,
    gather,
    gather_offset,
)

MLP = {"name": "mlp", "hidden_dim": 16, "output_dim": 8, "num_layers": 2}


class Predicting(Method):
    """Correct: SimSiam, arXiv:2011.10566."""

    class Config(Settings):
        weight: float = Field(1.0, ge=0, le=10, description="factor on the loss")

    heads = {"projector": "backbone", "predictor": "projector"}
    recipe = {
        "head.projector": {**MLP, "last_norm": True},
        "head.predictor": MLP,
        "loss": {"name": "negative_cosine"},
        "optimizer": {"name": "sgd", "base_lr": 0.05},
    }

    def step(self, batch: Batch) -> StepOutput:
        h1, h2 = map(self.backbone, batch.views)
        z1, z2 = self.projector(h1), self.projector(h2)
        loss = self.loss(self.predictor(z1), self.target(z2))
        loss = loss + self.loss(self.predictor(z2), self.target(z1))
        return StepOutput(self.config.weight * loss / 2, features=h1)

    def target(self, z):
        return z.detach()


class StopGradientForgotten(Predicting):
    """SimSiam, arXiv:2011.10566."""

    def target(self, z):
        return z


class Undeclared(Predicting):
    """SimSiam, arXiv:2011.10566."""

    def target(self, z):
        return z.detach() * self.config.sharpness


class UndeclaredWithDefault(Predicting):
    """SimSiam, arXiv:2011.10566."""

    def target(self, z):
        return z.detach() * getattr(self.config, "sharpness", 1.0)


class DependsOnFirstImage(Predicting):
    """SimSiam, arXiv:2011.10566."""

    def target(self, z):
        return z.detach() + 0.1 * z[:1].detach()


class NoFeatures(Predicting):
    """SimSiam, arXiv:2011.10566."""

    def step(self, batch):
        return StepOutput(super().step(batch).loss)


class BareLoss(Predicting):
    """SimSiam, arXiv:2011.10566."""

    def step(self, batch):
        return super().step(batch).loss


class NanForTwoImages(Predicting):
    """SimSiam, arXiv:2011.10566."""

    def step(self, batch):
        out = super().step(batch)
        # The deviation over all but two images, which is nan for a batch of two.
        return StepOutput(out.loss + self.projector(out.features)[2:].std(), out.features)


class Unseeded(Predicting):
    """SimSiam, arXiv:2011.10566."""

    noise = torch.Generator().manual_seed(0)

    def target(self, z):
        return z.detach() + torch.randn(z.shape, generator=self.noise, dtype=z.dtype)


class UnusedLayer(Predicting):
    """SimSiam, arXiv:2011.10566."""

    def setup(self):
        self.unused = torch.nn.Linear(3, 3)


class Undocumented(Predicting):
    pass


class WithoutSource(Predicting):
    """Predicts one view from the other."""


class Unbounded(Predicting):
    """SimSiam, arXiv:2011.10566."""

    class Config(Settings):
        weight: float = Field(1.0, description="factor on the loss")


class Crashing(Predicting):
    """SimSiam, arXiv:2011.10566."""

    def step(self, batch):
        return super().step(batch.views)


class Collapsing(Predicting):
    """Alignment without a term that keeps images apart. No paper."""

    heads = {"projector": "backbone"}
    recipe = {"head.projector": MLP, "loss": {"name": "negative_cosine"}}

    def step(self, batch):
        h1, h2 = map(self.backbone, batch.views)
        loss = self.loss(self.projector(h1), self.projector(h2))
        return StepOutput(self.config.weight * loss, features=h1)


class Following(Predicting):
    """Correct: BYOL, arXiv:2006.07733."""

    ema = ("backbone", "projector")

    def setup(self):
        self.ema_decay = CosineSchedule(0.9, 1.0)

    def step(self, batch):
        h1, h2 = map(self.backbone, batch.views)
        with torch.no_grad():
            t1, t2 = (self.ema_projector(self.ema_backbone(v)) for v in batch.views)
        p1, p2 = self.predictor(self.projector(h1)), self.predictor(self.projector(h2))
        loss = self.config.weight * (self.loss(p1, t2) + self.loss(p2, t1))
        return StepOutput(loss, features=h1)


class EMACopyTrained(Following):
    """BYOL, arXiv:2006.07733."""

    def step(self, batch):
        self.ema_projector.requires_grad_(True)
        out = super().step(batch)
        t = self.ema_projector(out.features)
        return StepOutput(out.loss + self.loss(t, t.detach().flip(1)), out.features)


class EMACopyUnused(Following):
    """BYOL, arXiv:2006.07733."""

    step = Predicting.step


class UpdatesEMACopies(Following):
    """BYOL, arXiv:2006.07733."""

    @torch.no_grad()
    def after_optimizer_step(self):
        for a, b in zip(self.ema_backbone.parameters(), self.backbone.parameters(), strict=True):
            a.lerp_(b, 0.1)


class Neighbours(Predicting):
    """Correct: NNCLR, arXiv:2104.14548."""

    recipe = {**Predicting.recipe, "loss": {"name": "info_nce"}}

    def setup(self):
        self.queue = FeatureQueue(24, self.projector.output_dim)

    def step(self, batch):
        h1, h2 = map(self.backbone, batch.views)
        z1, z2 = self.projector(h1), self.projector(h2)
        self.before_lookup(z1)
        near = self.queue.nearest(z1)
        loss = self.config.weight * self.loss(near, self.predictor(z2))
        return StepOutput(loss, features=h1, enqueue=self.enqueue(z1))

    def before_lookup(self, z1):
        """Do nothing; faulty variants push here."""

    def enqueue(self, z1):
        return {"queue": z1}


class PushesBeforeLookup(Neighbours):
    """NNCLR, arXiv:2104.14548."""

    def before_lookup(self, z1):
        self.queue.push(z1)

    def enqueue(self, z1):
        return {}


class QueueNotInCheckpoint(Neighbours):
    """NNCLR, arXiv:2104.14548."""

    def setup(self):
        self.rows = functional.normalize(torch.ones(24, self.projector.output_dim).double(), dim=1)
        self.waiting = None

    def step(self, batch):
        h1, h2 = map(self.backbone, batch.views)
        z1 = functional.normalize(self.projector(h1), dim=1)
        near = self.rows.to(z1.dtype)[(z1 @ self.rows.T.to(z1.dtype)).argmax(dim=1)]
        self.waiting = gather(z1.detach())
        return StepOutput(self.loss(near, self.predictor(self.projector(h2))), features=h1)

    def after_optimizer_step(self):
        self.rows = torch.cat([self.waiting, self.rows])[:24]


class UnknownQueueName(Neighbours):
    """NNCLR, arXiv:2104.14548."""

    def enqueue(self, z1):
        return {"bank": z1}


class GatherWithoutGradient(Loss):
    """NT-Xent one way, arXiv:2002.05709, with torch's own all_gather."""

    def forward(self, z1, z2):
        z1, z2 = functional.normalize(z1, dim=1), functional.normalize(z2, dim=1)
        gathered, offset = z2, 0
        if dist.is_initialized():
            shares = [torch.empty_like(z2) for _ in range(dist.get_world_size())]
            dist.all_gather(shares, z2)
            gathered, offset = torch.cat(shares), dist.get_rank() * len(z2)
        target = torch.arange(len(z1)) + offset
        return functional.cross_entropy(z1 @ gathered.T / 0.2, target)


class GatherWithGradient(Loss):
    """Correct: NT-Xent one way with ssl_host.gather."""

    def forward(self, z1, z2):
        z1, z2 = functional.normalize(z1, dim=1), functional.normalize(z2, dim=1)
        target = torch.arange(len(z1)) + gather_offset(z1)
        return functional.cross_entropy(z1 @ gather(z2).T / 0.2, target)


class NoEpsilon(Loss):
    """Minus the cosine. No paper."""

    def forward(self, a, b):
        return (
            -((a / a.norm(dim=1, keepdim=True)) * (b / b.norm(dim=1, keepdim=True))).sum(1).mean()
        )


class Contrasting(Predicting):
    """A method with a loss that gathers without a gradient, arXiv:2002.05709."""

    heads = {"projector": "backbone"}
    recipe = {"head.projector": MLP}
    inner = GatherWithoutGradient

    def setup(self):
        self.contrast = self.inner(Loss.Config())

    def step(self, batch):
        h1, h2 = map(self.backbone, batch.views)
        loss = self.config.weight * self.contrast(self.projector(h1), self.projector(h2))
        return StepOutput(loss, features=h1)


class ContrastingCorrectly(Contrasting):
    """Correct: arXiv:2002.05709."""

    inner = GatherWithGradient
