"""The older dialect's keys: which have only moved, and which have no effect any more."""

from __future__ import annotations

from ssl_host.catalog.catalog import Catalog
from ssl_host.config.values import Key
from ssl_host.errors import PluginError

FLAT = "top of the file"
"""What the keys before the first section are filed under, and called in messages."""

ALIASES = {"barlowtwin": "barlowtwins"}
"""Methods' names that have changed."""

MOVED: dict[Key, Key] = {
    (FLAT, "num_workers"): ("loader", "num_workers"),
    ("ssl_args", "momentum"): ("optimizer", "momentum"),
    ("ssl_args", "warmup_epochs"): ("scheduler", "warmup_epochs"),
    ("ssl_args", "proj_hidden_dim"): ("head.projector", "hidden_dim"),
    ("ssl_args", "proj_output_dim"): ("head.projector", "output_dim"),
    ("ssl_args", "pred_hidden_dim"): ("head.predictor", "hidden_dim"),
    ("ssl_args", "queue_size"): ("method", "queue_size"),
    ("ssl_args", "lamb"): ("loss", "lambda_"),
    ("ckpt_args", "every_n_epochs"): ("checkpoint", "every_epochs"),
}
"""Keys that have only moved."""

GONE: dict[Key, str] = {
    (FLAT, "epoch_start"): "the same command goes on from the last checkpoint by itself",
    (FLAT, "avg_pool_dim"): "the width of the features is the backbone's own",
    (FLAT, "custom_ds_cfg"): "the data source has its own settings",
    ("ckpt_args", "dirpath"): "checkpoints lie in the run's folder",
    ("ckpt_args", "filename"): "checkpoints are named by their step",
    ("ckpt_args", "monitor"): "the newest checkpoints are kept, none is chosen by a score",
    ("wandb_args", "save_dir"): "the logger writes into the run's folder",
}
"""Keys that are accepted and have no effect any more."""

WANDB = {"name": "run_name", "project": "project", "entity": "entity", "offline": "offline"}
"""What ``[wandb_args]`` holds, and what the logger calls it."""


def takes(catalog: Catalog, method: str, section: str, setting: str) -> bool:
    """Whether a method's part has a setting; an unknown method's is told elsewhere."""
    try:
        cls = catalog.load("method", method)
    except PluginError:
        return True
    kind, _, head = section.partition(".")
    if kind == "head":
        return head in cls.heads
    if kind == "method":
        return setting in cls.Config.model_fields
    if kind == "loss":
        named = cls.recipe.get("loss", {}).get("name")
        fields = catalog.load("loss", named).Config.model_fields if named else {}
        return setting in fields
    return True
