"""Settings of ``[trainer]``."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from ssl_host.contracts.settings import Settings

_PRECISIONS = {
    "16-mixed": ("16", "fp16", "float16", "half"),
    "bf16-mixed": ("bf16", "bfloat16"),
    "32-true": ("32", "fp32", "float32"),
    "64-true": ("64", "fp64", "float64", "double"),
}
"""Maps each precision to its other names: Lightning's short forms and names of data types."""

_PRECISION_OF = {
    spelling: name for name, others in _PRECISIONS.items() for spelling in (name, *others)
}


class TrainerSettings(Settings):
    """``[trainer]``: devices, precision, gradient accumulation and clipping, and logging."""

    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"] = Field(
        "auto", description="type of device; auto: a GPU if there is one, else the CPU"
    )
    devices: int | list[int] | Literal["auto"] = Field(
        1, description="number of devices per machine, a list of device indices, or auto for all"
    )
    num_nodes: int = Field(
        1, ge=1, le=100_000, description="number of machines that train together"
    )
    strategy: Literal["auto", "ddp"] = Field(
        "auto",
        description="how several devices train together; auto and ddp both use "
        "DistributedDataParallel",
    )
    precision: Literal["auto", "32-true", "16-mixed", "bf16-mixed", "64-true"] = Field(
        "auto",
        description="floating-point precision; 16, bf16, fp32 and similar names are accepted too; "
        "auto: bf16-mixed if the hardware supports it, otherwise 16-mixed on CUDA GPUs and "
        "32-true elsewhere",
    )
    channels_last: bool | Literal["auto"] = Field(
        "auto",
        description="store weights and images in the channels-last memory format; auto: true, "
        "except on mps",
    )
    compile: Literal["auto", "on", "off"] = Field(
        "auto", description="compile the backbone and heads with torch.compile; auto: off"
    )
    num_threads: int | Literal["auto"] = Field(
        "auto", description="number of CPU threads for torch; auto: OMP_NUM_THREADS or one per core"
    )
    accumulate: int = Field(
        1,
        ge=1,
        le=100_000,
        description="number of micro-batches per optimizer step; a loss that compares images "
        "compares only those of one micro-batch",
    )
    gradient_clip: float | None = Field(
        None,
        gt=0,
        description="largest allowed norm or value of the gradient, as selected by "
        "gradient_clip_by; default: no clipping",
    )
    gradient_clip_by: Literal["norm", "value", "parameter", "module"] = Field(
        "norm",
        description="what gradient_clip limits: the norm of all gradients together, each value, "
        "the norm of each parameter's gradient, or that of each module (backbone, each head, and "
        "the method's own parameters)",
    )
    log_every: int = Field(
        10, ge=1, le=1_000_000, description="number of optimizer steps between rows of metrics.csv"
    )

    @property
    def num_processes(self) -> int:
        """Number of processes on all nodes that train together, one per device."""
        if self.devices == "auto":
            return self.num_nodes  # a lower bound until ``auto`` is resolved
        devices = self.devices
        return (len(devices) if isinstance(devices, list) else devices) * self.num_nodes

    @field_validator("precision", mode="before")
    @classmethod
    def _full_name(cls, value: Any) -> Any:
        return _PRECISION_OF.get(str(value).lower(), value)

    @field_validator("devices", "num_threads")
    @classmethod
    def _in_bounds(cls, value: Any) -> Any:
        # torch starts all threads at once, and tens of thousands would exhaust the memory.
        if isinstance(value, int) and not 1 <= value <= 1024:
            raise ValueError("should be auto or a number from 1 to 1024")
        return value
