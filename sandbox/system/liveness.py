"""Which host and process this is, and whether another process still runs."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def this_host() -> str:
    """What tells this host from others: its name and the boot of its kernel."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{platform.node()} {boot.read_text().strip() if boot.exists() else ''}"


def this_process() -> str:
    """What tells this process from any other, also from a later one of its number; for :func:`lives`."""
    return f"{_place()} {os.getpid()} {_began(os.getpid())}"


def lives(process: str) -> bool | None:
    """Whether the process that called itself so lives; ``None`` where that cannot be told from here."""
    place, pid, began = process.rsplit(" ", 2)
    return None if place != _place() or not began else _began(int(pid)) == began


def _place() -> str:
    """This host and the namespace of its process numbers."""
    try:
        return f"{this_host()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return this_host()


def _began(pid: int) -> str:
    """When a process began, in the kernel's count; empty if it does not run any more."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]
