"""Attacks through Hydra's own part of a config: refused before anything runs or is written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from toy_project import Project, data_job, experiment

from sandbox.cli.hydra_settings import hydra_problems, typed_in
from sandbox.components.problem import Problem

PROCESS = "hydra.test_utils.test_utils.run_process"
CALLBACK = {"callbacks": {"x": {"_target_": PROCESS, "cmd": ["sh", "-c", "id > PWNED"]}}}
TRUNCATED = {
    "callbacks": {"x": {"_target_": "logging.FileHandler", "filename": "precious.txt", "mode": "w"}}
}
HANDLER = {"job_logging": {"handlers": {"file": {"filename": "precious.txt", "mode": "w"}}}}
VARIABLE = {"job": {"env_set": {"PYTHONPATH": "foreign"}}}


def with_hydra(project: Project, hydra: dict[str, Any], **more: Any) -> None:
    """Write the experiment ``toy`` with settings of Hydra."""
    project.write("toy", {**experiment({"add": data_job("Add")}), "hydra": hydra, **more})


@pytest.mark.parametrize(
    "hydra",
    [CALLBACK, TRUNCATED, HANDLER, VARIABLE],
    ids=["callback", "callback that truncates", "log file", "variable"],
)
@pytest.mark.parametrize(
    "command",
    [["+experiment=toy"], ["+experiment=toy", "dry_run=true"], ["-m", "+experiment=toy"]],
    ids=["run", "dry run", "multirun"],
)
def test_an_experiment_cannot_use_hydra_to_run_code_or_replace_a_file(
    project: Project, hydra: dict[str, Any], command: list[str]
) -> None:
    with_hydra(project, hydra)
    (project.root / "precious.txt").write_text("keep")
    before = {*project.root.rglob("*")}
    refused = project.command(*command)
    assert refused.code == 2, refused.text
    assert "SANDBOX_ALLOW" in refused.err and "Traceback" not in refused.err
    assert (project.root / "precious.txt").read_text() == "keep"
    assert {*project.root.rglob("*")} == before, "nothing was written, not even .hydra/"


def test_an_attack_that_only_one_trial_of_a_sweep_chooses_is_refused(project: Project) -> None:
    with_hydra(project, CALLBACK | HANDLER | VARIABLE)
    project.write("good", experiment({"add": data_job("Add")}))
    (project.root / "precious.txt").write_text("keep")
    refused = project.command("-m", "+experiment=good,toy", "watcher.mode=disabled")
    assert refused.code == 2, refused.text
    assert not (project.root / "PWNED").exists()
    assert (project.root / "precious.txt").read_text() == "keep"


@pytest.mark.slow
def test_trials_in_other_processes_are_checked_too(project: Project) -> None:
    with_hydra(project, HANDLER)
    (project.root / "precious.txt").write_text("keep")
    project.write("good", experiment({"add": data_job("Add")}))
    refused = project.command("-m", "+experiment=good,toy", "hydra/launcher=joblib")
    assert refused.code == 2, refused.text
    assert (project.root / "precious.txt").read_text() == "keep"


def test_a_callback_runs_for_a_person_who_allows_its_class_path(project: Project) -> None:
    with_hydra(project, {"callbacks": {"x": {"_target_": "toys.Login", "token": "no"}}})
    allowed = project.command("+experiment=toy", "dry_run=true")
    assert "not allowed" not in allowed.err


def test_a_permission_by_name_is_read_from_the_environment_and_the_allow_file(
    project: Project,
) -> None:
    with_hydra(project, {"run": {"dir": "here"}, "job": {"env_set": {"HARMLESS": "1"}}})
    refused = project.command("+experiment=toy", "dry_run=true")
    assert refused.code == 2
    assert "hydra.run.dir" in refused.err and 'SANDBOX_ALLOW="outside-files"' in refused.err
    assert "hydra.job.env_set.HARMLESS" in refused.err
    names = "outside-files,env-variables"
    assert project.command("+experiment=toy", "dry_run=true", SANDBOX_ALLOW=names).code == 0
    settings = project.root / "settings/sandbox/allow_targets"
    settings.parent.mkdir(parents=True)
    settings.write_text(names.replace(",", "\n"))
    assert project.command("+experiment=toy", "dry_run=true").code == 0


def test_a_misspelt_permission_is_named(project: Project) -> None:
    with_hydra(project, {})
    refused = project.command("+experiment=toy", "dry_run=true", SANDBOX_ALLOW="outside-file")
    assert refused.code == 2 and "there is no permission 'outside-file'" in refused.err


COUNT = """
import sys
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from sandbox.__main__ import main

