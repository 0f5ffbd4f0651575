"""Executes a run from Python, then computes features of images in a folder with its backbone."""

import tempfile
from pathlib import Path

from PIL import Image

import ssl_host

results = ssl_host.run(
    {
        "run": {"name": "from-python", "epochs": 1, "batch_size": 64},
        "data": {"name": "digits"},
        "method": {"name": "simsiam"},
        "evaluator.knn": {"name": "knn"},
    },
    fresh=True,
    quiet=True,
)
metrics = results["metrics"]
print(f"kNN {metrics['knn.top1']:.3f}, pixels {metrics['pixels.knn.top1']:.3f}")

folder = Path(tempfile.mkdtemp())
Image.effect_noise((40, 40), 60).save(folder / "noise.png")

backbone = ssl_host.load_backbone("runs/from-python")
names, features = ssl_host.extract_features(backbone, folder)
print(names, features.shape)
