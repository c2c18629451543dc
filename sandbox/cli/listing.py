"""The experiments that can be run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sandbox.hydra_search_path import CONF


def experiments() -> Mapping[str, str]:
    """Experiments by name, with the question that each answers: the first comment line of its file."""
    found: dict[str, str] = {}
    folders = (
        [CONF, Path.cwd() / "conf"]
        if CONF.is_dir()
        else [Path(__file__).parents[1] / "conf", Path.cwd() / "conf"]
    )
    for folder in folders:
        for path in sorted((folder / "experiment").glob("*.yaml")):
            lines = [
                line[1:].strip() for line in path.read_text().splitlines() if line.startswith("#")
            ]
            found.setdefault(
                path.stem, next((line for line in lines if not line.startswith("@")), "")
            )
    return found


def list_experiments() -> None:
    """What ``python -m sandbox`` alone prints."""
    names = experiments()
    width = max(map(len, names), default=0)
    print("Choose an experiment:\n")
    for name, question in names.items():
        print(f"  python -m sandbox +experiment={name:<{width}}  {question}")
    print(
        "\nAdd +debug=smoke to run it small, dry_run=true to see what would run and why, --help for more."
    )
