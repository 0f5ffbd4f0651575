"""Put known mistakes of each method into a copy of the code; its tests must notice.

    python tests/traps.py [NAME ...]

Each trap is a mistake that papers, issues or other implementations are known for. Prints one line
per trap, and exits with 1 if a trap goes unnoticed. Takes about ten minutes on one core.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
METHOD = "plugins/ssl-plugin-{0}/ssl_plugin_{0}/method.py"
FILE = "plugins/ssl-plugin-{0}/ssl_plugin_{0}/{1}.py"


@dataclass(frozen=True)
class Trap:
    """A mistake: the file, the right text and the wrong one, and the plugin whose tests notice."""

    name: str
    file: str
    right: str
    wrong: str
    plugin: str


TRAPS = [
    Trap(
        "the teacher moves with the decay of the next step",
        "ssl_host/contracts/method.py",
        "getattr(self, name), float(self.ema_decay))",
        "getattr(self, name), float(self.ema_decay.set_step(step + 1, total_steps)"
        " or self.ema_decay))",
        "dino",
    ),
    Trap(
        "pairs of a view with itself",
        "ssl_host/toolkit/views.py",
        "if i != j",
        "if i != j or True",
        "dino",
    ),
    Trap(
        "the centre is divided by the wrong count",
        "ssl_host/toolkit/ema.py",
        "total / count",
        "total / (2 * count)",
        "dino",
    ),
    Trap(
        "the centre's momentum weighs the new scores",
        "ssl_host/toolkit/ema.py",
        "1 - self.momentum)",
        "self.momentum)",
        "dino",
    ),
    Trap(
        "masked patches of all images have one weight",
        "ssl_host/toolkit/self_distillation.py",
        "(mask.to(dtype) / mask.sum(dim=1, keepdim=True).clamp_min(1))[mask]",
        "(mask.to(dtype) / mask.sum() * len(mask))[mask]",
        "ibot",
    ),
    Trap(
        "the teacher sees the mask",
        METHOD.format("ibot"),
        "[self.ema_backbone.tokens(view) for view in views]",
        "[self.ema_backbone.tokens(v, mask=m, mask_token=self.mask_token)"
        " for v, m in zip(views, masks, strict=True)]",
        "ibot",
    ),
    Trap(
        "the patches' centre is that of masked patches alone",
        METHOD.format("ibot"),
        "torch.stack(patch_scores).mean(dim=(0, 2))",
        "torch.stack([s[m].mean(dim=0).expand(len(s), -1)"
        " for s, m in zip(patch_scores, masks, strict=True)]).mean(dim=0)",
        "ibot",
    ),
    Trap(
        "KoLeo of duplicates is infinite",
        "plugins/ssl-plugin-dinov2/ssl_plugin_dinov2/koleo.py",
        "(distance + 1e-8)",
        "distance",
        "dinov2",
    ),
    Trap(
        "KoLeo finds the image itself",
        "plugins/ssl-plugin-dinov2/ssl_plugin_dinov2/koleo.py",
        "own[:, None], -2.0",
        "own[:, None], 2.0",
        "dinov2",
    ),
    Trap(
        "the variance of a patch's pixels is the biased one",
        METHOD.format("mae"),
        "target.var(dim=-1, keepdim=True)",
        "target.var(dim=-1, keepdim=True, unbiased=False)",
        "mae",
    ),
    Trap(
        "visible patches are in MAE's loss",
        METHOD.format("mae"),
        "order[:, :num_kept], order[:, num_kept:]",
        "order[:, :num_kept], order[:, num_kept - 1:]",
        "mae",
    ),
    Trap(
        "visible pixels are in SimMIM's loss",
        METHOD.format("simmim"),
        "errors[mask].mean()",
        "errors.mean()",
        "simmim",
    ),
    Trap(
        "I-JEPA's targets are masked before the teacher",
        METHOD.format("ijepa"),
        "self.ema_backbone.tokens(images)",
        "self.ema_backbone.tokens(images, mask_token=torch.zeros_like(images[0, 0, 0, 0]), mask="
        "torch.zeros(len(images), grid[0] * grid[1]).scatter(1, targets[0], 1).bool())",
        "ijepa",
    ),
    Trap(
        "I-JEPA's targets are not normalised",
        METHOD.format("ijepa"),
        "functional.layer_norm(exact, exact.shape[-1:])",
        "exact",
        "ijepa",
    ),
    Trap(
        "data2vec's blocks are averaged before they are normalised",
        METHOD.format("data2vec"),
        "[functional.layer_norm(b, b.shape[-1:]) for b in blocks]",
        "list(blocks)",
        "data2vec",
    ),
    Trap(
        "data2vec's teacher sees the mask",
        METHOD.format("data2vec"),
        "images, num_blocks=self.config.num_blocks)",
        "images, mask=mask, mask_token=self.mask_token, num_blocks=self.config.num_blocks)",
        "data2vec",
    ),
    Trap(
        "MoCo v3's loss is not multiplied by twice the temperature",
        METHOD.format("mocov3"),
        "scale = 2 * self.loss.config.temperature",
        "scale = 1.0",
        "mocov3",
    ),
    Trap(
        "MoCo v3 compares the views with their own keys",
        METHOD.format("mocov3"),
        "self.loss(q1, k2) + self.loss(q2, k1)",
        "self.loss(q1, k1) + self.loss(q2, k2)",
        "mocov3",
    ),
    Trap(
        "images that were not clustered get a label",
        METHOD.format("deepclusterv2"),
        "UNSEEN = -100",
        "UNSEEN = 0",
        "deepclusterv2",
    ),
    Trap(
        "the bank is not filled by the number of the image",
        METHOD.format("deepclusterv2"),
        "self.memory1.put(batch.index, z)",
        "self.memory1.put(batch.index.flip(0), z)",
        "deepclusterv2",
    ),
    Trap(
        "the teacher's features are not normalised",
        METHOD.format("distill"),
        "functional.normalize(target, dim=1) @ rows.T",
        "target @ rows.T",
        "distill",
    ),
    Trap(
        "the hinge of VICReg is not halved",
        FILE.format("vicreg", "loss"),
        "* _hinge(z) / 2",
        "* _hinge(z)",
        "vicreg",
    ),
    Trap(
        "VIbCReg's correlations are summed over D instead of averaged over D²",
        FILE.format("vicreg", "loss"),
        "correlation.square().mean()",
        "correlation.square().sum() / z.shape[1]",
        "vicreg",
    ),
    Trap(
        "SwAV's targets use the temperature of the predictions",
        FILE.format("swav", "loss"),
        "sinkhorn(scores, config.epsilon,",
        "sinkhorn(scores, config.temperature,",
        "swav",
    ),
    Trap(
        "SwAV's queues are used before they are full",
        METHOD.format("swav"),
        ">= len(self.queue0)",
        ">= 0",
        "swav",
    ),
    Trap(
        "SwAV's prototypes are not normalised after a step",
        METHOD.format("swav"),
        "weight.copy_(functional.normalize(weight, dim=1))",
        "weight.copy_(weight)",
        "swav",
    ),
    Trap(
        "a positive stays in DCL's denominator",
        FILE.format("dcl", "loss"),
        ".bool().repeat(1, 2)",
        ".bool().repeat(1, 2) & (torch.arange(2 * len(others[0])) < len(others[0]))",
        "dcl",
    ),
    Trap(
        "the weights of DCLW are not those of the whole batch",
        FILE.format("dcl", "loss"),
        "2 - len(z1) *",
        "2 - 2 *",
        "dcl",
    ),
    Trap(
        "SupCon is not scaled by temperature / 0.07",
        FILE.format("supcon", "loss"),
        "* self.config.temperature / BASE_TEMPERATURE",
        "",
        "supcon",
    ),
    Trap(
        "SupCon's images without a label form a class",
        FILE.format("supcon", "loss"),
        "& (labels[:, None] >= 0)",
        "",
        "supcon",
    ),
    Trap(
        "W-MSE divides the covariance by n",
        FILE.format("wmse", "loss"),
        "max(1, len(rows) - 1)",
        "len(rows)",
        "wmse",
    ),
    Trap(
        "W-MSE ignores the random order",
        FILE.format("wmse", "loss"),
        "if order is not None:",
        "if order is None and first is None:",
        "wmse",
    ),
    Trap(
        "ReSSL's teacher sees the strong view",
        METHOD.format("ressl"),
        "self.ema_projector(self.ema_backbone(weak))",
        "self.ema_projector(self.ema_backbone(strong))",
        "ressl",
    ),
    Trap(
        "TiCo's covariance lacks the batch of the step",
        METHOD.format("tico"),
        "self.covariance.updated(z)",
        "self.covariance.value",
        "tico",
    ),
    Trap(
        "MSN's targets are not sharpened before they are balanced",
        METHOD.format("msn"),
        "sinkhorn(sharp.log_softmax(dim=1), temperature=1.0)",
        "sinkhorn(sharp, temperature=1.0)",
        "msn",
    ),
    Trap(
        "MSN's regulariser has the wrong sign",
        METHOD.format("msn"),
        "(math.log(self.config.num_prototypes) - entropy)",
        "(entropy - math.log(self.config.num_prototypes))",
        "msn",
    ),
    Trap(
        "LeJEPA's statistic is not multiplied by the number of images",
        FILE.format("lejepa", "loss"),
        "statistic: Tensor = count *",
        "statistic: Tensor =",
        "lejepa",
    ),
    Trap(
        "LeJEPA compares views with the mean of all views",
        METHOD.format("lejepa"),
        "torch.stack(z[: batch.num_global])",
        "torch.stack(z)",
        "lejepa",
    ),
    Trap(
        "All4One's transformer sees every neighbour of the other view",
        METHOD.format("all4one"),
        "self._summary(_shifted(q2, n2))",
        "self._summary(n2)",
        "all4one",
    ),
    Trap(
        "NNBYOL stores the embeddings of the network that is trained",
        FILE.format("nnclr", "variants"),
        'enqueue={"queue": t1}',
        'enqueue={"queue": p1}',
        "nnclr",
    ),
]


def is_noticed(trap: Trap, folder: Path) -> bool:
    """Return True if the plugin's tests fail with the trap in a copy of the code."""
    path = folder / trap.file
    original = path.read_text("utf-8")
    if original.count(trap.right) != 1:
        sys.exit(f"{trap.name}: {trap.file} should contain {trap.right!r} once")
    path.write_text(original.replace(trap.right, trap.wrong), encoding="utf-8")
    plugins = [str(p) for p in (folder / "plugins").iterdir()]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), *plugins])}
    tests = sorted((folder / f"plugins/ssl-plugin-{trap.plugin}/tests").glob("test_*.py"))
    tests = [str(t) for t in tests if t.name != "test_conformance.py"]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
    path.write_text(original, encoding="utf-8")
    if done.returncode not in (0, 1):
        sys.exit(f"{trap.name}: pytest failed: {done.stdout.decode()[-2000:]}")
    return done.returncode == 1


def main() -> None:
    chosen = [t for t in TRAPS if not sys.argv[1:] or t.plugin in sys.argv[1:]]
    unnoticed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "copy"
        skipped = shutil.ignore_patterns(".*", "runs", "site", "__pycache__")
        shutil.copytree(ROOT, folder, ignore=skipped)
        for trap in chosen:
            noticed = is_noticed(trap, folder)
            unnoticed += not noticed
            print(
                f"{'noticed' if noticed else 'UNNOTICED'}  {trap.plugin}: {trap.name}", flush=True
            )
    sys.exit(1 if unnoticed else 0)


if __name__ == "__main__":
    main()
