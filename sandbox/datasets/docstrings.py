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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.datasets import Share
from sandbox.executors import BaseDataExecutor
from sandbox.job import JobScope, PositiveInt

# Tests and programs, and packages that are not part of the standard library.
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


@dataclass(frozen=True, kw_only=True)
class DocstringsData:
    """Docstrings as data pools.

    Args:
        train_path: Samples to train on, JSON Lines.
        heldout_path: Held-out samples, JSON Lines.
        num_train: Number of samples to train on.
        num_heldout: Number of held-out samples.
    """

    train_path: Path
    heldout_path: Path
    num_train: int
    num_heldout: int


@dataclass(frozen=True, kw_only=True)
class DocstringsDataset(BaseDataExecutor):
    """Collect docstrings of Python's standard library as a data set for language models.

    Writes ``train.jsonl`` and ``heldout.jsonl``, one sample a line:
    ``{"text": …, "meta": {"module": "json.decoder", "object": "JSONDecoder.decode"}}``. A hash of
    its name puts every module into one of the two; held-out texts that also occur in the training
    data are left out. Source files are read in a random order until both files are full. Texts are
    not filtered: some are short, long or repeated. They differ between versions of Python.

    Args:
        num_samples: Maximum number of training samples.
        heldout_fraction: Share of held-out modules; also limits the number of held-out samples, to
            this share of ``num_samples``.
        seed: Seed of the order of the modules; the split does not depend on it.

    Raises:
        FileNotFoundError: This Python has no source files of the standard library.
    """

    num_samples: PositiveInt = 3000
    heldout_fraction: Share = 0.1
    seed: int = 0

    def run(self, *, scope: JobScope) -> DocstringsData:
        """Read the standard library and write the two files."""
        train, heldout = self._collect(Path(sysconfig.get_path("stdlib")))
        return DocstringsData(
            train_path=_write(scope.output_dir / "train.jsonl", train),
            heldout_path=_write(scope.output_dir / "heldout.jsonl", heldout),
            num_train=len(train),
            num_heldout=len(heldout),
        )

    def _collect(self, library: Path) -> tuple[list[Sample], list[Sample]]:
        max_heldout = max(1, round(self.num_samples * self.heldout_fraction))
        train: list[Sample] = []
        heldout: list[Sample] = []
        for path, module in sorted(_modules(library), key=self._order):
            # By name alone, so that a module is on the same side for every seed and version.
            is_heldout = _draw(module) < self.heldout_fraction
            samples, limit = (heldout, max_heldout) if is_heldout else (train, self.num_samples)
            if len(samples) < limit:
                samples += _docstrings(path, module)
            elif len(train) >= self.num_samples and len(heldout) >= max_heldout:
                break
        if not train or not heldout:
            raise FileNotFoundError(
                f"no docstrings in the standard library's source files in {library}"
            )
        del train[self.num_samples :], heldout[max_heldout:]
        seen = {sample["text"] for sample in train}
        return train, [sample for sample in heldout if sample["text"] not in seen]

    def _order(self, entry: tuple[Path, str]) -> float:
        return _draw(f"{self.seed} {entry[1]}")


def _modules(library: Path) -> Iterator[tuple[Path, str]]:
    for folder, subfolders, names in os.walk(library):
        subfolders[:] = [name for name in subfolders if name not in _SKIPPED]
        for path in (Path(folder, name) for name in names):
            if path.suffix == ".py":
                parts = path.relative_to(library).with_suffix("").parts
                yield path, ".".join(parts).removesuffix(".__init__")


def _draw(text: str) -> float:
    """Return a number from [0, 1) that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def _docstrings(path: Path, module: str) -> list[Sample]:
    try:
        with tokenize.open(path) as file, warnings.catch_warnings():
            # Sources of the standard library may contain invalid escapes.
            warnings.simplefilter("ignore")
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
