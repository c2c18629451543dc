"""Warm workers: forks behave like processes of their own, and nobody outlives anybody."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from toy_project import alive, until, until_async

from sandbox.system import process, warm
from sandbox.system.process import ProcessError
from sandbox.system.usage import UsageMeter

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks are used on Linux only")

Run = Callable[..., str]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for workers, whose parents end with the test."""
    path = tmp_path / "workers"
    path.mkdir()
    yield path
    for parent in warm._parents.values():
        if parent:
            parent.close()
    warm._parents.clear()


@pytest.fixture
def run(folder: Path, tmp_path: Path) -> Run:
    """Write a worker, run it as a fork, and return its log."""

    def go(code: str, name: str = "toy", **options: object) -> str:
        log = tmp_path / "log"
        log.unlink(missing_ok=True)
        asyncio.run(start(folder, code, log, name, **options))
        return log.read_text()

    return go


async def start(folder: Path, code: str, log: Path, name: str = "toy", **options: object) -> None:
    """Write a worker and run it as a fork."""
    program = folder / f"{name}.py"
    program.write_text(f"{code}\n")
    command: list[str | Path] = [sys.executable, program, "a b"]
    given: Any = {"starter": warm.start, **options}
    await process.run_async(command, log_path=log, **given)


def parents() -> list[int]:
    """Process ids of the running fork servers."""
    found = []
    for parent in warm._parents.values():
        if parent:
            with contextlib.suppress(psutil.NoSuchProcess):
                found += [child.pid for child in psutil.Process(parent._process.pid).children()]
    return found


PRELOADED = """
import os
LOADED_BY = os.getpid()
"""


def test_a_fork_finds_loaded_what_its_parent_has_loaded(run: Run, folder: Path) -> None:
    (folder / "heavy.py").write_text(PRELOADED)
    code = "import os, heavy\nif __name__ == '__main__': print(heavy.LOADED_BY, os.getpid())"
    first, second = run(code).split(), run(code).split()
    assert first[0] == second[0] and first[0] != first[1] != second[1]


def test_preload_runs_in_the_parent_in_an_unchanged_environment(run: Run) -> None:
    code = (
        "import os, sys\n"
        "def preload():\n"
        "    global loaded; loaded = os.getpid(); os.environ['CHANGED'] = '1'\n"
        "if __name__ == '__main__':\n"
        "    print(sys.modules['toy'].loaded != os.getpid(), 'CHANGED' in os.environ)"
    )
    assert run(code) == "True False\n"


def test_a_fork_has_arguments_folder_variables_and_a_session(run: Run, tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "if __name__ == '__main__':\n"
        "    print(sys.argv[1:], os.getcwd(), os.environ['TOY'], os.getsid(0) == os.getppid())\n"
        "    print(repr(sys.stdin.read()), len(os.listdir('/dev/fd')), sys.path[0])"
    )
    options = {"variables": {"TOY": "x"}, "cwd": tmp_path}
    assert run(code, **options) == run(code, starter=None, **options)
    assert run(code, **options).startswith(f"['a b'] {tmp_path} x True\n''")


def test_other_variables_have_another_parent(run: Run) -> None:
    code = "import os\nvalue = os.environ['TOY']\nif __name__ == '__main__': print(value)"
    assert [run(code, variables={"TOY": value}) for value in "abca"] == [
        *("a\n", "b\n", "c\n", "a\n")
    ]
    assert len(warm._parents) == 2


@pytest.mark.parametrize(
    ("code", "status", "text"),
    [
        ("import os; __name__ == '__main__' and os._exit(3)", 3, "exit status 3"),
        ("__name__ == '__main__' and exit('the mistake')", 1, "the mistake"),
        ("import os; __name__ == '__main__' and os.abort()", -6, "SIGABRT"),
        ("import os; __name__ == '__main__' and os.kill(os.getpid(), 9)", -9, "out of memory"),
        ("__name__ == '__main__' and 1 / 0", 1, "ZeroDivisionError"),
        ("import no_such_module", 1, "No module named 'no_such_module'"),
        ("def preload(): raise ValueError('early')\npreload()", 1, "ValueError: early"),
    ],
)
def test_a_worker_that_fails_takes_no_other_with_it(
    run: Run, code: str, status: int, text: str
) -> None:
    run("pass", "other")
    with pytest.raises(ProcessError, match=text) as error:
        run(code)
    assert error.value.returncode == status
    assert run("if __name__ == '__main__': print('fine')", "other") == "fine\n"
    assert len(parents()) == 1