load = ConfigLoaderImpl._load_configuration_impl
calls = []

def counted(self, *args, **kwargs):
    calls.append(1)
    return load(self, *args, **kwargs)

ConfigLoaderImpl._load_configuration_impl = counted
sys.argv = ["sandbox", "+experiment=demo", "dry_run=true"]
main()
print("composed", len(calls))
"""


def test_a_config_is_composed_once(project: Project) -> None:
    """In a program of its own: Hydra sets up the logging of the process that it runs in."""
    done = subprocess.run(
        [sys.executable, "-c", COUNT],
        cwd=project.root,
        env={**os.environ, **project.variables},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "composed 1"


def problems(project: Project, *overrides: str, allowed: tuple[str, ...] = ()) -> list[Problem]:
    """Return what is wrong with Hydra's part of a config."""
    import hydra
    from hydra.core.global_hydra import GlobalHydra

    from sandbox.hydra_search_path import CONF
    from sandbox.planning.resolvers import register_resolvers

    register_resolvers()
    with hydra.initialize_config_dir(config_dir=str(CONF)):
        loader = GlobalHydra.instance().config_loader()
        cfg = loader.load_configuration("config", list(overrides), run_mode=hydra.types.RunMode.RUN)
    patterns = [text for text in allowed if "." in text]
    (found,) = hydra_problems(cfg, typed_in(cfg), (patterns, allowed))
    return found


@pytest.mark.parametrize(
    "override",
    [
        "hydra/job_logging=disabled",
        "hydra/job_logging=stdout",
        "hydra/hydra_logging=none",
        "hydra/launcher=joblib",
        "hydra/launcher=submitit_slurm",
        "hydra/sweeper=optuna",
        "hydra/sweeper=optuna_async",
        "hydra.run.dir=outputs/mine",
        "hydra.sweep.subdir=${hydra:job.override_dirname}",
        "hydra.run.dir=outputs/${hydra:job.name}",
        "hydra.job_logging.handlers.file.filename=${hydra:runtime.output_dir}/mine.log",
        "outputs_dir=/a/large/disk",
        "outputs_dir='my outputs'",
        "hydra.verbose=true",
        "+hydra.job.env_set.OMP_NUM_THREADS=2",
        "+hydra.job.env_set.CUDA_VISIBLE_DEVICES=0",
    ],
)
def test_what_a_config_may_do_by_itself(project: Project, override: str) -> None:
    assert problems(project, override) == []


@pytest.mark.parametrize(
    "option", ["tpe", "random", "grid", "cmaes", "nsgaii", "nsgaiii", "gp", "qmc"]
)
def test_every_sampler_may_be_chosen(project: Project, option: str) -> None:
    for sweeper in ("optuna", "optuna_async"):
        overrides = [f"hydra/sweeper={sweeper}", f"hydra/sweeper/sampler={option}"]
        assert problems(project, *overrides) == []


@pytest.mark.parametrize("option", ["none", "median", "hyperband", "successive_halving", "patient"])
def test_every_pruner_may_be_chosen(project: Project, option: str) -> None:
    overrides = ["hydra/sweeper=optuna_async", f"hydra/sweeper/pruner={option}"]
    assert problems(project, *overrides) == []


LOG = "hydra.job_logging"


