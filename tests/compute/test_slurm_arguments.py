"""``compute=slurm`` without a cluster: the mistakes that are found all the same."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from contract import problems_of
from toy_project import Project, data_job, experiment

from sandbox.compute.slurm import Slurm
from sandbox.compute.slurm.node import portable
from sandbox.compute.slurm.submit import outside_of_a_job
from sandbox.system import process
from sandbox.system.signals import deferred_interrupts


@pytest.mark.parametrize(
    "arguments",
    [
        {"gpus": -1},
        {"cpus_per_task": 0},
        {"mem_gb": 0},
        {"timeout_min": 0},
        {"max_parallel": 0},
        {"max_num_timeout": -1},
        {"poll_s": 60},
        {"poll_s": 0},
        {"on_interrupt": "panic"},
    ],
    ids=str,
)
def test_a_value_out_of_range_is_found(arguments: dict[str, Any]) -> None:
    (problem,) = problems_of(Slurm, **arguments)
    assert problem.where == next(iter(arguments))
    assert problem.kind in ("constraint", "wrong_type")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"signal_delay_s": 60, "timeout_min": 1}, "signal_delay_s is 60"),
        ({"partition": "debug\ntouch /tmp/owned"}, "partition: expected one line"),
        ({"folder": "a\nb"}, "folder: expected one line"),
        ({"partition": "--wrap=id"}, "partition: expected one line"),
        ({"account": "\t-x"}, "account: expected one line"),
        ({"constraint": " --chdir=/"}, "constraint: expected one line"),
        ({"additional_parameters": {"exclude": " --wrap=id"}}, "exclude: expected one line"),
        ({"folder": "100%"}, "folder: must not contain %"),
        ({"additional_parameters": {"array": "0-3"}}, "array: cannot be given"),
        ({"additional_parameters": {"time": 5}}, "time: cannot be given here, give timeout_min"),
        ({"additional_parameters": {"not an option": 5}}, "expected a long option of sbatch"),
        ({"additional_parameters": {"exclude": ["n1"]}}, "expected text, a number or true"),
        ({"additional_parameters": {"exclusive": False}}, "expected text, a number or true"),
        ({"additional_parameters": {"exclude": "n1\nn2"}}, "exclude: expected one line"),
    ],
    ids=lambda value: None if isinstance(value, dict) else value,
)
def test_arguments_that_break_a_rule_are_found(arguments: dict[str, Any], text: str) -> None:
    (problem,) = problems_of(Slurm, **arguments)
    assert problem.kind == "rule" and text in problem.text


def test_arguments_become_options_of_sbatch() -> None:
    compute = Slurm(gpus=2, mem_gb=1.5, partition="a", additional_parameters={"exclusive": True})
    assert compute.sbatch_options() == {
        "partition": "a",
        "cpus-per-task": 1,
        "time": 240,
        "gpus-per-node": 2,
        "mem": "1536M",
        "exclusive": True,
    }


def test_a_submission_sees_no_variables_of_a_surrounding_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("submitit")
    for name in ("SLURM_JOB_ID", "SLURM_CONF", "SBATCH_ACCOUNT", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.setenv(name, "given")
    with outside_of_a_job():
        assert "SLURM_JOB_ID" not in os.environ and "CUDA_VISIBLE_DEVICES" not in os.environ
        assert os.environ["SLURM_CONF"] == os.environ["SBATCH_ACCOUNT"] == "given"
    assert os.environ["SLURM_JOB_ID"] == os.environ["CUDA_VISIBLE_DEVICES"] == "given"


def test_without_slurm_the_plan_has_a_problem(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write("toy", experiment({"one": data_job("Value")}))
    monkeypatch.setenv("PATH", str(project.root))
    (problem,) = project.problems("toy", "compute=slurm")
    assert (problem.where, problem.kind) == ("compute", "machine")
    assert "slurm needs sbatch" in problem.text and "PATH" in problem.text


def test_an_interrupt_waits_for_the_end_of_a_submission_and_does_not_reach_its_programs() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), deferred_interrupts():
        os.kill(os.getpid(), signal.SIGINT)
        done.append(process.output(["sh", "-c", "kill -INT $$; echo submitted"]))
    assert done == ["submitted\n"]


class Stubborn(Exception):
    """An error that cannot be built again from its text."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def test_an_error_that_cannot_be_pickled_becomes_its_text() -> None:
    assert isinstance(portable(ValueError("plain")), ValueError)
    found = portable(Stubborn(1, 2))
    assert isinstance(found, RuntimeError) and str(found) == "Stubborn: 1 and 2"
