"""A run of ssl-host as one run of Weights & Biases."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import wandb
from PIL import Image
from pydantic import Field

from ssl_host import Logger, Run, Settings, UserError


class WandB(Logger):
    """Weights & Biases, https://docs.wandb.ai: scalars, views, figures and the final report.

    A run that is resumed goes on as the same run there: its identifier is kept in the run's
    folder. Without an account, ``offline`` keeps everything in the run's folder, and
    ``wandb sync`` sends it later.
    """

    class Config(Settings):
        project: str = Field(
            "ssl-host",
            max_length=128,
            pattern=r"^[^/\\#?%:]+$",
            description="its project: none of the signs / \\ # ? % :",
        )
        entity: str | None = Field(None, description="team or user; default: the account's own")
        run_name: str | None = Field(None, description="name shown there; default: [run] name")
        group: str | None = Field(None, description="what runs are grouped by, such as a study")
        offline: bool = Field(False, description="keep all in the run's folder, send nothing")

    def start(self, run: Run) -> None:
        self.folder = run.folder
        identity = run.folder / "wandb" / self._id_file()
        if not identity.exists():
            identity.parent.mkdir(parents=True, exist_ok=True)
            identity.write_text(secrets.token_hex(4), encoding="utf-8")
        config = self.config
        try:
            self.run = wandb.init(
                project=config.project,
                entity=config.entity,
                name=config.run_name or run.name,
                group=config.group,
                id=identity.read_text(encoding="utf-8"),
                resume="allow",
                dir=run.folder,
                config={section: _plain(values) for section, values in run.config.items()},
                mode="offline" if config.offline else "online",
                reinit="create_new",
                settings=wandb.Settings(silent=True, console="off"),
            )
        except wandb.Error as error:
            login = (
                "; `wandb login` once, or set WANDB_API_KEY, or offline = true, which needs no "
                "account"
            )
            raise UserError(
                f"[logger.wandb] Weights & Biases refused to begin: {error}"
                + ("" if config.offline else login)
            ) from None

    def _id_file(self) -> str:
        """One for each place that a run is sent to: it may be sent to several at once."""
        settings = self.config
        place = "\0".join(map(str, (settings.entity, settings.project, settings.offline)))
        return f"id-{hashlib.sha256(place.encode()).hexdigest()[:8]}"

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        # Steps that are there already are dropped by the server: no row is doubled on resume.
        self.run.log(dict(metrics), step=step)

    def finish(self, results: Mapping[str, Any] | None) -> None:
        if results is None:
            self.run.finish(exit_code=1)
            return
        self.run.summary.update(results["metrics"])
        shown: dict[str, Any] = {"views": _views(self.folder / "report.json")}
        report = self.folder / "report.html"
        if report.exists():
            shown["report"] = wandb.Html(report.read_text(encoding="utf-8"), inject=False)
        self.run.log({name: value for name, value in shown.items() if value})
        self.run.finish()


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    kept = (str, int, float, bool, type(None))
    return {key: value if isinstance(value, kept) else str(value) for key, value in values.items()}


def _views(file: Path) -> list[wandb.Image]:
    """Images of the data and the views that the augmentation makes of them, from the report."""
    if not file.exists():
        return []
    rows = json.loads(file.read_text(encoding="utf-8")).get("gallery", [])
    found = []
    for number, row in enumerate(rows):
        pictures = [_picture(uri) for uri in (row["image"], *row["views"])]
        tiles = [picture.resize(pictures[0].size) for picture in pictures]
        strip = Image.new("RGB", (sum(tile.width for tile in tiles), tiles[0].height))
        for i, tile in enumerate(tiles):
            strip.paste(tile, (i * tile.width, 0))
        found.append(wandb.Image(strip, caption=f"image {number} and its views"))
    return found


def _picture(uri: str) -> Image.Image:
    """The picture of a data URI."""
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGB")
