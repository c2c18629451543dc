"""Owners observed from the same host and from another one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from toy_project import ROOT, until

from sandbox.system import liveness
from sandbox.system.liveness import Heartbeat, Observer, Owner, OwnerState, exclusive

BEATING = """
import sys
from pathlib import Path
from sandbox.system.liveness import Heartbeat
with Heartbeat(Path(sys.argv[1])):
    print("alive", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDBOX_LOST_AFTER_S", "0.6")


@contextmanager
def beating(path: Path, host: str) -> Iterator[subprocess.Popen[str]]:
    """A process that shows in a file that it is alive."""
    variables = {**os.environ, "SANDBOX_HOST": host, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", BEATING, str(path)]
    with subprocess.Popen(
        command, env=variables, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "alive\n"
        yield process
        process.kill()


def test_an_owner_that_has_not_started_is_unseen(tmp_path: Path) -> None:
    assert Observer(tmp_path / "alive.json").state() is OwnerState.UNSEEN


def test_an_owner_of_this_process_is_alive_until_its_block_ends(tmp_path: Path) -> None:
    with Heartbeat(tmp_path / "alive.json") as heartbeat:
        assert Observer(heartbeat.path).is_alive()
        owner = Owner.read(heartbeat.path)
        assert owner and owner.pid == os.getpid() and owner.is_here
    assert Observer(heartbeat.path).state() is OwnerState.ENDED


def test_a_killed_owner_of_this_host_has_ended_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SANDBOX_LOST_AFTER_S", "1000")
    path = tmp_path / "alive.json"
    with beating(path, liveness.this_host()) as process:
        assert Observer(path).is_alive()
        process.kill()
        process.wait()
        assert Observer(path).state() is OwnerState.ENDED


def test_a_suspended_owner_of_this_host_is_alive(tmp_path: Path) -> None:
    path = tmp_path / "alive.json"
    with beating(path, liveness.this_host()) as process:
        process.send_signal(signal.SIGSTOP)
        observer = Observer(path)
        until(lambda: observer.is_alive() and observer.observed_s > 1.5, "it counts as lost")


def test_an_owner_elsewhere_is_silent_after_a_while_without_a_heartbeat(tmp_path: Path) -> None:
    path = tmp_path / "alive.json"
    with beating(path, "another") as process:
        observer = Observer(path)
        until(lambda: observer.is_alive() and observer.observed_s > 1.5, "it counts as lost")
        process.send_signal(signal.SIGSTOP)
        until(lambda: observer.state() is OwnerState.SILENT, "its silence is not noticed")
        process.send_signal(signal.SIGCONT)
        until(observer.is_alive, "its return is not noticed")


def test_an_owner_elsewhere_that_ended_in_order_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SANDBOX_LOST_AFTER_S", "1000")
    path = tmp_path / "alive.json"
    with beating(path, "another") as process:
        assert Observer(path).is_alive()
        process.communicate("")
        assert Observer(path).state() is OwnerState.ENDED


def test_a_new_owner_of_a_file_replaces_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "alive.json"
    observer = Observer(path)
    with Heartbeat(path):
        assert observer.is_alive()
    with Heartbeat(path):
        assert observer.is_alive()
    assert observer.state() is OwnerState.ENDED


def test_a_damaged_file_names_no_owner(tmp_path: Path) -> None:
    path = tmp_path / "owner.json"
    for text in ("", "[]", "{", '{"pid": 1}', '{"host": 1, "more": 2}'):
        path.write_text(text)
        assert Owner.read(path) is None


@pytest.mark.parametrize("given", ["0", "-1", "soon", "nan"])
def test_the_time_without_a_heartbeat_is_a_positive_number(
    monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv("SANDBOX_LOST_AFTER_S", given)
    with pytest.raises(ValueError, match=f"SANDBOX_LOST_AFTER_S: .*{given}"):
        liveness.lost_after_s()


def test_steps_that_exclude_each_other_come_one_after_another(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from sandbox.system.liveness import exclusive\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "for _ in range(50):\n"
        "    with exclusive(path.with_suffix('.lock')):\n"
        "        path.write_text(str(int(path.read_text()) + 1))\n"
    )
    path = tmp_path / "count.txt"
    path.write_text("0")
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, str(path)]
    both = [subprocess.Popen(command, env=variables) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    with exclusive(path.with_suffix(".lock")):
        assert path.read_text() == "100"
