"""Steps of vision transformers with masks and small views, compared with lightly's modules."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytorch_lightning as pl
import timm
import torch
from comparison import Comparison, compare
from steps import time_minimal_loop
from torch import Tensor, nn
from torch.utils.data import DataLoader
from training import EpochTimer, build_experiment, build_quiet_trainer, train_experiment

import ssl_host
from ssl_host.compose import Experiment

SIZE, LOCAL = 32, 16


@dataclass(frozen=True)
class Network:
    """Sizes of the transformer and of DINO's head, the same for both packages."""

    patch: int
    width: int
    depth: int
    heads: int
    hidden: int
    bottleneck: int
    prototypes: int

    def settings(self) -> dict[str, str | int]:
        """Return the values of ``[backbone]``."""
        return {
            "name": "timm",
            "model": "vit_tiny_patch16_224",
            "patch_size": self.patch,
            "embed_dim": self.width,
            "depth": self.depth,
            "num_heads": self.heads,
        }

    def __str__(self) -> str:
        return f"ViT of {self.depth} blocks x {self.width}, {SIZE} px, patch {self.patch}"


SMALL = Network(4, 192, 4, 3, hidden=256, bottleneck=64, prototypes=1024)
TINY = Network(8, 64, 2, 2, hidden=64, bottleneck=32, prototypes=128)
"""Network that is so fast that making the views takes most of an epoch."""
ADAMW = {"name": "adamw", "lr": 1e-3, "weight_decay": 0.05}


def make_vit(network: Network) -> nn.Module:
    """Return the transformer of both packages."""
    return timm.create_model(
        "vit_tiny_patch16_224",
        img_size=SIZE,
        patch_size=network.patch,
        embed_dim=network.width,
        depth=network.depth,
        num_heads=network.heads,
        num_classes=0,
        dynamic_img_size=True,
    )


def time_steps(step: Callable[[], Tensor], parameters: list[Tensor], num_steps: int) -> float:
    """Return the seconds per step of a loss, its gradients and AdamW, after one step to warm up."""
    torch.set_num_threads(2)
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.05)
    start = 0.0
    for number in range(num_steps + 1):
        if number == 1:
            start = time.perf_counter()
        loss = step()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return (time.perf_counter() - start) / num_steps


