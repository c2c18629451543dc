"""CPU seconds of the launcher itself, over a bare Hydra app.

    python scripts/bench/overhead.py                      help, a mistake, an empty pipeline
    python scripts/bench/overhead.py +experiment=demo     … and a run with everything recorded

Every command runs several times, in turn with the bare app; medians of user + system time, children
included. The run that is named must have been done before in the working directory, so that nothing
is left to run.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROUNDS = 7
BARE = "import hydra\n@hydra.main(config_path=None)\ndef main(cfg): pass\nmain()\n"
SAME = """
import hydra
from sandbox.hydra_search_path import CONFIG_PATH
from sandbox.planning.resolvers import register_resolvers
register_resolvers()
@hydra.main(config_path=CONFIG_PATH, config_name="config")
def main(cfg): pass
main()
"""


def cpu_seconds(argv: list[str], cwd: Path) -> float:
    """User + system seconds of one program and the programs that it started."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(argv, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print a line a command: its median, the bare app's, and the difference."""
    recorded = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        bare, same = Path(folder, "bare.py"), Path(folder, "same.py")
        bare.write_text(BARE)
        same.write_text(SAME)
        run = [sys.executable, "-m", "sandbox"]
        cases = [
            ("--help", [*run, "--help"], [str(bare), "--help"], Path(folder)),
            ("unknown experiment", [*run, "+experiment=nope"], [str(bare)], Path(folder)),
            (
                "wrong argument",
                [*run, "+experiment=demo", "+jobs.train.executor.x=1"],
                [str(bare)],
                Path(folder),
            ),
            ("empty pipeline", [*run, "+pipelines.main={}"], [str(bare)], Path(folder)),
        ]
        if recorded:
            cases.append(("all recorded", [*run, *recorded], [str(same), *recorded], Path.cwd()))
        for name, argv, against, cwd in cases:
            pairs = [
                (cpu_seconds(argv, cwd), cpu_seconds([sys.executable, *against], cwd))
                for _ in range(ROUNDS)
            ]
            ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
            print(f"{name:<20} {ours:.2f} CPU-s, bare app {theirs:.2f}: {ours - theirs:+.2f}")


if __name__ == "__main__":
    main()
