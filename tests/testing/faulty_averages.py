"""Correct and faulty methods with a moving average, such as DINO's centre, arXiv:2104.14294."""

import torch

from ssl_host import MovingAverage, ParamGroup, StepOutput
from tests.testing.faulty import Following


class Centring(Following):
    """Correct: BYOL with DINO's centre, arXiv:2104.14294."""

    def setup(self):
        super().setup()
        self.centre = MovingAverage(self.projector.output_dim, 0.5)

    def step(self, batch):
        out = super().step(batch)
        with torch.no_grad():
            t = self.ema_projector(self.ema_backbone(batch.views[0]))
        p = self.predictor(self.projector(self.backbone(batch.views[1])))
        loss = out.loss + self.loss(p, t - self.centre.mean)
        return StepOutput(loss, out.features, **self.push_later(t))

    def push_later(self, rows):
        return {"enqueue": {"centre": rows}}


class KeepsRowsOnSelf(Centring):
    """BYOL with DINO's centre, arXiv:2104.14294."""

    def push_later(self, rows):
        self.rows = rows
        return {}

    def after_optimizer_step(self):
        self.centre.push(self.rows)


class PushesInStep(Centring):
    """BYOL with DINO's centre, arXiv:2104.14294."""

    def push_later(self, rows):
        self.centre.push(rows)
        return {}


class ExpectsFloat32(KeepsRowsOnSelf):
    """BYOL with DINO's centre, arXiv:2104.14294."""

    def after_optimizer_step(self):
        self.centre.mean.lerp_(self.rows.mean(dim=0), 0.5)


class UnknownEncoder(Following):
    """BYOL, arXiv:2006.07733."""

    encoder = "ema_bakbone"


class UnknownEMA(Following):
    """BYOL, arXiv:2006.07733."""

    ema = ("backbone", "prototypes")


class FreezesInStep(Following):
    """BYOL, arXiv:2006.07733."""

    def step(self, batch):
        if self.progress.fraction < 0.1:
            for parameter in self.predictor.parameters():
                parameter.requires_grad_(False)
            out = super().step(batch)
            self.predictor.requires_grad_(True)
            return out
        return super().step(batch)


class FrozenByParamGroup(Following):
    """Correct: BYOL with a predictor that is frozen at first, arXiv:2006.07733."""

    def param_groups(self):
        yield ParamGroup("encoder", list(self.trainable_parameters("backbone", "projector")))
        predictor = list(self.trainable_parameters("predictor"))
        yield ParamGroup("predictor", predictor, frozen_until=0.5)


class LeavesOutParameters(Following):
    """Faulty: the predictor is in no group, so the optimizer never trains it."""

    def param_groups(self):
        yield ParamGroup("encoder", list(self.trainable_parameters("backbone", "projector")))
