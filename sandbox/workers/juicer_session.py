"""The frame of every run of Data-Juicer: prepared data, checked recipe, one line for a failure."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import shlex
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import juicer_cache
import juicer_lines
import worker_start
from juicer_import import import_data_juicer
from sample_files import SampleError
from worker_start import InputError

JOB_ID = "data_juicer"
NO_FILTER = "recipe: no operator of it computes statistics; it needs a filter"

_MEDIA = {"image_key": "images", "audio_key": "audios", "video_key": "videos"}


@dataclass(frozen=True)
class PreparedData:
    """A data set as Data-Juicer reads it.

    Args:
        path: The samples, JSON Lines; see :func:`juicer_lines.prepare`.
        given_stats: Statistics that the samples had before, one JSON object a line.
        num_samples: Number of samples.
    """

    path: Path
    given_stats: Path
    num_samples: int


def start(main: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Start a worker that reports every failure in one line.

    Data-Juicer logs a hundred lines around an error, and some of its errors exit, so the traceback
    goes to ``traceback.txt`` in the job's folder.
    """

    def guarded(request: dict[str, Any]) -> dict[str, Any]:
        try:
            return main(request)
        except (InputError, SampleError):
            raise
        except (Exception, SystemExit) as error:
            trace_path = Path(request["output_dir"]) / "traceback.txt"
            trace_path.write_text(traceback.format_exc(), encoding="utf-8")
            cause = " ".join(str(error).split())[:1000] or "no message"
            name = type(error).__name__
            raise InputError(
                f"Data-Juicer failed: {name}: {cause} (traceback: {trace_path})"
            ) from None

    worker_start.start(guarded)


def preload() -> None:
    """Import what Data-Juicer imports, for the forks of this process's parent.

    Not Data-Juicer itself: how it is imported depends on worker and recipe.
    """
    with worker_start.importing():
        import aiohttp  # noqa: F401
        import bs4  # noqa: F401
        import datasets  # noqa: F401
        import emoji  # noqa: F401
        import jsonargparse  # noqa: F401
        import loguru  # noqa: F401
        import pandas as pd  # noqa: F401
        import PIL.Image  # noqa: F401
        import pydantic  # noqa: F401


@contextlib.contextmanager
def data_set(request: dict[str, Any]) -> Iterator[PreparedData]:
    """Prepare the data set of a request, and point Data-Juicer's own cache at its folder."""
    recipe, work_dir = request["recipe"], Path(request["work_dir"])
    text_keys = recipe.get("text_keys") or ["text"]
    target, given_stats = work_dir / "input.jsonl", work_dir / "given_stats.jsonl"
    num_samples, content = juicer_lines.prepare(
        Path(request["dataset_path"]),
        target,
        given_stats,
        [text_keys] if isinstance(text_keys, str) else text_keys,
        [recipe.get(key) or default for key, default in _MEDIA.items()],
    )
    with juicer_cache.shared(request, target, content) as path:
        # The library ``datasets`` reads it once, when it is imported.
        os.environ["HF_DATASETS_CACHE"] = str(path.parent / "datasets")
        if "datasets" in sys.modules:
            sys.modules["datasets"].config.HF_DATASETS_CACHE = path.parent / "datasets"
        yield PreparedData(path, given_stats, num_samples)


def check_kept(num_kept: int, num_samples: int, rejected: Mapping[str, Any]) -> None:
    """Refuse a recipe that keeps nothing: later jobs could not use its result."""
    if num_kept == 0:
        removed = rejected["num_rejected"].items()
        counts = ", ".join(f"{count} by {key}" for key, count in removed if count)
        raise InputError(
            f"the recipe keeps none of the {num_samples} samples; removed: {counts} "
            f"(values and bounds: {rejected['rejected_path']})"
        )


def configure(request: dict[str, Any], dataset_path: Path, **settings: Any) -> Any:
    """Make Data-Juicer's configuration for a recipe; check its operators before loading anything.

    Raises:
        InputError: An operator, an argument or a key is unknown or has the wrong type.
    """
    import_data_juicer(with_ray=request["recipe"].get("executor_type") == "ray")
    from data_juicer.config import get_init_configs
    from data_juicer.config.config import load_custom_operators

    recipe = dict(request["recipe"])
    # Data-Juicer loads them only after the check, which knows no operators but those loaded.
    load_custom_operators(recipe.pop("custom_operator_paths", None) or [])
    check_operators(recipe["process"])
    _log_reuse()
    own = {
        # Data-Juicer splits it as a shell does: it may be a list of paths with weights.
        "dataset_path": shlex.quote(str(dataset_path)),
        "work_dir": request["output_dir"],
        "job_id": JOB_ID,  # a random one would make the cache grow with every run
        "np": request["num_proc"],
        "skip_op_error": False,  # it would drop a whole batch for one bad sample
        "ds_cache_dir": os.environ["HF_DATASETS_CACHE"],
        **settings,
    }
    with _refusals():
        return get_init_configs({**recipe, **own})


def check_operators(process: list[dict[str, Any]]) -> None:
    """Let Data-Juicer check names and arguments of operators.

    Raises:
        InputError: An operator or an argument is unknown or has the wrong type.
    """
    from data_juicer.core.preflight import PipelineConfigError, pre_instantiation_check

    try:
        pre_instantiation_check(process)
    except PipelineConfigError as error:
        raise InputError("recipe: " + "; ".join(str(item) for item in error.errors)) from None


def _log_reuse() -> None:
    """Log the files that ``datasets`` takes from the cache, and nothing else of it."""

    class Reused(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.msg.startswith("Loading cached processed dataset"):
                name = record.getMessage().rsplit("/", 1)[-1]
                print("reused from the operator cache:", name, flush=True)

    logger = logging.getLogger("datasets.arrow_dataset")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(Reused())


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """Turn the parser's usage text and exit into one error."""
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            yield
    except SystemExit:
        lines = [line.strip() for line in errors.getvalue().splitlines() if line.strip()]
        reasons = [line for line in lines if line.startswith(("error:", "- "))] or lines[-3:]
        raise InputError("recipe: " + " ".join(reasons).removeprefix("error: ")) from None
