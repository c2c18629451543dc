"""The original's way with data pools, written plainly, for comparison in `pools.py`.

Data-Juicer Sandbox's manipulators (`data_juicer/core/sandbox/data_pool_manipulators.py`, which is
not in its package) read a pool with Data-Juicer's loader, which is `datasets` and two Python
functions a sample (samples without text out, media paths made absolute), take all samples as
dictionaries, sort or intersect those, and write each as JSON again. This is the same without parts
that only make it slower: no logging, no `jsonlines`. Mistakes that change a result (ties by the
statistic sorted before, sets without an order) are kept if they cost nothing.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import Any

STATS = "__dj__stats__"
MEDIA = ("images", "audios", "videos")


def prepare(loader: str) -> None:
    """Import the packages of the work, and silence them.

    Args:
        loader: ``data_juicer`` reads pools with Data-Juicer's own loader, as the original does;
            ``datasets`` does the same in this process without it, which is faster.
    """
    global load
    load = LOADERS[loader]
    import datasets

    datasets.disable_progress_bars()
    if loader == "data_juicer":
        import data_juicer.core.data.dataset_builder  # noqa: F401
        from loguru import logger

        logger.remove()


def load_with_data_juicer(path: Path) -> Any:
    """Return a pool from Data-Juicer's loader, by way of its Arrow cache (`HF_DATASETS_CACHE`)."""
    from data_juicer.core.data.dataset_builder import DatasetBuilder
    from jsonargparse import dict_to_namespace

    return DatasetBuilder(
        dict_to_namespace({"dataset_path": str(path), "text_keys": None})
    ).load_dataset()


def load_with_datasets(path: Path) -> Any:
    """Return the same samples through `datasets` alone, in this process and not wrapped."""
    import datasets

    dataset = datasets.load_dataset("json", data_files=str(path), split="train")
    dataset = dataset.filter(
        lambda sample: True
    )  # no text keys are asked for, every sample is called
    media = [key for key in MEDIA if key in dataset.features]
    if not media:
        return dataset

    def absolute(sample: dict[str, Any]) -> dict[str, Any]:
        for key in media:
            if sample[key]:
                sample[key] = [str(path.parent / each) for each in sample[key]]
        return sample

    return dataset.map(absolute)


LOADERS = {"data_juicer": load_with_data_juicer, "datasets": load_with_datasets}
load = load_with_datasets


def construction(
    paths: Sequence[Path],
    out: Path,
    ratios: Sequence[float] = (1 / 3, 2 / 3),
    statistics: int | None = None,
) -> list[Path]:
    """Per numeric statistic: sort the samples, cut the list, write the parts."""
    made = []
    for path in paths:
        rows = load(path).to_list()
        cuts = [0, *(int(len(rows) * ratio + 0.5) for ratio in ratios), len(rows)]
        keys = [key for key, value in rows[0][STATS].items() if not isinstance(value, str)]
        for key in keys[:statistics]:
            rows.sort(key=lambda row: _number(row[STATS][key]))
            (out / key).mkdir()
            for part, (start, stop) in enumerate(itertools.pairwise(cuts)):
                made.append(_write(out / key / f"{path.stem}_{key}_{part}.jsonl", rows[start:stop]))
    return made


def combination(paths: Sequence[Path], out: Path) -> list[Path]:
    """All intersections of the sets of samples, which are made hashable for it."""
    samples: dict[Hashable, dict[str, Any]] = {}
    levels: list[tuple[str, set[Hashable]]] = []
    for rank, path in enumerate(paths):
        own = {_hashable(row): row for row in load(path).to_list()}
        samples |= own
        levels += [(f"{name}_{rank}", pool & own.keys()) for name, pool in levels]
        levels.append((str(rank), set(own)))
    return [
        _write(out / f"top_{name}_num_{len(pool)}.jsonl", (samples[each] for each in pool))
        for name, pool in levels
        if pool
    ]


def downsampling(paths: Sequence[Path], out: Path, num_samples: int, seed: int = 42) -> list[Path]:
    """Shuffle, take the first, write."""
    made = []
    for path in paths:
        pool = load(path)
        pool = pool.shuffle(seed=seed).take(min(num_samples, len(pool)))
        made.append(_export(pool, out / f"{path.stem}_{num_samples}.jsonl"))
    return made


def duplication(
    paths: Sequence[Path], out: Path, times: Sequence[int], shuffle: bool, seed: int = 42
) -> list[Path]:
    """Concatenate a pool with itself, shuffle, write."""
    import datasets

    made = []
    for path in paths:
        pool = load(path)
        for count in times:
            repeated = datasets.concatenate_datasets([pool] * count)
            if shuffle:
                repeated = repeated.shuffle(seed=seed).flatten_indices()
            made.append(_export(repeated, out / f"{path.stem}_x{count}.jsonl"))
    return made


def merging(paths: Sequence[Path], out: Path) -> list[Path]:
    """Concatenate pools, write."""
    import datasets

    merged = datasets.concatenate_datasets([load(path) for path in paths])
    return [_export(merged, out / "merged.jsonl")]


def join(lefts: Sequence[Path], rights: Sequence[Path], out: Path) -> list[Path]:
    """Every sample of a left pool beside every sample of a right one."""
    import datasets

    made = []
    for (i, left), (j, right) in itertools.product(enumerate(lefts), enumerate(rights)):
        first, second = load(left), load(right)
        repeated = datasets.concatenate_datasets(
            [type(first).from_list([sample] * len(second)) for sample in first]
        )
        beside = datasets.concatenate_datasets(
            [repeated, datasets.concatenate_datasets([second] * len(first))], axis=1
        )
        made.append(_export(beside, out / f"cartesian_join_{i}_{j}.jsonl"))
    return made


def _number(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    import numpy

    return numpy.mean(value) if value else 0


def _hashable(value: Any) -> Any:
    if isinstance(value, dict):
        return tuple(sorted((key, _hashable(each)) for key, each in value.items()))
    if isinstance(value, list):
        return tuple(_hashable(each) for each in value)
    return value


def _write(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return path


def _export(dataset: Any, path: Path) -> Path:
    dataset.to_json(path, force_ascii=False)
    return path
