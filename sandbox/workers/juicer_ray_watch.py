"""Watch Data-Juicer's filters on Ray, whose processes write the samples that they remove."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from juicer_rejected import Rejections

_BATCH = 1000


class RayWatch:
    """Watch of one run.

    Args:
        rejections: Receives the removed samples.
        folder: Folder for the samples; every machine of the cluster must see it.
        row_key: Key of a sample's number, from 0.
    """

    def __init__(self, rejections: Rejections, folder: Path, row_key: str) -> None:
        self._rejections = rejections
        self._folder = folder
        self._row_key = row_key
        self._operators: list[dict[str, Any]] = []

    def begin(self) -> None:
        """Watch every filter that Data-Juicer, imported already, sends to Ray from now on."""
        from data_juicer.core.data.ray_dataset import RayDataset
        from data_juicer.ops.base_op import Filter

        process = RayDataset.process

        def process_watched(dataset: Any, operators: Sequence[Any], **kwargs: Any) -> Any:
            for operator in operators:
                named = self._rejections.named(operator)
                if isinstance(operator, Filter):
                    path = self._folder / f"{len(self._operators)}"
                    path.mkdir(parents=True)
                    operator.process = _spooled(operator.process, operator.is_batched_op(), path)
                    self._operators.append(named)
            return process(dataset, operators, **kwargs)

        RayDataset.process = process_watched

    def end(self, num_samples: int) -> None:
        """Add what all filters removed, each in the order of the data set.

        Args:
            num_samples: Number of samples of the data set.
        """
        for index, operators in enumerate(self._operators):
            self._rejections.begin(operators)
            for samples in self._removed(self._folder / f"{index}"):
                numbers = [{"number": sample.pop(self._row_key, None)} for sample in samples]
                for number in numbers:
                    if number["number"] is not None:
                        number["number"] += 1
                self._rejections.add(operators, samples, numbers)
            self._rejections.end(operators, num_samples)
            num_samples -= sum(self._rejections.num_rejected[key] for key in operators)

    def _removed(self, folder: Path) -> Iterator[list[dict[str, Any]]]:
        """Yield the samples in batches; only their places in the files are held in memory."""
        places: dict[bytes, tuple[int, Path, int]] = {}
        for path in folder.iterdir():
            with path.open("rb") as file:
                position = 0
                for line in file:
                    row = json.loads(line).get(self._row_key, 0)
                    # Ray computes a block again where it has lost or not kept it.
                    key = hashlib.blake2b(line, digest_size=16).digest()
                    places[key] = (row, path, position)
                    position += len(line)
        ordered = sorted(places.values())
        for start in range(0, len(ordered), _BATCH):
            some = ordered[start : start + _BATCH]
            yield [_line_at(path, position) for _, path, position in some]


def _line_at(path: Path, position: int) -> dict[str, Any]:
    with path.open("rb") as file:
        file.seek(position)
        sample: dict[str, Any] = json.loads(file.readline())
        return sample


def _spooled(process: Callable[..., Any], is_batched: bool, folder: Path) -> Callable[..., Any]:
    """Make a filter's ``process`` write the samples that it removes.

    Ray sends the returned function to its processes by value, for which it uses nothing of this
    module.
    """

    def spooled(samples: Any) -> Any:
        import json
        import os
        import socket

        kept = list(process(samples)) if is_batched else process(samples)
        if is_batched:
            columns = samples.items()
            removed = [index for index, keep in enumerate(kept) if not keep]
            rows = [{key: column[index] for key, column in columns} for index in removed]
        else:
            rows = [] if kept else [dict(samples)]
        if rows:
            name = f"{socket.gethostname()}-{os.getpid()}"
            with (folder / name).open("a", encoding="utf-8") as file:
                for row in rows:
                    line = json.dumps(
                        row,
                        ensure_ascii=False,
                        default=lambda value: (
                            value.tolist() if hasattr(value, "tolist") else str(value)
                        ),
                    )
                    file.write(line + "\n")
        return kept

    return spooled
