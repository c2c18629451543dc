"""Secrets: only by name, and in no file."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy_project import Project, data_job, experiment

SECRET = "hunter2hunter2"
COMMANDS = pytest.mark.parametrize("command", [[], ["-m"]], ids=["run", "multirun"])


def files_with(folder: Path, text: str) -> list[Path]:
    """Files below ``folder`` that hold ``text``."""
    return [
        path for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()
    ]


@COMMANDS
@pytest.mark.parametrize(
    "override",
    [f"jobs.login.executor.token={SECRET}", f"watcher.api_key={SECRET}"],
    ids=["component", "watcher"],
)
def test_a_literal_secret_is_refused_and_left_in_no_file(
    project: Project, command: list[str], override: str
) -> None:
    project.write("toy", experiment({"login": data_job("Login", token=None)}))
    refused = project.command(*command, "+experiment=toy", override)
    assert refused.code == 2
    message = refused.err.partition("sandbox: ")[
        2
    ]  # Hydra before it repeats the command as it was typed
    assert "never as a literal" in message and SECRET not in message
    assert project.ran() == []
    assert not (project.root / "outputs").exists(), "refused before anything is written"
    assert files_with(project.root / "outputs", SECRET) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "compute"), [([], "inline"), (["-m"], "local")], ids=["run", "multirun"]
)
def test_a_secret_from_the_environment_is_used_and_left_in_no_file(
    project: Project, command: list[str], compute: str
) -> None:
    token = "${oc.env:TOYS_TOKEN}"
    project.write(
        "toy", experiment({"login": data_job("Login", token=token)}, objective="login.length")
    )
    done = project.command(
        *command,
        "+experiment=toy",
        f"compute={compute}",
        "watcher.api_key=${oc.env:TOYS_TOKEN}",
        "+tokens=[1]",
        TOYS_TOKEN=SECRET,
    )
    assert done.code == 0, done.text
    assert f"objective login.length = {len(SECRET)}" in done.text and SECRET not in done.text
    assert project.ran() == ["login"]
    assert list((project.root / "outputs").rglob("*.wandb")), "wandb wrote its files too"
    assert files_with(project.root, SECRET) == []
    again = project.command(*command, "+experiment=toy", TOYS_TOKEN="another one")
    assert again.code == 0 and project.ran() == [], "the value of a secret changes no result"


def test_a_secret_does_not_appear_where_the_config_is_shown_or_a_job_fails(
    project: Project,
) -> None:
    jobs = {
        "login": data_job("Login", token="${oc.env:TOYS_TOKEN}"),
        "bad": data_job("Value", error="no luck"),
    }
    project.write("toy", experiment(jobs))
    shown = project.command("+experiment=toy", "--cfg", "job", TOYS_TOKEN=SECRET)
    assert "${oc.env:TOYS_TOKEN}" in shown.out and SECRET not in shown.text
    failed = project.main("toy", TOYS_TOKEN=SECRET)
    assert failed.code == 1 and SECRET not in failed.text
    assert files_with(project.root, SECRET) == []


def test_a_literal_secret_of_a_job_that_will_not_run_is_refused_too(project: Project) -> None:
    project.write("toy", experiment({"add": data_job("Add")}))
    spare = "{_target_: h.H, executor: {_target_: toys.Login, token: " + SECRET + "}}"
    refused = project.main("toy", f"+jobs.spare={spare}")
    assert refused.code == 2 and "jobs.spare.executor.token" in refused.err
    assert files_with(project.root / "outputs", SECRET) == []


def test_a_default_for_a_secret_is_a_literal_too(project: Project) -> None:
    project.write(
        "toy", experiment({"login": data_job("Login", token="${oc.env:TOYS_NO," + SECRET + "}")})
    )
    refused = project.main("toy")
    assert refused.code == 2 and SECRET not in refused.err
    assert files_with(project.root / "outputs", SECRET) == []


@pytest.mark.parametrize(
    "more",
    [
        ["hydra.output_subdir=cfg"],
        ["hydra.job.chdir=true"],
        ["hydra.verbose=true"],
        ["dry_run=true"],
        ["--cfg", "job"],
        ["--cfg", "all"],
        ["--help"],
        ["no_such_key=1"],
        ["x=("],
        ["-m", "hydra/launcher=joblib"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize(
    "override",
    [f"jobs.login.executor.token={SECRET}", f"jobs.login.executor.tokem={SECRET}",
     "+mine=${oc.decode:\"'https://me:" + SECRET + "@example.org/simple'\"}",
     f"+hydra.help.mine=https://me:{SECRET}@example.org/simple",
     f"+jobs.spare.executor.env.index_url=https://me:{SECRET}@example.org/simple"],
    ids=["component", "misspelt", "decoded", "help", "url"],
)  # fmt: skip
def test_a_literal_secret_is_nowhere_on_disk_and_on_the_terminal(
    project: Project, override: str, more: list[str]
) -> None:
    project.write("toy", experiment({"login": data_job("Login", token=None)}))
    refused = project.command("+experiment=toy", override, *more)
    assert refused.code == 2, refused.text
    assert SECRET not in refused.text
    assert files_with(project.root, SECRET) == []


@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_swept_secrets_are_refused_before_a_launcher_prints_them(
    project: Project, launcher: str
) -> None:
    project.write("toy", experiment({"login": data_job("Login", token=None)}))
    override = f"jobs.login.executor.token={SECRET},another{SECRET}"
    refused = project.command("-m", "+experiment=toy", override, f"hydra/launcher={launcher}")
    assert refused.code == 2 and "never as a literal" in refused.err
    assert SECRET not in refused.text and files_with(project.root, SECRET) == []


def test_a_url_with_a_password_is_refused_in_a_key_of_ones_own_too(project: Project) -> None:
    body = experiment({"add": data_job("Add")}, mine={"url": f"https://me:{SECRET}@example.org"})
    project.write("toy", body)
    refused = project.main("toy")
    assert refused.code == 2 and "mine.url" in refused.err and SECRET not in refused.text
    assert files_with(project.root / "outputs", SECRET) == []


@pytest.mark.parametrize("place", ["experiment_name", "mine", "hydra.job.name", "hydra.run.dir"])
@pytest.mark.parametrize(
    "value", ["${oc.env:MY_TOKEN}", "x/${oc.env:${name}}", "${oc.select:other}"]
)
def test_a_secret_of_the_environment_is_read_by_arguments_for_secrets_alone(
    project: Project, place: str, value: str
) -> None:
    body = experiment({"login": data_job("Login", token="${oc.env:MY_TOKEN}")}, name="MY_TOKEN")
    project.write("toy", body)
    assert project.main("toy", "dry_run=true", MY_TOKEN=SECRET).code == 0
    other = "${oc.env:MY_TOKEN}" if "other" in value else "x"
    overrides = [f"++other='{other}'", f"++{place}='{value}'"]
    refused = project.main("toy", *overrides, MY_TOKEN=SECRET)
    assert refused.code == 2 and "holds the value of MY_TOKEN" in refused.err, refused.text
    assert SECRET not in refused.text and files_with(project.root, SECRET) == []