@pytest.mark.parametrize(
    ("override", "where"),
    [
        ("+hydra.callbacks.x._target_=logging.config.fileConfig", "hydra.callbacks.x._target_"),
        (
            "+hydra.callbacks.x._target_=sandbox.pools.writing.PoolWriter",
            "hydra.callbacks.x._target_",
        ),
        ("+hydra.callbacks.x='${harm}' +harm._target_=os.system", "hydra.callbacks.x._target_"),
        ("+hydra.callbacks.x._target_='${harm}' +harm=os.system", "hydra.callbacks.x._target_"),
        (f"{LOG}.handlers.file.class=logging.handlers.SMTPHandler", f"{LOG}.handlers.file.class"),
        (f"+{LOG}.formatters.simple.class=mine.Formatter", f"{LOG}.formatters.simple.class"),
        (f"{LOG}.handlers.console.stream=ext://os.environ", f"{LOG}.handlers.console.stream"),
        (f"{LOG}.handlers.file.filename=/home/x.log", f"{LOG}.handlers.file.filename"),
        (f"{LOG}.handlers.file.filename=outputs/../x.log", f"{LOG}.handlers.file.filename"),
        (
            f"{LOG}.handlers.file.filename=outputs/store/record.json",
            f"{LOG}.handlers.file.filename",
        ),
        (f"+{LOG}.handlers.file.mode=w", f"{LOG}.handlers.file.mode"),
        ("hydra/hydra_logging=hydra_debug", "hydra.hydra_logging.handlers.file.filename"),
        ("hydra.run.dir=/tmp/x", "hydra.run.dir"),
        ("hydra.run.dir=outputs/${hydra:job.num}/../../../x", "hydra.run.dir"),
        ("hydra.run.dir=outputs/${hydra:job.name} hydra.job.name=../../x", "hydra.run.dir"),
        (
            "hydra.run.dir='outputs/${hydra:job.override_dirname}' +x='a/../../../b'",
            "hydra.run.dir",
        ),
        ("hydra.sweep.subdir=${hydra:run.dir} hydra.run.dir=/tmp/x", "hydra.sweep.subdir"),
        ("hydra.sweep.dir=..", "hydra.sweep.dir"),
        ("hydra.sweep.subdir=../../../x", "hydra.sweep.subdir"),
        ("hydra.output_subdir=../../../conf", "hydra.output_subdir"),
        ("hydra.output_subdir=/etc", "hydra.output_subdir"),
        ("hydra.job.chdir=true", "hydra.job.chdir"),
        ("+hydra.job.env_set.LD_PRELOAD=x", "hydra.job.env_set.LD_PRELOAD"),
        ("+hydra.job.env_set.PATH=x", "hydra.job.env_set.PATH"),
        ("+hydra.job.env_set.NCCL_NET_PLUGIN=x.so", "hydra.job.env_set.NCCL_NET_PLUGIN"),
        ("outputs_dir=''", "outputs_dir"),
        ("+hydra.job.env_set.OMP_PLACES=../..", "hydra.job.env_set.OMP_PLACES"),
        ("+hydra.job.env_set.NCCL_DEBUG=/home", "hydra.job.env_set.NCCL_DEBUG"),
        ("+hydra.job.env_set.NCCL_DEBUG_FILE=x", "hydra.job.env_set.NCCL_DEBUG_FILE"),
        ("hydra/launcher=submitit_slurm hydra.launcher.setup=[id]", "hydra.launcher.setup"),
        (
            "hydra/launcher=submitit_slurm hydra.launcher.srun_args=['--prolog=x']",
            "hydra.launcher.srun_args",
        ),
        ("hydra/launcher=submitit_slurm hydra.launcher.python=x", "hydra.launcher.python"),
        (
            "hydra/launcher=submitit_local hydra.launcher.submitit_folder=/tmp/x",
            "hydra.launcher.submitit_folder",
        ),
        (
            "hydra/launcher=submitit_slurm +hydra.launcher.additional_parameters.export=LD_PRELOAD",
            "hydra.launcher.additional_parameters.export",
        ),
        ("hydra/launcher=joblib hydra.launcher.temp_folder=/dev/shm", "hydra.launcher.temp_folder"),
        ("hydra/sweeper=optuna hydra.sweeper.storage=mysql://host/db", "hydra.sweeper.storage"),
        (
            "hydra/sweeper=optuna_async hydra.sweeper.storage=sqlite:////etc/x",
            "hydra.sweeper.storage",
        ),
        ("hydra/sweeper=optuna_async hydra.sweeper.dir=/tmp/x", "hydra.sweep.dir"),
        (
            "hydra/sweeper=optuna hydra.sweeper.custom_search_space=os.system",
            "hydra.sweeper.custom_search_space",
        ),
        (
            "hydra/sweeper=optuna hydra.sweeper.sampler._target_=os.system",
            "hydra.sweeper.sampler._target_",
        ),
    ],
)
def test_what_needs_permission_or_is_refused(project: Project, override: str, where: str) -> None:
    mode = ["hydra.mode=MULTIRUN"] if where.startswith("hydra.sweep.") else []
    found = problems(project, *override.split(" "), *mode)
    assert where in {problem.where for problem in found}, found
    assert {problem.kind for problem in found} <= {"permission", "target", "setting", "constraint"}


