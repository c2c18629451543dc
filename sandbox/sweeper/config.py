"""The options of the sweeper and of its pruners, as Hydra composes them.

Samplers are those that hydra-optuna-sweeper registers: tpe, random, grid, cmaes, nsgaii, nsgaiii,
gp, qmc.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

_PRUNERS: dict[str, dict[str, Any]] = {
    "none": {"_target_": "optuna.pruners.NopPruner"},
    "median": {
        "_target_": "optuna.pruners.MedianPruner",
        "n_startup_trials": 5,
        "n_warmup_steps": 0,
        "interval_steps": 1,
        "n_min_trials": 1,
    },
    "hyperband": {
        "_target_": "optuna.pruners.HyperbandPruner",
        "min_resource": 1,
        "max_resource": "auto",
        "reduction_factor": 3,
        "bootstrap_count": 0,
    },
    "successive_halving": {
        "_target_": "optuna.pruners.SuccessiveHalvingPruner",
        "min_resource": "auto",
        "reduction_factor": 4,
        "min_early_stopping_rate": 0,
        "bootstrap_count": 0,
    },
    "patient": {
        "_target_": "optuna.pruners.PatientPruner",
        "wrapped_pruner": {"_target_": "optuna.pruners.MedianPruner"},
        "patience": 3,
        "min_delta": 0.0,
    },
}


@dataclass
class OptunaAsyncConf:
    """The options in ``hydra.sweeper``; docs/sweeps.md has examples.

    Args:
        sampler: Chosen by ``hydra/sweeper/sampler=…``.
        pruner: Chosen by ``hydra/sweeper/pruner=…``.
        direction: ``minimize`` or ``maximize``; a list for several objectives.
        n_trials: Trials, completed or pruned, that the study shall have in total.
        n_workers: Runs at a time.
        gpus_per_worker: GPUs that each run sees, dealt out of ``CUDA_VISIBLE_DEVICES`` where runs
            are processes of this machine; 0 lets all runs see all.
        params: Search space by argument, in the syntax of hydra-optuna-sweeper; the command line
            comes after it.
        zip: Groups of arguments whose values move together: lists of keys of the search space.
        repeat: Number of seeds, or list of seeds, that every point is run with; the value is then
            their mean.
        repeat_argument: Argument or arguments that take the seed.
        prune_on: Metric that a pruner judges by, with its name in ``metrics.jsonl``.
        prune_direction: ``minimize`` or ``maximize`` that metric; ``null``: the objective's
            direction.
        max_failures: Trials that may fail before no more are started.
        timeout_min: Minutes that a trial may run; ``null``: no limit.
        storage: Any Optuna storage URL, or the path of a journal; ``null``: ``study.journal`` in
            ``dir``.
        study_name: Name of the study; a study with this name is resumed.
        dir: Folder of the sweep.
        custom_search_space: Dotted name of a function that takes the config and the trial.
    """

    _target_: str = "sandbox.sweeper.OptunaAsyncSweeper"
    defaults: list[Any] = field(default_factory=lambda: [{"sampler": "tpe"}, {"pruner": "none"}])
    sampler: Any = MISSING
    pruner: Any = MISSING
    direction: Any = "minimize"
    n_trials: int = 20
    n_workers: int = 1
    gpus_per_worker: int = 0
    params: dict[str, Any] | None = None
    zip: Any = None
    repeat: Any = 1
    repeat_argument: Any = "seed"
    prune_on: str | None = None
    prune_direction: str | None = None
    max_failures: int = 10
    timeout_min: float | None = None
    storage: str | None = None
    study_name: str = "${experiment_name}"
    dir: str = "${outputs_dir}/sweeps/${hydra.sweeper.study_name}"
    custom_search_space: str | None = None


_store = ConfigStore.instance()
_store.store(group="hydra/sweeper", name="optuna_async", node=OptunaAsyncConf, provider="sandbox")
for _name, _node in _PRUNERS.items():
    _store.store(group="hydra/sweeper/pruner", name=_name, node=_node, provider="sandbox")
