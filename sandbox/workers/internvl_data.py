"""Picture and caption pairs as InternVL reads them: conversations in, padded batches out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from internvl_model import answer_end, chat
from PIL import Image
from torch.utils.data import Dataset
from worker_start import InputError

_CACHE_BYTES = 512 * 1024**2
_IGNORED = -100


@dataclass(frozen=True)
class Pair:
    """One picture with the answer that the model learns; ``origin`` says where the pair stands."""

    image_path: str
    prompt: str
    answer: str
    origin: str


def read_pairs(meta_path: str) -> list[Pair]:
    """The pairs of all data sets in InternVL's meta file, repeated as it says."""
    pairs: list[Pair] = []
    for entry in json.loads(Path(meta_path).read_text(encoding="utf-8")).values():
        root = Path(entry["root"])
        with Path(entry["annotation"]).open(encoding="utf-8") as file:
            rows = [json.loads(line) for line in file]
        pairs += [_pair(row, root) for row in rows] * entry["repeat_time"]
    return pairs


def _pair(row: dict[str, Any], root: Path) -> Pair:
    question, answer = (turn["value"] for turn in row["conversations"])
    prompt = question.removeprefix("<image>").strip()
    return Pair(str(root / row["image"]), prompt, answer, row.get("origin", row["image"]))


class PictureReader:
    """Decode pictures and cut them into tiles; small ones are kept, since captions share their picture.

    Args:
        processor: The checkpoint's processor.
        max_tiles: Largest number of tiles of a picture, its thumbnail not counted; 1 does not cut.
    """

    def __init__(self, processor: Any, max_tiles: int) -> None:
        self._processor = processor.image_processor
        self._options = {
            "crop_to_patches": max_tiles > 1,
            "min_patches": 1,
            "max_patches": max_tiles,
        }
        self._kept: dict[str, torch.Tensor] = {}
        self._bytes_left = _CACHE_BYTES

    def read(self, path: str, origin: str) -> torch.Tensor:
        """Pixels of the tiles of one picture, (tiles, 3, height, width)."""
        if path in self._kept:
            return self._kept[path]
        try:
            with Image.open(path) as file:
                picture = file.convert("RGB")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise InputError(f"{origin}: picture {path} cannot be decoded: {error}") from error
        batch = self._processor(images=[picture], return_tensors="pt", **self._options)
        pixels: torch.Tensor = batch["pixel_values"]
        size = pixels.numel() * pixels.element_size()
        if size <= self._bytes_left:
            self._bytes_left -= size
            self._kept[path] = pixels
        return pixels


class PairDataset(Dataset[dict[str, Any]]):
    """Token ids, labels and pixels of pairs; only the answer and the token that ends it are learnt."""

    def __init__(self, pairs: Sequence[Pair], processor: Any, max_tiles: int) -> None:
        self._pairs = pairs
        self._processor = processor
        self._reader = PictureReader(processor, max_tiles)
        end = answer_end(processor)
        self._answers = processor.tokenizer([pair.answer + end for pair in pairs])["input_ids"]
        self._prefixes: dict[tuple[str, int], list[int]] = {}

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> dict[str, Any]:
        pair, answer = self._pairs[index], self._answers[index]
        pixels = self._reader.read(pair.image_path, pair.origin)
        prefix = self._prefix(pair.prompt, len(pixels))
        labels = [_IGNORED] * len(prefix) + answer
        return {"input_ids": prefix + answer, "labels": labels, "pixel_values": pixels}

    def _prefix(self, prompt: str, num_tiles: int) -> list[int]:
        key = (prompt, num_tiles)
        if key not in self._prefixes:
            text = chat(self._processor, prompt, num_tiles)
            self._prefixes[key] = self._processor.tokenizer(text)["input_ids"]
        return self._prefixes[key]


def collate(rows: Sequence[dict[str, Any]], pad_id: int, *, left: bool = False) -> dict[str, Any]:
    """One batch, padded on the right (training) or on the ``left`` (generation)."""
    width = max(len(row["input_ids"]) for row in rows)

    def padded(values: list[int], fill: int) -> list[int]:
        padding = [fill] * (width - len(values))
        return padding + values if left else values + padding

    batch: dict[str, Any] = {
        "input_ids": torch.tensor([padded(row["input_ids"], pad_id) for row in rows]),
        "attention_mask": torch.tensor([padded([1] * len(row["input_ids"]), 0) for row in rows]),
        "pixel_values": torch.cat([row["pixel_values"] for row in rows]),
    }
    if "labels" in rows[0]:
        # Scores of the whole vocabulary are computed only where a label is, plus the position before the
        # first, which predicts it: with real checkpoints the prompt's would take gigabytes.
        answers = width - min(row["labels"].count(_IGNORED) for row in rows) + 1
        labels = torch.tensor([padded(row["labels"], _IGNORED) for row in rows])
        batch |= {"labels": labels[:, -answers:], "logits_to_keep": answers}
    return batch
