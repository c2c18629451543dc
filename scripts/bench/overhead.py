"""CPU seconds of the launcher itself, over a bare Hydra app that composes the same config.

    python scripts/bench/overhead.py                            what runs nothing
    python scripts/bench/overhead.py [--rounds 5] +experiment=internvl_coco +debug=smoke
                                                … and a run with everything recorded

Every command runs several times, in turn with the bare app, which gets the same words; medians of
user + system time, children included. Modules are compiled before, as those of an installed
package are. The run that is named must have been done before in the working directory, so that
nothing is left to run.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

_ROUNDS = 5
BARE = """
import hydra
from omegaconf import OmegaConf
from sandbox.hydra_search_path import CONFIG_PATH
for name in ("output", "previous", "run_folder"):
    OmegaConf.register_resolver(name, lambda *words: "bare")
@hydra.main(config_path=CONFIG_PATH, config_name="config")
def main(cfg): pass
main()
"""
_DEMO = "+experiment=demo"
_CASES = {
    "help": ["--help"],
    "unknown experiment": ["+experiment=nope"],
    "misspelt key": [_DEMO, "jobs.train.executor.max_stepz=1"],
    "unknown argument": [_DEMO, "+jobs.train.executor.max_stepz=1"],
    "wrong type": [_DEMO, "jobs.train.executor.max_steps=many"],
    "dry run": [_DEMO, "dry_run=true"],
    "empty pipeline": ["+pipelines.main={}"],
}


def cpu_seconds(argv: list[str], cwd: Path) -> float:
    """User + system seconds of one program and the programs that it started."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    quiet = subprocess.DEVNULL
    subprocess.run([sys.executable, *argv], cwd=cwd, stdout=quiet, stderr=quiet, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print a line a command: its median, the bare app's, and the difference."""
    words = sys.argv[1:]
    rounds = _ROUNDS
    if words[:1] == ["--rounds"]:
        rounds = int(words[1])
        del words[:2]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["PYTHONPYCACHEPREFIX"] = str(folder / "compiled")
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        bare = folder / "bare.py"
        bare.write_text(BARE)
        cases = [(case, given, folder) for case, given in _CASES.items()]
        if words:
            cases.append(("all recorded", words, Path.cwd()))
        print(f"{'':<20}{'ours':>8}{'bare':>8}{'over':>8}", flush=True)
        for case, given, cwd in cases:
            pairs = [
                (
                    cpu_seconds(["-m", "sandbox", *given], cwd),
                    cpu_seconds([str(bare), *given], cwd),
                )
                for _ in range(rounds + 1)
            ]
            compiled = pairs[1:]
            ours, theirs = (statistics.median(column) for column in zip(*compiled, strict=True))
            print(f"{case:<20}{ours:>8.2f}{theirs:>8.2f}{ours - theirs:>+8.2f}", flush=True)


if __name__ == "__main__":
    main()
