"""Results of SLURM jobs are read without running what somebody put into the file."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from sandbox.compute.slurm.result import read
from sandbox.compute.slurm.watch import QueuedItem, Submission
from sandbox.job import JobFailed
from sandbox.running.attempt import ElementFailed


class Evil:
    """An object that touches a file when it is unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch PWNED",)


@pytest.mark.parametrize(
    "value",
    [None, "text", ("success", None), ValueError("a", 1), JobFailed("x"), ElementFailed("y")],
    ids=repr,
)
def test_plain_data_and_our_errors_are_read(value: object) -> None:
    found = read(pickle.dumps(value))
    assert type(found) is type(value) and repr(found) == repr(value)


@pytest.mark.parametrize(
    "data",
    [
        pickle.dumps(Evil()),
        pickle.dumps(("success", Evil())),
        b"csandbox.system.process\nsubprocess.run\n(S'touch PWNED'\ntR.",
        b"csandbox.system.process\noutput\n(S'touch PWNED'\ntR.",
        b'cbuiltins\nexec\n(S\'open("PWNED", "w")\'\ntR.',
        b"cbuiltins\ngetattr\n(S'x'\nS'y'\ntR.",
        b"no pickle",
    ],
)
def test_nothing_else_is_read_and_nothing_runs(
    data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    submission = Submission("7", str(tmp_path / "%j"), "sandbox x", "driver")
    item = QueuedItem(submission, "train", None)
    item.result_path.parent.mkdir()
    item.result_path.write_bytes(data)
    assert "is no result of a job" in str(item.result())
    assert not (tmp_path / "PWNED").exists()
