"""Toy components that behave badly."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import ClassVar

from sandbox.executors import BaseDataExecutor
from sandbox.job import Outputs
from sandbox.system import process


class Exits(BaseDataExecutor):
    """End the process, as some libraries do."""

    OUTPUTS: ClassVar[tuple[str, ...]] = ()

    def __init__(self, code: int = 0) -> None:
        self.code = code

    def run(self, *, output_dir: Path, log_path: Path) -> Outputs:
        sys.exit(self.code)


class Pictures(BaseDataExecutor):
    """Make a pool of one picture, which looks different at every run."""

    OUTPUTS: ClassVar[tuple[str, ...]] = ("path",)

    def run(self, *, output_dir: Path, log_path: Path) -> Outputs:
        picture = output_dir / "1.png"
        picture.write_text(str(random.SystemRandom().random()))
        path = output_dir / "pool.jsonl"
        path.write_text(json.dumps({"text": "", "images": [str(picture)]}) + "\n")
        return {"path": path}


class Daemon(BaseDataExecutor):
    """Start a program that leaves another behind, then fail."""

    OUTPUTS: ClassVar[tuple[str, ...]] = ()

    def run(self, *, output_dir: Path, log_path: Path) -> Outputs:
        program = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(60)"
        process.run([sys.executable, "-c", program], log_path=log_path)
        raise RuntimeError("and now fail")


class Big(BaseDataExecutor):
    """Write a file of 200 kB."""

    OUTPUTS: ClassVar[tuple[str, ...]] = ("path",)

    def run(self, *, output_dir: Path, log_path: Path) -> Outputs:
        path = output_dir / "big"
        path.write_bytes(bytes(200_000))
        return {"path": path}


class Folder(BaseDataExecutor):
    """Write a folder with a file, which holds something else at every run."""

    OUTPUTS: ClassVar[tuple[str, ...]] = ("path",)

    def run(self, *, output_dir: Path, log_path: Path) -> Outputs:
        (output_dir / "x.txt").write_text(str(random.SystemRandom().random()))
        return {"path": output_dir}