@pytest.mark.parametrize(
    ("place", "value", "where"),
    [
        ("job_logging.filters", {"x": {"()": "mine.Filter"}}, "job_logging.filters.x.()"),
        (
            "job_logging.handlers.file",
            {".": {"baseFilename": "x"}},
            "job_logging.handlers.file.'.'",
        ),
        ("job_logging.handlers.file", {"class": "${x}"}, "job_logging.handlers.file.class"),
        ("run", {"dir": "${oc.env:${hydra:job.name}}"}, "run.dir"),
        ("run", {"dir": "outputs/${.${hydra:job.name}}"}, "run.dir"),
        ("launcher", {"partition": "a\nid"}, "launcher.partition"),
        ("launcher", {"partition": "\t--wrap=id"}, "launcher.partition"),
        (
            "launcher",
            {"additional_parameters": {"x\nid": 1}},
            "launcher.additional_parameters.x\nid",
        ),
    ],
)
def test_what_an_experiment_may_not_set(
    project: Project, place: str, value: dict[str, Any], where: str
) -> None:
    for key in reversed(place.split(".")):
        value = {key: value}
    with_hydra(project, value)
    found = problems(project, "+experiment=toy", "hydra/launcher=submitit_slurm")
    assert f"hydra.{where}" in {problem.where for problem in found}, found


def test_outputs_dir_of_an_experiment_stays_in_the_working_directory(project: Project) -> None:
    with_hydra(project, {}, outputs_dir=str(Path.home()))
    (problem,) = problems(project, "+experiment=toy")
    assert (problem.where, problem.kind) == ("outputs_dir", "permission")
    assert not problems(project, "+experiment=toy", allowed=("outside-files",))


def test_store_dir_of_an_experiment_stays_below_the_working_directory_or_outputs_dir(
    project: Project,
) -> None:
    with_hydra(project, {}, store_dir=str(Path.home()))
    (problem,) = problems(project, "+experiment=toy")
    assert (problem.where, problem.kind) == ("store_dir", "permission")
    assert not problems(project, "+experiment=toy", allowed=("outside-files",))
    assert not problems(project, "+experiment=toy", "store_dir=/a/large/disk")
    with_hydra(project, {}, store_dir="${outputs_dir}/../elsewhere")
    assert problems(project, "+experiment=toy", "outputs_dir=/a/large/disk")


