"""List official plugins for messages on how to install a missing feature."""

from __future__ import annotations

from collections.abc import Mapping

_DISTRIBUTIONS: Mapping[tuple[str, str], str] = {
    ("command", "benchmark"): "ssl-plugin-benchmark",
    ("command", "config convert"): "ssl-plugin-lightweight-ssl",
    ("command", "data"): "ssl-plugin-init",
    ("command", "data describe"): "ssl-plugin-init",
    ("command", "data pack"): "ssl-plugin-ffcv",
    ("command", "embed"): "ssl-plugin-embed",
    ("command", "export"): "ssl-plugin-export",
    ("command", "init"): "ssl-plugin-init",
    ("checkpoint", "other projects"): "ssl-plugin-checkpoints",
    ("dialect", "flat"): "ssl-plugin-lightweight-ssl",
    ("exporter", "huggingface"): "ssl-plugin-export",
    ("exporter", "onnx"): "ssl-plugin-export",
    ("section", "suite"): "ssl-plugin-benchmark",
}


def official_distribution(kind: str, name: str) -> str | None:
    """Return the official distribution that provides a component or command, or None.

    This is for messages only; installed plugins are found by their entry points.

    Args:
        kind: a kind of component, or one of ``command``, ``section``, ``dialect`` and
            ``checkpoint``.
        name: name of the component, such as ``onnx``; for a command, the words after ``ssl-host``.
    """
    return _DISTRIBUTIONS.get((kind, name))
