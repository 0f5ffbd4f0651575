"""Public names of ssl-host, loaded when they are first used, so that lists import no torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ssl_host.api import build as build
    from ssl_host.api import extract_features as extract_features
    from ssl_host.api import load_backbone as load_backbone
    from ssl_host.api import load_failed_step as load_failed_step
    from ssl_host.api import load_initial_weights as load_initial_weights
    from ssl_host.api import run as run
    from ssl_host.augment.operations import ViewSpec as ViewSpec
    from ssl_host.catalog.catalog import Catalog as Catalog
    from ssl_host.catalog.discovery import did_you_mean as did_you_mean
    from ssl_host.catalog.plugin_errors import attribute_errors as attribute_errors
    from ssl_host.cli.groups import CommandGroup as CommandGroup
    from ssl_host.cli.options import Session as Session
    from ssl_host.cli.options import echo_json as echo_json
    from ssl_host.cli.options import json_option as json_option
    from ssl_host.cli.options import override_option as override_option
    from ssl_host.cli.options import pass_session as pass_session
    from ssl_host.cli.options import session_options as session_options
    from ssl_host.compose import count_parameters as count_parameters
    from ssl_host.config.ini import read_config_text as read_config_text
    from ssl_host.config.layers import ConfigLayer as ConfigLayer
    from ssl_host.config.layers import option_layer as option_layer
    from ssl_host.config.layers import parse_ini_layer as parse_ini_layer
    from ssl_host.config.layers import read_ini_layer as read_ini_layer
    from ssl_host.config.messages import validate_settings as validate_settings
    from ssl_host.config.messages import validation_problems as validation_problems
    from ssl_host.config.resolve import resolve_file as resolve_file
    from ssl_host.config.resolve import resolve_layers as resolve_layers
    from ssl_host.config.run_config import RunConfig as RunConfig
    from ssl_host.config.section import validate_section as validate_section
    from ssl_host.config.values import ConfigOrigin as ConfigOrigin
    from ssl_host.config.values import ConfigValue as ConfigValue
    from ssl_host.config.values import LiteralError as LiteralError
    from ssl_host.config.values import format_value as format_value
    from ssl_host.config.values import parse_value as parse_value
    from ssl_host.contracts.augmentation import Augmentation as Augmentation
    from ssl_host.contracts.augmentation import SampleRNG as SampleRNG
    from ssl_host.contracts.batch import Batch as Batch
    from ssl_host.contracts.batch import Progress as Progress
    from ssl_host.contracts.batch import StepOutput as StepOutput
    from ssl_host.contracts.data import ArrayImages as ArrayImages
    from ssl_host.contracts.data import DataSource as DataSource
    from ssl_host.contracts.data import ImageDataset as ImageDataset
    from ssl_host.contracts.data import MissingImage as MissingImage
    from ssl_host.contracts.data import UnreadableImage as UnreadableImage
    from ssl_host.contracts.evaluation import Evaluation as Evaluation
    from ssl_host.contracts.evaluation import Evaluator as Evaluator
    from ssl_host.contracts.evaluation import FeatureBank as FeatureBank
    from ssl_host.contracts.evaluation import Features as Features
    from ssl_host.contracts.evaluation import Figure as Figure
    from ssl_host.contracts.evaluation import find_figure as find_figure
    from ssl_host.contracts.export import Exporter as Exporter
    from ssl_host.contracts.export import ModelCard as ModelCard
    from ssl_host.contracts.kinds import KINDS as KINDS
    from ssl_host.contracts.kinds import Kind as Kind
    from ssl_host.contracts.logging import Logger as Logger
    from ssl_host.contracts.logging import Run as Run
    from ssl_host.contracts.method import Method as Method
    from ssl_host.contracts.method import ParamGroup as ParamGroup
    from ssl_host.contracts.method import Schedule as Schedule
    from ssl_host.contracts.networks import Backbone as Backbone
    from ssl_host.contracts.networks import Head as Head
    from ssl_host.contracts.networks import Loss as Loss
    from ssl_host.contracts.optimization import Optimizer as Optimizer
    from ssl_host.contracts.optimization import OptimizerConfig as OptimizerConfig
    from ssl_host.contracts.optimization import Scheduler as Scheduler
    from ssl_host.contracts.precision import full_precision as full_precision
    from ssl_host.contracts.settings import Settings as Settings
    from ssl_host.errors import CheckpointError as CheckpointError
    from ssl_host.errors import ConfigError as ConfigError
    from ssl_host.errors import DataError as DataError
    from ssl_host.errors import PluginError as PluginError
    from ssl_host.errors import Preempted as Preempted
    from ssl_host.errors import Problem as Problem
    from ssl_host.errors import RunError as RunError
    from ssl_host.errors import RunFolderError as RunFolderError
    from ssl_host.errors import UserError as UserError
    from ssl_host.evaluate.figures import declared_figures as declared_figures
    from ssl_host.hookspecs import API_VERSION as API_VERSION
    from ssl_host.hookspecs import Register as Register
    from ssl_host.hookspecs import RegisterPreset as RegisterPreset
    from ssl_host.hookspecs import hookimpl as hookimpl
    from ssl_host.report.render import render_page as render_page
    from ssl_host.report.summary import FigureRow as FigureRow
    from ssl_host.report.summary import Summary as Summary
    from ssl_host.report.summary import summarize as summarize
    from ssl_host.run_folder.folder import RunFolder as RunFolder
    from ssl_host.toolkit.checkpoint_keys import KeyMapping as KeyMapping
    from ssl_host.toolkit.checkpoint_keys import StoredWeights as StoredWeights
    from ssl_host.toolkit.cores import available_cores as available_cores
    from ssl_host.toolkit.distributed import gather as gather
    from ssl_host.toolkit.distributed import gather_offset as gather_offset
    from ssl_host.toolkit.distributed import shuffle_keys as shuffle_keys
    from ssl_host.toolkit.distributed import unshuffle_keys as unshuffle_keys
    from ssl_host.toolkit.ema import MovingAverage as MovingAverage
    from ssl_host.toolkit.file_patterns import find_files as find_files
    from ssl_host.toolkit.image_files import EncodedImages as EncodedImages
    from ssl_host.toolkit.image_files import FileImages as FileImages
    from ssl_host.toolkit.image_files import resize_and_crop as resize_and_crop
    from ssl_host.toolkit.queue import FeatureQueue as FeatureQueue
    from ssl_host.toolkit.record_source import Records as Records
    from ssl_host.toolkit.record_source import RecordSource as RecordSource
    from ssl_host.toolkit.sampling import evenly_spaced_indices as evenly_spaced_indices
    from ssl_host.toolkit.schedules import ConstantSchedule as ConstantSchedule
    from ssl_host.toolkit.schedules import CosineSchedule as CosineSchedule
    from ssl_host.toolkit.schedules import LinearSchedule as LinearSchedule
    from ssl_host.toolkit.weights_io import read_tensors as read_tensors
    from ssl_host.toolkit.weights_io import write_tensors as write_tensors
    from ssl_host.train.signals import preemptible as preemptible

__version__ = "0.1.0"

_MODULES = {
    "API_VERSION": "hookspecs",
    "ArrayImages": "contracts.data",
    "Augmentation": "contracts.augmentation",
    "Backbone": "contracts.networks",
    "Batch": "contracts.batch",
    "Catalog": "catalog.catalog",
    "CheckpointError": "errors",
    "CommandGroup": "cli.groups",
    "ConfigError": "errors",
    "ConfigLayer": "config.layers",
    "ConfigOrigin": "config.values",
    "ConfigValue": "config.values",
    "ConstantSchedule": "toolkit.schedules",
    "CosineSchedule": "toolkit.schedules",
    "DataError": "errors",
    "DataSource": "contracts.data",
    "EncodedImages": "toolkit.image_files",
    "Evaluation": "contracts.evaluation",
    "Evaluator": "contracts.evaluation",
    "Exporter": "contracts.export",
    "FeatureBank": "contracts.evaluation",
    "FeatureQueue": "toolkit.queue",
    "Features": "contracts.evaluation",
    "Figure": "contracts.evaluation",
    "FigureRow": "report.summary",
    "FileImages": "toolkit.image_files",
    "Head": "contracts.networks",
    "ImageDataset": "contracts.data",
    "KINDS": "contracts.kinds",
    "KeyMapping": "toolkit.checkpoint_keys",
    "Kind": "contracts.kinds",
    "LinearSchedule": "toolkit.schedules",
    "LiteralError": "config.values",
    "Logger": "contracts.logging",
    "Loss": "contracts.networks",
    "Method": "contracts.method",
    "MissingImage": "contracts.data",
    "ModelCard": "contracts.export",
    "MovingAverage": "toolkit.ema",
    "Optimizer": "contracts.optimization",
    "OptimizerConfig": "contracts.optimization",
    "ParamGroup": "contracts.method",
    "PluginError": "errors",
    "Preempted": "errors",
    "Problem": "errors",
    "Progress": "contracts.batch",
    "RecordSource": "toolkit.record_source",
    "Records": "toolkit.record_source",
    "Register": "hookspecs",
    "RegisterPreset": "hookspecs",
    "Run": "contracts.logging",
    "RunConfig": "config.run_config",
    "RunError": "errors",
    "RunFolder": "run_folder.folder",
    "RunFolderError": "errors",
    "SampleRNG": "contracts.augmentation",
    "Schedule": "contracts.method",
    "Scheduler": "contracts.optimization",
    "Session": "cli.options",
    "Settings": "contracts.settings",
    "StepOutput": "contracts.batch",
    "StoredWeights": "toolkit.checkpoint_keys",
    "Summary": "report.summary",
    "UnreadableImage": "contracts.data",
    "UserError": "errors",
    "ViewSpec": "augment.operations",
    "attribute_errors": "catalog.plugin_errors",
    "available_cores": "toolkit.cores",
    "build": "api",
    "count_parameters": "compose",
    "declared_figures": "evaluate.figures",
    "did_you_mean": "catalog.discovery",
    "echo_json": "cli.options",
    "evenly_spaced_indices": "toolkit.sampling",
    "extract_features": "api",
    "find_figure": "contracts.evaluation",
    "find_files": "toolkit.file_patterns",
    "format_value": "config.values",
    "full_precision": "contracts.precision",
    "gather": "toolkit.distributed",
    "gather_offset": "toolkit.distributed",
    "hookimpl": "hookspecs",
    "json_option": "cli.options",
    "load_backbone": "api",
    "load_failed_step": "api",
    "load_initial_weights": "api",
    "option_layer": "config.layers",
    "override_option": "cli.options",
    "parse_ini_layer": "config.layers",
    "parse_value": "config.values",
    "pass_session": "cli.options",
    "preemptible": "train.signals",
    "read_config_text": "config.ini",
    "read_ini_layer": "config.layers",
    "read_tensors": "toolkit.weights_io",
    "render_page": "report.render",
    "resize_and_crop": "toolkit.image_files",
    "resolve_file": "config.resolve",
    "resolve_layers": "config.resolve",
    "run": "api",
    "session_options": "cli.options",
    "shuffle_keys": "toolkit.distributed",
    "summarize": "report.summary",
    "unshuffle_keys": "toolkit.distributed",
    "validate_section": "config.section",
    "validate_settings": "config.messages",
    "validation_problems": "config.messages",
    "write_tensors": "toolkit.weights_io",
}
"""Module of ``ssl_host`` that defines each public name."""

__all__ = [  # noqa: PLE0604 - the names are the table's keys, kept in one place
    *_MODULES,
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'ssl_host' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"ssl_host.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