@pytest.mark.parametrize(
    "hydra",
    [
        {"overrides": {"task": ["outputs_dir=ELSEWHERE"]}},
        {"sweeper": {"params": {"outputs_dir": "ELSEWHERE"}}},
        {"sweeper": {"params": {"store_dir": "ELSEWHERE"}}},
    ],
    ids=["forged overrides", "swept", "swept store"],
)
def test_only_a_person_types_values(
    project: Project, tmp_path_factory: pytest.TempPathFactory, hydra: dict[str, Any]
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    with_hydra(project, {})
    path = project.root / "conf/experiment/toy.yaml"
    path.write_text(path.read_text().replace("hydra: {}", f"hydra: {json.dumps(hydra)}"))
    path.write_text(path.read_text().replace("ELSEWHERE", str(elsewhere)))
    refused = project.command("-m", "+experiment=toy", "watcher.mode=disabled")
    assert refused.code == 2, refused.text
    assert "outside-files" in refused.err or "hydra.overrides" in refused.err
    assert not [*elsewhere.iterdir()]


def test_a_variable_to_copy_that_is_not_set_is_named(project: Project) -> None:
    with_hydra(project, {"job": {"env_copy": ["NO_SUCH_VARIABLE"]}})
    refused = project.command("+experiment=toy", "dry_run=true")
    assert refused.code == 2 and "Traceback" not in refused.err
    assert "hydra.job.env_copy: the variable 'NO_SUCH_VARIABLE' is not set" in refused.err


@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_other_processes_import_nothing_from_the_working_directory(
    project: Project, launcher: str
) -> None:
    project.write("toy", experiment({"add": data_job("Add")}))
    for name in ("joblib", "submitit", "multiprocessing", "cloudpickle", "sitecustomize"):
        (project.root / f"{name}.py").write_text("open('PWNED', 'w')\n")
    command = ["-m", "+experiment=toy", "watcher.mode=disabled", f"hydra/launcher={launcher}"]
    ran = project.command(*command, "dry_run=true")
    assert not (project.root / "PWNED").exists(), ran.text


def test_a_sweeper_that_is_an_interpolation_is_checked_too(project: Project) -> None:
    with_hydra(project, {"sweeper": "${evil}"}, evil={"_target_": PROCESS})
    refused = project.command("+experiment=toy", "dry_run=true")
    assert refused.code == 2 and "Traceback" not in refused.err, refused.text


def test_a_circle_of_interpolations_ends(project: Project) -> None:
    with_hydra(project, {"callbacks": {"x": "${hydra.callbacks}"}})
    problems(project, "+experiment=toy")


def test_the_search_path_needs_permission(project: Project) -> None:
    package = project.root / "evil"
    package.mkdir()
    (package / "__init__.py").write_text("open('PWNED', 'w')\n")
    project.write("toy", experiment({"add": data_job("Add")}))
    path = f"{project.variables['PYTHONPATH']}:{project.root}"
    override = "hydra.searchpath=[pkg://evil]"
    for command in ([], ["-m"], ["--cfg", "job"]):
        refused = project.command("+experiment=toy", override, *command, PYTHONPATH=path)
        assert refused.code == 2 and 'SANDBOX_ALLOW="config-sources"' in refused.err
        assert not (project.root / "PWNED").exists()


@pytest.mark.parametrize(
    "command",
    [[], ["doctor"], ["--help"], ["+experiment=toy", "dry_run=true"], ["-m", "+experiment=toy"]],
    ids=["list", "doctor", "help", "dry run", "multirun"],
)
def test_a_checkout_brings_no_plugins_of_hydra(project: Project, command: list[str]) -> None:
    plugin = project.root / "hydra_plugins" / "evil"
    plugin.mkdir(parents=True)
    (plugin / "__init__.py").write_text("open('PWNED', 'w')\n")
    (plugin / "evil.py").write_text("open('PWNED', 'w')\n")
    project.write("toy", experiment({"add": data_job("Add")}))
    project.command(*command)
    assert not (project.root / "PWNED").exists()


def test_modules_of_the_working_directory_need_an_allowed_class_path(project: Project) -> None:
    (project.root / "uuid7.py").write_text("open('PWNED', 'w')\n")
    code = (
        "import sys\nfrom sandbox.__main__ import main\nsys.argv = ['sandbox', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "try:\n    import uuid7\nexcept ImportError:\n    pass\n"
    )
    variables = {**os.environ, **project.variables}
    for allowed in ("", "toys.*"):
        variables["SANDBOX_ALLOW_TARGETS"] = allowed
        subprocess.run([sys.executable, "-c", code], cwd=project.root, env=variables, check=True)
        assert (project.root / "PWNED").exists() == bool(allowed)
