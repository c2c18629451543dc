"""CPU cores, memory and GPUs of this machine, as far as this process may use them."""

from __future__ import annotations

import os
import re
from pathlib import Path

_DRIVER = "proc/driver/nvidia"


def available_cpus() -> int:
    """Return the number of CPU cores that this process may use."""
    import psutil

    process = psutil.Process()
    if hasattr(process, "cpu_affinity"):  # not on macOS
        return len(process.cpu_affinity())
    return psutil.cpu_count() or 1


def memory() -> tuple[float, float]:
    """Return free and total memory in bytes; a container's limit counts as its total."""
    import psutil

    found = psutil.virtual_memory()
    free, total = float(found.available), float(found.total)
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.is_file() and limit.read_text().strip().isdigit():
        used = int(limit.with_name("memory.current").read_text())
        total = min(total, int(limit.read_text()))
        free = min(free, total - used)
    return free, total


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
        num_gpus = len(gpu_models())
    return [str(number) for number in range(num_gpus)]


def gpu_models(root: Path = Path("/")) -> list[str]:
    """Return the model of every NVIDIA GPU below ``root``; empty text where it is not known."""
    models = []
    for folder in sorted((root / _DRIVER / "gpus").glob("*")):
        information = folder / "information"
        lines = information.read_text().splitlines() if information.is_file() else []
        named = dict(line.split(":", 1) for line in lines if ":" in line)
        models.append(named.get("Model", "").strip())
    devices = [path for path in (root / "dev").glob("nvidia[0-9]*") if path.name[6:].isdigit()]
    return models or [""] * len(devices)


def gpu_driver(root: Path = Path("/")) -> str:
    """Return the version of NVIDIA's driver; empty text without one."""
    path = root / _DRIVER / "version"
    if not path.is_file():
        return ""
    line = path.read_text().partition("\n")[0]
    number = re.search(r"\d+\.\d+[.\d]*", line)
    return number[0] if number else line
