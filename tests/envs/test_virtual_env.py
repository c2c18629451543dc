"""Virtual environments, created by every manager."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from contract import problems_of
from package_sources import Sources
from toy_project import ROOT, until, until_async

from sandbox.envs import CurrentEnv, Env, managers
from sandbox.envs.router import ENV_ROUTER
from sandbox.envs.virtual_env import VirtualEnv
from sandbox.system.process import ProcessError

MANAGERS = ["uv", "virtualenv", pytest.param("venv", marks=pytest.mark.slow)]
NASTY = ["a b", "it's", '"q"', "$HOME", "*", ";rm -rf x", "ü\n", "", "\\n", "`id`"]
STARTED: list[list[str]] = []
WATCHING: list[bool] = []


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "subprocess.Popen" and WATCHING:
        STARTED.append(list(arguments[1]))


sys.addaudithook(_note)


@contextmanager
def no_program_started() -> Iterator[None]:
    """Assert that nothing inside starts a program."""
    STARTED.clear()
    WATCHING.append(True)
    try:
        yield
    finally:
        WATCHING.pop()
    assert STARTED == []


MakeEnv = Callable[..., VirtualEnv]


@pytest.fixture
def make(sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeEnv:
    """Factory of envs that install from the tests' own index, in the test's folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)

    def env(env_manager: Any = "uv", **arguments: Any) -> VirtualEnv:
        return VirtualEnv(env_manager=env_manager, **{"index_url": sources.index_url, **arguments})

    return env


def output_of(env: Env, code: str, *arguments: str, **more: Any) -> str:
    """Run Python code in the env and return its output."""
    log_path = Path("output.txt").absolute()
    log_path.unlink(missing_ok=True)
    env.run_cmd(["python", "-c", code, *arguments], log_path=log_path, echo=False, **more)
    return log_path.read_text()


@pytest.mark.parametrize("manager", MANAGERS)
def test_an_env_holds_its_dependencies_and_is_created_once(
    make: MakeEnv, sources: Sources, manager: str
) -> None:
    arguments = {
        "dependencies": ["tiny-demo==1.0"],
        "requirements_path": sources.requirements_path,
        "code_dir": sources.code_dir,
    }
    env = make(manager, **arguments)
    assert env.check_availability() and not env.exists()
    env.check()
    code = (
        "import tiny_demo, other_demo, code_base, sys; "
        "print(tiny_demo.VERSION, code_base.WHERE, sys.prefix)"
    )
    printed = output_of(env, code).strip()
    expected = f"1.0 {sources.code_dir}/source/code_base.py {env.folder}"
    assert printed.endswith(expected), "the first command creates the env"
    assert env.exists() and env.folder.parent == Path("outputs/envs").absolute()
    lock = (env.folder / "sandbox_env.lock.txt").read_text().splitlines()
    assert lock[1:] == [f"-e {sources.code_dir.as_uri()}", "other-demo==1.0", "tiny-demo==1.0"]

    again = make(manager, **arguments)
    before = time.process_time()
    with no_program_started():
        again.create()
        again.install_py_deps()
    assert time.process_time() - before < 0.05
    assert again.folder == env.folder
    copied = Path("output.env.txt").read_text()
    assert copied == (env.folder / "sandbox_env.lock.txt").read_text(), (
        "the lock lies beside the log"
    )
    with pytest.raises(ProcessError, match="ModuleNotFoundError"):
        output_of(env, "import numpy")


def test_a_file_a_list_and_a_code_base_can_be_installed(make: MakeEnv, sources: Sources) -> None:
    env = make(env_name="new_env")
    env.create()
    assert env.folder.name.startswith("new_env-")
    env.install_py_deps(str(sources.requirements_path))
    env.install_py_deps(["tiny-demo"])
    env.install_py_deps(sources.code_dir)
    code = "import tiny_demo, other_demo, code_base; print(tiny_demo.VERSION)"
    assert output_of(env, code) == "2.0\n"
    with no_program_started():
        env.install_py_deps(["tiny-demo"])
        env.install_py_deps(sources.code_dir)
    sources.requirements_path.write_text("other-demo\n")
    env.install_py_deps(sources.requirements_path)
    asked = json.loads((env.folder / "sandbox_env.json").read_text())["asked"]
    assert len(asked) == 4, "a file is recorded by its content"


