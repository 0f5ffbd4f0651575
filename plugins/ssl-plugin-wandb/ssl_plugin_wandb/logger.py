"""Logger that sends a run to Weights & Biases."""

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
    """Weights & Biases (https://docs.wandb.ai): scalars, views, metrics and the final report.

    A resumed run continues the same W&B run, because its identifier is stored in the run folder.
    With ``offline``, no account is needed: everything is written to the run folder, and ``wandb
    sync`` can upload it later.
    """

    class Config(Settings):
        project: str = Field(
            "ssl-host",
            max_length=128,
            pattern=r"^[^/\\#?%:]+$",
            description="name of the project, without the characters / \\ # ? % :",
        )
        entity: str | None = Field(
            None, description="W&B team or user; default: the account's default"
        )
        run_name: str | None = Field(
            None, description="display name of the run; default: [run] name"
        )
        group: str | None = Field(None, description="name of the W&B group that the run belongs to")
        offline: bool = Field(False, description="write to the run folder and upload nothing")

    config: Config

    def start(self, run: Run) -> None:
        self.folder = run.folder
        id_file = run.folder / "wandb" / self._id_file()
        if not id_file.exists():
            id_file.parent.mkdir(parents=True, exist_ok=True)
            id_file.write_text(secrets.token_hex(4), encoding="utf-8")
        config = self.config
        try:
            self.run = wandb.init(
                project=config.project,
                entity=config.entity,
                name=config.run_name or run.name,
                group=config.group,
                id=id_file.read_text(encoding="utf-8"),
                resume="allow",
                dir=run.folder,
                config={section: _json_values(values) for section, values in run.config.items()},
                mode="offline" if config.offline else "online",
                reinit="create_new",
                settings=wandb.Settings(silent=True, console="off"),
            )
        except wandb.Error as error:
            hint = (
                "; run `wandb login`, set WANDB_API_KEY, or use offline = true without an account"
            )
            raise UserError(
                f"[logger.wandb] Weights & Biases cannot start the run: {error}"
                + ("" if config.offline else hint)
            ) from None

    def _id_file(self) -> str:
        """Return the name of the file that stores the run's W&B identifier.

        It depends on the destination, because a run may be sent to several projects.
        """
        config = self.config
        destination = "\0".join(map(str, (config.entity, config.project, config.offline)))
        return f"id-{hashlib.sha256(destination.encode()).hexdigest()[:8]}"

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        # The server drops steps that it already has, so resuming duplicates no rows.
        self.run.log(dict(metrics), step=step)

    def finish(self, results: Mapping[str, Any] | None) -> None:
        if results is None:
            self.run.finish(exit_code=1)
            return
        self.run.summary.update(results["metrics"])
        media: dict[str, Any] = {"views": _draw_view_strips(self.folder / "report.json")}
        report = self.folder / "report.html"
        if report.exists():
            media["report"] = wandb.Html(report.read_text(encoding="utf-8"), inject=False)
        self.run.log({name: value for name, value in media.items() if value})
        self.run.finish()


def _json_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings, with values that JSON cannot store converted to text."""
    plain = (str, int, float, bool, type(None))
    return {key: value if isinstance(value, plain) else str(value) for key, value in values.items()}


def _draw_view_strips(file: Path) -> list[wandb.Image]:
    """Return a strip for each image in the report's gallery: the image and its views in a row."""
    if not file.exists():
        return []
    rows = json.loads(file.read_text(encoding="utf-8")).get("gallery", [])
    strips = []
    for number, row in enumerate(rows):
        images = [_decode(uri) for uri in (row["image"], *row["views"])]
        tiles = [image.resize(images[0].size) for image in images]
        strip = Image.new("RGB", (sum(tile.width for tile in tiles), tiles[0].height))
        for i, tile in enumerate(tiles):
            strip.paste(tile, (i * tile.width, 0))
        strips.append(wandb.Image(strip, caption=f"image {number} and its views"))
    return strips


def _decode(uri: str) -> Image.Image:
    """Return the image encoded in a data URI."""
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGB")
