"""The doctor: its findings and remedies; it never breaks down."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from toy_project import ROOT, Project, data_job, experiment

from sandbox.cli import doctor
from sandbox.envs import managers


def lines(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Return the printed findings by name, remedies joined to them."""
    found: dict[str, str] = {}
    name = ""
    for line in capsys.readouterr().out.splitlines():
        match = re.match(r"(ok|-|missing) +(\S+(?: \S+)*)  +(.*)", line)
        if match:
            name = match[2]
            found[name] = f"{found.get(name, '')}{match[1]} {match[3]}"
        else:
            found[name] += f" {line.strip()}"
    return found


def test_it_reports_the_hardware(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.main([]) == 0
    found = lines(capsys)
    for name in (
        *managers.REMEDIES,
        "python",
        "GPU",
        "SLURM",
        "java",
        "ffmpeg",
        "torch",
        "store",
        "disk",
    ):
        assert name in found, name
    assert found["memory"].endswith("CPU cores") and found["wandb mode"].startswith("ok offline")
    for name, text in found.items():
        assert text.startswith("ok") or "→ " in text, f"{name} has no remedy: {text}"
    assert not (project.root / "outputs").exists(), "it writes nothing"


def test_gpus_and_their_driver_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As NVIDIA's driver lays them out."""
    nvidia = tmp_path / "proc/driver/nvidia"
    for bus in ("0000:01:00.0", "0000:02:00.0"):
        (nvidia / "gpus" / bus).mkdir(parents=True)
        (nvidia / "gpus" / bus / "information").write_text(
            "Model: \t\t NVIDIA H200\nIRQ:   \t\t 42\n"
        )
    driver = "NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 2024"
    text = f"NVRM version: {driver}\nGCC 12\n"
    (nvidia / "version").write_text(text)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    found = {finding.name: finding for finding in doctor._gpus(tmp_path)}
    assert found["GPU"].detail == "2: NVIDIA H200" and found["GPU driver"].detail == "550.54.15"
    assert found["GPUs visible"].remedy == "unset it"


def test_columns_are_aligned(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    doctor.main([])
    printed = capsys.readouterr().out.splitlines()
    column = printed[0].index(re.split(r"  +", printed[0])[2])
    assert all(line[column - 2 : column] == "  " and line[column] != " " for line in printed)


def test_an_experiment_with_everything_it_needs_has_no_findings(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.write("fine", experiment({"a": data_job("Value", name="a")}))
    assert doctor.main(["+experiment=fine"]) == 0
    assert "1 jobs, nothing is missing" in lines(capsys)["experiment"]


def test_an_experiment_is_asked_for_its_components_checks_and_envs(
    project: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert doctor.main(["+experiment=demo", "env@jobs.train.executor.env=uv"]) == 0
    assert "jobs.train.executor.env uv: outputs/envs/uv-" in lines(capsys)["env"]
    monkeypatch.setattr(managers, "find", lambda name: ["uv"] if name == "uv" else None)
    assert doctor.main(["+experiment=demo", "env@jobs.train.executor.env=conda"]) == 1
    assert re.match(
        r"missing jobs.train.executor.env → conda was not found: install Miniforge .*",
        lines(capsys)["needs"],
    )
    project.write("checked", experiment({"a": data_job("Checked", low=2)}))
    assert doctor.main(["+experiment=checked"]) == 1
    assert "low must be below high" in lines(capsys)["needs"]


@pytest.mark.parametrize(
    "overrides",
    [
        ["+experiment=nope"],
        ["nonsense"],
        ["watcher=null"],
        ["outputs_dir=???"],
        ["compute=null", "+x=1"],
    ],
    ids=" ".join,
)
def test_a_wrong_command_is_a_finding(
    project: Project, overrides: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert doctor.main(overrides) == 1
    assert "missing" in capsys.readouterr().out


def test_a_store_that_cannot_be_written_is_reported(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    (project.root / "outputs").write_text("a file")
    assert doctor.main([]) == 1
    assert re.search(r"missing .*outputs is a file.* → .*outputs_dir=", lines(capsys)["store"])


def test_a_look_that_fails_is_a_finding(
    project: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> doctor.Finding:
        raise PermissionError("no")

    monkeypatch.setattr(doctor, "_memory", broken)
    assert doctor.main([]) == 0
    assert "could not look: PermissionError: no" in capsys.readouterr().out


def test_it_starts_without_heavy_libraries_and_survives_a_closed_output(
    tmp_path: Path,
) -> None:
    code = (
        "import sys; from sandbox.cli import doctor; status = doctor.main(['+experiment=demo'])\n"
        "assert not {'torch', 'transformers', 'wandb', 'data_juicer'} & set(sys.modules)\n"
        "sys.exit(status)"
    )
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and done.stderr == "", done.stderr
    with subprocess.Popen(
        [sys.executable, "-m", "sandbox", "doctor"],
        cwd=tmp_path,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as started:
        assert started.stdout and started.stderr
        started.stdout.close()
        assert started.wait(60) == 0 and started.stderr.read() == ""
