"""Exporter that writes an ONNX graph and checks its features in onnxruntime."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from ssl_host import Backbone, Exporter, ModelCard, PluginError, RunError, Settings

TOLERANCE = 1e-4
"""Largest accepted error of onnxruntime's features, relative to the largest one (at least 1)."""
_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


class OnnxExporter(Exporter):
    """Exporter that writes ``backbone.onnx``, which maps images to features.

    The input ``images`` (B, C, H, W) and the output ``features`` (B, D) are float32. The images
    must be normalised.
    """

    main_file = "backbone.onnx"

    class Config(Settings):
        opset: int = Field(18, ge=18, le=30, description="version of the ONNX operator set")

    config: Config

    def write(self, backbone: Backbone, folder: Path, properties: Mapping[str, str]) -> ModelCard:
        """Write the graph and check that it computes the same features as the backbone.

        Raises:
            PluginError: when a package is missing; the message says what to install.
            RunError: when torch cannot convert the network, or onnxruntime computes different
                features.
        """
        _require_packages()
        import onnx  # noqa: PLC0415 - optional
        import onnxruntime  # noqa: PLC0415

        file = folder / self.main_file
        size = (backbone.in_channels, backbone.image_size, backbone.image_size)
        _convert(backbone, torch.zeros(2, *size), file, self.config.opset)
        graph = onnx.load(file)
        for node in (*graph.graph.node, *(n for f in graph.functions for n in f.node)):
            del node.metadata_props[:]  # paths of source files on this machine
        onnx.helper.set_model_props(graph, dict(properties))
        onnx.save(graph, file)
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        images = torch.randn(3, *size, generator=torch.Generator().manual_seed(0))
        difference = _compare(backbone, images, session)
        return ModelCard(
            self._usage(backbone),
            f"Opset {self.config.opset}. Input `images`: float32, B × {' × '.join(map(str, size))},"
            " normalised, any B; output `features`. The metadata of the file contains the same "
            f"information. In onnxruntime {onnxruntime.__version__} the features differ from those "
            f"of the backbone by at most {difference:.1e}.",
        )

    def _usage(self, backbone: Backbone) -> str:
        """Return Python code that computes the features of two random images in onnxruntime."""
        channels, size = backbone.in_channels, backbone.image_size
        return f"""\
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("{self.main_file}")

images = np.random.rand(2, {channels}, {size}, {size}).astype(np.float32)  # B C H W, from 0 to 1
mean = np.array({list(backbone.mean)}, np.float32).reshape(1, -1, 1, 1)
std = np.array({list(backbone.std)}, np.float32).reshape(1, -1, 1, 1)
(features,) = session.run(None, {{"images": (images - mean) / std}})  # B {backbone.feature_dim}
"""


def _require_packages() -> None:
    """Raise PluginError if a package for ONNX is not installed."""
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise PluginError(
            f"--to onnx: {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not "
            "installed; pip install 'ssl-plugin-export[onnx]'"
        )


def _convert(backbone: Backbone, images: Tensor, file: Path, opset: int) -> None:
    """Write a backbone as an ONNX file that accepts any batch size.

    Raises:
        RunError: when torch cannot convert the backbone.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings about torch internals
            torch.onnx.export(
                backbone,
                (images,),
                file,
                dynamo=True,
                verbose=False,
                input_names=["images"],
                output_names=["features"],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                opset_version=opset,
                external_data=False,  # a single file
            )
    except OSError:
        raise  # the caller reports the folder
    except Exception as error:  # the converter raises many kinds of errors
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise RunError(
            f"torch cannot convert this network to ONNX: {reason}; --traceback shows the details"
        ) from error


@torch.no_grad()
def _compare(backbone: Backbone, images: Tensor, session: Any) -> float:
    """Return the largest difference between onnxruntime's features and the backbone's.

    Raises:
        RunError: when the difference is above the tolerance.
    """
    (features,) = session.run(None, {"images": images.numpy()})
    expected = backbone(images)
    difference = float((torch.from_numpy(features) - expected).abs().max())
    if not difference <= TOLERANCE * max(1.0, float(expected.abs().max())):
        raise RunError(
            f"the features in onnxruntime differ from those of the backbone by {difference:.2g}, "
            "so nothing is exported; try a different version of torch or onnxruntime"
        )
    return difference
