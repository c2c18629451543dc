"""Conda environments: a stand-in records command lines, py-rattler installs packages."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import stat
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from contract import problems_of

from sandbox.envs import managers
from sandbox.envs.conda_env import CondaEnv
from sandbox.system.process import ProcessError

# Creates a prefix on `create`, runs the command after the options of `run`, records its arguments.
STAND_IN = """#!{python}
import json, os, pathlib, sys
arguments = sys.argv[1:]
with open({calls!r}, "a") as file:
    file.write(json.dumps(arguments) + "\\n")
prefix = pathlib.Path(arguments[arguments.index("--prefix") + 1])
if "create" in arguments:
    if "no-such-package" in arguments:
        sys.exit("PackagesNotFoundError: no-such-package")
    (prefix / "conda-meta").mkdir(parents=True)
    (prefix / "bin").mkdir()
    (prefix / "bin" / "python").symlink_to({python!r})
    package = dict(url="https://x.org/t/SECRET/conda-forge/noarch/six-1.0-py_0.conda", md5="0a")
    (prefix / "conda-meta" / "six.json").write_text(json.dumps(package))
else:
    command = arguments[arguments.index("--prefix") + 2 :]
    os.environ["CONDA_PREFIX"] = str(prefix)
    os.execvp(command[0], command)
