"""Programs: their arguments and environment, their end, and that nothing of them is left."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from toy_project import alive, until, until_async

from sandbox.system import process
from sandbox.system.process import Dialogue, ProcessError


def python(code: str, *arguments: str) -> list[str]:
    """A command that runs Python code."""
    return [sys.executable, "-c", code, *arguments]


def test_arguments_environment_and_folder_reach_the_program_as_they_are(
    tmp_path: Path,
) -> None:
    code = "import os, sys; print(sys.argv[1:], os.environ['TOY'], os.getcwd())"
    arguments = ["$HOME", "a b", "'\"", ";rm", "*", "ü\n", ""]
    log = tmp_path / "deep" / "log.txt"
    process.run(
        python(code, *arguments),
        log_path=log,
        variables={"TOY": "$x y"},
        cwd=tmp_path,
    )
    assert log.read_text() == f"{arguments} $x y {tmp_path}\n"


def test_output_and_errors_are_appended_to_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text("before\n")
    process.run(
        python("import sys; print('out', flush=True); print('err', file=sys.stderr)"), log_path=log
    )
    assert log.read_text() == "before\nout\nerr\n"


def test_a_variable_can_be_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY", "here")
    process.run(
        python("import os; print('TOY' in os.environ)"),
        log_path=tmp_path / "log",
        variables={"TOY": None},
    )
    assert (tmp_path / "log").read_text() == "False\n"


def test_output_can_be_repeated_on_the_console(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.txt"
    log.write_text("before\n")
    process.run(python("print('out ü')"), log_path=log, echo=True)
    with pytest.raises(ProcessError):
        process.run(python("print('last'); 1/0"), log_path=log, echo=True)
    output = capsys.readouterr().out
    assert output.startswith("out ü\nlast\n") and "ZeroDivisionError" in output
    assert log.read_text() == f"before\n{output}"


def test_a_failure_quotes_the_program_and_no_earlier_lines_of_the_log(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log.txt"
    log.write_text("lines of another program\n")
    with pytest.raises(ProcessError) as caught:
        process.run(python("raise SystemExit(4)"), log_path=log)
    assert "wrote nothing" in str(caught.value) and "another" not in str(caught.value)


def test_the_last_line_of_a_failed_program_is_quoted_once(tmp_path: Path) -> None:
    with pytest.raises(ProcessError) as caught:
        process.run(
            python("print('before'); raise SystemExit('the mistake')"), log_path=tmp_path / "log"
        )
    lines = str(caught.value).splitlines()
    assert lines[0] == "the mistake" and lines[-1] == "before" and lines.count("the mistake") == 1


def test_standard_input_is_empty(tmp_path: Path) -> None:
    process.run(python("import sys; assert sys.stdin.read() == ''"), log_path=tmp_path / "log")


@pytest.mark.parametrize(
    ("code", "status", "texts"),
    [
        ("print('last words'); raise SystemExit(3)", 3, ["last words", "exit status 3"]),
        ("import os; os.kill(os.getpid(), 9)", -9, ["SIGKILL", "out of memory"]),
        ("import os; os.abort()", -6, ["SIGABRT"]),
        ("print('x\\n' * 100 + 'the end'); 1/0", 1, ["ZeroDivisionError", "the end"]),
        ("raise SystemExit(4)", 4, ["exit status 4 and wrote nothing"]),
    ],
    ids=["status", "killed", "aborted", "traceback", "silent"],
)
def test_a_failure_names_the_command_the_status_the_log_and_its_end(
    tmp_path: Path, code: str, status: int, texts: list[str]
) -> None:
    log = tmp_path / "log.txt"
    with pytest.raises(ProcessError) as caught:
        process.run(python(code), log_path=log)
    assert caught.value.returncode == status
    for part in [*texts, str(log), sys.executable]:
        assert part in str(caught.value)
    assert len(str(caught.value).splitlines()) < 30
    assert texts[0] in str(caught.value).splitlines()[0] and str(caught.value).count(str(log)) == 1


def test_a_program_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProcessError, match="no-such-program") as caught:
        process.run(["no-such-program"], log_path=tmp_path / "log.txt")
    assert caught.value.returncode == 127
    assert str(caught.value).startswith("cannot start 'no-such-program': No such file")
    with pytest.raises(ProcessError, match="no-such-folder"):
        process.run(python(""), log_path=tmp_path / "log.txt", cwd=tmp_path / "no-such-folder")


def test_programs_that_a_program_started_end_with_it(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid)\n"
    )
    log = tmp_path / "log.txt"
    process.run(python(code), log_path=log)
    pid = int(log.read_text())
    until(lambda: not alive(pid), "the grandchild goes on", 10)


def test_a_cancelled_program_is_ended_also_if_it_ignores_sigterm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_GRACE_S", 0.5)
    code = (
        "import os, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print(os.getpid(), flush=True)\ntime.sleep(60)"
    )
    log = tmp_path / "log.txt"

    async def cancel() -> None:
        running = asyncio.create_task(process.run_async(python(code), log_path=log))
        await until_async(
            lambda: log.exists() and log.read_text().endswith("\n"), "it did not start"
        )
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(cancel())
    assert not alive(int(log.read_text()))


@pytest.mark.parametrize("ignored", [False, True], ids=["obedient", "ignores SIGTERM"])
def test_a_program_and_what_it_started_end_with_a_killed_launcher(
    tmp_path: Path, ignored: bool
) -> None:
    program = (
        "import os, signal, subprocess, sys, time\n"
        f"{ignored} and signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(os.getpid(), os.getppid(), child.pid, flush=True)\n"
        "time.sleep(60)"
    )
    log = tmp_path / "log.txt"
    launch = (
        "import sys; from pathlib import Path; from sandbox.system import process\n"
        "process.run([sys.executable, '-c', sys.argv[1]], log_path=Path(sys.argv[2]))"
    )
    launcher = subprocess.Popen(python(launch, program, str(log)))
    until(lambda: log.exists() and log.read_text().endswith("\n"), "it did not start")
    launcher.kill()
    launcher.wait()
    pids = [int(pid) for pid in log.read_text().split()]
    until(lambda: not any(alive(pid) for pid in pids), "something goes on", 10)


def test_a_program_gets_no_descriptor_of_its_supervisor(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    code = "import os; print(len(os.listdir('/dev/fd')))"
    process.run(python(code), log_path=log)
    plain = subprocess.run(python(code), close_fds=False, capture_output=True, check=True)
    assert log.read_bytes() == plain.stdout


def test_a_program_is_in_a_session_of_its_own(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    process.run(python("import os; print(os.getsid(0))"), log_path=log)
    assert int(log.read_text()) != os.getsid(0)


def test_the_tail_of_a_log_is_its_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_bytes(b"\xff broken\n" + b"".join(b"%d\n" % i for i in range(100_000)))
    assert process.tail(log, 2) == "99998\n99999"
    log.write_text("")
    assert process.tail(log) == ""


ECHO = "import sys\nfor line in sys.stdin: print(line.strip() * 2, flush=True)"


def test_a_dialogue_answers_lines_with_lines(tmp_path: Path) -> None:
    dialogue = Dialogue(python(ECHO), log_path=tmp_path / "log")
    assert dialogue.ask("a\nü\n", 2) == ["aa", "üü"]
    assert dialogue.ask("b\n", 1) == ["bb"]
    assert dialogue.ask("", 0) == []
    dialogue.close()
    dialogue.close()
    assert (tmp_path / "log").read_text() == ""


def test_a_dialogue_takes_more_than_a_pipe_holds(tmp_path: Path) -> None:
    dialogue = Dialogue(python(ECHO), log_path=tmp_path / "log")
    answers = dialogue.ask(f"{'x' * 99}\n" * 10_000, 10_000)
    assert answers == ["x" * 198] * 10_000
    dialogue.close()


def test_a_dialogue_whose_program_ends_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    code = "import sys; print(sys.stdin.readline(), end='', flush=True); sys.exit('no more')"
    (tmp_path / "log").write_text("before\n")
    dialogue = Dialogue(python(code), log_path=tmp_path / "log")
    assert dialogue.ask("a\n", 1) == ["a"]
    with pytest.raises(ProcessError, match=r"^no more\n") as caught:
        dialogue.ask("b\n", 1)
    assert caught.value.returncode == 1
    assert "before" not in str(caught.value)


def test_the_program_of_a_dialogue_must_exist(tmp_path: Path) -> None:
    dialogue = Dialogue(["no-such-program"], log_path=tmp_path / "log")
    with pytest.raises(ProcessError, match="cannot start 'no-such-program'"):
        dialogue.ask("hello\n", 1)


def test_a_dialogue_ends_with_its_owner_however_that_ends(tmp_path: Path) -> None:
    owner_code = """
import os, sys
from pathlib import Path
from sandbox.system.process import Dialogue
dialogue = Dialogue([sys.executable, "-c", sys.argv[1]], log_path=Path(sys.argv[2]))
print(dialogue.ask("\\n", 1)[0], flush=True)
sys.stdin.read()
"""
    program = "import os, sys\nfor line in sys.stdin: print(os.getpid(), flush=True)"
    command = python(owner_code, program, str(tmp_path / "log"))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        assert alive(pid)
        owner.kill()
    until(lambda: not alive(pid), "the program outlived its owner")


def test_a_dialogue_does_not_hold_the_lock_of_a_claim(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "lock", os.O_CREAT | os.O_RDWR)
    os.set_inheritable(descriptor, True)
    code = f"""
import os, sys
for line in sys.stdin:
    try: print(os.fstat({descriptor}), flush=True)
    except OSError: print("closed", flush=True)
"""
    dialogue = Dialogue(python(code), log_path=tmp_path / "log")
    assert dialogue.ask("\n", 1) == ["closed"]
    dialogue.close()
    os.close(descriptor)
