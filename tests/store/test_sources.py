"""Changed code and packages behind a record: found without importing, reported, never rerun."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from toy_project import Project, experiment

from sandbox.store import modules, sources

SOURCES = {
    "helped/__init__.py": "",
    "helped/job.py": """
        import json, os.path
        from dataclasses import dataclass
        from pathlib import Path
        from typing import TYPE_CHECKING

        import numpy

        from sandbox.executors import BaseDataExecutor
        from sandbox.job import JobScope
        from .inner import near

        if TYPE_CHECKING:
            import for_types

        HERE = Path(__file__).parent
        SCRIPT = HERE / "programs" / "train.py"
        COMMAND = ["python", "-m", "after_m.main", "x"]
        WORKER = "hub_snapshot"


        @dataclass(frozen=True)
        class Found:
            value: int


        @dataclass(frozen=True, kw_only=True)
        class Mine(BaseDataExecutor):
            offset: int = 0

            def run(self, *, scope: JobScope) -> Found:
                import later_imported

                return Found(near.VALUE + later_imported.VALUE + self.offset)
        """,
    "helped/inner/__init__.py": "",
    "helped/inner/near.py": "from .. import other\nVALUE = 1\n",
    "helped/other.py": "",
    "helped/unused.py": "",
    "helped/programs/train.py": "import beside\nimport torch\nraise SystemExit('imported')\n",
    "helped/programs/beside.py": "import regex\nraise SystemExit('imported')\n",
    "after_m/main.py": "raise SystemExit('imported')\n",
    "later_imported.py": "VALUE = 1\n",
    "for_types.py": "raise SystemExit('imported')\n",
}

FOUND = {
    "helped",
    "helped.job",
    "helped.job:programs/train.py",
    "helped.job:programs/beside.py",
    "helped.inner",
    "helped.inner.near",
    "helped.other",
    "later_imported",
    "after_m.main",
    "sandbox.executors",
    "sandbox.job",
    "sandbox.workers.hub_snapshot",
    "sandbox.workers.worker_start",
}


@pytest.fixture
def helped(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A project whose component has helpers, a script and a worker."""
    from textwrap import dedent

    for name, text in SOURCES.items():
        path = project.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
    monkeypatch.syspath_prepend(str(project.root))
    monkeypatch.setenv("SANDBOX_ALLOW_TARGETS", "helped.*")
    executor = {"_target_": "helped.job.Mine"}
    mapped: dict[str, Any] = {"executor": executor, "map": {"executor": {"offset": [0, 1]}}}
    jobs: dict[str, tuple[str, dict[str, Any]]] = {
        "mine": ("general_data_executor", mapped),
        "more": ("general_data_executor", {"executor": executor}),
    }
    project.write("toy", experiment(jobs))
    _forget()
    yield project
    _forget()


def _forget() -> None:
    """Make this process as new: it has imported and looked for nothing of the project."""
    for name in [*sys.modules]:
        if name.partition(".")[0] in ("helped", "later_imported"):
            del sys.modules[name]
    for function in [*vars(sources).values(), *vars(modules).values()]:
        if hasattr(function, "cache_clear"):
            function.cache_clear()
    from sandbox.components import allowed

    allowed._locate.cache_clear()


def run_facts(project: Project) -> Any:
    return json.loads(project.records("mine")[0].read_text())["run"]


def test_a_record_holds_every_module_that_is_imported_or_started(helped: Project) -> None:
    helped.run("toy")
    found = run_facts(helped)["sources"]
    assert found.keys() >= FOUND
    assert all(len(each) == 16 for each in found.values())
    assert not found.keys() & {"helped.unused", "for_types", "numpy", "json", "sandbox.planning"}
    assert "after_m" not in sys.modules


def test_a_record_holds_the_versions_of_imported_packages(helped: Project) -> None:
    import numpy
    import regex

    helped.run("toy")
    found = run_facts(helped)["packages"]
    assert found["numpy"] == numpy.__version__ and found["regex"] == regex.__version__
    assert not found.keys() & {"json", "sandbox", "helped"}


