"""Recorded outputs can be read again, and only jobs that ended in order are recorded."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_project import Project, experiment

from sandbox.running import attempt

COMPONENT = """
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.executors import BaseDataExecutor
from sandbox.job import JobScope


@dataclass(frozen=True)
class Found:
    value: Any


def nested(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


@dataclass(frozen=True, kw_only=True)
class Mine(BaseDataExecutor):
    code: str
    more: Any = None

    def run(self, *, scope: JobScope) -> Found:
        return Found(eval(self.code))
"""


@pytest.fixture
def mine(project: Project) -> Project:
    """A project whose one job evaluates an expression, read by a second job."""
    (project.root / "mine.py").write_text(COMPONENT)
    path = [project.variables["PYTHONPATH"], str(project.root)]
    project.variables |= {
        "PYTHONPATH": os.pathsep.join(path),
        "SANDBOX_ALLOW_TARGETS": "mine.*",
        "MARK": str(project.root / "mark"),
    }
    return project


def write(project: Project, code: str) -> None:
    target = {"_target_": "mine.Mine"}
    jobs = {
        "make": ("general_data_executor", {"executor": {**target, "code": code}}),
        "read": (
            "general_data_executor",
            {"executor": {**target, "code": "2", "more": "${output:make.value}"}},
        ),
    }
    project.write("toy", experiment(jobs))


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("10**400", "make.value: an output of 333 hexadecimal digits is above 1.8e308"),
        ("-10**5000", "is above 1.8e308"),
        ("nested(100)", "make.value: an output may be nested at most 50 deep"),
        ("nested(100000)", "make.value: an output may be nested at most 50 deep"),
        ("{'$path': 'x'}", "make.value: an output may not hold a $path"),
        ("{'a': {'$content': ['x', 'y']}}", "make.value.a: an output may not hold a $content"),
        ("chr(0xd800)", "make.value: an output must be Unicode text"),
        ("1j", "make.value: an output must be JSON or a path, got complex"),
        ("os._exit(0)", "make: SystemExit: it called os._exit(0)"),
        ("os._exit(3)", "make: SystemExit: it called os._exit(3)"),
    ],
)
def test_what_no_later_run_could_read_is_an_error(mine: Project, code: str, text: str) -> None:
    write(mine, code)
    done = mine.main("toy")
    assert done.code == 1 and text in done.text and "Traceback" not in done.text
    assert mine.records("make") == []


def test_what_is_recorded_is_read_by_this_run_and_the_next(mine: Project) -> None:
    write(mine, "[float('nan'), -float('inf'), 10**300, True, '\\udcff', nested(49)]")
    for _ in range(2):
        done = mine.main("toy")
        assert done.code == 0, done.text
        assert len(mine.records("make")) == len(mine.records("read")) == 1
    assert "make: recorded" in done.text and "read: recorded" in done.text


def test_an_exit_in_another_thread_does_not_look_like_success(mine: Project) -> None:
    write(mine, "(lambda it: (it.start(), it.join()))(threading.Thread(target=os._exit, args=[0]))")
    done = mine.main("toy")
    assert done.code == 1 and "a thread of a component called os._exit(0)" in done.text
    assert mine.records("make") == []


def test_a_forked_process_exits_as_it_likes(mine: Project) -> None:
    write(mine, "(lambda pid: os.waitpid(pid, 0)[1] if pid else os._exit(0))(os.fork())")
    done = mine.main("toy")
    assert done.code == 0
    (record,) = mine.records("make")
    assert json.loads(record.read_text())["outputs"] == {"value": 0}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.array([2])[0], 2),
        ((1, [Path()]), [1, [Path().absolute()]]),
        ({1: "a"}, {"1": "a"}),
    ],
)
def test_an_output_becomes_plain_data(value: Any, expected: Any) -> None:
    assert attempt._recordable(value, "x") == expected


@pytest.mark.parametrize("value", [np.longdouble(1), np.datetime64("2020"), np.array([1, 2])])
def test_other_values_of_numpy_are_errors(value: Any) -> None:
    with pytest.raises(RuntimeError, match="x: an output must be JSON"):
        attempt._recordable(value, "x")