def test_a_lock_rebuilds_the_env(make: MakeEnv, sources: Sources) -> None:
    env = make(dependencies=["tiny-demo<2", "other-demo"], code_dir=sources.code_dir)
    env.create()
    env.install_py_deps()
    lock = env.folder / "sandbox_env.lock.txt"
    copy = make(requirements_path=lock)
    copy.install_py_deps()
    assert copy.folder != env.folder
    assert (copy.folder / lock.name).read_text().splitlines()[1:] == lock.read_text().splitlines()[
        1:
    ]


def test_other_dependencies_are_another_env(make: MakeEnv, sources: Sources) -> None:
    def name(**arguments: Any) -> str:
        return make(**arguments).folder.name

    plain = name()
    assert plain == name(root="elsewhere") == name(install=True)
    included = sources.requirements_path.with_name("more.txt")
    included.write_text("tiny-demo\n")
    names = {
        plain,
        name(env_manager="venv"),
        name(env_name="mine"),
        name(python="3.12"),
        name(dependencies=["a"]),
        name(dependencies=["a", "b"]),
        name(index_url=None),
        name(extra_index_urls=["https://example.org/simple"]),
        name(find_links=["/wheels"]),
        name(requirements_path=sources.requirements_path),
        name(code_dir=sources.code_dir),
    }
    assert len(names) == 11
    sources.requirements_path.write_text("-r more.txt\n")
    first = name(requirements_path=sources.requirements_path)
    included.write_text("tiny-demo==2.0\n")
    assert name(requirements_path=sources.requirements_path) not in {first, *names}
    (sources.code_dir / "pyproject.toml").write_text("[project]\n")
    assert name(code_dir=sources.code_dir) not in names


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> VirtualEnv:
    """Create an env without packages."""
    env = VirtualEnv(root=str(tmp_path_factory.mktemp("envs")))
    env.create()
    return env


