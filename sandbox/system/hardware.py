"""CPU cores and GPUs that this process may use."""

from __future__ import annotations

import os
from pathlib import Path


def available_cpus() -> int:
    """Return how many CPU cores this process may use."""
    import psutil

    process = psutil.Process()
    if hasattr(process, "cpu_affinity"):  # not on macOS
        return len(process.cpu_affinity())
    return psutil.cpu_count() or 1


def visible_gpus(num_gpus: int | None = None) -> list[str]:
    """Return the GPUs that may be dealt out, by the names that ``CUDA_VISIBLE_DEVICES`` takes.

    Args:
        num_gpus: At most this many are returned; ``None``: all. Where ``CUDA_VISIBLE_DEVICES`` is
            empty, as submitit's local executor sets it, this number is believed.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [name.strip() for name in (visible or "").split(",") if name.strip()]
    if names or (visible is not None and num_gpus is None):
        return names[:num_gpus]
    if num_gpus is None:
        num_gpus = len([*Path("/proc/driver/nvidia/gpus").glob("*")])
    return [str(number) for number in range(num_gpus)]
