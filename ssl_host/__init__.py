"""The public contract of ssl-host. Importing it imports no torch; names are loaded when used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ssl_host.api import build as build
    from ssl_host.api import extract_features as extract_features
    from ssl_host.api import load_backbone as load_backbone
    from ssl_host.api import load_failed_step as load_failed_step
    from ssl_host.api import run as run
    from ssl_host.contracts.augmentation import Augmentation as Augmentation
    from ssl_host.contracts.augmentation import SampleRNG as SampleRNG
    from ssl_host.contracts.augmentation import ViewSpec as ViewSpec
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
    from ssl_host.errors import DataError as DataError
    from ssl_host.errors import RunError as RunError
    from ssl_host.errors import UserError as UserError
    from ssl_host.hookspecs import API_VERSION as API_VERSION
    from ssl_host.hookspecs import Register as Register
    from ssl_host.hookspecs import RegisterPreset as RegisterPreset
    from ssl_host.hookspecs import hookimpl as hookimpl
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

__version__ = "0.1.0"

_HOMES = {
    "API_VERSION": "hookspecs",
    "ArrayImages": "contracts.data",
    "Augmentation": "contracts.augmentation",
    "Backbone": "contracts.networks",
    "Batch": "contracts.batch",
    "ConstantSchedule": "toolkit.schedules",
    "CosineSchedule": "toolkit.schedules",
    "DataError": "errors",
    "DataSource": "contracts.data",
    "EncodedImages": "toolkit.image_files",
    "Evaluation": "contracts.evaluation",
    "Evaluator": "contracts.evaluation",
    "FeatureBank": "contracts.evaluation",
    "FeatureQueue": "toolkit.queue",
    "Features": "contracts.evaluation",
    "FileImages": "toolkit.image_files",
    "Head": "contracts.networks",
    "ImageDataset": "contracts.data",
    "LinearSchedule": "toolkit.schedules",
    "Logger": "contracts.logging",
    "Loss": "contracts.networks",
    "Method": "contracts.method",
    "MissingImage": "contracts.data",
    "MovingAverage": "toolkit.ema",
    "Optimizer": "contracts.optimization",
    "OptimizerConfig": "contracts.optimization",
    "ParamGroup": "contracts.method",
    "Progress": "contracts.batch",
    "RecordSource": "toolkit.record_source",
    "Records": "toolkit.record_source",
    "Register": "hookspecs",
    "RegisterPreset": "hookspecs",
    "Run": "contracts.logging",
    "RunError": "errors",
    "SampleRNG": "contracts.augmentation",
    "Schedule": "contracts.method",
    "Scheduler": "contracts.optimization",
    "Settings": "contracts.settings",
    "StepOutput": "contracts.batch",
    "UnreadableImage": "contracts.data",
    "UserError": "errors",
    "ViewSpec": "contracts.augmentation",
    "available_cores": "toolkit.cores",
    "build": "api",
    "evenly_spaced_indices": "toolkit.sampling",
    "extract_features": "api",
    "find_files": "toolkit.file_patterns",
    "full_precision": "contracts.precision",
    "gather": "toolkit.distributed",
    "gather_offset": "toolkit.distributed",
    "hookimpl": "hookspecs",
    "load_backbone": "api",
    "load_failed_step": "api",
    "read_tensors": "toolkit.weights_io",
    "resize_and_crop": "toolkit.image_files",
    "run": "api",
    "shuffle_keys": "toolkit.distributed",
    "unshuffle_keys": "toolkit.distributed",
}

__all__ = [  # noqa: PLE0604 - the names are the table's keys, kept in one place
    *_HOMES,
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'ssl_host' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"ssl_host.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
