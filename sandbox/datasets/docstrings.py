"""Real text that every machine has: the docstrings of Python's standard library."""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import os
import sysconfig
import tokenize
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from sandbox.executors import BaseDataExecutor
from sandbox.job import Outputs

_SKIPPED = {
    "test",
    "tests",
    "idlelib",
    "lib2to3",
    "turtledemo",
    "site-packages",
    "dist-packages",
    "__pycache__",
}

Sample = dict[str, Any]


class DocstringsDataset(BaseDataExecutor):
    """Collect docstrings of Python's standard library as a data set for language models.

    Writes ``train.jsonl`` and ``heldout.jsonl``, one sample a line:
    ``{"text": …, "meta": {"module": "json.decoder", "object": "JSONDecoder.decode"}}``. Every module is
    in one of the two only, by a hash of its name; a held-out text that also stands in the training
    data is left out. Source files are read in an order drawn by ``seed``, until both are full. Texts
    stay as they are, short, long and repeated ones too. They differ between versions of Python.

    Args:
        num_samples: Most samples to train on.
        heldout_fraction: Share of modules held out; at most this share of ``num_samples`` is taken
            from them, on top.
        seed: Seed of the order of the modules; the split does not depend on it.

    Raises:
        ValueError: ``num_samples`` is not positive, or ``heldout_fraction`` not between 0 and 1.
        FileNotFoundError: This Python has no source files of the standard library.
    """

    OUTPUTS: ClassVar[tuple[str, ...]] = ("train_path", "heldout_path", "num_train", "num_heldout")

    def __init__(
        self, num_samples: int = 3000, heldout_fraction: float = 0.1, seed: int = 0
    ) -> None:
        if num_samples <= 0:
            raise ValueError(f"num_samples: {num_samples} is not positive")
        if not 0 < heldout_fraction < 1:
            raise ValueError(f"heldout_fraction: {heldout_fraction} is not between 0 and 1")
        self.num_samples = num_samples
        self.heldout_fraction = heldout_fraction
        self.seed = seed

    def run(self, *, output_dir: Path, log_path: Path) -> Outputs:
        """Read the standard library and write the two files."""
        train, heldout = self._collect(Path(sysconfig.get_path("stdlib")))
        with log_path.open("a", encoding="utf-8") as log:
            log.write(f"{len(train)} docstrings to train on, {len(heldout)} held out\n")
        return {
            "train_path": _write(output_dir / "train.jsonl", train),
            "heldout_path": _write(output_dir / "heldout.jsonl", heldout),
            "num_train": len(train),
            "num_heldout": len(heldout),
        }

    def _collect(self, library: Path) -> tuple[list[Sample], list[Sample]]:
        limits = {
            False: self.num_samples,
            True: max(1, round(self.num_samples * self.heldout_fraction)),
        }
        samples: dict[bool, list[Sample]] = {False: [], True: []}
        for path, module in sorted(
            _modules(library), key=lambda entry: _draw(f"{self.seed} {entry[1]}")
        ):
            held_out = _draw(module) < self.heldout_fraction
            if len(samples[held_out]) < limits[held_out]:
                samples[held_out] += _docstrings(path, module)
            elif all(len(samples[part]) >= limits[part] for part in limits):
                break
        if not samples[False] or not samples[True]:
            raise FileNotFoundError(
                f"no docstrings in the standard library's source files in {library}"
            )
        train = samples[False][: limits[False]]
        seen = {sample["text"] for sample in train}
        heldout = [sample for sample in samples[True][: limits[True]] if sample["text"] not in seen]
        return train, heldout


def _modules(library: Path) -> Iterator[tuple[Path, str]]:
    for folder, subfolders, names in os.walk(library):
        subfolders[:] = [name for name in subfolders if name not in _SKIPPED]
        for name in names:
            path = Path(folder, name)
            if path.suffix == ".py":
                parts = path.relative_to(library).with_suffix("").parts
                yield path, ".".join(parts).removesuffix(".__init__")


def _draw(text: str) -> float:
    """A number from [0, 1) that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def _docstrings(path: Path, module: str) -> list[Sample]:
    try:
        with tokenize.open(path) as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in other people's sources
            tree = ast.parse(file.read())
    except (SyntaxError, UnicodeDecodeError):  # templates that only look like sources
        return []
    return [
        {"text": text, "meta": {"module": module, "object": name}}
        for name, text in _walk(tree, "")
        if text
    ]


def _walk(node: ast.AST, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
        yield name, inspect.cleandoc(ast.get_docstring(node, clean=False) or "").strip()
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from _walk(child, f"{name}.{child.name}" if name else child.name)


def _write(path: Path, samples: list[Sample]) -> Path:
    lines = [json.dumps(sample, ensure_ascii=False) + "\n" for sample in samples]
    path.write_text("".join(lines), encoding="utf-8")
    return path
