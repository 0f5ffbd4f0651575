"""Load pickled checkpoints safely: only tensors and plain values, no code.

``torch.load(weights_only=True)`` rejects a whole checkpoint if it contains an object of an unknown
class next to the weights, such as a network among the hyperparameters of a Lightning checkpoint.
Here such an object becomes an empty placeholder: its class is not imported, and none of its code is
executed.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch._utils as rebuilding

ALLOWED: dict[tuple[str, str], Any] = {
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
"""The only classes and functions that a file may use: they create tensors and containers."""

SUSPECT = {
    *("os", "posix", "nt", "subprocess", "pty", "sys", "shutil", "socket", "importlib", "runpy"),
    *("ctypes", "code", "codeop", "pickle", "webbrowser", "urllib", "http", "multiprocessing"),
}
SUSPECT_BUILTINS = {"eval", "exec", "compile", "open", "__import__", "breakpoint", "input"}
"""Names that only malicious checkpoints contain; files that contain one are rejected."""


class CodeInPickleError(pickle.UnpicklingError):
    """Raised when a file contains code that an unrestricted ``pickle`` would execute."""


class Placeholder:
    """Empty object that stands in for an object whose class is not allowed."""

    def __new__(cls, *_: Any, **__: Any) -> Placeholder:
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __setstate__(self, _: Any) -> None: ...

    def __setitem__(self, _: Any, __: Any) -> None: ...

    def append(self, _: Any) -> None:
        """Ignore an item of a pickled list."""

    def extend(self, _: Any) -> None:
        """Ignore the items of a pickled list."""


class _Unpickler(pickle.Unpickler):
    """Unpickler that replaces every class that is not in ``ALLOWED`` with a placeholder."""

    def find_class(self, module: str, name: str) -> Any:
        allowed = ALLOWED.get((module, name))
        if allowed is not None:
            return allowed
        root = module.split(".", maxsplit=1)[0]
        builtin = root in ("builtins", "__builtin__")
        if root in SUSPECT or (builtin and name in SUSPECT_BUILTINS):
            raise CodeInPickleError(f"it calls {module}.{name}")
        return Placeholder


def safe_load(file: Path) -> Any:
    """Load a ``torch.save`` file, with placeholders for objects whose class is not allowed.

    Raises:
        Exception: an exception of any type, when the file is damaged or would execute code.
    """
    module = SimpleNamespace(
        __name__="safe_unpickle",
        Unpickler=_Unpickler,
        load=lambda stream, **settings: _Unpickler(stream, **settings).load(),
    )
    return torch.load(file, map_location="cpu", pickle_module=module, weights_only=False)
