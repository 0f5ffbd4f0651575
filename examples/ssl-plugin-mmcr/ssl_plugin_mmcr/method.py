"""The method MMCR and its loss."""

import torch
from pydantic import Field
from ssl_host import Batch, Head, Loss, Method, Settings, StepOutput, encode_views, gather
from torch import Tensor
from torch.nn.functional import normalize


class MMCRLoss(Loss):
    """Negative nuclear norm of the mean of views, each (B, D): arXiv:2303.03307, equation 7."""

    class Config(Settings):
        local_weight: float = Field(0.0, ge=0, le=1e3, description="weight of each image's norm")

    config: Config

    def forward(self, *views: Tensor) -> Tensor:
        z = torch.stack([normalize(view, dim=1) for view in views], dim=1)
        loss: Tensor = -torch.linalg.svdvals(gather(z.mean(dim=1))).sum()
        if self.config.local_weight:
            loss = loss + self.config.local_weight * torch.linalg.svdvals(z).sum(dim=1).mean()
        return loss


class MMCR(Method):
    """MMCR: makes the views of an image agree and the images fill the space of embeddings.

    Yerxa et al., NeurIPS 2023, arXiv:2303.03307, with the recipe of section 3."""

    heads = {"projector": "backbone"}
    supports_multicrop = True
    recipe = {
        "augmentation": {"name": "byol"},
        "head.projector": {"hidden_dim": 8192, "output_dim": 512, "num_layers": 3},
        "loss": {"name": "mmcr"},
        "optimizer": {"name": "lars", "base_lr": 0.6, "weight_decay": 1e-6},
        "scheduler": {"name": "warmup_cosine", "warmup_epochs": 10},
    }
    projector: Head

    def step(self, batch: Batch) -> StepOutput:
        features = encode_views(self.backbone, batch.views)
        return StepOutput(self.loss(*map(self.projector, features)), features=features[0])
