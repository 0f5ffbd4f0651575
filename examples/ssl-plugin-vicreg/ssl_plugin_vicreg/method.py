"""The method VICReg and its loss."""

from pydantic import Field
from ssl_host import Batch, Head, Loss, Method, Settings, StepOutput, gather
from torch import Tensor
from torch.nn.functional import mse_loss, relu


class VICRegLoss(Loss):
    """Loss of VICReg: arXiv:2105.04906, equation 6; the hinge is halved as in the authors' code."""

    class Config(Settings):
        invariance: float = Field(25.0, ge=0, le=1e4, description="weight of the invariance term")
        variance: float = Field(25.0, ge=0, le=1e4, description="weight of the variance term")
        covariance: float = Field(1.0, ge=0, le=1e4, description="weight of the covariance term")

    config: Config

    def forward(self, z1: Tensor, z2: Tensor) -> Tensor:
        loss = self.config.invariance * mse_loss(z1, z2)
        for z in (gather(z1), gather(z2)):  # compute statistics over the images of all processes
            hinge = relu(1 - (z.var(dim=0) + 1e-4).sqrt()).mean() / 2
            off_diagonal = z.T.cov().fill_diagonal_(0).square().sum() / z.shape[1]
            loss = loss + self.config.variance * hinge + self.config.covariance * off_diagonal
        return loss


class VICReg(Method):
    """VICReg: pulls two views together, and keeps the embedding dimensions varied and uncorrelated.

    Bardes et al., ICLR 2022, arXiv:2105.04906, with the recipe of the authors' code."""

    heads = {"projector": "backbone"}
    recipe = {
        "augmentation": {"name": "byol"},
        "head.projector": {"hidden_dim": 8192, "output_dim": 8192, "num_layers": 3},
        "loss": {"name": "vicreg"},
        "optimizer": {"name": "lars", "base_lr": 0.2, "weight_decay": 1e-6},
        "scheduler": {"name": "warmup_cosine", "warmup_epochs": 10, "min_factor": 0.001},
    }
    projector: Head

    def step(self, batch: Batch) -> StepOutput:
        h1, h2 = map(self.backbone, batch.views)
        return StepOutput(self.loss(self.projector(h1), self.projector(h2)), features=h1)
