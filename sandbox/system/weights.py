"""Formats of model weights: which of them can carry code."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Literal

WeightsPermission = Literal["pickled-weights", "torchscript", ""]

_SAFE = ("*.safetensors", "*.gguf")
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.pickle", "*.ckpt", "*.joblib")


def weights_permission(path: Path) -> WeightsPermission:
    """Return the permission that loading a weights file, or a checkpoint folder, needs.

    Our workers load safetensors wherever there are some, so pickles beside them do not count.
    """
    if path.is_file():
        return _file_permission(path)
    if not path.is_dir() or any(True for pattern in _SAFE for _ in path.glob(pattern)):
        return ""
    found = (_file_permission(file) for pattern in _PICKLED for file in path.glob(pattern))
    return max(found, default="")  # TorchScript, which can do more, comes first


def _file_permission(path: Path) -> WeightsPermission:
    if not any(path.match(pattern) for pattern in _PICKLED):
        return ""
    return "torchscript" if _is_torchscript(path) else "pickled-weights"


def _is_torchscript(path: Path) -> bool:
    """Return True for an archive that holds the code of a model."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in f"/{name}" for name in archive.namelist())