@pytest.mark.parametrize("kind", ["uv", "current"])
def test_arguments_of_a_command_are_not_changed(
    bare: VirtualEnv, kind: str, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    env: Env = bare if kind == "uv" else CurrentEnv()
    code = (
        "import json, os, sys; "
        "print(json.dumps([sys.argv[1:], os.getcwd(), os.environ['TOY'], sys.prefix]))"
    )
    (tmp_path / "a folder").mkdir()
    given: dict[str, Any] = {"cwd": tmp_path / "a folder", "variables": {"TOY": "$x ü"}}
    seen = json.loads(output_of(env, code, *NASTY, **given))
    prefix = str(bare.folder) if kind == "uv" else sys.prefix
    assert seen == [NASTY, str(tmp_path / "a folder"), "$x ü", prefix]
    env.run_cmd(
        """python -c 'import sys; print(sys.argv[1:])' "$HOME" 'a b' ; ls""",
        log_path=tmp_path / "log",
    )
    assert (tmp_path / "log").read_text() == "['$HOME', 'a b', ';', 'ls']\n", (
        "split without a shell"
    )


def test_output_goes_to_the_console_and_to_a_log(
    bare: VirtualEnv, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code = "import sys; print('ü out', flush=True); print('err', file=sys.stderr)"
    bare.run_cmd(["python", "-c", code])
    assert capsys.readouterr().out == "ü out\nerr\n"
    assert bare.log_path.read_text().endswith("ü out\nerr\n")
    log_path = tmp_path / "deep" / "log"
    bare.run_cmd(["python", "-c", code], log_path=log_path, echo=False)
    assert capsys.readouterr().out == "" and log_path.read_text() == "ü out\nerr\n"


def test_the_log_can_be_followed_while_a_command_runs(bare: VirtualEnv, tmp_path: Path) -> None:
    log_path, go = tmp_path / "log", tmp_path / "go"
    wait = f"while not os.path.exists({str(go)!r}): time.sleep(0.01)"
    code = f"import os, time\nprint('first', flush=True)\n{wait}"

    async def follow() -> None:
        running = asyncio.create_task(bare.run_cmd_async(["python", "-c", code], log_path=log_path))
        await until_async(
            lambda: log_path.exists() and "first" in log_path.read_text(), "it did not start"
        )
        assert not running.done()
        go.touch()
        await running

    asyncio.run(follow())


def test_the_launchers_own_python_settings_do_not_reach_an_env(
    bare: VirtualEnv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    code = "import os; print(os.environ.get('PYTHONPATH'), os.environ['VIRTUAL_ENV'])"
    assert output_of(bare, code) == f"None {bare.folder}\n"
    assert output_of(bare, code, variables={"PYTHONPATH": "/mine"}) == f"/mine {bare.folder}\n"
    bare.run_cmd(["sh", "-c", "command -v python"], log_path=tmp_path / "log")
    assert (tmp_path / "log").read_text() == f"{bare.folder}/bin/python\n"


@pytest.mark.parametrize(
    ("cmd", "error", "message"),
    [
        ("", ValueError, "names no program"),
        ([], ValueError, "names no program"),
        ("python 'x", ValueError, "No closing quotation"),
        ("pythn x", ProcessError, r"no program 'pythn'.*did you mean python"),
        ("python -c 'print(5); raise SystemExit(3)'", ProcessError, "(?s)^5\n.*exit status 3"),
        ("python -c 'raise SystemExit(3)'", ProcessError, "exit status 3 and wrote nothing"),
        ("/no/such/program", ProcessError, "cannot start '/no/such/program'"),
    ],
    ids=["empty", "empty list", "quotes", "unknown", "status", "silent", "path"],
)
def test_a_command_that_cannot_run_or_fails_is_an_error(
    bare: VirtualEnv, cmd: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        bare.run_cmd(cmd)


def test_an_unsolvable_requirement_is_an_error_with_the_installers_message_and_changes_nothing(
    make: MakeEnv,
) -> None:
    declared = make(dependencies=["tiny-demo==9"])
    with pytest.raises(
        ProcessError, match=r"installing tiny-demo==9 failed: error: No solution"
    ) as caught:
        declared.run_cmd("python -V")
    assert "there is no version of tiny-demo==9" in str(caught.value).replace("\n", " ")
    with pytest.raises(ProcessError):
        declared.install_py_deps()

    env = make(env_name="kept")
    env.install_py_deps(["tiny-demo==1.0"])
    for wrong in (["nothing-demo"], ["tiny-demo==2.0"]):
        with pytest.raises(ProcessError):
            env.install_py_deps(wrong)
    assert env.exists(), "packages installed before are kept"
    with no_program_started():
        env.install_py_deps(["tiny-demo==1.0"])


@pytest.mark.parametrize("manager", ["virtualenv"])
def test_the_error_holds_the_message_of_pip(make: MakeEnv, manager: str) -> None:
    with pytest.raises(ProcessError, match="No matching distribution found for tiny-demo==9"):
        make(manager, dependencies=["tiny-demo==9"]).run_cmd("python -V")


CREATE = """
import json, logging, sys
from sandbox.envs.virtual_env import VirtualEnv
from pathlib import Path
logging.basicConfig(level=logging.INFO)
arguments = json.loads(sys.argv[1])
code_dir = arguments.pop("code_dir", None)
env = VirtualEnv(code_dir=Path(code_dir) if code_dir else None, **arguments)
env.create()
env.install_py_deps()
print(env.folder)
"""


@contextmanager
def another(cwd: Path, **arguments: Any) -> Iterator[subprocess.Popen[str]]:
    """Start a process that creates an env."""
    command = [sys.executable, "-c", CREATE, json.dumps(arguments)]
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, cwd=cwd, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as started:
        try:
            yield started
        finally:
            started.kill()


def test_of_two_processes_one_creates_the_env_and_the_other_waits(
    make: MakeEnv, sources: Sources, tmp_path: Path
) -> None:
    arguments = {"index_url": sources.index_url, "code_dir": str(sources.code_dir)}
    (sources.code_dir / "gate").touch()
    with another(tmp_path, **arguments) as first:
        until((sources.code_dir / "here").exists, "nobody installs")
        with another(tmp_path, **arguments) as second:
            assert second.stderr and "waiting to use it" in second.stderr.readline()
            assert second.poll() is None
            (sources.code_dir / "gate").unlink()
            outs = [process.communicate(timeout=60) for process in (first, second)]
            assert [first.returncode, second.returncode] == [0, 0], outs
    env = make(code_dir=sources.code_dir)
    assert env.exists()
    log = env.log_path.read_text()
    assert log.count("creating it") == log.count("installing") == 1
    with no_program_started():
        env.install_py_deps()


def test_an_env_is_created_again_after_its_creator_was_killed(
    make: MakeEnv, sources: Sources, tmp_path: Path
) -> None:
    (sources.code_dir / "gate").touch()
    env = make(code_dir=sources.code_dir)
    with another(tmp_path, index_url=sources.index_url, code_dir=str(sources.code_dir)) as first:
        until((sources.code_dir / "here").exists, "nobody installs")
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
    assert env.folder.is_dir() and not env.exists()
    (env.folder / "junk").touch()
    with another(tmp_path, index_url=sources.index_url, code_dir=str(sources.code_dir)) as second:
        (sources.code_dir / "gate").unlink()
        assert second.wait(60) == 0
    assert env.exists() and not (env.folder / "junk").exists()


def test_an_env_that_was_moved_or_lost_its_interpreter_is_created_again(
    make: MakeEnv, tmp_path: Path
) -> None:
    env = make()
    env.create()
    shutil.move(tmp_path / "outputs", tmp_path / "moved")
    moved = make(root="moved/envs")
    assert moved.folder.is_dir() and not moved.exists() and not env.exists()
    moved.create()
    assert moved.exists()
    (moved.folder / "bin" / "python").unlink()
    (moved.folder / "bin" / "python").symlink_to("/no/such/python")
    assert not moved.exists()
    moved.run_cmd("python -V")
    assert moved.exists()


@pytest.mark.parametrize("manager", ["uv", "virtualenv"])
def test_an_env_elsewhere_is_used_as_it_is(make: MakeEnv, tmp_path: Path, manager: str) -> None:
    made = make(manager)
    made.create()
    mine = tmp_path / "mine"
    with_pip = [sys.executable, "-m", "virtualenv", "-q", "--no-periodic-update", str(mine)]
    subprocess.run(with_pip, check=True)
    before = sorted(mine.rglob("*"))
    env = make(manager, env_name=str(mine))
    assert env.exists() and env.folder == mine
    with no_program_started():
        env.create()
    assert output_of(env, "import sys; print(sys.prefix)") == f"{mine}\n"
    assert [path for path in sorted(mine.rglob("*")) if path.name != "__pycache__"] == [
        path for path in before if path.name != "__pycache__"
    ]
    (problem,) = problems_of(VirtualEnv, env_name=str(mine), dependencies=["tiny-demo"])
    assert problem.kind == "rule"
    assert "nothing is installed unless install is true; given: tiny-demo" in problem.text
    asked = make(manager, env_name=str(mine), dependencies=["tiny-demo"], install=True)
    assert output_of(asked, "import tiny_demo; print(tiny_demo.VERSION)").endswith("2.0\n")
    with no_program_started():
        asked.install_py_deps()
    assert (mine / "bin" / "pip").exists(), "packages installed before are kept"


@pytest.mark.parametrize(
    ("arguments", "where", "kind"),
    [
        ({"env_manager": "pipenv"}, "env_manager", "wrong_type"),
        ({"python": "three"}, None, "rule"),
        ({"env_name": ""}, None, "rule"),
        ({"index_credentials": "${oc.env:HOME}"}, None, "rule"),
        ({"index_url": "https://me:pw@example.org/simple"}, "index_url", "secret"),
        (
            {"extra_index_urls": ["https://token@example.org/simple"]},
            "extra_index_urls.0",
            "secret",
        ),
        (
            {"dependencies": ["six", "x @ git+https://me:pw@example.org/x.git"]},
            "dependencies.1",
            "secret",
        ),
    ],
    ids=["manager", "python", "name", "credentials", "index", "extra index", "dependency"],
)
def test_the_plan_refuses_a_wrong_argument(arguments: Any, where: str | None, kind: str) -> None:
    problems = problems_of(VirtualEnv, **arguments)
    assert kind in {problem.kind for problem in problems}
    assert where is None or where in {problem.where for problem in problems}
    assert not any(text in str(problems) for text in ("pw", "token@"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"python": "3.99", "env_manager": "venv"},
            r"no python3.99 on the PATH; available: .*env_manager uv",
        ),
        ({"python": "/no/python"}, "no interpreter /no/python"),
        ({"requirements_path": Path("nope.txt")}, "nope.txt is not a file"),
        ({"code_dir": Path("simple")}, "simple has neither pyproject.toml nor setup.py"),
        ({"code_dir": Path("nope")}, "nope is not a folder"),
        ({"env_name": "./simple"}, "simple is not an env made by uv"),
        ({"dependencies": ["--pre"]}, "'--pre' is not a package"),
    ],
    ids=["python", "interpreter", "requirements", "no project", "no folder", "no env", "option"],
)
def test_a_missing_thing_is_found_before_anything_runs(
    make: MakeEnv, arguments: Any, message: str, tmp_path: Path
) -> None:
    for ask in ("check", "create"):
        with pytest.raises(ValueError, match=message):
            getattr(make(**arguments), ask)()
    assert not [
        path for path in (tmp_path / "outputs").rglob("*") if path.is_dir() and path.name != "envs"
    ]


def test_other_kinds_of_deps_are_refused(make: MakeEnv) -> None:
    with pytest.raises(
        ValueError, match=r"neither a requirements file nor the folder.*\['torch'\]"
    ):
        make().install_py_deps("torch")
    with pytest.raises(ValueError, match="the URL of a package holds a login"):
        make().install_py_deps(["x @ git+https://me:pw@example.org/x.git"])
    with pytest.raises(ValueError, match="the launcher's own env; choose another"):
        CurrentEnv().install_py_deps(["torch"])


def test_an_unknown_version_of_python_is_an_error(make: MakeEnv) -> None:
    with pytest.raises(ProcessError, match=r"creating it failed: .*3\.99"):
        make(python="3.99").create()
    assert not make(python="3.99").exists()


def test_the_message_for_a_missing_manager_has_a_remedy(
    make: MakeEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = managers.find
    monkeypatch.setattr(managers, "find", lambda name: None if name == "uv" else real(name))
    env = make()
    assert not env.check_availability()
    for ask in (env.check, env.create):
        with pytest.raises(
            ValueError, match=r"uv was not found: pip install uv, or choose .*virtualenv, venv"
        ):
            ask()


@pytest.mark.parametrize("manager", ["uv", "virtualenv"])
def test_a_password_reaches_the_installer_and_nothing_else(
    make: MakeEnv,
    manager: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("PIP_RETRIES", "UV_HTTP_RETRIES"):
        monkeypatch.setenv(name, "0")
    env = make(
        manager,
        index_url="http://127.0.0.1:9/simple",
        index_credentials="me:pass word",
        dependencies=["tiny-demo"],
    )
    assert env.indexes.variables()["PIP_INDEX_URL"] == "http://me:pass%20word@127.0.0.1:9/simple"
    with pytest.raises(ProcessError) as caught:
        env.run_cmd("python -V")
    written = [
        path.read_text(errors="replace")
        for path in (tmp_path / "outputs").rglob("*")
        if path.is_file()
    ]
    for text in (str(caught.value), repr(env), *capfd.readouterr(), env.describe(), *written):
        assert "pass%20word" not in text and "pass word" not in text


@pytest.mark.parametrize("manager", ["uv", "virtualenv"])
def test_an_index_with_a_login_is_installed_from(
    make: MakeEnv, manager: str, sources: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    login = "Basic " + b64encode(b"me:pa:ss word").decode()

    class Index(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers.get("Authorization") == login:
                super().do_GET()
            else:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="packages"')
                self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Keep the test's output quiet."""

    folder = sources.requirements_path.parent
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Index, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        env = make(
            manager,
            index_url=f"http://127.0.0.1:{server.server_port}/simple",
            index_credentials="me:pa:ss word",
            dependencies=["tiny-demo==1.0"],
        )
        try:
            env.install_py_deps()
        finally:
            server.shutdown()
    assert output_of(env, "import tiny_demo; print(tiny_demo.VERSION)") == "1.0\n"


def test_the_router_has_every_manager_of_the_guide() -> None:
    for manager in ("conda", "mamba", "micromamba", "venv", "virtualenv", "uv"):
        env = ENV_ROUTER[manager](env_name="x", env_manager=manager)  # type: ignore[arg-type]
        assert env.env_manager == manager and env.folder.name.startswith("x-")
        assert env.check_availability() is (managers.find(manager) is not None)


@pytest.mark.slow
@pytest.mark.parametrize("manager", ["uv", "virtualenv"])
def test_the_configured_index_has_packages(manager: Any, tmp_path: Path) -> None:
    """Install with the machine's own settings of pip and uv."""
    env = VirtualEnv(env_manager=manager, dependencies=["pyjokes==0.8.3"], root=str(tmp_path))
    try:
        env.create()
        env.install_py_deps()
    except ProcessError as error:
        pytest.skip(f"no package index can be reached: {str(error).splitlines()[0]}")
    env.run_cmd("python -c 'import pyjokes; print(pyjokes.get_joke())'")
    assert (env.folder / "sandbox_env.lock.txt").read_text().endswith("pyjokes==0.8.3\n")
