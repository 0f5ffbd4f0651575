"""Conformance checks for exporters."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from ssl_host.contracts.export import Exporter, ModelCard
from ssl_host.contracts.networks import Backbone
from ssl_host.contracts.settings import Settings
from ssl_host.errors import SslHostError
from ssl_host.testing.component_checks import check_recorded_reads, track_reads
from ssl_host.testing.outcome import CheckFailure, NotApplicable
from ssl_host.testing.target import CheckTarget

IMAGE_SIZE = 16
PROPERTIES = {
    "input": f"normalised float32 images B 3 {IMAGE_SIZE} {IMAGE_SIZE}",
    "output": "features B D",
    "mean": "[0.5, 0.5, 0.5]",
    "std": "[0.25, 0.25, 0.25]",
    "image_size": str(IMAGE_SIZE),
    "fit": "crop",
    "value_range": "null",
    "method": "simclr",
    "data": "synthetic",
    "ssl_host": "0.1.0",
}


class _UnknownNetwork(Backbone):
    """Backbone that does not come from a library such as timm."""

    def setup(self) -> None:
        self.layer = nn.Conv2d(self.in_channels, 4, 3)
        self.feature_dim = 4

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.layer(images).mean(dim=(2, 3))
        return features


def _exporter(target: CheckTarget, settings: Settings | None = None) -> Exporter:
    """Return the exporter, built from the given settings or from the target's settings."""
    exporter: Exporter = _own_settings_only(target).make(settings)
    return exporter


def _own_settings_only(target: CheckTarget) -> CheckTarget:
    """Return the target without sections for other components, such as ``backbone``."""
    own = {k: v for k, v in target.settings.items() if not isinstance(v, Mapping)}
    return CheckTarget(target.kind, target.component, own)


def _backbone(target: CheckTarget) -> Backbone:
    """Return the backbone from the target's section ``backbone``, by default small_conv."""
    section = {"name": "small_conv", "width": 4, "num_stages": 2}
    section = dict(target.settings.get("backbone", section))
    name = str(section.pop("name"))
    torch.manual_seed(0)
    backbone: Backbone = CheckTarget("backbone", name, section).make(
        in_channels=3, image_size=IMAGE_SIZE
    )
    backbone.mean, backbone.std = (0.5,) * 3, (0.25,) * 3
    return backbone.eval()


def _write(exporter: Exporter, backbone: Backbone) -> tuple[list[Path], ModelCard]:
    """Export to a temporary folder; return the relative paths of the files and the ModelCard.

    Raises:
        NotApplicable: when the exporter refuses the backbone.
    """
    reason = exporter.refusal(backbone)
    if reason:
        raise NotApplicable(
            f"it refuses this backbone ({reason}); name a backbone that it can export, such as in "
            "conformance('exporter', NAME, backbone={'name': ...})"
        )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        card = exporter.write(backbone, folder, PROPERTIES)
        return [p.relative_to(folder) for p in folder.rglob("*") if p.is_file()], card


def settings_declared(target: CheckTarget) -> str:
    """Check that the exporter reads only settings that its Config declares."""
    settings, read, unknown = track_reads(_own_settings_only(target).make_settings())
    exporter, backbone = _exporter(target, settings), _backbone(target)
    if not exporter.refusal(backbone):
        _write(exporter, backbone)
    return check_recorded_reads(target, read, unknown)


def writes_files(target: CheckTarget) -> str:
    """Check that the exporter writes at least one file and returns a ModelCard."""
    files, card = _write(_exporter(target), _backbone(target))
    if not files:
        raise CheckFailure(
            "write() leaves the folder empty",
            "users would get a model card without a model",
            "write at least one file into `folder`, or return the reason in refusal()",
        )
    if not isinstance(card, ModelCard):
        raise CheckFailure(
            f"write() returns {type(card).__name__}",
            "the model card shows how to load the files",
            "return ModelCard(usage=...)",
        )
    return f"wrote {', '.join(sorted(map(str, files))[:3])}"


def refuses_with_a_reason(target: CheckTarget) -> str:
    """Check that a custom backbone is either exported or refused with a reason."""
    exporter = _exporter(target)
    backbone = _UnknownNetwork(Settings(), in_channels=3, image_size=IMAGE_SIZE).eval()
    reason = exporter.refusal(backbone)
    if not isinstance(reason, str):
        raise CheckFailure(
            f"refusal() returns {type(reason).__name__}",
            "the host prints the reason to the user",
            "return a sentence, or an empty string if the backbone can be exported",
        )
    if reason:
        return reason
    try:
        files, _ = _write(exporter, backbone)
    except SslHostError as error:
        return str(error)
    if not files:
        raise CheckFailure(
            "refusal() accepts a custom backbone, but write() leaves the folder empty",
            "users would get a model card without a model",
            "return the reason in refusal()",
        )
    return "exported"


def backbone_unchanged(target: CheckTarget) -> str:
    """Check that exporting does not change a backbone's weights, mode or requires_grad."""
    exporter, backbone = _exporter(target), _backbone(target)
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    trainable = [p.requires_grad for p in backbone.parameters()]
    _write(exporter, backbone)
    after = backbone.state_dict()
    changed = [n for n, value in before.items() if n not in after or not value.equal(after[n])]
    if backbone.training:
        changed.append("training mode")
    if trainable != [p.requires_grad for p in backbone.parameters()]:
        changed.append("requires_grad")
    if changed:
        raise CheckFailure(
            f"the export changes the backbone: {changed[0]}",
            "later exporters, and the script that calls the export, would use a changed network",
            "work on a copy: copy.deepcopy(backbone)",
        )
    return f"{len(before)} tensors"
