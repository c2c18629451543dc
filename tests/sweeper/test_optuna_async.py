"""The asynchronous sweeper on real runs: its results, and what it survives and refuses."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys

import pytest
import yaml
from dry_run import shown_jobs
from sweeps import Sweeps
from toy_project import ROOT, alive, experiment, finish, until
from wandb_files import wandb_records

RATES = "jobs.train.executor.learning_rate=interval(0.1,1)"
THRESHOLD = [
    "hydra.sweeper.pruner._target_=optuna.pruners.ThresholdPruner",
    "+hydra.sweeper.pruner.upper=0.4",
    "hydra.sweeper.prune_on=train.loss",
]
"""Prunes the toy training at its first step, whose loss is 1."""


@pytest.mark.slow
def test_a_sweep_writes_its_results_and_prints_the_best_and_the_command_that_reruns_it(
    sweeps: Sweeps,
) -> None:
    outcome = sweeps.run(
        "chain",
        "hydra/sweeper/sampler=grid",
        "jobs.train.executor.learning_rate=0.1,0.3",
        "+jobs.train.executor.model='a b$','c d'",
        "hydra.sweeper.direction=maximize",
    )
    assert outcome.out.count(" of 4 done, 0 running") == 4
    assert sweeps.states() == ["complete"] * 4 and sweeps.numbered() == [0, 1, 2, 3]
    found = yaml.safe_load((sweeps.folder / "optimization_results.yaml").read_text())
    assert found["name"] == "optuna" and found["best_value"] == pytest.approx(1.2)
    assert found["best_params"]["jobs.train.executor.learning_rate"] == 0.3
    assert sweeps.study().best_value == pytest.approx(1.2)
    *_, best, first, second, command = outcome.out.strip().splitlines()
    assert best == f"best trial: {found['best_trial']}, 1.2"
    assert "  jobs.train.executor.learning_rate = 0.3" in (first, second)
    assert command == found["command"]
    sweeps.project.ran()
    program, *arguments = shlex.split(command)
    assert program == "python"
    again = subprocess.run(
        [sys.executable, *arguments],
        cwd=sweeps.project.root,
        env={**os.environ, **sweeps.project.variables},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "objective score.accuracy = 1.2" in again.stdout
    assert sweeps.project.ran() == [], "the store had all of it"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "num_workers"), [("basic", 2), ("joblib", 1), ("joblib", 2), ("submitit_local", 2)]
)
def test_it_runs_through_any_launcher(sweeps: Sweeps, launcher: str, num_workers: int) -> None:
    options = [f"hydra/launcher={launcher}", f"hydra.sweeper.n_workers={num_workers}"]
    sweeps.run("chain", RATES, "hydra.sweeper.n_trials=3", *options)
    assert sweeps.states() == ["complete"] * 3 and sweeps.numbered() == [0, 1, 2]
    assert len(set(sweeps.project.ran())) == 1 + 3 + 1, "data once, three trainings"
    assert all((sweeps.folder / str(number) / ".hydra").is_dir() for number in range(3))


@pytest.mark.slow
def test_n_trials_is_a_total_that_a_resumed_sweep_completes(sweeps: Sweeps) -> None:
    options = [RATES, "hydra.sweeper.sampler.seed=3"]
    sweeps.run("chain", *options, "hydra.sweeper.n_trials=2")
    before = [(sweeps.folder / str(n) / "result.json").stat().st_mtime_ns for n in range(2)]
    sweeps.run("chain", *options, "hydra.sweeper.n_trials=4")
    assert sweeps.states() == ["complete"] * 4
    assert before == [(sweeps.folder / str(n) / "result.json").stat().st_mtime_ns for n in range(2)]
    assert len({row["value"] for row in sweeps.table()}) == 4, (
        "a seed does not repeat what was tried"
    )
    sweeps.project.ran()
    assert "4 of 4" not in sweeps.run("chain", *options, "hydra.sweeper.n_trials=4").out
    assert sweeps.project.ran() == [] and len(sweeps.table()) == 4


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "submitit_local"])
def test_a_failed_killed_or_nan_trial_fails_alone_with_the_tail_of_its_log(
    sweeps: Sweeps, launcher: str
) -> None:
    names = ["jobs.x.executor.value", "jobs.x.executor.error", "jobs.x.executor.killed"]
    columns = ["1,nan,2,3", "null,null,boom,null", "false,false,false,true"]
    sweeps.run(
        "one",
        "hydra/sweeper/sampler=grid",
        f"hydra/launcher={launcher}",
        "hydra.sweeper.n_workers=2",
        f"hydra.sweeper.zip=[[{','.join(names)}]]",
        *(f"{name}={column}" for name, column in zip(names, columns, strict=True)),
    )
    rows = {row[" | ".join(names)].partition(" ")[0]: row for row in sweeps.table()}
    assert {value: row["state"] for value, row in rows.items()} == {
        "1": "complete", "nan": "fail", "2": "fail", "3": "fail"
    }  # fmt: skip
    assert rows["nan"]["error"] == "the objective x.value is nan: this trial has failed"
    assert "boom" in rows["2"]["error"]
    assert "process" in rows["3"]["error"]
    failed = sweeps.study().trials[int(rows["2"]["trial"])]
    assert "boom" in failed.user_attrs["log_tail"]
    killed = sweeps.study().trials[int(rows["3"]["trial"])]
    assert "x: running (inline)" in killed.user_attrs["log_tail"]


@pytest.mark.slow
def test_a_sweep_goes_on_to_max_failures(sweeps: Sweeps) -> None:
    options = ["jobs.x.executor.value=interval(0.0,1.0)", "jobs.x.executor.error=boom"]
    outcome = sweeps.run("one", *options, "hydra.sweeper.max_failures=2", code=1)
    assert "3 trials failed, max_failures is 2" in outcome.err
    assert sweeps.states() == ["fail"] * 3


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [1, 2])
def test_pruning_ends_the_worker_process_and_releases_its_claims(
    sweeps: Sweeps, num_workers: int
) -> None:
    """Nobody opens the gate at which the trainings wait."""
    options = ["jobs.train.executor.learning_rate=0.3,0.7", "jobs.train.executor.gate=training"]
    options += ["hydra/sweeper/sampler=grid", f"hydra.sweeper.n_workers={num_workers}", *THRESHOLD]
    running = sweeps.start("chain", *options)
    (program,) = sweeps.project.wait_for("training")
    outcome = finish(running, 120)
    assert outcome.code == 1 and "no trial was completed" in outcome.err
    assert sweeps.states() == ["pruned", "pruned"]
    assert sweeps.study().trials[0].intermediate_values == {0: 1.0}
    assert "pruned at step 0" in outcome.out
    assert not alive(program)
    assert sweeps.project.records("train") == []
    sweeps.project.let_go("training")
    rest = ["jobs.train.executor.learning_rate=0.3", "jobs.train.executor.gate=training"]
    assert sweeps.project.main("chain", *rest).code == 0


@pytest.mark.slow
@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_a_metric_that_is_best_low_can_prune_for_a_score_that_is_best_high(
    sweeps: Sweeps, direction: str
) -> None:
    """The median pruner ends the second trial if its first losses look worse than the first's."""
    options = [
        "hydra/sweeper/sampler=grid",
        "hydra.sweeper.direction=maximize",
        "hydra/sweeper/pruner=median",
    ]
    options += ["hydra.sweeper.pruner.n_startup_trials=1", "hydra.sweeper.prune_on=train.loss"]
    options += [f"hydra.sweeper.prune_direction={direction}", "hydra.sweeper.n_trials=1"]
    space = "jobs.train.executor.learning_rate=0.3,0.7"
    sweeps.run("chain", *options, space)
    values = sweeps.study().trials[0].intermediate_values
    assert values == pytest.approx(
        {0: 1, 1: 1 / 2, 2: 1 / 3} if direction == "maximize" else {0: -1, 1: -1 / 2, 2: -1 / 3}
    )