def test_atexit_and_random_numbers_are_those_of_a_new_process(run: Run) -> None:
    code = (
        "import atexit, random\n"
        "if __name__ == '__main__':\n"
        "    atexit.register(print, 'bye'); print(random.random())"
    )
    first, second = run(code).split(), run(code).split()
    assert first[1] == "bye" and first[0] != second[0]


def test_a_parent_with_threads_is_not_forked(run: Run) -> None:
    code = (
        "import os, threading, time\n"
        "if __name__ == '__main__': print(open(f'/proc/{os.getppid()}/cmdline').read())\n"
        "else: threading.Thread(target=time.sleep, args=(60,), daemon=True).start()"
    )
    assert "supervisor.py" in run(code)
    assert parents() == []


def test_a_worker_goes_on_without_its_parent_and_the_next_one_has_a_new_parent(
    folder: Path, tmp_path: Path
) -> None:
    code = "import time\nif __name__ == '__main__': print('here', flush=True); time.sleep({})"
    log = tmp_path / "log"

    async def lose_the_parent() -> None:
        running = asyncio.create_task(start(folder, code.format(0.5), log))
        await until_async(lambda: log.exists() and "here" in log.read_text(), "no worker")
        (parent,) = parents()
        os.kill(parent, signal.SIGKILL)
        await running
        await start(folder, code.format(0), log)
        assert parents() != [parent]

    asyncio.run(lose_the_parent())
    assert log.read_text() == "here\nhere\n"


def test_a_cancelled_worker_is_ended_with_what_it_started(folder: Path, tmp_path: Path) -> None:
    code = (
        "import os, subprocess, time\n"
        "if __name__ == '__main__':\n"
        "    print(os.getpid(), subprocess.Popen(['sleep', '60']).pid, flush=True); time.sleep(60)"
    )
    log = tmp_path / "log"

    async def cancel() -> None:
        running = asyncio.create_task(start(folder, code, log))
        await until_async(lambda: log.exists() and log.read_text().endswith("\n"), "no worker")
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(cancel())
    pids = [int(pid) for pid in log.read_text().split()]
    until(lambda: not any(alive(pid) for pid in pids), "something goes on", 10)


def test_parent_and_worker_end_with_a_killed_launcher(folder: Path, tmp_path: Path) -> None:
    (folder / "toy.py").write_text(
        "import os, time\n"
        "if __name__ == '__main__': print(os.getpid(), os.getppid(), flush=True); time.sleep(60)"
    )
    launch = (
        "import asyncio, sys; from pathlib import Path; from sandbox.system import process, warm\n"
        "asyncio.run(process.run_async([sys.executable, sys.argv[1]], log_path=Path(sys.argv[2]),"
        " starter=warm.start))"
    )
    log = tmp_path / "log"
    launcher = subprocess.Popen([sys.executable, "-c", launch, folder / "toy.py", log])
    until(lambda: log.exists() and log.read_text().endswith("\n"), "it did not start")
    pids = [child.pid for child in psutil.Process(launcher.pid).children(recursive=True)]
    assert {int(pid) for pid in log.read_text().split()} < {*pids}
    launcher.kill()
    launcher.wait()
    until(lambda: not any(alive(pid) for pid in pids), "something goes on", 10)


def test_a_fork_holds_the_locks_that_a_program_inherits(folder: Path, tmp_path: Path) -> None:
    lock = os.open(tmp_path / "lock", os.O_CREAT | os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.set_inheritable(lock, True)
    code = "import os\nif __name__ == '__main__': print(len(os.listdir('/dev/fd')))"
    log = tmp_path / "log"
    asyncio.run(start(folder, code, log))
    os.close(lock)
    asyncio.run(start(folder, code, log))
    first, second = map(int, log.read_text().split())
    assert first == second + 1


@pytest.mark.slow
def test_the_memory_of_the_parent_stays_flat(run: Run) -> None:
    code = "x = bytearray(10_000_000) if __name__ == '__main__' else None"
    for _ in range(20):
        run(code)
    (parent,) = parents()
    before = psutil.Process(parent).memory_info().rss
    for _ in range(200):
        run(code)
    assert parents() == [parent]
    assert psutil.Process(parent).memory_info().rss - before < 1_000_000


def test_what_a_fork_uses_counts_once(run: Run) -> None:
    work = "held = bytearray(700 * 2**20)\n    while time.process_time() < 0.5: pass"
    code = f"import time\nif __name__ == '__main__':\n    {work}"
    with UsageMeter() as meter:
        run(code)
        usage = meter.usage()
    assert usage.cpu_seconds >= 0.5
    assert 700 <= usage.peak_memory_mb < 2000
    with UsageMeter() as meter:
        for parent in warm._parents.values():
            assert parent
            parent.close()
        warm._parents.clear()
        usage = meter.usage()
    assert usage.cpu_seconds < 0.5
