"""Trust given once to a folder: kept by the user, outside of it, and believed only from there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from toy_project import Project, data_job, experiment

from sandbox.cli import trust
from sandbox.components.allowed import allowed_targets
from sandbox.components.trusted import is_trusted

ASKING = experiment({"add": data_job("Rows")}, hydra={"job": {"env_set": {"HARMLESS": "1"}}})


@pytest.fixture
def settings(project: Project) -> Path:
    """The folder of the user's settings."""
    return project.root / "settings/sandbox"


def test_trust_gives_every_permission_in_this_folder_until_it_is_removed(project: Project) -> None:
    project.write("toy", ASKING)
    command = ["+experiment=toy", "watcher.mode=disabled", "dry_run=true"]
    nothing = {"SANDBOX_ALLOW_TARGETS": ""}
    refused = project.command(*command, **nothing)
    assert refused.code == 2 and "sandbox trust" in refused.err
    assert project.command("trust", **nothing).code == 0
    allowed = project.command(*command, **nothing)
    assert allowed.code == 0, allowed.text
    used = allowed.out.partition("with your permission\n")[2]
    assert "hydra.job.env_set.HARMLESS: sets" in used and "jobs.add.executor: is toys.Rows" in used
    assert project.command("trust", "--remove", **nothing).code == 0
    assert project.command(*command, **nothing).code == 2


def test_trust_covers_exactly_one_real_folder(project: Project, settings: Path) -> None:
    inner = project.root / "inner"
    inner.mkdir()
    (project.root / "link").symlink_to(inner)
    assert trust.main(["link"]) == 0
    assert (settings / "trusted").read_text() == f"{inner}\n"
    assert is_trusted(inner) and is_trusted(project.root / "link")
    assert not is_trusted(project.root) and not is_trusted(project.root / "conf")
    assert "*" not in allowed_targets()
    assert trust.main(["."]) == 0
    assert "*" in allowed_targets()


def test_the_file_of_trust_belongs_to_the_user_alone(project: Project, settings: Path) -> None:
    before = os.umask(0o002)
    try:
        assert trust.main([]) == 0
    finally:
        os.umask(before)
    assert (settings / "trusted").stat().st_mode & 0o777 == 0o600
    assert settings.stat().st_mode & 0o777 == 0o700
    for path, mode in ((settings / "trusted", 0o620), (settings, 0o777)):
        path.chmod(mode)
        assert not is_trusted(project.root)
        assert trust.main(["--list"]) == 2
        path.chmod(0o700)
    assert is_trusted(project.root)


def test_files_that_others_may_write_are_named(project: Project, settings: Path) -> None:
    settings.mkdir(parents=True)
    (settings / "allow_targets").write_text("toys.*\n")
    (settings / "allow_targets").chmod(0o666)
    project.write("toy", experiment({"add": data_job("Rows")}))
    refused = project.command("+experiment=toy", "dry_run=true", SANDBOX_ALLOW_TARGETS="")
    assert refused.code == 2 and "allow_targets can be written by others" in refused.err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_a_file_of_another_user_is_not_believed(project: Project, settings: Path) -> None:
    assert trust.main([]) == 0
    os.chown(settings / "trusted", 65534, 65534)
    assert not is_trusted(project.root)


@pytest.mark.parametrize("home", ["", ".", "settings"])
def test_a_checkout_cannot_bring_settings(
    project: Project, settings: Path, home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in (settings, project.root / ".config/sandbox", project.root / "sandbox"):
        folder.mkdir(parents=True)
        (folder / "allow_targets").write_text("*\n")
        (folder / "trusted").write_text(f"{project.root}\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", home)
    monkeypatch.setenv("HOME", home)
    assert "*" not in allowed_targets()


def test_a_folder_that_everybody_may_write_cannot_be_trusted(project: Project) -> None:
    project.root.chmod(0o777)
    assert trust.main([]) == 2
    project.root.chmod(0o755)
    assert trust.main([]) == 0 and is_trusted(project.root)
    project.root.chmod(0o777)
    assert not is_trusted(project.root)
    assert trust.main(["nowhere"]) == trust.main(["--remove", "nowhere"]) == 2