@pytest.mark.slow
def test_a_trial_ends_when_its_time_is_up(sweeps: Sweeps) -> None:
    options = [RATES, "jobs.train.executor.gate=training", "hydra.sweeper.timeout_min=0.05"]
    running = sweeps.start("chain", *options, "hydra.sweeper.max_failures=0")
    (program,) = sweeps.project.wait_for("training")
    assert finish(running).code == 1
    assert sweeps.table()[0]["error"] == "timed out after 0.05 min"
    assert not alive(program)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "submitit_local"])
def test_after_kill_9_of_the_driver_its_trials_are_awaited_and_not_doubled(
    sweeps: Sweeps, launcher: str
) -> None:
    options = [RATES, "jobs.train.executor.gate=training", f"hydra/launcher={launcher}"]
    options += ["hydra.sweeper.n_trials=2", "hydra.sweeper.n_workers=2"]
    killed = sweeps.start("chain", *options)

    def two_have_begun() -> bool:
        return len([*sweeps.folder.glob("*/jobs/data")]) == 2

    until(two_have_begun, "two trials did not begin")
    sweeps.project.wait_for("training")
    killed.kill()
    killed.wait()
    again = sweeps.start("chain", *options)
    until(lambda: len([*(sweeps.folder / "drivers").glob("*.json")]) == 2, "no second driver")
    sweeps.project.let_go("training")
    outcome = finish(again)
    assert outcome.code == 0 and outcome.out.count("it still runs, and is awaited") == 2, (
        outcome.text
    )
    assert sweeps.states() == ["complete"] * 2 and sweeps.numbered() == [0, 1]
    assert len([line for line in sweeps.project.ran() if line.startswith("training")]) == 2


