"""Tensors out of a pickle whose other objects are never brought to life.

torch's own ``weights_only`` refuses a whole checkpoint when one object beside the weights is of a
class it does not know, as Lightning's are that keep a network among their hyperparameters. Here
such an object becomes an empty placeholder: its class is not imported and none of its code runs.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch._utils as rebuilding

REAL: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    **{
        (builtin, kind.__name__): kind
        for builtin in ("builtins", "__builtin__")
        for kind in (set, frozenset, complex, slice)
    },
    ("torch", "Size"): torch.Size,
    ("torch", "device"): torch.device,
    ("torch.nn.parameter", "Parameter"): torch.nn.Parameter,
    **{
        ("torch._utils", name): getattr(rebuilding, name)
        for name in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter")
    },
    **{
        ("torch", name): value
        for name, value in vars(torch).items()
        if isinstance(value, torch.dtype)
    },
}
"""What is made as it is: tensors, and what they consist of."""

SUSPECT = {
    *("os", "posix", "nt", "subprocess", "pty", "sys", "shutil", "socket", "importlib", "runpy"),
    *("ctypes", "code", "codeop", "pickle", "webbrowser", "urllib", "http", "multiprocessing"),
}
SUSPECT_BUILTINS = {"eval", "exec", "compile", "open", "__import__", "breakpoint", "input"}
"""What only an attack has in a checkpoint. It would not run here; its reader should know of it."""


class CodeInPickleError(pickle.UnpicklingError):
    """The file would run commands where it is opened without care."""


class Placeholder:
    """Stands for any object that is not a tensor. It does nothing."""

    def __new__(cls, *_: Any, **__: Any) -> Placeholder:
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __setstate__(self, _: Any) -> None: ...

    def __setitem__(self, _: Any, __: Any) -> None: ...

    def append(self, _: Any) -> None:
        """As a list's."""

    def extend(self, _: Any) -> None:
        """As a list's."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        real = REAL.get((module, name))
        if real is not None:
            return real
        root = module.split(".", maxsplit=1)[0]
        builtin = root in ("builtins", "__builtin__")
        if root in SUSPECT or (builtin and name in SUSPECT_BUILTINS):
            raise CodeInPickleError(f"it calls {module}.{name}")
        return Placeholder


def safe_load(file: Path) -> Any:
    """What a file of ``torch.save`` holds, everything but tensors and plain values left out.

    Raises:
        Exception: of any kind, when the file is damaged or would run commands.
    """
    module = SimpleNamespace(
        __name__="inert",
        Unpickler=_Unpickler,
        load=lambda stream, **settings: _Unpickler(stream, **settings).load(),
    )
    return torch.load(file, map_location="cpu", pickle_module=module, weights_only=False)
