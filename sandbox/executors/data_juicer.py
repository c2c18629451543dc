"""Data-Juicer's Analyzer and Executor and a faster probe, each in a program of its own."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from sandbox.envs import CurrentEnv, Env
from sandbox.executors import BaseRecipeExecutor
from sandbox.job import Outputs
from sandbox.recipes import as_file, process_list

_WORKERS = Path(__file__).parent.parent / "workers"
_OURS = (
    "dataset_path",
    "dataset",
    "export_path",
    "work_dir",
    "job_id",
    "np",
    "skip_op_error",
    "ds_cache_dir",
)


class DataJuicerAnalyzer(BaseRecipeExecutor):
    """Compute the statistics of every sample with Data-Juicer's Analyzer.

    Only the statistics of the recipe's filters are computed, nothing is filtered. Always on this
    machine, whatever the recipe's ``executor_type``.

    Outputs:
        dataset_path: The lines of the data set, in order, byte for byte, each with its statistics
            under ``__dj__stats__``. Two things are edited: relative media paths become absolute,
            because the lines move to another folder, and statistics that the recipe computes
            replace older ones.
        statistics: ``{statistic: {count, mean, std, min, q25, q50, q75, max}}`` as floats, lists of
            numbers flattened; ``std`` is ``None`` for a single value. Statistics that are no
            numbers are left out.
        analysis_dir: Folder with Data-Juicer's ``overall.csv`` and, with ``plots``, its figures.

    Args:
        num_proc: Processes per operator (Data-Juicer's ``np``); ``None`` is the recipe's ``np``, or 1.
        plots: Draw histograms, boxes and the correlation matrix too.
        env: Where Data-Juicer runs; ``None`` is the launcher's own interpreter.

    Raises:
        ValueError: ``num_proc`` is below 1.
        ProcessError: Data-Juicer failed; its last line names the operator, argument, line or file.
    """

    OUTPUTS: ClassVar[tuple[str, ...]] = ("dataset_path", "statistics", "analysis_dir")
    VERSION: ClassVar[int] = 2

    def __init__(
        self, num_proc: int | None = None, plots: bool = False, env: Env | None = None
    ) -> None:
        _check_num_proc(num_proc)
        self.num_proc = num_proc
        self.env = env or CurrentEnv()
        self.plots = plots

    def run(
        self,
        dataset_path: Path,
        recipe: Mapping[str, Any],
        *,
        output_dir: Path,
        log_path: Path,
        cache_dir: Path | None = None,
    ) -> Outputs:
        """Analyze the data set."""
        request = _request(
            dataset_path, recipe, self.num_proc, output_dir / "analyzed.jsonl", cache_dir
        )
        request["plots"] = self.plots
        result = _run_worker("juicer_analyze.py", request, output_dir, log_path, self.env)
        return _probed(result, output_dir)


class DataJuicerFastProbe(BaseRecipeExecutor):
    """Compute the statistics of every sample with Data-Juicer's filters, called directly on batches.

    The Analyzer's outputs, to the last digit, without what it does around its filters: 5,000 rows and
    8 filters take about a fifth of its CPU time, with all imports. The lines are streamed; memory
    grows by 8 bytes a sample. Operators that tag samples are refused, other operators than filters
    are passed over, as the Analyzer does.

    Outputs:
        dataset_path: As of :class:`DataJuicerAnalyzer`.
        statistics: As of :class:`DataJuicerAnalyzer`.
        analysis_dir: Folder with the table ``overall.csv``.

    Args:
        num_proc: Processes, each with a share of the lines; ``None`` is the recipe's ``np``, or 1.
            The result is the same with any number.
        env: Where Data-Juicer runs; ``None`` is the launcher's own interpreter.

    Raises:
        ValueError: ``num_proc`` is below 1.
        ProcessError: An operator failed; the last line names the operator, argument, line or file.
    """

    OUTPUTS: ClassVar[tuple[str, ...]] = ("dataset_path", "statistics", "analysis_dir")
    VERSION: ClassVar[int] = 1

    def __init__(self, num_proc: int | None = None, env: Env | None = None) -> None:
        _check_num_proc(num_proc)
        self.num_proc = num_proc
        self.env = env or CurrentEnv()

    def run(
        self,
        dataset_path: Path,
        recipe: Mapping[str, Any],
        *,
        output_dir: Path,
        log_path: Path,
        cache_dir: Path | None = None,
    ) -> Outputs:
        """Probe the data set."""
        request = _request(dataset_path, recipe, self.num_proc, output_dir / "analyzed.jsonl", None)
        result = _run_worker("juicer_probe.py", request, output_dir, log_path, self.env)
        return _probed(result, output_dir)


class DataJuicerExecutor(BaseRecipeExecutor):
    """Process a data set with a Data-Juicer recipe.

    A sample may be lost only because an operator filtered it: a sample that an operator cannot
    handle is an error, where Data-Juicer by itself drops its whole batch. Statistics that samples
    already have are computed anew. Relative media paths become absolute.

    With ``executor_type: ray`` in the recipe the operators run on Ray, at its ``ray_address``:
    ``local`` (as it is without one) starts a Ray of its own on this machine, with ``num_proc`` CPUs
    and nothing left of it afterwards; ``auto`` or an address is a cluster that runs already. The
    result is one file in the order of the input there too.

    Outputs:
        dataset_path: The samples that the recipe keeps, as Data-Juicer writes them.
        num_samples_in: Number of samples read.
        num_samples_out: Number of samples kept, at least 1.
        recipe_path: The recipe as ``dj-process`` reads it.

    Args:
        num_proc: Processes per operator (Data-Juicer's ``np``); ``None`` is the recipe's ``np``, or 1.
        env: Where Data-Juicer runs; ``None`` is the launcher's own interpreter.

    Raises:
        ValueError: ``num_proc`` is below 1.
        ProcessError: Data-Juicer failed; its last line names the operator, argument, line or file.
    """

    OUTPUTS: ClassVar[tuple[str, ...]] = (
        "dataset_path",
        "num_samples_in",
        "num_samples_out",
        "recipe_path",
    )

    def __init__(self, num_proc: int | None = None, env: Env | None = None) -> None:
        _check_num_proc(num_proc)
        self.num_proc = num_proc
        self.env = env or CurrentEnv()

    def run(
        self,
        dataset_path: Path,
        recipe: Mapping[str, Any],
        *,
        output_dir: Path,
        log_path: Path,
        cache_dir: Path | None = None,
    ) -> Outputs:
        """Process the data set."""
        request = _request(
            dataset_path, recipe, self.num_proc, output_dir / "processed.jsonl", cache_dir
        )
        recipe_path = output_dir / "recipe.yaml"
        recipe_path.write_text(as_file(request["recipe"]), encoding="utf-8")
        result = _run_worker("juicer_process.py", request, output_dir, log_path, self.env)
        return {
            "dataset_path": output_dir / "processed.jsonl",
            **result,
            "recipe_path": recipe_path,
        }


def _check_num_proc(num_proc: int | None) -> None:
    if num_proc is not None and num_proc < 1:
        raise ValueError(f"num_proc: expected at least 1, got {num_proc}")


def _request(
    dataset_path: Path,
    recipe: Mapping[str, Any],
    num_proc: int | None,
    result_path: Path,
    cache_dir: Path | None,
) -> dict[str, Any]:
    """What a worker reads: the recipe with ``process`` as a list and without the keys that are set here."""
    np = recipe.get("np", 1) if num_proc is None else num_proc
    if type(np) is not int or np < 1:
        raise ValueError(f"recipe.np: expected at least 1, got {np!r}")
    kept = {key: value for key, value in recipe.items() if key not in _OURS}
    return {
        "dataset_path": str(dataset_path.absolute()),
        "recipe": {**kept, "process": process_list(recipe)},
        "num_proc": np,
        "result_path": str(result_path.absolute()),
        "shared_dir": None if cache_dir is None else str(cache_dir.absolute() / "data_juicer"),
    }


def _probed(result: Mapping[str, Any], output_dir: Path) -> Outputs:
    return {
        "dataset_path": output_dir / "analyzed.jsonl",
        "statistics": result["statistics"],
        "analysis_dir": Path(result["analysis_dir"]),
    }


def _run_worker(
    worker: str, request: dict[str, Any], output_dir: Path, log_path: Path, env: Env
) -> dict[str, Any]:
    """Run a worker with a folder for what it needs meanwhile, removed afterwards, and return its result."""
    with tempfile.TemporaryDirectory(dir=output_dir, prefix="cache-") as cache:
        request_path = Path(cache) / "request.json"
        folders = {
            "output_dir": str(output_dir.absolute()),
            "cache_dir": str(Path(cache).absolute()),
        }
        request_path.write_text(json.dumps({**request, **folders}), encoding="utf-8")
        command = ["python", str(_WORKERS / worker), str(request_path)]
        env.run_cmd(command, log_path=log_path, variables=_variables(cache), echo=False)
        result: dict[str, Any] = json.loads(
            (Path(cache) / "result.json").read_text(encoding="utf-8")
        )
    return result


def _variables(cache: str) -> dict[str, str]:
    return {
        "HF_HUB_OFFLINE": "1",  # a missing tokenizer otherwise costs 150 s of retries
        "HF_DATASETS_CACHE": str(Path(cache).absolute() / "datasets"),
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        "TQDM_DISABLE": "1",
        "MPLBACKEND": "Agg",
        "PYTHONHASHSEED": os.environ.get(
            "PYTHONHASHSEED", "0"
        ),  # sets count in an operator's fingerprint
    }
