"""Descriptions of the files in a run folder."""

from __future__ import annotations

FILES = {
    "config.ini": "the resolved configuration: running it gives the same run",
    "config.json": "the same settings as typed values, compared with those of a resumed run",
    "images.json": "number of training and test images, and a digest of their names",
    "environment.json": "versions of packages and plugins, the command, the hardware",
    "metrics.csv": "one row per logged step: loss and its chance level, learning rate, online "
    "top-1, feature spread, and the metrics of [evaluate]",
    "checkpoints/": "the newest checkpoints, step-N.ckpt with the checksum step-N.sha256",
    "backbone.safetensors": "the trained encoder's weights, named as in timm or torchvision",
    "backbone.json": "how to build the encoder: model, image size, channels, mean, std, plugin",
    "best/": "backbone.safetensors and backbone.json of the epoch with the best value of "
    "[checkpoint] best, if it is set; used like a run folder by export, embed and init_from",
    "linear.safetensors": "weight and bias of the linear evaluator, if it ran",
    "results.json": "all metrics with their baselines, notes, skipped images; written last",
    "non_finite.ckpt": "weights and batch of a step with NaN or infinity, if there was one",
    "report.json": "pictures of the report: views, neighbours, patches, projection of features",
    "report.html": "the report: everything above on one page, in one file",
    ".lock": "locked by the process that uses the folder",
}
"""Description of each file in the folder of a finished run, keyed by file name."""
