"""Official plugins by what they provide, so that messages can say what to install."""

from __future__ import annotations

from collections.abc import Mapping

_DISTRIBUTIONS: Mapping[tuple[str, str], str] = {
    ("command", "benchmark"): "ssl-plugin-benchmark",
    ("command", "config convert"): "ssl-plugin-lightweight-ssl",
    ("command", "data"): "ssl-plugin-ffcv",
    ("command", "export"): "ssl-plugin-export",
    ("checkpoint", "other projects"): "ssl-plugin-checkpoints",
    ("dialect", "flat"): "ssl-plugin-lightweight-ssl",
    ("exporter", "huggingface"): "ssl-plugin-export",
    ("exporter", "onnx"): "ssl-plugin-export",
    ("section", "suite"): "ssl-plugin-benchmark",
}


def official_distribution(kind: str, name: str) -> str | None:
    """Return the official distribution that provides something, or None.

    Used in messages only: what is installed is known from the entry points.

    Args:
        kind: a kind of component, or ``command``, ``section``, ``dialect``, ``checkpoint``.
        name: such as ``onnx`` or, for a command, the words after ``ssl-host``.
    """
    return _DISTRIBUTIONS.get((kind, name))
