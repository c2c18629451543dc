"""Data pool manipulators: pools in, pools out. This module holds the base of the family."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from sandbox.job import Outputs


class BaseDataPoolManipulator(ABC):
    """Make data pools of data pools. A pool is one JSON Lines file that is compared as a unit."""

    OUTPUTS: ClassVar[tuple[str, ...]] = ("paths",)
    VERSION: ClassVar[int] = 1

    @abstractmethod
    def run(self, *, output_dir: Path) -> Outputs:
        """Write the new pools under ``output_dir`` and return the declared ``OUTPUTS``."""
