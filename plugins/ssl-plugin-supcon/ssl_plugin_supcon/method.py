"""The SupCon method."""

from __future__ import annotations

from ssl_host import Batch, Head, Method, StepOutput


class SupCon(Method):
    """SupCon: contrasts each view with all others; views of the same class are positives.

    Khosla et al., NeurIPS 2020, arXiv:2004.11362, equation 2 and the authors' code.

    This method uses the labels of the training images: compare it with supervised training.
    """

    heads = {"projector": "backbone"}
    uses_labels = True
    recipe = {
        "augmentation": {"name": "symmetric_weak", "blur": 0.0},
        "backbone": {"name": "timm", "model": "resnet50"},
        "head.projector": {
            "hidden_dim": 2048,
            "output_dim": 128,
            "hidden_norm": False,
        },
        "loss": {"name": "sup_con", "temperature": 0.1},
        "optimizer": {"name": "sgd", "lr": 0.5, "weight_decay": 1e-4, "decay_params": "all"},
        "scheduler": {
            "name": "warmup_cosine",
            "warmup_epochs": 10,
            "start_factor": 0.02,
            "min_factor": 0.001,
        },
    }

    projector: Head

    def step(self, batch: Batch) -> StepOutput:
        h1, h2 = map(self.backbone, batch.views)
        loss = self.loss(self.projector(h1), self.projector(h2), batch.labels)
        return StepOutput(loss, features=h1)

    def chance_level(self, num_images: int) -> float | None:
        return self.loss.chance_level(num_images)
