"""The folder of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from toy_project import Project, data_job, experiment

from sandbox.running import run_folder
from sandbox.running.run_folder import RunFolder

INFOS: dict[str, list[dict[str, Any]]] = {
    "main": [
        {"meta_name": f"j{number}", "path": Path("a\u2028\nb"), "scores": [1.5, {"a": None}]}
        for number in range(20)
    ],
    "other": [{"meta_name": "x", "iteration": 1, "empty": {}}],
}


def read(folder: RunFolder) -> Any:
    """Return the outputs that the folder shows."""
    return json.loads((folder.path / "context_infos.json").read_text())


@pytest.mark.parametrize("pause", [0.0, 1e9], ids=["after each job", "rarely"])
def test_outputs_are_whole_at_any_time_and_complete_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pause: float
) -> None:
    monkeypatch.setattr(run_folder, "_PAUSE", pause)
    folder = RunFolder(tmp_path)
    for number, info in enumerate(INFOS["main"]):
        folder.add_outputs("main", info)
        found = read(folder)["main"]
        assert found == json.loads(json.dumps(INFOS["main"][: len(found)], default=str))
        assert len(found) == (1 if pause else number + 1)
    folder.add_outputs("other", INFOS["other"][0])
    folder.write_outputs()
    text = (tmp_path / "context_infos.json").read_text()
    assert text == json.dumps(INFOS, indent=2, default=str)


def test_a_failed_run_shows_the_outputs_of_all_finished_jobs(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_folder, "_PAUSE", 1e9)
    jobs = {f"x{number}": data_job("Add", by=number) for number in range(3)}
    project.write("toy", experiment({**jobs, "last": data_job("Value", error="broken")}))
    with pytest.raises(RuntimeError):
        project.run("toy")
    assert [info["meta_name"] for info in project.infos()["main"]] == ["x0", "x1", "x2"]