@pytest.mark.slow
def test_a_trial_that_died_with_its_driver_is_repeated_in_a_folder_of_its_own(
    sweeps: Sweeps,
) -> None:
    options = [RATES, "jobs.train.executor.gate=training", "hydra.sweeper.n_trials=2"]
    killed = sweeps.start("chain", *options)
    (program,) = sweeps.project.wait_for("training")
    killed.kill()
    killed.wait()
    until(lambda: not alive(program), "the program outlives its driver", 10)
    sweeps.project.let_go("training")
    outcome = sweeps.run("chain", *options)
    assert "trial 0: cut short: its driver and its process are gone, is repeated" in outcome.out
    assert sweeps.states() == ["fail", "complete", "complete"] and sweeps.numbered() == [0, 1, 2]
    (again,) = [
        trial for trial in sweeps.study().trials if trial.user_attrs.get("repeats_trial") == 0
    ]
    assert again.params == sweeps.study().trials[0].params


@pytest.mark.slow
def test_two_drivers_at_once_share_the_work(sweeps: Sweeps) -> None:
    options = [
        RATES,
        "hydra.sweeper.n_trials=6",
        "hydra.sweeper.n_workers=2",
        "hydra.sweeper.sampler.seed=1",
    ]
    running = [sweeps.start("chain", *options) for _ in range(2)]
    outcomes = [finish(each, 240) for each in running]
    assert [outcome.code for outcome in outcomes] == [0, 0], outcomes
    assert sweeps.states() == ["complete"] * 6 and sweeps.numbered() == [*range(6)]
    trainings = [line for line in sweeps.project.ran() if line.startswith("training")]
    assert len(trainings) == len(set(trainings)) == 6


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "submitit_local"])
@pytest.mark.parametrize("num_workers", [1, 2])
def test_ctrl_c_ends_running_trials_and_the_study_can_be_continued(
    sweeps: Sweeps, launcher: str, num_workers: int
) -> None:
    options = [RATES, "jobs.train.executor.gate=training", f"hydra/launcher={launcher}"]
    options += [f"hydra.sweeper.n_workers={num_workers}", f"hydra.sweeper.n_trials={num_workers}"]
    running = sweeps.start("chain", *options)
    (program,) = sweeps.project.wait_for("training")
    os.killpg(running.pid, signal.SIGINT)
    outcome = finish(running)
    assert outcome.code == 1 and "interrupted" in outcome.err, outcome.text
    until(lambda: not alive(program), "the training goes on")
    sweeps.project.let_go("training")
    sweeps.run("chain", *options)
    assert sweeps.states().count("complete") == num_workers
    rate = "jobs.train.executor.learning_rate"
    cut = {row[rate] for row in sweeps.table() if row["state"] == "fail"}
    assert cut and cut == {row[rate] for row in sweeps.table() if row["state"] == "complete"}


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [1, 2])
def test_repeat_gives_the_mean_and_the_deviation_over_seeds(
    sweeps: Sweeps, num_workers: int
) -> None:
    noise = {
        "eval_obj": None,
        "evaluator": {"_target_": "toys.Noise", "seed": "${seed}", "scale": 1.0},
    }
    body = experiment({"noise": ("evaluate_model", noise)}, objective="noise.score", seed=0)
    sweeps.project.write("noisy", body)
    outcome = sweeps.run(
        "noisy",
        "hydra/sweeper/sampler=grid",
        "jobs.noise.evaluator.scale=1.0,2.0",
        "hydra.sweeper.repeat=3",
        f"hydra.sweeper.n_workers={num_workers}",
    )
    assert "best trial: " in outcome.out and ", 2.33333 ± 1.53 (3 seeds)" in outcome.out
    assert sorted(float(row["value"]) for row in sweeps.table()) == pytest.approx([7 / 3, 14 / 3])
    assert sorted(path.name for path in (sweeps.folder / "0").glob("seed_*")) == [
        "seed_0",
        "seed_1",
        "seed_2",
    ]
    assert sweeps.project.command(*shlex.split(outcome.out.strip().splitlines()[-1])[3:]).code == 0