"""
ENVIRONMENT = "name: ignored\nchannels: [{channel}]\ndependencies: [python=3.11, djs-demo]\n"


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[list[str]]]:
    """Put stand-ins for all three managers on the PATH; return their calls since the last time."""
    calls_path = tmp_path / "calls"
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in ("conda", "mamba", "micromamba"):
        script = folder / name
        script.write_text(STAND_IN.format(python=sys.executable, calls=str(calls_path)))
        script.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in (
        "CONDA_EXE",
        "MAMBA_EXE",
        "CONDA_ENVS_PATH",
        "CONDA_ENVS_DIRS",
        "MAMBA_ROOT_PREFIX",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)

    def taken() -> list[list[str]]:
        lines = calls_path.read_text().splitlines() if calls_path.exists() else []
        calls_path.unlink(missing_ok=True)
        return [json.loads(line) for line in lines]

    return taken


Calls = Callable[[], list[list[str]]]
UNBUFFERED = {"conda": ["--no-capture-output"], "mamba": ["-a", ""], "micromamba": ["-a", ""]}


@pytest.mark.parametrize("manager", UNBUFFERED)
def test_the_managers_own_commands_create_and_use_an_env(manager: Any, calls: Calls) -> None:
    env = CondaEnv(
        env_manager=manager,
        python="3.11",
        packages=["ffmpeg>=6"],
        channels=["conda-forge", "nvidia"],
    )
    env.check()
    assert env.check_availability() and not env.exists()
    code = "import sys; print(sys.argv[1:])"
    nasty = ["a b", "it's", '"q"', "$HOME", "*", ";rm", "ü", ""]
    env.run_cmd(["python", "-c", code, *nasty], log_path=Path("log"))
    assert Path("log").read_text().endswith(f"{nasty}\n")
    prefix = str(env.folder)
    channels = ["--channel", "conda-forge", "--channel", "nvidia", "--override-channels"]
    create = ["create", "--yes", "--quiet", "--prefix", prefix]
    run = ["run", *UNBUFFERED[manager], "--prefix", prefix]
    assert calls() == [
        [*create, *channels, "python=3.11", "pip", "ffmpeg>=6"],
        [*run, "python", "-c", code, *nasty],
    ]
    assert env.exists() and env.folder.parent == Path("outputs/envs").absolute()
    env.create()
    env.install_py_deps()
    assert calls() == []
    lock = (env.folder / "sandbox_env.conda.txt").read_text()
    assert lock == "@EXPLICIT\nhttps://x.org/conda-forge/noarch/six-1.0-py_0.conda#0a\n"


@pytest.mark.parametrize("manager", UNBUFFERED)
def test_an_environment_file_makes_an_env(manager: Any, calls: Calls, tmp_path: Path) -> None:
    path = tmp_path / "environment.yml"
    path.write_text(ENVIRONMENT.format(channel="conda-forge"))
    env = CondaEnv(env_manager=manager, env_file_path=path)
    env.create()
    folder = env.folder
    create = ["create", "--yes", "--quiet", "--prefix", str(folder), "--file", str(path)]
    assert calls() == [["env", *create] if manager == "conda" else create]
    path.write_text(ENVIRONMENT.format(channel="nvidia"))
    assert env.folder != folder, "another content is another env"


def test_conda_gets_an_environment_file_under_a_name_that_it_knows(
    calls: Calls, tmp_path: Path
) -> None:
    path = tmp_path / "vbench.yaml"
    path.write_text(ENVIRONMENT.format(channel="conda-forge"))
    CondaEnv(env_file_path=path).create()
    (call,) = calls()
    assert (
        Path(call[-1]).name == "environment.yml" and Path(call[-1]).read_text() == path.read_text()
    )


def test_python_packages_are_installed_with_the_envs_own_pip(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stand-in's interpreter is the tests' own, where pip must find nothing to install."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    env = CondaEnv(dependencies=["no-such-demo==1.0"], find_links=["/no/wheels"])
    with pytest.raises(ProcessError, match=r"installing no-such-demo==1\.0 failed"):
        env.run_cmd("python -V")
    run = ["run", "--no-capture-output", "--prefix", str(env.folder)]
    pip = ["python", "-I", "-m", "pip", "install", "--no-input", "--find-links=/no/wheels"]
    assert calls()[1] == [*run, *pip, "--", "no-such-demo==1.0"]


def test_an_env_that_conda_knows_is_used_as_it_is(
    calls: Calls, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    theirs = tmp_path / "home" / "envs" / "vbench"
    (theirs / "conda-meta").mkdir(parents=True)
    (theirs / "bin").mkdir()
    (theirs / "bin" / "python").symlink_to(sys.executable)
    listed = tmp_path / "home" / ".conda" / "environments.txt"
    listed.parent.mkdir()
    listed.write_text(f"/gone/envs/vbench\n{theirs}\n")
    env = CondaEnv(env_name="vbench", dependencies=["six"])
    assert env.exists() and env.folder == theirs
    env.run_cmd(["python", "-V"])
    assert calls() == [["run", "--no-capture-output", "--prefix", str(theirs), "python", "-V"]]
    assert "is used as it is; install=true installs: six" in caplog.text
    assert env.describe() == f"conda: {theirs} (exists, used as it is)"
    assert CondaEnv(env_name=str(theirs)).folder == theirs
    assert CondaEnv(env_name="other").folder.name.startswith("other-")


@pytest.mark.parametrize(
    ("arguments", "where", "kind"),
    [
        ({"env_manager": "uv"}, "env_manager", "wrong_type"),
        ({"python": "/usr/bin/python3"}, None, "rule"),
        ({"env_file_path": "environment.yml", "packages": ["six"]}, None, "rule"),
        ({"channels": ["https://me:pw@example.org/conda"]}, "channels.0", "secret"),
    ],
    ids=["manager", "python", "file", "channel"],
)
def test_the_plan_refuses_a_wrong_argument(
    arguments: Any, where: str | None, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("environment.yml").write_text(ENVIRONMENT.format(channel="conda-forge"))
    problems = problems_of(CondaEnv, **arguments)
    assert kind in {problem.kind for problem in problems}
    assert where is None or where in {problem.where for problem in problems}
    assert not any("pw" in problem.text for problem in problems)


def test_a_missing_file_or_env_is_found_before_anything_runs(calls: Calls, tmp_path: Path) -> None:
    for arguments, message in (
        ({"env_file_path": Path("nope.yml")}, "nope.yml is not a file"),
        ({"env_name": str(tmp_path)}, f"{tmp_path} is not an env made by conda"),
    ):
        with pytest.raises(ValueError, match=message):
            CondaEnv(**arguments).check()
    assert calls() == []


def test_an_unsolvable_env_is_an_error_and_no_env_remains(calls: Calls) -> None:
    env = CondaEnv(packages=["no-such-package"])
    with pytest.raises(
        ProcessError, match="creating it failed: PackagesNotFoundError: no-such-package"
    ):
        env.create()
    assert not env.exists()


def test_the_message_for_a_missing_conda_has_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(managers, "find", lambda name: ["uv"] if name == "uv" else None)
    with pytest.raises(
        ValueError, match=r"conda was not found: install Miniforge .*; available: uv$"
    ):
        CondaEnv().check()


REAL = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(shutil.which(name) is None, reason=f"no {name} on this machine"),
    )
    for name in UNBUFFERED
]


@pytest.mark.slow
@pytest.mark.parametrize("manager", REAL)
def test_a_real_manager_makes_an_env_and_runs_in_it(manager: Any, tmp_path: Path) -> None:
    path = tmp_path / "environment.yml"
    channel = _channel(tmp_path / "channel").as_uri()
    path.write_text(ENVIRONMENT.format(channel=f"{channel}, nodefaults"))
    _use(CondaEnv(env_manager=manager, env_file_path=path, root=str(tmp_path / "envs")), tmp_path)


# Real conda packages, solved and linked by pixi's library, behind micromamba's command line.
RATTLER = """#!{python}
import asyncio, os, sys, yaml
from rattler import Channel, Platform, VirtualPackage, install, solve
arguments = sys.argv[1:]
prefix = arguments[arguments.index("--prefix") + 1]
if arguments[0] == "run":
    command = arguments[arguments.index("--prefix") + 2 :]
    os.execvp(command[0], command)
