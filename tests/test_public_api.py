"""Tests of the public names: complete, sorted, documented, and imported without torch."""

import ast
import importlib
import inspect
import itertools
import subprocess
import sys
from pathlib import Path

import pytest

import ssl_host

PUBLIC = [
    "API_VERSION",
    "ArrayImages",
    "Augmentation",
    "Backbone",
    "Baseline",
    "BaselineInputs",
    "Batch",
    "BatchRNG",
    "Catalog",
    "Centre",
    "CheckpointError",
    "CommandGroup",
    "ConfigError",
    "ConfigLayer",
    "ConfigOrigin",
    "ConfigValue",
    "ConstantSchedule",
    "CosineSchedule",
    "DataError",
    "DataSource",
    "DownloadError",
    "EncodedImages",
    "EpochImages",
    "Estimate",
    "Evaluation",
    "Evaluator",
    "Exporter",
    "FeatureBank",
    "FeatureBatch",
    "FeatureExtractor",
    "FeatureQueue",
    "Features",
    "Figure",
    "FigureRow",
    "FileImages",
    "Head",
    "ImageDataset",
    "ImageHeader",
    "ImageListing",
    "KINDS",
    "KeyMapping",
    "Kind",
    "LinearSchedule",
    "LiteralError",
    "Logger",
    "Loss",
    "MaskedDecoder",
    "MaskedSelfDistillationMethod",
    "MemoryBank",
    "Method",
    "MissingImage",
    "ModelCard",
    "MovingAverage",
    "OWN_PREFIXES",
    "Optimizer",
    "OptimizerConfig",
    "PHOTO_MARGIN",
    "ParamGroup",
    "Plan",
    "PluginError",
    "Preempted",
    "Problem",
    "Progress",
    "RankedRun",
    "Ranking",
    "RecordSource",
    "Records",
    "Register",
    "RegisterPreset",
    "Run",
    "RunConfig",
    "RunError",
    "RunFolder",
    "RunFolderError",
    "SampleRNG",
    "Schedule",
    "Scheduler",
    "SelfDistillationMethod",
    "Session",
    "Settings",
    "Splits",
    "StepOutput",
    "StoredWeights",
    "Summary",
    "Tokens",
    "UnreadableImage",
    "UserError",
    "ViewSpec",
    "atomic_write_text",
    "attribute_errors",
    "available_cores",
    "block_masks",
    "blockwise_masks",
    "build",
    "check_images",
    "component_options",
    "content_digest",
    "contrast_in_batch",
    "count_parameters",
    "cross_view_loss",
    "declared_figures",
    "did_you_mean",
    "dry_run",
    "echo_json",
    "encode_views",
    "evenly_spaced_indices",
    "extract_features",
    "find_figure",
    "find_files",
    "find_source",
    "format_value",
    "frozen_prototypes_warnings",
    "full_precision",
    "gather",
    "gather_offset",
    "has_files",
    "hookimpl",
    "indices_of",
    "iterate_features",
    "json_option",
    "list_images",
    "load_backbone",
    "load_failed_step",
    "load_initial_weights",
    "make_console",
    "mask_weights",
    "open_splits",
    "option_layer",
    "override_option",
    "parse_ini_layer",
    "parse_value",
    "pass_session",
    "patchify",
    "pluralize",
    "preemptible",
    "random_masks",
    "rank_runs",
    "read_config_text",
    "read_containers",
    "read_ini_layer",
    "read_tensors",
    "recalibrate_batchnorm",
    "render_page",
    "report_disk_errors",
    "resize_to_square",
    "resolve_file",
    "resolve_layers",
    "run",
    "scale_values",
    "session_options",
    "shuffle_keys",
    "sinkhorn",
    "spherical_kmeans",
    "summarize",
    "unpatchify",
    "unshuffle_keys",
    "validate_section",
    "validate_settings",
    "validation_problems",
    "write_tensors",
]


def test_public_names_are_complete_and_sorted():
    assert ssl_host.__all__ == PUBLIC
    assert sorted(PUBLIC, key=str) == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_public_name_exists_and_is_documented(name):
    value = getattr(ssl_host, name)
    if inspect.isclass(value) or inspect.isfunction(value):
        assert inspect.getdoc(value) or constant_docstring(name)
    else:
        assert constant_docstring(name)


def defining_modules() -> dict[str, str]:
    """Return the module of ``ssl_host`` that defines each public name, from the stub."""
    stub = ast.parse(Path(ssl_host.__file__).with_suffix(".pyi").read_text("utf-8"))
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: node.module for node in imports for alias in node.names}


def constant_docstring(name: str) -> str:
    """Return the string below the assignment of a public name in the module that defines it."""
    module = importlib.import_module(f"ssl_host.{defining_modules()[name]}")
    body = ast.parse(inspect.getsource(module)).body
    for statement, following in itertools.pairwise(body):
        targets = getattr(statement, "targets", [getattr(statement, "target", None)])
        if name in [getattr(target, "id", None) for target in targets]:
            return ast.literal_eval(following.value) if isinstance(following, ast.Expr) else ""
    return ""


def test_unknown_name_raises_attribute_error():
    with pytest.raises(AttributeError, match="simsiam"):
        ssl_host.simsiam  # noqa: B018


@pytest.mark.parametrize(
    "statement",
    [
        "import ssl_host",
        "from ssl_host import hookimpl, Register, API_VERSION",
        "import ssl_host.cli.app",
        "from ssl_host.catalog.catalog import Catalog; Catalog().entries()",
        "import ssl_plugin_simclr, ssl_plugin_timm, ssl_plugin_torchvision, ssl_plugin_nnclr",
    ],
)
def test_modules_that_lists_need_import_no_torch(statement):
    code = f"{statement}\nimport sys\nassert 'torch' not in sys.modules, 'torch was imported'"
    subprocess.run([sys.executable, "-c", code], check=True)
