"""Run Data-Juicer's executor for Ray: on a private Ray on this machine, or on a cluster."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import juicer_session
from juicer_ray_watch import RayWatch
from juicer_rejected import Rejections
from sample_files import STATS
from worker_start import InputError

_ANSWER_S = 10.0
_BATCH = 10_000
_ROW = "__sandbox_row__"


def process(request: dict[str, Any]) -> dict[str, Any]:
    """Process the data set and count the samples that went in and came out.

    Every sample carries its number through the operators, because Ray keeps no order. Operators
    that make several samples of one copy the number; if one drops it, the order is that of Ray's
    shards.
    """
    address = str(request["recipe"].setdefault("ray_address", "local"))
    shards = Path(request["work_dir"]) / "processed"
    request = {**request, "shared_dir": None}  # Ray has no such cache
    with juicer_session.data_set(request) as data:
        numbered = _number(data.path, shards.parent)
    rejections = Rejections(request)
    watch = RayWatch(rejections, shards.with_name("removed"), _ROW)
    with _ray(address, request["num_proc"]):
        config = juicer_session.configure(
            request, numbered, export_path=str(shards), export_type="parquet"
        )
        from data_juicer.core.executor.ray_executor import RayExecutor

        watch.begin()
        executor = RayExecutor(config)
        _count_rows(executor, data.num_samples)
        with _causes():
            num_kept = executor.run().data.count()
        watch.end(data.num_samples)
    rejected = rejections.finish()
    juicer_session.check_kept(num_kept, data.num_samples, rejected)
    joined = shards.with_name("joined.jsonl")
    keeps_stats = request["recipe"].get("keep_stats_in_res_ds")
    num_written = _join(shards, joined, set() if keeps_stats else {STATS, "__dj__meta__"})
    if num_written != num_kept:
        raise InputError(f"{num_kept} samples were kept, {num_written} were written")
    joined.replace(request["result_path"])
    return {"num_samples_in": data.num_samples, "num_samples_out": num_written, **rejected}


@contextlib.contextmanager
def _ray(address: str, num_cpus: int) -> Iterator[None]:
    """Start or reach Ray before Data-Juicer does, which then uses it; shut it down afterwards."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # Ray would otherwise send reports
    os.environ["RAY_JOB"] = "1"  # Data-Juicer's operators ask for it, here and in Ray's workers
    try:
        import ray
    except ImportError as error:
        raise InputError("executor_type: ray: pip install 'sandbox[ray]'") from error
    folder, settings = None, {}
    if address == "local":
        # Not in the job's folder, whose path may be long: a Unix socket's has at most 107 bytes.
        folder = tempfile.mkdtemp(prefix="sandbox-ray-")
        settings = {"num_cpus": num_cpus, "include_dashboard": False, "_temp_dir": folder}
    try:
        _init(ray, address, settings)
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        yield
    finally:
        ray.shutdown()
        if folder:
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _causes() -> Iterator[None]:
    """Report an operator's error, which Ray buries in the middle of a long trace."""
    from ray.exceptions import RayError

    try:
        yield
    except RayError as error:
        lines = str(error).strip().splitlines()
        causes = [line for line in lines if re.match(r"(?!ray\.)[\w.]*(Error|Exception)\b", line)]
        raise InputError((causes or lines)[-1]) from error


def _init(ray: Any, address: str, settings: dict[str, Any]) -> None:
    if address not in ("local", "auto"):
        _check_answer(address)
    try:
        ray.init(
            address,
            runtime_env={"env_vars": {"RAY_JOB": "1", "HF_HUB_OFFLINE": "1"}},
            log_to_driver=False,
            **settings,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise InputError(
            f"recipe.ray_address: {address!r} does not answer as Ray: "
            f"{' '.join(str(error).split())[:300]}"
        ) from error


def _check_answer(address: str) -> None:
    """Connect once, because Ray itself tries an address without a listener for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise InputError(
            "recipe.ray_address: expected local, auto, HOST:PORT or ray://HOST:PORT, "
            f"got {address!r}"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_S).close()
    except OSError as error:
        raise InputError(f"recipe.ray_address: {address!r} does not answer: {error}") from None


def _number(path: Path, folder: Path) -> Path:
    """Write the data set with the number of each sample as Parquet.

    Ray's reader of JSON would turn dates into times.

    Raises:
        InputError: A key has values of different kinds, for which Parquet has no column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    numbered = folder / "numbered.parquet"
    try:
        schemas = (_schema(batch) for batch in _batches(path))
        schema = pa.unify_schemas(list(schemas), promote_options="permissive")
        with pq.ParquetWriter(numbered, schema) as writer:
            for batch in _batches(path):
                writer.write_table(pa.Table.from_pylist(batch, schema))
    except pa.ArrowException as error:
        raise InputError(
            f"executor_type: ray needs values of one kind for each key: {error}"
        ) from error
    return numbered


def _schema(batch: list[dict[str, Any]]) -> Any:
    """Return the columns of a batch; ``Table.from_pylist`` uses the first sample's keys only."""
    import pyarrow as pa

    keys = dict.fromkeys(itertools.chain.from_iterable(batch))
    return pa.Table.from_pydict({key: [sample.get(key) for sample in batch] for key in keys}).schema


def _batches(path: Path) -> Iterator[list[dict[str, Any]]]:
    with path.open(encoding="utf-8", newline="\n") as lines:
        samples = ({_ROW: number, **json.loads(line)} for number, line in enumerate(lines))
        while batch := list(itertools.islice(samples, _BATCH)):
            yield batch


def _count_rows(executor: Any, expected: int) -> None:
    """Make the executor count its input, because Ray's reader skips samples that it cannot read."""
    load = executor.datasetbuilder.load_dataset

    def counted(*args: Any, **kwargs: Any) -> Any:
        dataset = load(*args, **kwargs)
        loaded = dataset.data.count()
        if loaded != expected:
            raise InputError(f"{expected} samples went in, {loaded} were loaded")
        return dataset

    executor.datasetbuilder.load_dataset = counted


def _join(shards: Path, target: Path, dropped: set[str]) -> int:
    """Write the samples of all shards in the order of their numbers; return how many there are.

    Only the numbers are held in memory: the lines go through a file without order.

    Args:
        shards: Folder of Parquet files.
        target: Receives JSON Lines.
        dropped: Keys that are left out.
    """
    import pyarrow.parquet as pq

    places: list[tuple[int, int]] = []
    position = 0
    with target.with_suffix(".unordered").open("w+b") as spool, target.open("wb") as out:
        for shard in sorted(shards.glob("*.parquet")):
            for batch in pq.ParquetFile(shard).iter_batches(_BATCH):
                for sample in batch.to_pylist():
                    places.append((sample.pop(_ROW, 0), position))
                    kept = {key: value for key, value in sample.items() if key not in dropped}
                    position += spool.write(f"{json.dumps(kept, ensure_ascii=False)}\n".encode())
        for _, start in sorted(places):
            spool.seek(start)
            out.write(spool.readline())
    return len(places)
