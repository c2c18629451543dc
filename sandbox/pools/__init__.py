"""Data pool manipulators: pools in, pools out. This module holds the base of the family."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from sandbox.job import Outputs


class BaseDataPoolManipulator(ABC):
    """Make data pools of data pools. A pool is one file, such as JSON Lines, that is compared as a unit.

    Every line must begin with ``{`` and end with ``}``, and one with control characters inside must be valid
    JSON. What else is inside is only checked where it is read: by construction, the join, combination by
    a key, and on the way to Parquet. The others copy it unread: 0.8 CPU-s a GB, where parsing takes
    2.7 by pyarrow and 10.7 by orjson.
    """

    OUTPUTS: ClassVar[tuple[str, ...]] = ("paths",)
    VERSION: ClassVar[int] = 1

    @abstractmethod
    def run(self, *, output_dir: Path) -> Outputs:
        """Write the new pools under ``output_dir`` and return the declared ``OUTPUTS``."""
