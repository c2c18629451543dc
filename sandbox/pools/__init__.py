"""Data pool manipulators: pools in, pools out. This module holds the base of the family."""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from annotated_types import MinLen

from sandbox.job import JobScope

OutputFormat = Literal["jsonl", "jsonl.gz", "jsonl.zst", "parquet"]
PoolPaths = Annotated[Sequence[Path], MinLen(1)]


@dataclass(frozen=True, kw_only=True)
class Pools:
    """New data pools.

    Args:
        paths: Their files, in the order that the manipulator documents.
    """

    paths: list[Path]


@dataclass(frozen=True, kw_only=True)
class BaseDataPoolManipulator(ABC):
    """Make data pools from data pools.

    A pool is compared as a unit: one file, or a folder of shards; see :mod:`sandbox.samples`.

    Every line must begin with ``{`` and end with ``}``, and one with control characters inside must
    be valid JSON. The rest is only checked where it is read: by construction, the join, combination
    by a key, and on the way to Parquet. The others copy it unread, because copying takes 0.8 CPU-s
    a GB and parsing takes 2.7 with pyarrow and 10 with Python objects.
    """

    VERSION: ClassVar[int] = 1

    @abstractmethod
    def run(self, *, scope: JobScope) -> object:
        """Write the new pools into the folder of ``scope`` and return a frozen dataclass."""


def check_packages(*packages: str) -> None:
    """Require packages of the extra ``data``.

    Raises:
        ModuleNotFoundError: One is not installed.
    """
    missing = [each for each in packages if importlib.util.find_spec(each) is None]
    if missing:
        raise ModuleNotFoundError(
            f"not installed: {', '.join(missing)}; pip install 'sandbox[data]'"
        )