@pytest.mark.slow
def test_two_objectives_give_a_front(sweeps: Sweeps) -> None:
    sweeps.run(
        "chain",
        RATES,
        "objective=[score.accuracy,score.loss]",
        "hydra/sweeper/sampler=nsgaii",
        "hydra.sweeper.direction=[maximize,maximize]",
        "hydra.sweeper.n_trials=3",
    )
    solutions = yaml.safe_load((sweeps.folder / "optimization_results.yaml").read_text())[
        "solutions"
    ]
    assert len(solutions) == 3 and all(sum(one["values"]) == pytest.approx(1) for one in solutions)


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["tpe", "cmaes", "nsgaii", "random", "qmc"])
def test_samplers_and_a_database(sweeps: Sweeps, sampler: str) -> None:
    if sampler == "qmc":
        pytest.importorskip("scipy")
    options = [f"hydra/sweeper/sampler={sampler}", "hydra.sweeper.storage=sqlite:///study.db"]
    space = ["jobs.x.executor.value=tag(log,interval(0.1,1.0))", "+jobs.x.executor.seed=range(0,4)"]
    sweeps.run("one", *options, *space, "hydra.sweeper.n_trials=4")
    assert sweeps.states() == ["complete"] * 4
    assert len({row["value"] for row in sweeps.table()}) == 4


@pytest.mark.slow
@pytest.mark.parametrize("pruner", ["median", "hyperband", "successive_halving", "patient"])
def test_pruners(sweeps: Sweeps, pruner: str) -> None:
    options = [f"hydra/sweeper/pruner={pruner}", "hydra.sweeper.prune_on=train.loss"]
    sweeps.run("chain", RATES, *options, "hydra.sweeper.n_trials=3")
    assert len(sweeps.states()) >= 3 and set(sweeps.states()) <= {"complete", "pruned"}
    assert sweeps.study().trials[0].intermediate_values


@pytest.mark.slow
def test_gpus_are_dealt_out_to_runs_at_a_time(sweeps: Sweeps) -> None:
    sweeps.project.variables["CUDA_VISIBLE_DEVICES"] = "3,5"
    options = ["jobs.x.executor.value=1,2,3,4", "hydra.sweeper.gpus_per_worker=1"]
    sweeps.run("one", *options, "hydra/sweeper/sampler=grid", "hydra.sweeper.n_workers=2")
    infos = [json.loads((sweeps.folder / f"{n}/context_infos.json").read_text()) for n in range(4)]
    assert {info["main"][0]["process"]["gpus"] for info in infos} == {"3", "5"}
    for more, text in (
        ("hydra.sweeper.n_workers=3", "3 workers with 1 each need 3 GPUs, there are 2: 3, 5"),
        ("hydra/launcher=submitit_local", "submitit itself decides which GPUs its runs see"),
    ):
        assert text in sweeps.run("one", *options, more, code=2).err


@pytest.mark.slow
def test_a_forced_job_runs_once_for_each_driver_that_is_started(sweeps: Sweeps) -> None:
    for num_trials in (2, 4):
        outcome = sweeps.run("chain", RATES, "force=[data]", f"hydra.sweeper.n_trials={num_trials}")
        assert sweeps.project.ran().count("rows row 4") == 1
        assert "force" not in outcome.out.splitlines()[-1]


