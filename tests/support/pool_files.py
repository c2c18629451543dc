"""Small data pools for tests."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path


def write_texts(path: Path, texts: Iterable[str]) -> Path:
    """Write a pool of samples that have a text only."""
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path
