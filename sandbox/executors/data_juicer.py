"""Data-Juicer's Analyzer and Executor and a faster probe, each in a program of its own."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from sandbox.envs import CurrentEnv, Env
from sandbox.envs.worker import run_worker
from sandbox.executors import BaseRecipeExecutor
from sandbox.job import JobScope, PositiveInt
from sandbox.recipes import as_file, as_mapping, load_recipe, process_list
from sandbox.recipes.operators import analyzer_reasons

# Keys of a recipe that these components set themselves.
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


@dataclass(frozen=True, kw_only=True)
class AnalyzedDataset:
    """A data pool with the statistics of its samples.

    Args:
        dataset_path: The samples in order, JSON Lines, each with its statistics under
            ``__dj__stats__``. Lines of a JSON Lines pool stay byte for byte, but for two edits:
            relative media paths become absolute, because the lines move to another folder, and
            statistics that the recipe computes replace older ones.
        statistics: ``{statistic: {count, mean, std, min, q25, q50, q75, max}}`` as floats, lists of
            numbers flattened; ``std`` is ``None`` for a single value. Statistics that are not
            numbers are left out.
        analysis_dir: Folder with Data-Juicer's ``overall.csv`` and the figures, if any.
    """

    dataset_path: Path
    statistics: Mapping[str, Mapping[str, float | None]]
    analysis_dir: Path


@dataclass(frozen=True, kw_only=True)
class ProcessedDataset:
    """A processed data pool.

    Args:
        dataset_path: The samples that the recipe keeps, as Data-Juicer writes them, JSON Lines.
        num_samples_in: Number of samples read.
        num_samples_out: Number of samples kept, at least 1.
        recipe_path: The recipe as ``dj-process`` reads it.
    """

    dataset_path: Path
    num_samples_in: int
    num_samples_out: int
    recipe_path: Path


@dataclass(frozen=True, kw_only=True)
class DataJuicerAnalyzer(BaseRecipeExecutor):
    """Compute the statistics of every sample with Data-Juicer's Analyzer.

    Only the statistics of the recipe's filters are computed, nothing is filtered. It always runs on
    this machine, whatever the recipe's ``executor_type``.

    Args:
        num_proc: Processes per operator (Data-Juicer's ``np``); ``None`` takes the recipe's, or 1.
        plots: Draw histograms, boxes and the correlation matrix too.
        env: Where Data-Juicer runs.
    """

    PACKAGES: ClassVar[Mapping[str, Sequence[str]]] = {"data": ("data_juicer",)}

    VERSION: ClassVar[int] = 2

    num_proc: PositiveInt | None = None
    plots: bool = False
    env: Env = field(default_factory=CurrentEnv)

    def run(
        self, dataset_path: Path, recipe: Mapping[str, Any], *, scope: JobScope
    ) -> AnalyzedDataset:
        """Analyze the data set.

        Raises:
            ValueError: The recipe's ``np`` is no positive number.
            ProcessError: Data-Juicer failed; the message names operator, argument, line or file.
        """
        request = {
            **_request(dataset_path, recipe, self.num_proc, scope, "analyzed.jsonl"),
            **_shared_cache(scope),
            "plots": self.plots,
        }
        return _analyzed("juicer_analyze", request, scope, self.env)


@dataclass(frozen=True, kw_only=True)
class DataJuicerFastProbe(BaseRecipeExecutor):
    """Compute the statistics of every sample by calling Data-Juicer's filters directly.

    The results equal the Analyzer's to the last digit: 5,000 rows and 8 filters take about a fifth
    of its CPU time, imports included. The lines are streamed; memory grows by 8 bytes a sample.
    Operators other than filters are skipped, as the Analyzer does.

    A recipe with operators that need the Analyzer (they tag samples, or are not Data-Juicer's own)
    is left to it; plan and log name them.

    Args:
        num_proc: Processes, each with a share of the lines; ``None`` takes the recipe's ``np``, or
            1. The result is the same with any number.
        env: Where Data-Juicer runs.
    """

    PACKAGES: ClassVar[Mapping[str, Sequence[str]]] = {"data": ("data_juicer",)}

    num_proc: PositiveInt | None = None
    env: Env = field(default_factory=CurrentEnv)

    @staticmethod
    def remarks(arguments: Mapping[str, Any]) -> Iterator[str]:
        """Yield for the plan why a job's recipe needs the Analyzer, as far as it is known."""
        recipe, recipe_path = arguments.get("recipe"), arguments.get("recipe_path")
        is_known = isinstance(recipe, Mapping | None) and isinstance(recipe_path, Path | str | None)
        if is_known:
            path = None if recipe_path is None else Path(recipe_path)
            with contextlib.suppress(ValueError):  # an earlier job makes its operators
                yield from _analyzer_remarks(load_recipe(recipe, path))

    def run(
        self, dataset_path: Path, recipe: Mapping[str, Any], *, scope: JobScope
    ) -> AnalyzedDataset:
        """Probe the data set.

        Raises:
            ValueError: The recipe's ``np`` is no positive number.
            ProcessError: An operator failed; the message names operator, argument, line or file.
        """
        remarks = _analyzer_remarks({**recipe, "process": as_mapping(recipe)})
        if remarks:
            with scope.log_path.open("a", encoding="utf-8") as log:
                log.writelines(f"{line}\n" for line in remarks)
            analyzer = DataJuicerAnalyzer(num_proc=self.num_proc, env=self.env)
            return analyzer.run(dataset_path, recipe, scope=scope)
        request = _request(dataset_path, recipe, self.num_proc, scope, "analyzed.jsonl")
        return _analyzed("juicer_probe", request, scope, self.env)


@dataclass(frozen=True, kw_only=True)
class DataJuicerExecutor(BaseRecipeExecutor):
    """Process a data set with a Data-Juicer recipe.

    A sample may be lost only because an operator filtered it: a sample that an operator cannot
    handle is an error, where Data-Juicer by itself drops its whole batch. Statistics that samples
    already have are computed again. Relative media paths become absolute.

    With ``executor_type: ray`` in the recipe the operators run on Ray, at its ``ray_address``:
    ``local`` (the default) starts a private Ray on this machine, with ``num_proc`` CPUs, and
    removes all of it afterwards; ``auto`` or an address is a cluster that runs already. With Ray
    too, the result is one file in the order of the input.

    Args:
        num_proc: Processes per operator (Data-Juicer's ``np``); ``None`` takes the recipe's, or 1.
        env: Where Data-Juicer runs.
    """

    PACKAGES: ClassVar[Mapping[str, Sequence[str]]] = {"data": ("data_juicer",)}

    num_proc: PositiveInt | None = None
    env: Env = field(default_factory=CurrentEnv)

    def run(
        self, dataset_path: Path, recipe: Mapping[str, Any], *, scope: JobScope
    ) -> ProcessedDataset:
        """Process the data set.

        Raises:
            ValueError: The recipe's ``np`` is no positive number.
            ProcessError: Data-Juicer failed; the message names operator, argument, line or file.
        """
        request = {
            **_request(dataset_path, recipe, self.num_proc, scope, "processed.jsonl"),
            **_shared_cache(scope),
        }
        recipe_path = scope.output_dir / "recipe.yaml"
        recipe_path.write_text(as_file(request["recipe"]), encoding="utf-8")
        counts = run_worker("juicer_process", request, scope, self.env, variables=_variables())
        return ProcessedDataset(
            dataset_path=request["result_path"], recipe_path=recipe_path, **counts
        )


def _analyzer_remarks(recipe: Mapping[str, Any]) -> list[str]:
    return [f"by the Analyzer: {reason}" for reason in analyzer_reasons(recipe)]


def _request(
    dataset_path: Path,
    recipe: Mapping[str, Any],
    num_proc: int | None,
    scope: JobScope,
    result_name: str,
) -> dict[str, Any]:
    """Build a request; its recipe has ``process`` as a list and none of the keys set here."""
    np = recipe.get("np", 1) if num_proc is None else num_proc
    if type(np) is not int or np < 1:  # isinstance would accept True
        raise ValueError(f"recipe.np: expected at least 1, got {np!r}")
    kept = {key: value for key, value in recipe.items() if key not in _OURS}
    return {
        "dataset_path": dataset_path,
        "recipe": {**kept, "process": process_list(recipe)},
        "num_proc": np,
        "output_dir": scope.output_dir,
        "result_path": scope.output_dir / result_name,
        "shared_dir": None,
    }


def _shared_cache(scope: JobScope) -> dict[str, Path]:
    """Return the part of a request that lets jobs reuse the results of operators."""
    return {"shared_dir": scope.cache_dir / "data_juicer"} if scope.cache_dir else {}


def _analyzed(
    worker: str, request: Mapping[str, Any], scope: JobScope, env: Env
) -> AnalyzedDataset:
    result = run_worker(worker, request, scope, env, variables=_variables())
    return AnalyzedDataset(
        dataset_path=request["result_path"],
        statistics=result["statistics"],
        analysis_dir=Path(result["analysis_dir"]),
    )


def _variables() -> dict[str, str]:
    return {
        "HF_HUB_OFFLINE": "1",  # a missing tokenizer otherwise costs 150 s of retries
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        "TQDM_DISABLE": "1",
        "MPLBACKEND": "Agg",
        # The order of sets counts in an operator's fingerprint, and with it for the shared cache.
        "PYTHONHASHSEED": os.environ.get("PYTHONHASHSEED", "0"),
    }
