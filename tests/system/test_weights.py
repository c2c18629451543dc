"""Formats of weights that can carry code."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from sandbox.system.weights import weights_permission


@pytest.mark.parametrize(
    ("names", "permission"),
    [
        (["model.safetensors"], ""),
        (["model.safetensors", "pytorch_model.bin", "training_args.bin"], ""),
        (["model.gguf"], ""),
        (["config.json"], ""),
        (["pytorch_model.bin", "config.json"], "pickled-weights"),
        (["model.pt"], "pickled-weights"),
        (["model.pkl"], "pickled-weights"),
        (["script.pt"], "torchscript"),
        (["model.pkl", "script.pt"], "torchscript"),
    ],
    ids=str,
)
def test_a_folder_is_judged_by_the_file_that_would_be_loaded(
    tmp_path: Path, names: list[str], permission: str
) -> None:
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    if "script.pt" in names:
        with zipfile.ZipFile(tmp_path / "script.pt", "w") as archive:
            archive.writestr("script/code/__torch__.py", "")
    assert weights_permission(tmp_path) == permission


def test_a_single_file_is_judged_too(tmp_path: Path) -> None:
    for name, permission in (("a.pt", "pickled-weights"), ("a.safetensors", ""), ("a.txt", "")):
        (tmp_path / name).write_bytes(b"x")
        assert weights_permission(tmp_path / name) == permission
    assert weights_permission(tmp_path / "nothing.pt") == ""
