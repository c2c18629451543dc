"""Launcher and worker: request, result, errors, log."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox.envs import worker
from sandbox.envs.worker import run_worker
from sandbox.job import JobScope
from sandbox.system.process import ProcessError

WORKERS_DIR = Path(worker.__file__).parents[1] / "workers"
Start = Callable[..., dict[str, Any]]


@pytest.fixture
def scope(tmp_path: Path) -> JobScope:
    output_dir = tmp_path / "out"
    output_dir.mkdir()
    return JobScope("job", output_dir, tmp_path / "log", lambda metrics, step=None: None)


@pytest.fixture
def start(tmp_path: Path, scope: JobScope, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Run a worker whose ``main`` has the given body."""
    monkeypatch.setattr(worker, "_WORKERS_DIR", tmp_path)

    def run(body: str, **arguments: Any) -> dict[str, Any]:
        (tmp_path / "toy.py").write_text(
            "import os, sys\n"
            "from pathlib import Path\n"
            f"sys.path.insert(0, {str(WORKERS_DIR)!r})\n"
            "from worker_start import InputError, start\n"
            f"def main(request):\n    {body}\n"
            "start(main)\n"
        )
        return run_worker("toy", arguments.pop("request", {}), scope, **arguments)

    return run


def test_the_result_of_main_comes_back(start: Start) -> None:
    assert start("return {'sum': sum(request['numbers'])}", request={"numbers": [1, 2]}) == {
        "sum": 3
    }


def test_a_worker_without_a_result_gives_an_empty_one(start: Start) -> None:
    assert start("pass") == {}


def test_paths_arrive_absolute_and_the_request_stays(
    start: Start, scope: JobScope, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = start("return {'path': request['path']}", request={"path": Path("a") / "b"})
    assert result == {"path": str(tmp_path / "a" / "b")}
    kept = json.loads((scope.output_dir / "toy_request.json").read_text())
    assert kept["path"] == result["path"]


def test_the_work_folder_is_private_and_removed(start: Start, scope: JobScope) -> None:
    body = (
        "folder = Path(request['work_dir']); (folder / 'x').touch(); return {'folder': str(folder)}"
    )
    folder = Path(start(body)["folder"])
    assert folder.parent == scope.output_dir
    assert not folder.exists()


def test_a_value_that_is_no_json_is_refused(start: Start) -> None:
    with pytest.raises(TypeError, match="a worker's request cannot hold"):
        start("pass", request={"value": object()})


def test_a_mistake_of_the_user_is_one_line(start: Start, scope: JobScope) -> None:
    with pytest.raises(ProcessError) as error:
        start("raise InputError('pool.jsonl, line 3 is wrong')")
    assert str(error.value).splitlines()[0] == "pool.jsonl, line 3 is wrong"
    assert error.value.returncode == 1
    assert scope.log_path.read_text() == "pool.jsonl, line 3 is wrong\n"


def test_another_error_keeps_its_traceback_in_the_log(start: Start, scope: JobScope) -> None:
    with pytest.raises(ProcessError) as error:
        start("raise KeyError('x')")
    assert str(error.value).splitlines()[0] == "KeyError: 'x'"
    assert "Traceback" in scope.log_path.read_text()
    assert not list(scope.output_dir.glob("*_work"))


@pytest.mark.parametrize("end", ["os._exit(0)", "raise SystemExit(0)"])
def test_a_worker_that_ends_before_it_is_done_has_failed(
    start: Start, scope: JobScope, end: str
) -> None:
    with pytest.raises(ProcessError, match="before it was done"):
        start(end)


def test_variables_of_the_user_win_over_defaults(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSFORMERS_VERBOSITY", "info")
    body = "return {name: os.environ[name] for name in request['names']}"
    names = ["TRANSFORMERS_VERBOSITY", "HF_HUB_DISABLE_TELEMETRY", "MINE"]
    assert start(body, request={"names": names}, variables={"MINE": "1"}) == {
        "TRANSFORMERS_VERBOSITY": "info",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "MINE": "1",
    }


@pytest.mark.slow
def test_the_first_of_several_processes_gives_the_result(start: Start, scope: JobScope) -> None:
    body = "print('rank', os.environ['RANK'], flush=True); return {'rank': os.environ['RANK']}"
    assert start(body, num_processes=2) == {"rank": "0"}
    assert {"rank 0", "rank 1"} <= set(scope.log_path.read_text().splitlines())
