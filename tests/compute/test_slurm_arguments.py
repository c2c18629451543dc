"""``compute=slurm`` where there is no cluster: what it refuses."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from toy_project import Project, data_job, experiment

from sandbox.compute.slurm import Slurm
from sandbox.compute.slurm.node import portable
from sandbox.compute.slurm.signals import Signals
from sandbox.system import process


@pytest.mark.parametrize(
    "arguments",
    [
        {"gpus": -1},
        {"cpus_per_task": 0},
        {"mem_gb": 0},
        {"timeout_min": 0},
        {"max_parallel": 0},
        {"max_num_timeout": -1},
        {"signal_delay_s": 60, "timeout_min": 1},
        {"poll_s": 60},
        {"on_interrupt": "panic"},
        {"partition": "debug\ntouch /tmp/owned"},
        {"folder": "a\nb"},
        {"folder": "100%"},
        {"additional_parameters": {"array": "0-3"}},
        {"additional_parameters": {"time": 5}},
        {"additional_parameters": {"not an option": 5}},
        {"additional_parameters": {"exclude": ["n1"]}},
        {"additional_parameters": {"exclude": "n1\nn2"}},
    ],
    ids=str,
)
def test_wrong_arguments_are_refused_by_name(arguments: dict[str, Any]) -> None:
    name = next(iter(arguments))
    with pytest.raises(ValueError, match="exclude" if "n2" in str(arguments) else name):
        Slurm(**arguments)


def test_where_there_is_no_slurm_the_plan_says_so(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write("toy", experiment({"one": data_job("Value")}))
    monkeypatch.setenv("PATH", str(project.root))
    (problem,) = project.problems("toy", "compute=slurm")
    assert "compute: slurm needs sbatch" in problem and "PATH" in problem


def test_an_interrupt_waits_for_the_end_of_a_submission_and_does_not_reach_its_programs() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), Signals().deferred():
        os.kill(os.getpid(), signal.SIGINT)
        done.append(process.output(["sh", "-c", "kill -INT $$; echo submitted"]))
    assert done == ["submitted\n"]


class Stubborn(Exception):
    """An error that cannot be built again from its text."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def test_an_error_that_cannot_travel_is_told_by_its_text() -> None:
    assert isinstance(portable(ValueError("plain")), ValueError)
    found = portable(Stubborn(1, 2))
    assert isinstance(found, RuntimeError) and str(found) == "Stubborn: 1 and 2"
