"""Keys of Lightweight-SSL that only moved, and keys that have no effect in ssl-host."""

from __future__ import annotations

Key = tuple[str, str]

FLAT = "top of the file"
"""Section name for the keys before the first section."""

METHODS = {"barlowtwin": "barlowtwins"}
"""Methods that ssl-host knows by another name."""

MOVED: dict[Key, Key] = {
    (FLAT, "num_workers"): ("loader", "num_workers"),
    ("ssl_args", "momentum"): ("optimizer", "momentum"),
    ("ssl_args", "warmup_epochs"): ("scheduler", "warmup_epochs"),
    ("ssl_args", "proj_hidden_dim"): ("head.projector", "hidden_dim"),
    ("ssl_args", "proj_output_dim"): ("head.projector", "output_dim"),
    ("ssl_args", "pred_hidden_dim"): ("head.predictor", "hidden_dim"),
    ("ssl_args", "queue_size"): ("method", "queue_size"),
    ("ssl_args", "temperature"): ("loss", "temperature"),
    ("ssl_args", "lamb"): ("loss", "lambda_"),
    ("ckpt_args", "every_n_epochs"): ("checkpoint", "every_epochs"),
}
"""Keys with the same values under another name."""

WITHOUT_EFFECT: dict[Key, str] = {
    (FLAT, "epoch_start"): "the same command resumes from the last checkpoint",
    (FLAT, "avg_pool_dim"): "the backbone knows the width of its features",
    (FLAT, "custom_ds_cfg"): "the data source has its own settings",
    ("ckpt_args", "dirpath"): "checkpoints are in the run folder",
    ("ckpt_args", "filename"): "checkpoints are named by their step",
    ("ckpt_args", "monitor"): "the newest checkpoints are kept, not the best by a metric",
    ("wandb_args", "save_dir"): "the logger writes into the run folder",
}
"""Keys that are accepted without effect, with the reason for the note."""

WANDB = {"name": "run_name", "project": "project", "entity": "entity", "offline": "offline"}
"""Keys of ``[wandb_args]`` and the settings of the logger."""
