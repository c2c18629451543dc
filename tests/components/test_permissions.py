"""Permissions of components: the plan names every request that a person has to allow."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from toy_project import Project, data_job, experiment

from sandbox.components.allowed import TargetError, allowed_targets, locate_function
from sandbox.components.checks import config_problems
from sandbox.components.permissions import PERMISSIONS, variable_problems
from sandbox.components.problem import Problem

OURS = ("sandbox.*",)
ENV = "sandbox.envs.virtual_env.VirtualEnv"
CONDA = "sandbox.envs.conda_env.CondaEnv"
SLURM = "sandbox.compute.slurm.Slurm"
PROCESS = "sandbox.hooks.process_data.ProcessDataHook"


def asked(target: str, arguments: dict[str, Any], *allowed: str) -> list[tuple[str, str]]:
    """Return place of, and hint to, every permission that a component asks for in vain."""
    node = {"_target_": target, **arguments}
    found = [*config_problems(node, "it", (*OURS, *allowed))]
    return [(each.where, each.hint) for each in found if each.kind == "permission"]


def wanted(permission: str, place: str) -> tuple[str, str]:
    hint = f'to allow it: SANDBOX_ALLOW="{permission}", or for all of this folder: sandbox trust'
    return f"it.{place}", hint


@pytest.mark.parametrize(
    ("target", "argument", "value", "permission"),
    [
        (ENV, "python", "/opt/evil/python", "interpreter"),
        (ENV, "python", "./python", "interpreter"),
        (ENV, "env_name", "./evil", "interpreter"),
        (CONDA, "env_name", "/opt/evil", "interpreter"),
        (ENV, "code_dir", ".", "code-folder"),
        (CONDA, "code_dir", ".", "code-folder"),
        (ENV, "dependencies", ["six", "./evil"], "code-folder"),
        (ENV, "dependencies", ["."], "code-folder"),
        (ENV, "dependencies", ["git+https://evil.org/x"], "code-folder"),
        (ENV, "dependencies", ["six @ file:///evil"], "code-folder"),
        (ENV, "dependencies", ["evil.whl"], "code-folder"),
        (CONDA, "packages", ["/evil/x.conda"], "code-folder"),
        (ENV, "root", "/home/x/envs", "outside-files"),
        (ENV, "root", "~/envs", "outside-files"),
        (ENV, "root", "../envs", "outside-files"),
        (SLURM, "folder", "/home/x/slurm", "outside-files"),
        (SLURM, "setup", ["id > PWNED"], "shell-lines"),
        (SLURM, "additional_parameters", {"export": "LD_PRELOAD=x.so"}, "env-variables"),
        (SLURM, "additional_parameters", {"export_file": "x"}, "env-variables"),
    ],
)
def test_an_argument_that_chooses_code_needs_permission(
    target: str, argument: str, value: Any, permission: str
) -> None:
    assert asked(target, {argument: value}) == [wanted(permission, argument)]
    assert asked(target, {argument: value}, permission) == []
    assert asked(target, {argument: value}, "*") == []


@pytest.mark.parametrize(
    ("target", "arguments"),
    [
        (ENV, {"python": "3.12", "env_name": "mine", "dependencies": ["six>=1.16", "torch==2.5"]}),
        (CONDA, {"env_name": "vbench", "packages": ["ffmpeg>=6"], "channels": ["conda-forge"]}),
        (SLURM, {"partition": "gpu", "additional_parameters": {"exclude": "n7", "nice": -5}}),
    ],
)
def test_what_a_component_may_do_by_itself(target: str, arguments: dict[str, Any]) -> None:
    assert asked(target, arguments) == []


RECIPES = [
    (
        {"process": {"python_lambda_mapper": {"lambda_str": "lambda d: d"}}},
        "process.python_lambda_mapper",
    ),
    ({"process": {"python_lambda_mapper__2": {}}}, "process.python_lambda_mapper__2"),
    ({"process": [{"python_file_mapper": {"file_path": "x.py"}}]}, "process.0.python_file_mapper"),
    ({"process": ["python_lambda_mapper"]}, "process.0"),
    ({"process": {"download_file_mapper": {"save_dir": "/home"}}}, "process.download_file_mapper"),
    (
        {"process": {"general_fused_op": {"fused_op_list": [{"python_lambda_mapper": {}}]}}},
        "process.general_fused_op.fused_op_list.0.python_lambda_mapper",
    ),
    (
        {"custom_operator_paths": ["x.py"], "process": {"words_num_filter": {}}},
        "custom_operator_paths",
    ),
    (
        {"custom-operator-paths": ["x.py"], "process": {"words_num_filter": {}}},
        "custom-operator-paths",
    ),
    (
        {"process": {"words_num_filter": {"runtime_env": {"pip": ["x"]}}}},
        "process.words_num_filter.runtime_env",
    ),
    (
        {"process": {"remove_repeat_sentences_mapper": {"tokenizer": "lambda t: t"}}},
        "process.remove_repeat_sentences_mapper",
    ),
]


@pytest.mark.parametrize(("recipe", "place"), RECIPES, ids=[place for _, place in RECIPES])
def test_a_recipe_that_carries_code_needs_permission(
    tmp_path: Path, recipe: dict[str, Any], place: str
) -> None:
    assert wanted("recipe-code", f"recipe.{place}") in asked(PROCESS, {"recipe": recipe})
    assert asked(PROCESS, {"recipe": recipe}, "recipe-code", "outside-files") == []
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    found = asked(PROCESS, {"recipe_path": str(path)})
    assert any(each.startswith("it.recipe_path.") and "recipe-code" in hint for each, hint in found)


def test_a_plain_recipe_needs_none() -> None:
    process = {
        "words_num_filter": {"min_num": 1},
        "remove_repeat_sentences_mapper": {"lowercase": True},
        "image_captioning_mapper": {"trust_remote_code": False, "save_dir": "images"},
    }
    assert asked(PROCESS, {"recipe": {"process": process, "np": 2}}) == []


@pytest.mark.parametrize("value", [True, "true", 1])
def test_code_that_comes_with_a_model_needs_permission(value: Any) -> None:
    arguments = {
        "recipe": {"process": {"llm_filter": {"model_params": {"trust_remote_code": value}}}}
    }
    place = "recipe.process.llm_filter.model_params.trust_remote_code"
    assert wanted("remote-code", place) in asked(PROCESS, arguments)


@pytest.mark.parametrize(
    ("target", "argument"),
    [
        ("sandbox.executors.causal_lm.CausalLMTraining", "model_path"),
        ("sandbox.executors.internvl_training.InternVLTraining", "model_path"),
        ("sandbox.executors.internvl_captioning.InternVLCaptioning", "model_path"),
        ("sandbox.executors.internvl_model.InternVLPretrained", "name_or_path"),
        ("sandbox.evaluators.text_likelihood.TextLikelihood", "model_path"),
        ("sandbox.hooks.evaluate_model.EvaluateModelHook", "eval_obj"),
    ],
)
def test_pickled_weights_need_permission(tmp_path: Path, target: str, argument: str) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    value = {argument: str(tmp_path)}
    assert wanted("pickled-weights", argument) in asked(target, value)
    assert asked(target, value, "pickled-weights") == []
    (tmp_path / "model.safetensors").write_bytes(b"x")
    assert asked(target, value) == []


def test_a_login_for_an_index_of_the_configs_choice_needs_permission() -> None:
    arguments = {"index_url": "https://x.org", "index_credentials": "${oc.env:HOME}"}
    assert asked(ENV, arguments) == [wanted("credentials", "index_credentials")]


@pytest.mark.parametrize("folder", ["/home/x", "../x", "~/x"])
def test_an_operator_that_writes_anywhere_needs_permission(folder: str) -> None:
    process = {"image_blur_mapper": {"save_dir": folder}}
    place = "recipe.process.image_blur_mapper.save_dir"
    assert wanted("outside-files", place) in asked(PROCESS, {"recipe": {"process": process}})


@pytest.mark.parametrize(
    "name",
    [
        "PATH",
        "PYTHONPATH",
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "HOME",
        "HF_HOME",
        "PYTHONSTARTUP",
        "NCCL_NET_PLUGIN",
        "NCCL_CONF_FILE",
        "OMP_TOOL_LIBRARIES",
        "JAVA_TOOL_OPTIONS",
        "path",
    ],
)
def test_a_variable_that_changes_programs_needs_permission(name: str) -> None:
    (problem,) = variable_problems({name: "1"}, "env_set", OURS)
    assert problem.where == f"env_set.{name}" and "env-variables" in problem.hint
    assert not [*variable_problems({name: "1"}, "env_set", ("env-variables",))]


@pytest.mark.parametrize(
    "name",
    [
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NCCL_DEBUG",
        "CUDA_VISIBLE_DEVICES",
        "TOKENIZERS_PARALLELISM",
        "HF_HUB_OFFLINE",
    ],
)
def test_a_variable_for_speed_may_be_set(name: str) -> None:
    assert not [*variable_problems({name: "1"}, "env_set", OURS)]


def test_a_config_never_gives_itself_a_permission() -> None:
    for name in ("SANDBOX_ALLOW", "SANDBOX_ALLOW_TARGETS"):
        assert [*variable_problems({name: "1"}, "env_set", ("*", *PERMISSIONS))]


def test_the_plan_names_every_permission_that_an_experiment_needs(project: Project) -> None:
    env = {"_target_": ENV, "code_dir": str(project.root), "python": "/bin/evil"}
    job = (
        "process_data",
        {
            "executor": {
                "_target_": "sandbox.executors.data_juicer.DataJuicerExecutor",
                "env": env,
            },
            "dataset_path": "${output:add.path}",
            "recipe": {"process": {"python_lambda_mapper": {}}},
        },
    )
    slurm = {"_target_": SLURM, "setup": ["id"]}
    body = experiment({"add": data_job("Rows"), "process": job}, compute=slurm)
    project.write("toy", body)
    found = [each for each in project.problems("toy") if each.kind == "permission"]
    assert {problem.where for problem in found} == {
        "jobs.process.executor.env.code_dir",
        "jobs.process.executor.env.python",
        "jobs.process.recipe.process.python_lambda_mapper",
        "compute.setup",
    }


def test_elements_of_a_map_are_looked_at_too(project: Project) -> None:
    job = (
        "process_data",
        {
            "executor": {"_target_": "sandbox.executors.data_juicer.DataJuicerExecutor"},
            "dataset_path": "${output:add.path}",
            "map": {
                "recipe": [
                    {"process": {"words_num_filter": {}}},
                    {"process": {"python_lambda_mapper": {}}},
                ]
            },
        },
    )
    project.write("toy", experiment({"add": data_job("Rows"), "process": job}))
    (problem,) = [each for each in project.problems("toy") if each.kind == "permission"]
    assert problem.where.startswith("jobs.process.map")


def test_permissions_stand_in_the_environment_or_the_allow_file(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not set(allowed_targets()) & set(PERMISSIONS)
    monkeypatch.setenv("SANDBOX_ALLOW", "recipe-code, shell-lines")
    assert {"recipe-code", "shell-lines"} <= set(allowed_targets())
    settings = project.root / "settings/sandbox/allow_targets"
    settings.parent.mkdir(parents=True)
    settings.write_text("interpreter  # my envs\nmine.*\n")
    assert {"interpreter", "mine.*", "toys.*", "recipe-code"} <= set(allowed_targets())


def test_a_function_must_be_one_of_the_module_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = "import os\nfrom os import system\nfrom shutil import rmtree\ndef mine():\n    pass\n"
    (tmp_path / "my_functions.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert locate_function("my_functions.mine", ["my_functions.*"]).__name__ == "mine"
    for name in ("system", "rmtree", "os.system", "mine.__globals__", "nothing", "os"):
        with pytest.raises(TargetError):
            locate_function(f"my_functions.{name}", ["my_functions.*"])
    with pytest.raises(TargetError, match="not allowed"):
        locate_function("os.system", ["my_functions.*"])


def test_a_problem_that_names_a_permission_shows_how_to_give_it() -> None:
    problem: Problem = next(variable_problems({"PATH": "1"}, "hydra.job.env_set", OURS))
    assert 'this needs your permission; to allow it: SANDBOX_ALLOW="env-variables"' in str(problem)
    assert str(problem).endswith("sandbox trust")
    assert os.sep not in problem.where
