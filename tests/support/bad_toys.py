"""Toy components that behave badly."""

from __future__ import annotations

import json
import random
import sys
from dataclasses import dataclass

from toys import OneFile

from sandbox.executors import BaseDataExecutor
from sandbox.job import JobScope
from sandbox.system import process


@dataclass(frozen=True, kw_only=True)
class Exits(BaseDataExecutor):
    """End the process, as some libraries do."""

    code: int = 0

    def run(self, *, scope: JobScope) -> None:
        sys.exit(self.code)


@dataclass(frozen=True, kw_only=True)
class Pictures(BaseDataExecutor):
    """Make a pool of one picture, which looks different at every run."""

    def run(self, *, scope: JobScope) -> OneFile:
        picture = scope.output_dir / "1.png"
        picture.write_text(str(random.SystemRandom().random()))
        path = scope.output_dir / "pool.jsonl"
        path.write_text(json.dumps({"text": "", "images": [str(picture)]}) + "\n")
        return OneFile(path=path)


@dataclass(frozen=True, kw_only=True)
class Daemon(BaseDataExecutor):
    """Start a program that leaves another behind, then fail."""

    def run(self, *, scope: JobScope) -> None:
        program = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(60)"
        process.run([sys.executable, "-c", program], log_path=scope.log_path)
        raise RuntimeError("and now fail")


@dataclass(frozen=True, kw_only=True)
class Big(BaseDataExecutor):
    """Write a file of 200 kB."""

    def run(self, *, scope: JobScope) -> OneFile:
        path = scope.output_dir / "big"
        path.write_bytes(bytes(200_000))
        return OneFile(path=path)


@dataclass(frozen=True, kw_only=True)
class Folder(BaseDataExecutor):
    """Write a folder with a file, which holds something else at every run."""

    def run(self, *, scope: JobScope) -> OneFile:
        (scope.output_dir / "x.txt").write_text(str(random.SystemRandom().random()))
        return OneFile(path=scope.output_dir)
