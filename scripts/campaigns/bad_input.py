"""Wrong inputs of many classes: each must end at once, with one short message and the right status.

    python scripts/campaigns/bad_input.py --rounds 700 --seed 1

A try writes a user's project into a new folder and runs the command line there, in a fork that has
imported everything. Required of each: the exit status (2: wrong config or command, 1: a job has
failed); no traceback; no hang; at most 4 KB of output; the key or file is named; nothing is written
outside ``outputs``, and no file at all where the status is 2.
"""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from pathlib import Path

os.environ |= {"SANDBOX_ALLOW_TARGETS": "bad_input_toys.*", "OMP_NUM_THREADS": "1"}
os.environ["HYDRA_FULL_ERROR"] = ""

from bad_input_kinds import KINDS
from bad_input_try import Try
from campaign import Campaign, campaign, forked

HERE = Path(__file__).parent
LONGEST_OUTPUT = 4096
LONGEST_S = 120  # a run of 2 CPU seconds took 30 s on a machine with 14 times its load


def main() -> int:
    """Make the tries that the command line asks for."""
    asked = campaign("bad_input", rounds=700)
    preload()
    for number, draw in asked.tries():
        # In turn, so that every class has its share.
        kind = list(KINDS)[number % len(KINDS)]
        attempt = KINDS[kind](draw)
        asked.figures["tries"] += 1
        with tempfile.TemporaryDirectory(prefix="bad_input_") as folder:
            make(asked, number, kind, attempt, Path(folder))
    return asked.end()


def preload() -> None:
    """Import what a run imports, so that every try finds it there."""
    import hydra.core.plugins
    import numpy  # noqa: F401
    import pyarrow.parquet  # noqa: F401

    import sandbox.__main__
    import sandbox.cli.run
    import sandbox.evaluators.near_duplicates
    import sandbox.evaluators.text_diversity
    import sandbox.running.explain
    import sandbox.running.pipeline
    import sandbox.watchers.open_watcher  # noqa: F401

    hydra.core.plugins.Plugins.instance()


def make(asked: Campaign, number: int, kind: str, attempt: Try, folder: Path) -> None:
    """Make one try and note what is wrong with its outcome."""
    project, output = folder / "project", folder / "output"
    write(attempt, folder)
    before, top = files(folder), {*Path("/").iterdir()}
    code = forked(lambda: command(attempt, project), output, LONGEST_S)
    text = output.read_text(encoding="utf-8", errors="replace")
    output.unlink()
    made = {path for path in files(folder) - before if not is_result(path, attempt, project, code)}
    wrong = list(faults(attempt, code, text))
    if made or {*Path("/").iterdir()} != top:
        wrong.append(f"wrote {sorted(map(str, made))[:3]}")
    asked.figures[f"exit status {code}"] += 1
    asked.figures["tracebacks"] += "Traceback" in text
    asked.figures["hangs"] += code is None
    asked.figures["wrong exit status"] += code not in attempt.expected
    if wrong:
        words = shlex.join(attempt.words)[:600]
        shown = "\n  ".join([f"sandbox {words}", *attempt.shown(), "printed:", text[-500:]])
        asked.fail(number, f"{kind}: {'; '.join(wrong)}", shown)


def faults(attempt: Try, code: int | None, text: str) -> list[str]:
    """Return what is wrong with an exit status and an output."""
    found = []
    if code is None:
        return ["hangs"]
    if code not in attempt.expected:
        found.append(f"exit status {code}, expected {' or '.join(map(str, attempt.expected))}")
    if "Traceback" in text:
        found.append("a traceback")
    if code and len(text.encode()) > LONGEST_OUTPUT:
        found.append(f"{len(text.encode())} bytes of output")
    if code and not any(name in text for name in attempt.named):
        found.append(f"names none of {attempt.named}")
    return found


def write(attempt: Try, folder: Path) -> None:
    """Write the project of a try, and the user's allow file."""
    (folder / "project" / "conf").mkdir(parents=True)
    for name, content in attempt.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.mkdir()
        else:
            path.write_bytes(content)


def command(attempt: Try, project: Path) -> int:
    """Run the command line in the present process, a fork."""
    os.chdir(project)
    settings = project.parent / "settings"
    os.environ |= {"HOME": str(project.parent), "XDG_CONFIG_HOME": str(settings)}
    if attempt.is_fresh:
        os.environ["PYTHONPATH"] = str(HERE)
        os.execv(sys.executable, [sys.executable, "-m", "sandbox", *attempt.words])
    from sandbox.__main__ import main as run

    sys.argv = ["sandbox", *attempt.words]
    return run()


def files(folder: Path) -> set[Path]:
    """Return all files below a folder."""
    return {path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()}


def is_result(path: Path, attempt: Try, project: Path, code: int | None) -> bool:
    """Return True for a file that a run may have written."""
    has_run = code in (0, 1) or "--multirun" in attempt.words
    return has_run and path.is_relative_to(project / "outputs")


if __name__ == "__main__":
    sys.exit(main())
