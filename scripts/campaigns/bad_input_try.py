"""A try of the campaign of bad inputs, and what its classes share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

Files = Mapping[str, bytes | None]


@dataclass(frozen=True)
class Try:
    """A project and a command in it.

    Args:
        words: The command line, without the program.
        files: Content by path; ``None`` makes a folder.
        expected: The right exit statuses.
        named: Texts of which the message holds at least one.
        is_fresh: True if it needs a process that has imported nothing.
    """

    words: Sequence[str]
    files: Files = field(default_factory=dict)
    expected: Sequence[int] = (2,)
    named: Sequence[str] = ("",)
    is_fresh: bool = False

    def shown(self) -> list[str]:
        """Return its files as text for people."""
        return [f"{name}: …{repr(content)[-300:]}" for name, content in self.files.items()]


BAD = "project/conf/experiment/bad.yaml"


RUN = ("+experiment=bad",)


HOOK = "sandbox.hooks.general_data_executor.GeneralDataExecutorHook"


JUNK: Sequence[Any] = (
    *(3, -1, 0, 1.5, True, None, "", " ", "nonsense!", "\n", "a: b", [], {}),
    *([[]], [1, "a"], [None], {"a": 1}, {"a": {"b": []}}, {1: 2}, [{"_target_": "x"}]),
    *(math.nan, math.inf, 10**30, -(10**400), "x" * 5000, "ä\u202e\U0001f600", "???", "${", "\0"),
)
"""Values of every kind."""


def body(**more: Any) -> dict[str, Any]:
    """Return an experiment of two jobs that is right."""
    return {
        "experiment_name": "bad",
        "watcher": {"mode": "disabled"},
        "pipelines": {"main": {"execution_jobs": ["x", "y"]}},
        "jobs": {
            "x": {"_target_": HOOK, "executor": {"_target_": "bad_input_toys.Hand", "value": 1}},
            "y": {
                "_target_": HOOK,
                "executor": {"_target_": "bad_input_toys.Hand", "value": "${output:x.value}"},
            },
        },
        **more,
    }


def put(config: dict[str, Any], place: str, value: Any) -> dict[str, Any]:
    """Set a value at a place; return the config."""
    inner = config
    *above, last = place.split(".")
    for key in above:
        inner = inner.setdefault(key, {})
    inner[last] = value
    return config


def written(config: Any) -> Files:
    """Return the file of an experiment."""
    text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    return {BAD: f"# @package _global_\n{text}".encode(errors="surrogatepass")}


def text_file(text: str) -> Files:
    """Return the file of an experiment with this text."""
    return {BAD: text.encode(errors="surrogatepass")}


def planned(config: Any, named: Sequence[str], expected: Sequence[int] = (2,)) -> Try:
    """Return the dry run of an experiment."""
    # Hydra names the file only if containers cannot be merged.
    known = (*named, "experiment/bad: ", "In 'experiment/bad'")
    return Try((*RUN, "dry_run=true"), written(config), expected, known)
