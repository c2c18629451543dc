"""Pairs of picture and caption as InternVL reads them: tokens, labels, pixels, padded batches."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from internvl_conversations import CaptionedPicture
from internvl_model import answer_end, chat
from PIL import Image
from torch.utils.data import Dataset, Sampler
from transformers.trainer_pt_utils import get_length_grouped_indices
from worker_start import InputError

_CACHE_BYTES = 512 * 1024**2
_IGNORED = -100


class PictureReader:
    """Decode pictures and cut them into tiles.

    Small pictures stay in memory, because the captions of a picture share it.

    Args:
        processor: The checkpoint's processor.
        max_tiles: Most tiles of a picture, its thumbnail not counted; 1 does not cut.
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

    def num_tiles(self, path: str, origin: str) -> int:
        """Return the number of tiles of a picture; only its size is read."""
        if self._options["max_patches"] == 1:
            return 1
        with _opened(path, origin) as file:
            width, height = file.size
        return int(self._processor.get_number_of_image_patches(height, width, self._options))

    def read(self, path: str, origin: str) -> torch.Tensor:
        """Return the pixels of the tiles of one picture, (tiles, 3, height, width)."""
        if path in self._kept:
            return self._kept[path]
        with _opened(path, origin) as file:
            picture = file.convert("RGB")
        batch = self._processor(images=[picture], return_tensors="pt", **self._options)
        pixels: torch.Tensor = batch["pixel_values"]
        size = pixels.numel() * pixels.element_size()
        if size <= self._bytes_left:
            self._bytes_left -= size
            self._kept[path] = pixels
        return pixels


@contextlib.contextmanager
def _opened(path: str, origin: str) -> Iterator[Image.Image]:
    try:
        with Image.open(path) as file:
            yield file
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{origin}: picture {path} cannot be decoded: {error}") from error


class PairDataset(Dataset[dict[str, Any]]):
    """Token ids, labels and pixels of pairs; only the answer and its end token are learnt."""

    def __init__(self, pairs: Sequence[CaptionedPicture], processor: Any, max_tiles: int) -> None:
        self._pairs = pairs
        self._processor = processor
        self._reader = PictureReader(processor, max_tiles)
        end = answer_end(processor)
        self._answers = processor.tokenizer([pair.caption + end for pair in pairs])["input_ids"]
        self._prefixes: dict[tuple[str, int], list[int]] = {}

    def __len__(self) -> int:
        return len(self._pairs)

    def lengths(self) -> list[int]:
        """Return the number of tokens of every pair, without decoding a picture."""
        tiles = functools.cache(self._reader.num_tiles)
        return [
            len(self._prefix(pair.prompt, tiles(str(pair.image_path), pair.origin))) + len(answer)
            for pair, answer in zip(self._pairs, self._answers, strict=True)
        ]

    def __getitem__(self, index: int) -> dict[str, Any]:
        pair, answer = self._pairs[index], self._answers[index]
        pixels = self._reader.read(str(pair.image_path), pair.origin)
        prefix = self._prefix(pair.prompt, len(pixels))
        labels = [_IGNORED] * len(prefix) + answer
        return {"input_ids": prefix + answer, "labels": labels, "pixel_values": pixels}

    def _prefix(self, prompt: str, num_tiles: int) -> list[int]:
        key = (prompt, num_tiles)
        if key not in self._prefixes:
            text = chat(self._processor, prompt, num_tiles)
            self._prefixes[key] = self._processor.tokenizer(text)["input_ids"]
        return self._prefixes[key]


class SimilarLengths(Sampler[int]):
    """Random order in which the pairs of a batch are about equally long, so that little is padding.

    Batches are in random order too. Every epoch has its own order, given by seed and epoch.

    Args:
        lengths: Tokens of every pair.
        batch_size: Pairs of a step over all processes.
        seed: Seed of the order.

    Source: ``group_by_length`` of InternVL's fine-tuning, with transformers' grouping.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self._lengths = list(lengths)
        self._batch_size = batch_size
        self._seed = seed
        self._epoch = 0

    def __len__(self) -> int:
        return len(self._lengths)

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch; accelerate calls it, also when a training resumes."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed + self._epoch)
        size = self._batch_size
        grouped = get_length_grouped_indices(  # type: ignore[no-untyped-call]
            self._lengths, size, generator=generator
        )
        # Only whole batches change places: a short one among them would shift the others.
        whole = len(grouped) // size
        for batch in torch.randperm(whole, generator=generator).tolist():
            yield from grouped[batch * size : (batch + 1) * size]
        yield from grouped[whole * size :]


def collate(rows: Sequence[dict[str, Any]], pad_id: int, *, left: bool = False) -> dict[str, Any]:
    """Make one batch, padded on the right (training) or on the ``left`` (generation)."""
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
        # Scores of the whole vocabulary are computed only at labels, plus the position before the
        # first, which predicts it: with real checkpoints the prompt's would take gigabytes.
        answers = width - min(row["labels"].count(_IGNORED) for row in rows) + 1
        labels = torch.tensor([padded(row["labels"], _IGNORED) for row in rows])
        batch |= {"labels": labels[:, -answers:], "logits_to_keep": answers}
    return batch