def compare_mae() -> Comparison:
    """Compare MAE steps with views in memory: lightly's modules, and our own with all patches."""
    batch_size, steps, num_skipped = 64, 12, 2
    theirs, everything = "lightly's MAE modules", "ssl-host, all patches but one"

    def experiment(mask_ratio: float) -> Experiment:
        return build_experiment(
            SMALL.settings() | {"positions": "sincos"},
            steps,
            "mae",
            batch_size,
            **{
                "head.projector": None,
                "augmentation": {"name": "plain", "num_views": 1},
                "method": {
                    "name": "mae",
                    "mask_ratio": mask_ratio,
                    "decoder_dim": 96,
                    "decoder_depth": 2,
                    "decoder_heads": 3,
                },
                "optimizer": ADAMW,
            },
        )

    def host_speed(mask_ratio: float) -> float:
        return batch_size / time_minimal_loop(experiment(mask_ratio), num_skipped, precomputed=True)

    def lightly_speed() -> float:
        model = LightlyMAE()
        images = torch.randn(batch_size, 3, SIZE, SIZE)
        seconds = time_steps(lambda: model(images), list(model.parameters()), steps - num_skipped)
        return batch_size / seconds

    return compare(
        f"MAE step, mask ratio 0.75, {SMALL}, batch {batch_size}",
        {
            "ssl-host": lambda: host_speed(0.75),
            theirs: lightly_speed,
            everything: lambda: host_speed(1.01 / (SIZE // SMALL.patch) ** 2),
        },
        {theirs: 1.0, everything: 2.0},
    )


class LightlyMAE(nn.Module):
    """MAE as in lightly's example, with the sizes of this comparison."""

    def __init__(self) -> None:
        super().__init__()
        from lightly.models.modules import MAEDecoderTIMM, MaskedVisionTransformerTIMM

        vit = make_vit(SMALL)
        self.backbone = MaskedVisionTransformerTIMM(vit=vit)
        self.length = self.backbone.sequence_length
        self.decoder = MAEDecoderTIMM(
            num_patches=vit.patch_embed.num_patches,
            patch_size=SMALL.patch,
            embed_dim=SMALL.width,
            decoder_embed_dim=96,
            decoder_depth=2,
            decoder_num_heads=3,
        )

    def forward(self, images: Tensor) -> Tensor:
        from lightly.models import utils

        size = len(images), self.length
        keep, masked = utils.random_token_mask(size=size, mask_ratio=0.75, device=images.device)
        encoded = self.decoder.embed(self.backbone.encode(images=images, idx_keep=keep))
        tokens = utils.repeat_token(self.decoder.mask_token, size)
        tokens = utils.set_at_index(tokens, keep, encoded.type_as(tokens))
        decoded = utils.get_at_index(self.decoder.decode(tokens), masked)
        # The index of the class token is 0, so patches begin at 1.
        target = utils.get_at_index(utils.patchify(images, SMALL.patch), masked - 1)
        loss: Tensor = nn.functional.mse_loss(self.decoder.predict(decoded), target)
        return loss


def dino_experiment(network: Network, steps: int, batch_size: int, epochs: int = 1) -> Experiment:
    """Build a run of DINO with two full-size and six small views."""
    return build_experiment(
        network.settings(),
        steps,
        "dino",
        batch_size,
        **{
            "run": {"epochs": epochs, "batch_size": batch_size},
            "head.projector": {
                "hidden_dim": network.hidden,
                "bottleneck_dim": network.bottleneck,
                "output_dim": network.prototypes,
            },
            "augmentation": {"name": "dino", "num_local": 6, "local_size": LOCAL},
            "optimizer": ADAMW,
        },
    )


def compare_dino() -> Comparison:
    """Compare DINO steps with the same views in memory."""
    batch_size, steps, num_skipped = 32, 8, 2
    theirs = "lightly's DINO modules"

    def host_speed() -> float:
        experiment = dino_experiment(SMALL, steps, batch_size)
        return batch_size / time_minimal_loop(experiment, num_skipped, precomputed=True)

    def lightly_speed() -> float:
        model = LightlyDINO(SMALL)
        sizes = [SIZE] * 2 + [LOCAL] * 6
        views = [torch.randn(batch_size, 3, size, size) for size in sizes]
        seconds = time_steps(lambda: model(views), model.trainable(), steps - num_skipped)
        return batch_size / seconds

    return compare(
        f"DINO step, 2 + 6 views, {SMALL}, batch {batch_size}",
        {"ssl-host": host_speed, theirs: lightly_speed},
        {theirs: 1.0},
    )


class LightlyDINO(pl.LightningModule):
    """DINO as in lightly's example, with the sizes of this comparison."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        from lightly.loss import DINOLoss
        from lightly.models.modules import DINOProjectionHead

        sizes = (network.width, network.hidden, network.bottleneck, network.prototypes)
        self.student_backbone = make_vit(network)
        self.student_head = DINOProjectionHead(*sizes, freeze_last_layer=1)
        self.teacher_backbone = copy.deepcopy(self.student_backbone).requires_grad_(False)
        self.teacher_head = DINOProjectionHead(*sizes).requires_grad_(False)
        self.loss = DINOLoss(output_dim=network.prototypes)

    def trainable(self) -> list[Tensor]:
        """Return the student's parameters."""
        return [p for p in self.parameters() if p.requires_grad]

    def forward(self, views: list[Tensor]) -> Tensor:
        from lightly.models.utils import update_momentum

        update_momentum(self.student_backbone, self.teacher_backbone, m=0.996)
        update_momentum(self.student_head, self.teacher_head, m=0.996)
        teacher = [self.teacher_head(self.teacher_backbone(view)) for view in views[:2]]
        student = [self.student_head(self.student_backbone(view)) for view in views]
        loss: Tensor = self.loss(teacher, student, epoch=0)
        return loss

    def training_step(self, batch: list[Tensor], _: int) -> Tensor:
        return self(batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.trainable(), lr=1e-3, weight_decay=0.05)


def compare_dino_epochs() -> Comparison:
    """Compare whole epochs of DINO, from images to weights, with the default precision.

    With a large network both packages would spend the time in torch; with this one they make views.
    """
    batch_size, steps, epochs = 64, 12, 2
    theirs = "lightly's modules and transform with pytorch-lightning, 2 workers"

    def host_speed() -> float:
        timer = EpochTimer()
        train_experiment(dino_experiment(TINY, steps, batch_size, epochs), timer)
        return steps * batch_size / timer.seconds_per_epoch()

    def lightly_speed() -> float:
        from lightly.transforms import DINOTransform
        from views import TransformedImages

        torch.set_num_threads(2)
        source = ssl_host.build("data", "synthetic", num_images=steps * batch_size, image_size=SIZE)
        transform = DINOTransform(global_crop_size=SIZE, local_crop_size=LOCAL, n_local_views=6)
        dataset = TransformedImages(source.open("train").images, transform)
        loader = DataLoader(dataset, batch_size, shuffle=True, drop_last=True, num_workers=2)
        timer = EpochTimer()
        build_quiet_trainer(timer, epochs).fit(LightlyDINO(TINY), loader)
        return steps * batch_size / timer.seconds_per_epoch()

    return compare(
        f"DINO, whole epochs, 2 + 6 views, {TINY}, batch {batch_size}",
        {"ssl-host": host_speed, theirs: lightly_speed},
        {theirs: 3.0},
    )
