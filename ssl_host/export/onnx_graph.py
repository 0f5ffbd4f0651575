"""A backbone as an ONNX graph, tried in onnxruntime before anybody relies on it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ssl_host.contracts.networks import Backbone
from ssl_host.errors import PluginError, RunError

GRAPH = "backbone.onnx"
OPSET = 18
"""The oldest that torch's exporter writes without converting."""
TOLERANCE = 1e-4
"""Largest difference of a feature, relative to the largest feature."""
_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def write_graph(
    backbone: Backbone, folder: Path, properties: Mapping[str, str]
) -> Mapping[str, Any]:
    """Write ``backbone.onnx``: ``images`` B C H W, normalised, to ``features`` B D, float32.

    Args:
        properties: what the file's metadata say besides.

    Returns:
        The opset, the version of onnxruntime, and the largest difference that was found in it.

    Raises:
        PluginError: when a package is missing; it names the extra.
        RunError: when torch cannot write the network, or onnxruntime gives other features.
    """
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise PluginError(
            f"--to onnx needs {', '.join(_PACKAGES)}, and {' and '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not installed: pip install 'ssl-host[onnx]'"
        )
    import onnx  # noqa: PLC0415 - an extra
    import onnxruntime  # noqa: PLC0415

    file = folder / GRAPH
    size = (backbone.in_channels, backbone.image_size, backbone.image_size)
    _trace(backbone, torch.zeros(2, *size), file)
    graph = onnx.load(file)
    for node in (*graph.graph.node, *(n for f in graph.functions for n in f.node)):
        del node.metadata_props[:]  # where in which file of this machine it was called
    onnx.helper.set_model_props(graph, dict(properties))
    onnx.save(graph, file)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    images = torch.randn(3, *size, generator=torch.Generator().manual_seed(0))
    difference = _compare(backbone, images, session)
    return {"opset": OPSET, "runtime": onnxruntime.__version__, "difference": difference}


def _trace(backbone: Backbone, images: Tensor, file: Path) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch's own insides
            torch.onnx.export(
                backbone,
                (images,),
                file,
                dynamo=True,
                verbose=False,
                input_names=["images"],
                output_names=["features"],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                opset_version=OPSET,
                external_data=False,  # one file
            )
    except OSError:
        raise  # whoever called knows the folder
    except Exception as error:  # the exporter raises its own and every operator's errors
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise RunError(
            f"torch cannot write this network as ONNX: {reason}; --traceback shows the rest"
        ) from error


@torch.no_grad()
def _compare(backbone: Backbone, images: Tensor, session: Any) -> float:
    (found,) = session.run(None, {"images": images.numpy()})
    expected = backbone(images)
    difference = float((torch.from_numpy(found) - expected).abs().max())
    if not difference <= TOLERANCE * max(1.0, float(expected.abs().max())):
        raise RunError(
            f"onnxruntime gives other features than the backbone, by up to {difference:.2g}: the "
            "graph is not written. Another version of torch or onnxruntime may do better"
        )
    return difference
