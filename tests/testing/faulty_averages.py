"""Methods that keep a centre between steps, right and wrong: DINO's idea, arXiv:2104.14294."""

import torch

from ssl_host import MovingAverage, StepOutput
from tests.testing.faulty import Following


class Centring(Following):
    """Nothing is wrong: BYOL with DINO's centre, arXiv:2104.14294."""

    def setup(self):
        super().setup()
        self.centre = MovingAverage(self.projector.output_dim, 0.5)

    def step(self, batch):
        out = super().step(batch)
        with torch.no_grad():
            t = self.momentum_projector(self.momentum_backbone(batch.views[0]))
        p = self.predictor(self.projector(self.backbone(batch.views[1])))
        loss = out.loss + self.loss(p, t - self.centre.mean)
        return StepOutput(loss, out.features, **self.keep(t))

    def keep(self, rows):
        return {"enqueue": {"centre": rows}}


class Stashing(Centring):
    """BYOL with DINO's centre, arXiv:2104.14294."""

    def keep(self, rows):
        self.rows = rows
        return {}

    def after_step(self):
        self.centre.push(self.rows)


class CentringInTheStep(Centring):
    """BYOL with DINO's centre, arXiv:2104.14294."""

    def keep(self, rows):
        self.centre.push(rows)
        return {}


class FloatExpected(Stashing):
    """BYOL with DINO's centre, arXiv:2104.14294."""

    def after_step(self):
        self.centre.mean.lerp_(self.rows.mean(dim=0), 0.5)


class EncoderMisspelt(Following):
    """BYOL, arXiv:2006.07733."""

    encoder = "momentum_bakbone"


class MomentumOfNothing(Following):
    """BYOL, arXiv:2006.07733."""

    momentum = ("backbone", "prototypes")