@pytest.mark.slow
def test_a_metric_that_never_comes_causes_a_warning(sweeps: Sweeps) -> None:
    options = [
        "hydra/sweeper/pruner=median",
        "hydra.sweeper.prune_on=train.los",
        "hydra.sweeper.n_trials=2",
    ]
    outcome = sweeps.run("chain", RATES, *options)
    warning = "recorded no train.los, and was not judged; did you mean train.loss?"
    assert outcome.out.count(warning) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (["jobs.train.executor.rate=interval(0,1)"], "override 'jobs.train.executor.rate'"),
        (["jobs.train.executor.learning_rate=interval(1,0)"], "interval(1,0): `low <= high`"),
        (["jobs.train.executor.learning_rate=range(1,1)"], "must contain at least one value"),
        (["jobs.train.executor.learning_rate=0.5"], "search space: is empty"),
        (
            [RATES, "hydra.sweeper.storage=sqlite:///no/where.db"],
            "cannot open sqlite:///no/where.db",
        ),
        ([RATES, "hydra.sweeper.storage=/no/where.journal"], 'SANDBOX_ALLOW="storage-url"'),
        ([RATES, "hydra.sweeper.n_trials=0"], "n_trials: given 0, expected at least 1"),
        ([RATES, "hydra/sweeper/sampler=bayes"], "Could not find 'hydra/sweeper/sampler/bayes'"),
        ([RATES, "hydra/sweeper/sampler=grid"], "learning_rate is an interval"),
        (
            [RATES, "hydra/sweeper/pruner=median", "hydra.sweeper.direction=[minimize,maximize]"],
            "MedianPruner judges by one objective, and there are 2",
        ),
        ([RATES, "hydra/sweeper/pruner=median"], "MedianPruner needs the name of a metric"),
        ([RATES, "hydra.sweeper.direction=[minimize,minimize]"], "2 given, for the 1 objectives"),
        ([RATES, "hydra.sweeper.direction=up"], "direction: given 'up', expected"),
        ([RATES, "hydra.sweeper.zip=[[a,b]]"], "hydra.sweeper.zip: a is not swept"),
        (
            [RATES, "hydra.sweeper.repeat=2", "hydra.sweeper.repeat_argument=sed"],
            "Could not override 'sed'",
        ),
        ([RATES, "hydra.sweeper.study_name=../x"], "study_name: expected letters"),
        ([RATES, "hydra.sweeper.sampler.n_startup_trials=x"], "n_startup_trials"),
        (["+jobs.data.executor.num_rows=range(0,4)"], "num_rows: given 0, expected at least 1"),
    ],
    ids=lambda value: None if isinstance(value, list) else value[:30],
)  # fmt: skip
def test_a_mistake_is_found_before_anything_is_submitted(
    sweeps: Sweeps, overrides: list[str], text: str
) -> None:
    outcome = sweeps.run("chain", *overrides, code=2)
    assert text in outcome.err, outcome.err
    assert sweeps.project.ran() == [] and not sweeps.folder.exists()


@pytest.mark.slow
def test_a_study_about_something_else_is_left_alone(sweeps: Sweeps) -> None:
    sweeps.run("chain", RATES, "hydra.sweeper.n_trials=1")
    before = (sweeps.folder / "study.journal").read_bytes()
    for change, text in (
        (
            ["jobs.train.executor.learning_rate=interval(0.1,2)"],
            "search space jobs.train.executor.learning_rate",
        ),
        (
            [RATES, "jobs.train.executor.seed=5"],
            "experiment jobs.train.executor.seed: was ${seed}, is 5",
        ),
        ([RATES, "hydra.sweeper.direction=maximize"], "directions: was"),
    ):
        outcome = sweeps.run("chain", *change, code=2)
        assert text in outcome.err and "hydra.sweeper.study_name" in outcome.err
    lost = [RATES, "hydra.sweeper.storage=other.journal"]
    assert "holds trials of another study" in sweeps.run("chain", *lost, code=2).err
    assert (sweeps.folder / "study.journal").read_bytes() == before
    sweeps.run("chain", RATES, "compute=local", "hydra.sweeper.n_trials=2")
    assert sweeps.states() == ["complete"] * 2