environment = yaml.safe_load(open(arguments[arguments.index("--file") + 1]))
async def main():
    platforms = [Platform("linux-64"), Platform("noarch")]
    channels = [Channel(name) for name in environment["channels"]]
    virtual = VirtualPackage.detect()
    wanted = environment["dependencies"]
    records = await solve(channels, wanted, platforms=platforms, virtual_packages=virtual)
    await install(records, target_prefix=prefix, cache_dir={cache!r})
try:
    asyncio.run(main())
except Exception as error:
    print(error, file=sys.stderr, flush=True)
    os._exit(1)
os._exit(0)  # rattler's threads outlive the interpreter's end and may crash it
"""


def test_an_environment_file_resolves_and_installs_from_a_file_channel(
    calls: Calls, tmp_path: Path
) -> None:
    pytest.importorskip(
        "rattler", reason="py-rattler (extra: test) solves and links conda packages"
    )
    script = tmp_path / "programs" / "micromamba"
    script.write_text(RATTLER.format(python=sys.executable, cache=str(tmp_path / "cache")))
    path = tmp_path / "environment.yml"
    path.write_text(ENVIRONMENT.format(channel=_channel(tmp_path / "channel").as_uri()))
    env = CondaEnv(env_manager="micromamba", env_file_path=path)
    _use(env, tmp_path)
    path.write_text(path.read_text().replace("djs-demo", "djs-demo=9"))
    wrong = CondaEnv(env_manager="micromamba", env_file_path=path)
    with pytest.raises(ProcessError, match="djs-demo"):
        wrong.create()
    assert not wrong.exists()


def _use(env: CondaEnv, tmp_path: Path) -> None:
    env.run_cmd(["djs-demo", "a b", "$HOME"], log_path=tmp_path / "log", echo=False)
    assert (tmp_path / "log").read_text().endswith(f"demo {env.folder} a b $HOME\n")
    locked = (env.folder / "sandbox_env.conda.txt").read_text()
    assert (
        locked.startswith("@EXPLICIT\n")
        and "djs-demo-1.0-0.tar.bz2" in locked
        and "python-3.11" in locked
    )


def _channel(folder: Path) -> Path:
    """A channel with an interpreter that is a script, and a package with a program."""
    python = f'#!/bin/sh\nexec {sys.executable} "$@"\n'
    demo = '#!/bin/sh\necho demo "$(dirname "$(dirname "$0")")" "$@"\n'
    _package(folder, "python", "3.11.7", {"bin/python": python}, [])
    _package(folder, "pip", "1.0", {"share/pip.txt": "not needed here\n"}, ["python"])
    _package(folder, "djs-demo", "1.0", {"bin/djs-demo": demo}, ["python >=3.8", "pip"])
    return folder


def _package(
    folder: Path, name: str, version: str, files: dict[str, str], depends: list[str]
) -> None:
    index = {
        "name": name, "version": version, "build": "0", "build_number": 0, "depends": depends,
        "subdir": "linux-64", "arch": "x86_64", "platform": "linux", "timestamp": 1700000000000,
    }  # fmt: skip
    paths = [
        {
            "_path": path,
            "path_type": "hardlink",
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
            "size_in_bytes": len(text.encode()),
        }
        for path, text in files.items()
    ]
    everything = {
        **files,
        "info/index.json": json.dumps(index),
        "info/paths.json": json.dumps({"paths": paths, "paths_version": 1}),
        "info/files": "".join(f"{path}\n" for path in files),
    }
    archive = folder / "linux-64" / f"{name}-{version}-0.tar.bz2"
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "w:bz2") as tar:
        for path, text in everything.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(text.encode()), stat.S_IRWXU | 0o055
            tar.addfile(entry, io.BytesIO(text.encode()))
    data = archive.read_bytes()
    known = folder / "linux-64" / "repodata.json"
    repodata = json.loads(known.read_text()) if known.exists() else {"packages": {}}
    sums = {
        "md5": hashlib.md5(data).hexdigest(),
        "sha256": hashlib.sha256(data).hexdigest(),
        "size": len(data),
    }
    repodata["packages"][archive.name] = {**index, **sums}
    for subdir, content in (("linux-64", repodata), ("noarch", {"packages": {}})):
        (folder / subdir).mkdir(exist_ok=True)
        text = json.dumps({"info": {"subdir": subdir}, "packages.conda": {}, **content})
        (folder / subdir / "repodata.json").write_text(text)
