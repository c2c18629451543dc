"""List the experiments."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sandbox.hydra_search_path import CONF

_HINT = (
    "Add +debug=smoke to run it small, dry_run=true to see what would run and why, --help for more."
)


def experiments() -> Mapping[str, str]:
    """Experiments by name, with the question that each answers: the first comment of its file.

    An experiment in a folder has the folder in its name: ``examples/data_report``. An experiment of
    the working directory does not replace one of ours, as in Hydra's search path.
    """
    ours = CONF if CONF.is_dir() else Path(__file__).parents[1] / "conf"
    found: dict[str, str] = {}
    for folder in (ours / "experiment", Path.cwd() / "conf" / "experiment"):
        for path in sorted(folder.rglob("*.yaml")):
            name = str(path.relative_to(folder).with_suffix(""))
            found.setdefault(name, _question(path))
    return found


def _question(path: Path) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    comments = [line[1:].strip() for line in lines if line.startswith("#")]
    return next((line for line in comments if not line.startswith("@")), "")


def list_experiments() -> None:
    """Print the experiments by folder; ``python -m sandbox`` alone does so."""
    by_folder: dict[str, dict[str, str]] = {}
    for name, question in experiments().items():
        by_folder.setdefault(str(Path(name).parent), {})[name] = question
    print("Choose an experiment: python -m sandbox +experiment=NAME")
    width = max((len(name) for name in experiments()), default=0)
    for folder, named in sorted(by_folder.items()):
        print("" if folder == "." else f"\n{folder}:")
        for name, question in named.items():
            print(f"  +experiment={name:<{width}}  {question}")
    print(f"\n{_HINT}")
