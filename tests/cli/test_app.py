"""The command line: its output, exit codes, results and files."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from dry_run import shown_jobs
from toy_project import CHAIN, ROOT, Project, data_job, experiment, merge

HEAVY = (
    "torch",
    "transformers",
    "pandas",
    "wandb",
    "datasets",
    "peft",
    "numpy",
    "data_juicer",
    "optuna",
    "submitit",
)


def test_a_run_ends_with_its_objective_and_its_folder(chain: Project) -> None:
    done = chain.main("chain")
    assert done.code == 0 and "Traceback" not in done.text
    (run_dir,) = chain.runs("chain")
    assert "objective score.accuracy = 0.4" in done.text and str(run_dir) in done.text
    assert "[1/3] data: running" in done.text and "[2/3] train: running" in done.text
    names = {path.name for path in run_dir.iterdir()}
    assert names == {".hydra", "context_infos.json", "jobs", "metrics.jsonl", "sandbox.log"}
    assert "objective score.accuracy = 0.4" in (run_dir / "sandbox.log").read_text()
    again = chain.main("chain")
    assert again.code == 0 and again.text.count("recorded") == 3


def test_alone_it_lists_the_experiments_with_their_questions(chain: Project) -> None:
    listed = chain.command()
    assert listed.code == 0 and "+experiment=chain" in listed.out
    for path in (ROOT / "conf" / "experiment").glob("*.yaml"):
        assert f"+experiment={path.stem}" in listed.out
    assert not (chain.root / "outputs").exists()


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["+experiment=chian"], ["chian", "chain"]),
        (["+experiment=chain", "hook@jobs.train=train_modle"], ["train_modle", "train_model"]),
        (["+experiment=chain", "jobs.train.executor.learning_rat=1"], ["learning_rat"]),
        (["+experiment=chain", "compute=lokal"], ["lokal", "local"]),
        (["+experiment=chain", "watchr.mode=offline"], ["watchr"]),
        (["+experiment=chain", "jobs.train.executor.num_steps=[1"], ["num_steps=[1"]),
        (["+experiment=broken"], ["jobs.train"]),
        (["+experiment=unreadable"], ["unreadable"]),
        (["jobs={}"], ["no pipelines", "+experiment="]),
        (
            [
                "+experiment=chain",
                "jobs.data.executor.num_rows=many",
                "objective=score.f1",
                "force=[trian]",
            ],
            ["jobs.data.executor.num_rows", "score.f1", "trian"],
        ),
        (["+experiment=chain", "experiment_name=???"], ["experiment_name"]),
        (["+experiment=chain", "--nonsense"], ["nonsense"]),
        (["+experiment=chain", "outputs_dir=/proc/x"], ["/proc/x"]),
        (["+experiment=chain", "outputs_dir=a_file"], ["a_file"]),
        (["+experiment=chain", "compute=null"], ["None"]),
        (["+experiment=chain", "store_dir=a_file"], ["store_dir", "a_file is a file"]),
        (
            ["+experiment=chain", "store_dir=a_file/store", "dry_run=true"],
            ["store_dir", "a_file is a file"],
        ),
        (["+experiment=chain", "store_dir=/proc/x"], ["store_dir", "/proc/x"]),
        (["+experiment=chain", "~force"], ["force"]),
        (["+experiment=chain", "targets=['${outputs:a.b}']"], ["targets", "did you mean output?"]),
        (["+experiment=chain", "experiment_name=../../x"], ["experiment_name", "'../../x'"]),
        (["+experiment=chain", "experiment_name=/x"], ["experiment_name", "'/x'"]),
        (["-m", "+experiment=chain", "experiment_name=a/.."], ["experiment_name", "'a/..'"]),
        (["+experiment=chain", "objective=max(x.y)"], ["\"objective='max(score.CIDEr)'\""]),
        (["chain"], ["there is no command 'chain'", "+experiment=chain"]),
        (["+experiment=chain", "targets=[x.y>=0.5]"], ["\"targets=['score.CIDEr >= 0.5']\""]),
    ],
    ids=lambda value: " ".join(value)[:50],
)
def test_a_wrong_command_is_exit_code_2_and_starts_nothing(
    chain: Project, arguments: list[str], parts: list[str]
) -> None:
    chain.write("broken", "jobs:\n  train: ${output:data.path\n")
    chain.write("unreadable", "jobs: [1\n  x: {")
    (chain.root / "a_file").touch()
    ended = chain.command(*arguments)
    assert ended.code == 2, ended.text
    for part in parts:
        assert part in ended.err, ended.err
    assert "Traceback" not in ended.text
    assert chain.ran() == [] and not (chain.root / "outputs/store").exists()
    assert not chain.runs("chain") or arguments[0] == "-m", "a refused run leaves no folder"


def test_a_failed_job_is_exit_code_1(chain: Project) -> None:
    failed = chain.main("chain", "+jobs.train.executor.exit_status=3")
    assert failed.code == 1 and "Traceback" not in failed.text
    for part in (
        "train",
        "exit status 3",
        "the loss went up for ever",
        "log:",
        "same command goes on",
    ):
        assert part in failed.err
    (run_dir,) = chain.runs("chain")
    assert f"run folder: {run_dir}" in failed.err
    infos = json.loads((run_dir / "context_infos.json").read_text())
    assert [info["meta_name"] for info in infos["main"]] == ["data"], "what finished is kept"


def test_an_objective_that_is_no_number_is_a_failure_without_a_traceback(chain: Project) -> None:
    failed = chain.main("chain", "objective=score.details_path")
    assert failed.code == 1 and "Traceback" not in failed.text and "expected a number" in failed.err


def test_cfg_job_shows_references_unresolved(chain: Project) -> None:
    shown = chain.command("+experiment=chain", "--cfg", "job", "--resolve")
    assert shown.code == 0
    cfg = yaml.safe_load(shown.out)
    assert cfg["jobs"]["train"]["executor"]["dataset_path"] == "${output:data.path}"
    assert cfg["jobs"]["train"]["executor"]["model"] == "small"


def test_dry_run_is_exit_code_0_and_runs_nothing(chain: Project) -> None:
    shown = chain.main("chain", "dry_run=true")
    assert shown.code == 0 and chain.ran() == [] and not chain.runs("chain")
    jobs = shown_jobs(shown.out)
    assert {label: job.reason for label, job in jobs.items()} == {
        "data": "new", "train": "depends on data", "score": "depends on train",
    }  # fmt: skip
    assert jobs["train"].component == "Training" and jobs["train"].compute == "inline"
    assert jobs["train"].place == "main.execution_jobs"
    assert jobs["train"].inputs == {"executor.dataset_path": "data.path"}
    assert jobs["score"].inputs == {"eval_obj": "train.checkpoint_path"}


@pytest.mark.parametrize("name", ["mine", "2020-01-01_00-00-00-000000"])
def test_a_folder_that_is_not_surely_a_runs_own_is_left(chain: Project, name: str) -> None:
    (chain.root / name).mkdir()
    chain.variables["SANDBOX_ALLOW"] = "outside-files"
    wrong = "+jobs.train.executor.nope=1"
    assert chain.main("chain", wrong, f"hydra.run.dir={name}").code == 2
    assert (chain.root / name / ".hydra").is_dir()


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["+experiment=chain", "dry_run=true"], []],
    ids=["help", "dry run", "list"],
)
def test_output_that_nobody_reads_ends_quietly(chain: Project, arguments: list[str]) -> None:
    command = shlex.join([sys.executable, "-u", "-m", "sandbox", *arguments])
    ended = subprocess.run(
        f"{command} | true",
        shell=True,
        env={**os.environ, **chain.variables},
        capture_output=True,
        text=True,
    )
    assert ended.stderr == ""


def test_multirun_runs_trials_that_share_the_store(chain: Project) -> None:
    swept = chain.command(
        "-m",
        "+experiment=chain",
        "watcher.mode=disabled",
        "+jobs.train.executor.learning_rate=0.1,0.2",
    )
    assert swept.code == 0, swept.text
    assert chain.ran() == [
        "rows row 4", "training data.jsonl small 0.1 0", "score small None",
        "training data.jsonl small 0.2 0", "score small None",
    ]  # fmt: skip
    (sweep_dir,) = chain.runs("chain")
    assert {"0", "1", "multirun.yaml"} <= {path.name for path in sweep_dir.iterdir()}
    assert chain.metrics(sweep_dir / "1")["objective"] == pytest.approx([0.8])


def test_a_wrong_trial_is_exit_code_2_and_a_failed_one_1(chain: Project) -> None:
    wrong = chain.command(
        "-m", "+experiment=chain", "watcher.mode=disabled", "jobs.data.executor.num_rows=4,0"
    )
    assert wrong.code == 2 and "num_rows: given 0, expected at least 1" in wrong.err
    failed = chain.command(
        "-m", "+experiment=chain", "watcher.mode=disabled", "+jobs.train.executor.exit_status=3,4"
    )
    assert failed.code == 1 and "exit status 3" in failed.err
    assert "Traceback" not in wrong.text + failed.text


def test_a_search_by_optuna_gets_the_objective(chain: Project) -> None:
    body = merge(
        yaml.safe_load(CHAIN),
        {
            "hydra": {
                "sweeper": {
                    "direction": "maximize",
                    "n_trials": 2,
                    "sampler": {"seed": 1},
                    "params": {"jobs.data.executor.num_rows": "choice(4, 6)"},
                }
            }
        },
    )
    body["defaults"].insert(-1, {"override /hydra/sweeper": "optuna"})
    chain.write("search", body)
    swept = chain.command("-m", "+experiment=search", "watcher.mode=disabled")
    assert swept.code == 0, swept.text
    (sweep_dir,) = chain.runs("chain")
    results = yaml.safe_load((sweep_dir / "optimization_results.yaml").read_text())
    values = [chain.metrics(trial)["objective"][0] for trial in sorted(sweep_dir.glob("[0-9]"))]
    assert results["best_value"] == pytest.approx(max(values))


def test_a_project_can_add_options_and_cannot_shadow_the_frame(chain: Project) -> None:
    (chain.root / "conf/hook").mkdir()
    (chain.root / "conf/hook/mine.yaml").write_text(
        "_target_: sandbox.hooks.train_model.TrainModelHook\nexecutor: ???\n"
    )
    (chain.root / "conf/hook/train_model.yaml").write_text("_target_: os.system\n")
    (chain.root / "conf/config.yaml").write_text("raise: everything\n")
    shown = chain.command("+experiment=chain", "hook@jobs.score=mine", "--cfg", "job")
    cfg = yaml.safe_load(shown.out)
    assert cfg["jobs"]["score"]["_target_"] == "sandbox.hooks.train_model.TrainModelHook"
    assert cfg["jobs"]["train"]["_target_"] == "sandbox.hooks.train_model.TrainModelHook"


def test_a_project_without_its_targets_allowed_is_refused_before_its_code_is_imported(
    project: Project,
) -> None:
    (project.root / "mine.py").write_text("open('imported.txt', 'w')\n")
    job = ("general_data_executor", {"executor": {"_target_": "mine.Mine"}})
    project.write("toy", experiment({"mine": job}))
    path = os.pathsep.join([project.variables["PYTHONPATH"], str(project.root)])
    refused = project.main("toy", PYTHONPATH=path, SANDBOX_ALLOW_TARGETS="")
    assert refused.code == 2 and "mine.Mine is not allowed" in refused.err
    assert 'SANDBOX_ALLOW_TARGETS="mine.Mine"' in refused.err
    assert not (project.root / "imported.txt").exists()


@pytest.mark.parametrize(
    "source", ["def (:", "import nothing_here", "1 / 0", "raise SystemExit(0)"]
)
def test_a_component_that_cannot_be_imported_is_a_problem(project: Project, source: str) -> None:
    (project.root / "mine.py").write_text(source)
    project.write(
        "toy",
        experiment({"mine": ("general_data_executor", {"executor": {"_target_": "mine.Mine"}})}),
    )
    path = os.pathsep.join([project.variables["PYTHONPATH"], str(project.root)])
    refused = project.main("toy", PYTHONPATH=path, SANDBOX_ALLOW_TARGETS="mine.Mine")
    assert refused.code == 2 and "jobs.mine.executor: mine.Mine: cannot import mine" in refused.err
    assert "Traceback" not in refused.text


@pytest.mark.parametrize("target", ["subprocess.Popen", "mine.Mine"])
def test_hydra_instantiates_nothing_of_an_experiments_choice(project: Project, target: str) -> None:
    """Hydra builds callbacks, launchers and sweepers itself, from the same config."""
    (project.root / "mine.py").write_text("open('imported.txt', 'w')\nclass Mine:\n    pass\n")
    body = experiment({"add": data_job("Add")})
    body["hydra"] = {"callbacks": {"harm": {"_target_": target, "args": ["touch", "imported.txt"]}}}
    project.write("toy", body)
    path = os.pathsep.join([project.variables["PYTHONPATH"], str(project.root)])
    refused = project.main("toy", PYTHONPATH=path, SANDBOX_ALLOW_TARGETS="toys.*")
    assert refused.code == 2, refused.text
    assert not (project.root / "imported.txt").exists() and project.ran() == []


def test_allowed_targets_can_be_set_in_the_users_settings(chain: Project) -> None:
    settings = chain.root / "settings/sandbox/allow_targets"
    settings.parent.mkdir(parents=True)
    settings.write_text("# what I wrote myself\ntoys.*  # the toys\n")
    assert chain.main("chain", "dry_run=true", SANDBOX_ALLOW_TARGETS="").code == 0


def test_help_imports_no_heavy_library() -> None:
    code = (
        "import sys\nfrom sandbox.__main__ import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print('HEAVY', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ended.stdout.splitlines()[-1] == "HEAVY []"
    assert "+experiment=" in ended.stdout


def test_a_wrong_config_imports_no_heavy_library(chain: Project) -> None:
    code = (
        "import sys\nfrom sandbox.__main__ import main\ncode = main()\n"
        f"print('HEAVY', code, [name for name in {HEAVY!r} if name in sys.modules])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, "+experiment=chain", "force=[trian]"],
        cwd=chain.root,
        env={**os.environ, **chain.variables},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.splitlines()[-1] == "HEAVY 2 []"


def test_runs_started_at_once_have_folders_of_their_own(project: Project) -> None:
    project.write("toy", experiment({"add": data_job("Add")}))
    for run in [project.start("toy") for _ in range(3)]:
        assert run.wait() == 0
    assert len(project.runs("toy")) == 3 and project.ran() == ["add 0 1"]
    assert all((run / "context_infos.json").exists() for run in project.runs("toy"))


def test_the_objective_is_returned(chain: Project) -> None:
    assert chain.run("chain", "objective=null") is None
    assert chain.run("chain", "objective=[score.accuracy]") == pytest.approx(0.4)
    assert chain.run("chain", "objective=[score.accuracy,score.loss]") == pytest.approx([0.4, 0.6])
    assert Path(chain.info("score")["details_path"]).exists()
