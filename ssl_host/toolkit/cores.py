"""Number of CPU cores available to this process."""

from __future__ import annotations

import os


def available_cores() -> int:
    """Return the number of cores that this process may use.

    CPU affinity is respected (taskset, cpusets, batch schedulers); a CPU quota such as
    ``docker --cpus`` is not.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
