"""Data-Juicer's Analyzer and Executor, each in a program of its own."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from sandbox.envs import CurrentEnv, Env
from sandbox.executors import BaseDataExecutor
from sandbox.job import Outputs
from sandbox.recipes import process_list

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


class DataJuicerAnalyzer(BaseDataExecutor):
    """Compute the statistics of every sample with Data-Juicer's Analyzer.

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
        dataset_path: Data set in Data-Juicer's format, JSON Lines.
        recipe: Data-Juicer's own keys; ``process`` is a mapping by operator (an operator that occurs
            again has a suffix, ``text_length_filter__2``) or Data-Juicer's list. Only the
            filters' statistics are computed, nothing is filtered.
        recipe_path: A YAML recipe file of Data-Juicer, in place of ``recipe``. What this class sets
            itself (data set, export and work folders, ``np``, ``skip_op_error``) is not read from it.
        num_proc: Processes per operator (Data-Juicer's ``np``).
        plots: Draw histograms, boxes and the correlation matrix too.
        env: Where Data-Juicer runs; ``None`` is the launcher's own interpreter.

    Raises:
        ValueError: Not exactly one of ``recipe`` and ``recipe_path`` is given, or the recipe is none.
        ProcessError: Data-Juicer failed; its last line names the operator, argument, line or file.
    """

    OUTPUTS: ClassVar[tuple[str, ...]] = ("dataset_path", "statistics", "analysis_dir")

    def __init__(
        self,
        dataset_path: Path,
        recipe: Mapping[str, Any] | None = None,
        recipe_path: Path | None = None,
        num_proc: int = 1,
        plots: bool = False,
        env: Env | None = None,
    ) -> None:
        _check(recipe, recipe_path, num_proc)
        self.dataset_path = dataset_path
        self.recipe = recipe
        self.recipe_path = recipe_path
        self.num_proc = num_proc
        self.env = env or CurrentEnv()
        self.plots = plots

    def run(self, *, output_dir: Path, log_path: Path) -> Outputs:
        """Analyze the data set."""
        result_path = output_dir / "analyzed.jsonl"
        result = _run_worker(
            "juicer_analyze.py",
            {
                "dataset_path": str(self.dataset_path.absolute()),
                "recipe": _load(self.recipe, self.recipe_path),
                "num_proc": self.num_proc,
                "plots": self.plots,
                "result_path": str(result_path),
            },
            output_dir,
            log_path,
            self.env,
        )
        return {
            "dataset_path": result_path,
            "statistics": result["statistics"],
            "analysis_dir": Path(result["analysis_dir"]),
        }


class DataJuicerExecutor(BaseDataExecutor):
    """Process a data set with a Data-Juicer recipe.

    A sample may be lost only because an operator filtered it: a sample that an operator cannot
    handle is an error, where Data-Juicer by itself drops its whole batch. Statistics that samples
    already have are computed anew. Relative media paths become absolute.

    Outputs:
        dataset_path: The samples that the recipe keeps, as Data-Juicer writes them.
        num_samples_in: Number of samples read.
        num_samples_out: Number of samples kept, at least 1.
        recipe_path: The recipe as ``dj-process`` reads it.

    Args:
        dataset_path: Data set in Data-Juicer's format, JSON Lines.
        recipe: Data-Juicer's own keys; ``process`` is a mapping by operator (an operator that occurs
            again has a suffix, ``text_length_filter__2``) or Data-Juicer's list.
        recipe_path: A YAML recipe file of Data-Juicer, in place of ``recipe``. What this class sets
            itself (data set, export and work folders, ``np``, ``skip_op_error``) is not read from it.
        num_proc: Processes per operator (Data-Juicer's ``np``).
        env: Where Data-Juicer runs; ``None`` is the launcher's own interpreter.

    Raises:
        ValueError: Not exactly one of ``recipe`` and ``recipe_path`` is given, or the recipe is none.
        ProcessError: Data-Juicer failed; its last line names the operator, argument, line or file.
    """

    OUTPUTS: ClassVar[tuple[str, ...]] = ("dataset_path", "num_samples_in", "num_samples_out", "recipe_path")

    def __init__(
        self,
        dataset_path: Path,
        recipe: Mapping[str, Any] | None = None,
        recipe_path: Path | None = None,
        num_proc: int = 1,
        env: Env | None = None,
    ) -> None:
        _check(recipe, recipe_path, num_proc)
        self.dataset_path = dataset_path
        self.recipe = recipe
        self.recipe_path = recipe_path
        self.num_proc = num_proc
        self.env = env or CurrentEnv()

    def run(self, *, output_dir: Path, log_path: Path) -> Outputs:
        """Process the data set."""
        import yaml

        recipe = _load(self.recipe, self.recipe_path)
        recipe_path = output_dir / "recipe.yaml"
        recipe_path.write_text(yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True), encoding="utf-8")
        result_path = output_dir / "processed.jsonl"
        result = _run_worker(
            "juicer_process.py",
            {
                "dataset_path": str(self.dataset_path.absolute()),
                "recipe": recipe,
                "num_proc": self.num_proc,
                "result_path": str(result_path),
            },
            output_dir,
            log_path,
            self.env,
        )
        return {"dataset_path": result_path, **result, "recipe_path": recipe_path}


def _check(recipe: Mapping[str, Any] | None, recipe_path: Path | None, num_proc: int) -> None:
    if (recipe is None) == (recipe_path is None):
        raise ValueError("give exactly one of recipe and recipe_path")
    if recipe is not None:
        process_list(recipe)
    if num_proc < 1:
        raise ValueError(f"num_proc: expected at least 1, got {num_proc}")


def _load(recipe: Mapping[str, Any] | None, recipe_path: Path | None) -> dict[str, Any]:
    """The recipe with ``process`` as a list and without the keys that are set here."""
    if recipe_path is not None:
        import yaml

        recipe = yaml.safe_load(recipe_path.read_text(encoding="utf-8"))
        if not isinstance(recipe, Mapping):
            raise ValueError(f"{recipe_path}: expected a recipe, a YAML mapping with Data-Juicer's keys")
    assert recipe is not None
    if recipe.get("executor_type", "default") != "default":
        raise ValueError(f"recipe.executor_type: expected 'default', got {recipe['executor_type']!r}")
    kept = {key: value for key, value in recipe.items() if key not in _OURS}
    return {**kept, "process": process_list(recipe)}


def _run_worker(
    worker: str, request: dict[str, Any], output_dir: Path, log_path: Path, env: Env
) -> dict[str, Any]:
    """Run a worker with a dataset cache of its own, removed afterwards, and return its result."""
    with tempfile.TemporaryDirectory(dir=output_dir, prefix="cache-") as cache:
        request_path = Path(cache) / "request.json"
        request_path.write_text(
            json.dumps(
                {
                    **request,
                    "output_dir": str(output_dir.absolute()),
                    "cache_dir": str(Path(cache).absolute()),
                }
            ),
            encoding="utf-8",
        )
        command = ["python", str(_WORKERS / worker), str(request_path)]
        env.run_cmd(command, log_path=log_path, variables=_variables(cache), echo=False)
        result: dict[str, Any] = json.loads((Path(cache) / "result.json").read_text(encoding="utf-8"))
    return result


def _variables(cache: str) -> dict[str, str]:
    return {
        "HF_HUB_OFFLINE": "1",  # a missing tokenizer otherwise costs 150 s of retries
        "HF_DATASETS_CACHE": str(Path(cache).absolute() / "datasets"),
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        "TQDM_DISABLE": "1",
        "MPLBACKEND": "Agg",
    }
