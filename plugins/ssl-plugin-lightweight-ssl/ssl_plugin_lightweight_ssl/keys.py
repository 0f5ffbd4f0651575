"""Keys of Lightweight-SSL that have a different name or no effect in ssl-host."""

from __future__ import annotations

Key = tuple[str, str]
"""A section and the name of a key in it."""

FLAT = "top of the file"
"""Name that stands for the section of the keys before the first section."""

METHODS = {"barlowtwin": "barlowtwins"}
"""Maps names of methods in Lightweight-SSL to different names in ssl-host."""

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
}
"""Maps keys of Lightweight-SSL to the keys of ssl-host that have the same values."""

WITHOUT_EFFECT: dict[Key, str] = {
    (FLAT, "epoch_start"): "the same command resumes from the last checkpoint",
    (FLAT, "avg_pool_dim"): "the backbone knows the width of its features",
    (FLAT, "custom_ds_cfg"): "the data source has its own settings",
    ("ckpt_args", "dirpath"): "checkpoints are in the run folder",
    ("ckpt_args", "filename"): "checkpoints are named by their step",
    ("ckpt_args", "monitor"): "the newest checkpoints are kept, not the best by a metric",
    ("wandb_args", "save_dir"): "the logger writes into the run folder",
}
"""Maps each key that has no effect in ssl-host to the reason, for a note."""

WANDB = {"name": "run_name", "project": "project", "entity": "entity", "offline": "offline"}
"""Maps keys of ``[wandb_args]`` to settings of the logger wandb."""