def test_packages_of_programs_in_another_env_are_not_the_launchers(helped: Project) -> None:
    node = {"_target_": "helped.job.Mine"}
    env = {"_target_": "sandbox.envs.virtual_env.VirtualEnv"}
    allowed = ("helped.*", "sandbox.*")
    assert "regex" in sources.sources_of(node, allowed)["packages"]
    assert "regex" not in sources.sources_of({**node, "env": env}, allowed)["packages"]


@pytest.mark.parametrize(
    "name",
    [
        "helped/job.py",
        "helped/inner/near.py",
        "helped/programs/train.py",
        "helped/programs/beside.py",
        "after_m/main.py",
        "later_imported.py",
    ],
)
def test_a_changed_source_is_reported_once_and_the_result_reused(
    helped: Project,
    name: str,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    helped.run("toy")
    _forget()
    with (helped.root / name).open("a") as file:
        file.write("\n# changed\n")
    os.utime(helped.root / name, (1, 1))  # any other time
    records = helped.records("mine")
    before = [path.stat().st_mtime_ns for path in records]
    helped.run("toy", "dry_run=true")
    shown = capsys.readouterr().out
    changed = "since it was recorded the source of helped.job.Mine changed ("
    assert shown.count(changed) == 2
    helped.run("toy")
    assert caplog.text.count("mine: since it was recorded, the source of helped.job.Mine") == 1
    assert caplog.text.count("force=[mine]") == caplog.text.count("force=[more]") == 1
    assert [path.stat().st_mtime_ns for path in records] == before
    caplog.clear()
    helped.run("toy", "force=[mine]")
    assert "force=[mine]" not in caplog.text and "force=[more]" in caplog.text
    caplog.clear()
    helped.run("toy")
    assert "force=[mine]" not in caplog.text and "force=[more]" in caplog.text


@pytest.mark.parametrize(
    "edit",
    [
        lambda root: (root / "helped/unused.py").write_text("VALUE = 2\n"),
        lambda root: (root / "for_types.py").write_text("VALUE = 2\n"),
        lambda root: os.utime(root / "helped/job.py", (1, 1)),
    ],
    ids=["a module that nobody imports", "for types only", "time"],
)
def test_other_changes_are_not_reported(
    helped: Project, edit: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    helped.run("toy")
    edit(helped.root)
    _forget()
    helped.run("toy")
    assert "since it was recorded" not in caplog.text


def test_a_source_that_is_gone_is_a_change(
    helped: Project, caplog: pytest.LogCaptureFixture
) -> None:
    helped.run("toy")
    (helped.root / "helped/programs/beside.py").unlink()
    _forget()
    helped.run("toy")
    assert "changed (helped.job:programs/beside.py)" in caplog.text


def test_another_version_of_a_package_is_reported(
    helped: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import numpy

    helped.run("toy")
    real = sources._version
    monkeypatch.setattr(sources, "_version", lambda name: "0.1" if name == "numpy" else real(name))
    helped.run("toy")
    assert f"mine: since it was recorded, numpy {numpy.__version__} is now 0.1;" in caplog.text


def test_a_record_names_the_commit(helped: Project) -> None:
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    (helped.root / ".gitignore").write_text("outputs\nruns\n")
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-qm", "first"], check=True)
    commit = subprocess.check_output([*git, "rev-parse", "HEAD"], text=True).strip()
    helped.run("toy")
    assert run_facts(helped)["git"] == {"commit": commit, "dirty": False}
    (helped.root / "later_imported.py").write_text("VALUE = 2\n")
    _forget()
    helped.run("toy", "force=[mine]")
    assert run_facts(helped)["git"] == {"commit": commit, "dirty": True}


def test_outside_a_repository_there_is_no_commit(helped: Project) -> None:
    helped.run("toy")
    assert run_facts(helped)["git"] == {}


def test_a_source_for_another_python_hides_nothing_else(helped: Project) -> None:
    (helped.root / "helped/programs/train.py").write_text("print 'old'\n")
    helped.run("toy")
    found = run_facts(helped)["sources"]
    assert "helped.job:programs/train.py" in found and "later_imported" in found


def test_nothing_is_parsed_while_no_source_has_changed(
    helped: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    helped.run("toy")
    _forget()
    monkeypatch.setattr("sandbox.store.modules.ast.parse", None)
    helped.run("toy")
    assert [*helped.records("mine")]