@pytest.mark.slow
def test_trials_share_a_group_and_tags_in_wandb(sweeps: Sweeps) -> None:
    sweeps.run("chain", RATES, "hydra.sweeper.n_trials=2", "watcher.mode=offline")
    files = sorted(sweeps.folder.glob("*/wandb/offline-run-*/run-*.wandb"))
    runs = [
        next(entry.run for entry in wandb_records(path) if entry.HasField("run")) for path in files
    ]
    assert sorted(run.display_name for run in runs) == ["toy/0", "toy/1"]
    assert [(run.run_group, sorted(run.tags)) for run in runs] == [("toy", ["sweep", "toy"])] * 2


@pytest.mark.slow
def test_dry_run_shows_both_ends_of_the_search_space_and_leaves_nothing(sweeps: Sweeps) -> None:
    outcome = sweeps.run("chain", RATES, "dry_run=true")
    assert (
        "first value" in outcome.out
        and "last value" in outcome.out
        and "depends on data" in outcome.out
    )
    assert not (sweeps.project.root / "outputs").exists()


@pytest.mark.slow
def test_a_space_may_be_made_by_a_function_of_ones_own(sweeps: Sweeps) -> None:
    text = "import os\ndef more(config, trial):\n"
    text += "    trial.suggest_float('jobs.x.executor.value', 0.5, 1.0)\n"
    (sweeps.project.root / "my_space.py").write_text(text)
    options = ["hydra.sweeper.custom_search_space=my_space.more", "hydra.sweeper.n_trials=2"]
    assert "my_space.more is not allowed" in sweeps.run("one", *options, code=2).err
    sweeps.project.variables["SANDBOX_ALLOW_TARGETS"] += ",my_space.*"
    borrowed = "hydra.sweeper.custom_search_space=my_space.os.system"
    assert "no module named" in sweeps.run("one", borrowed, code=2).err.lower()
    sweeps.run("one", *options)
    assert all(0.5 <= float(row["value"]) <= 1 for row in sweeps.table())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("experiment_name", "preset", "jobs"),
    [
        ("demo", "recipe_thresholds", {"data", "process", "train", "perplexity"}),
        (
            "internvl_coco",
            "internvl_learning_rate",
            {
                "data",
                "references",
                "base",
                "pairs",
                "random_pool",
                "single_train",
                "single_captions",
                "single_score",
            },
        ),
    ],
)
def test_presets_plan_their_jobs(
    sweeps: Sweeps, experiment_name: str, preset: str, jobs: set[str]
) -> None:
    given = [f"+experiment={experiment_name}", f"+sweep={preset}", "scorer=coco_caption_java_free"]
    outcome = sweeps.project.command(
        "-m", *given[: 2 + (experiment_name != "demo")], "dry_run=true"
    )
    assert outcome.code == 0, outcome.text
    assert {*shown_jobs(outcome.out)} == jobs


@pytest.mark.slow
def test_a_preset_sweeps_the_real_thresholds_of_a_recipe(sweeps: Sweeps) -> None:
    options = ["+debug=smoke", "hydra.sweeper.n_trials=2", "watcher.mode=disabled"]
    sweeps.project.variables["PYTHONPATH"] = str(
        ROOT
    )  # the tests have a package `datasets` of their own
    outcome = finish(
        sweeps.project.start_command(
            "-m", "+experiment=demo", "+sweep=recipe_thresholds", *options
        ),
        600,
    )
    assert outcome.code == 0, outcome.text
    assert outcome.out.count(" of 2 done, 0 running") == 2
    processed = sweeps.project.root / "outputs" / "store" / "data"
    assert len([*processed.glob("*/record.json")]) == 1, "data is made once"


@pytest.mark.slow
def test_the_slurm_launcher_without_slurm_is_refused(sweeps: Sweeps) -> None:
    sweeps.project.variables["PATH"] = str(sweeps.project.root)
    outcome = sweeps.run("chain", RATES, "hydra/launcher=submitit_slurm", code=2)
    assert "submitit_slurm needs sbatch" in outcome.err and not sweeps.folder.exists()
