"""Classes of wrong inputs in configs that are YAML: values, references, shapes, names."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import yaml
from bad_input_arguments import ARGUMENTS
from bad_input_try import JUNK, RUN, Try, body, planned, put, text_file, written


def frame_key(draw: Random) -> Try:
    """A key of the frame with a value of any kind; some are right by chance."""
    right: dict[str, Callable[[Any], bool]] = {
        "experiment_name": lambda value: isinstance(value, (int, str)),
        "max_iterations": lambda value: value in (1, None),
        "dry_run": lambda value: isinstance(value, bool),
        "pipelines": lambda value: False,
        "jobs": lambda value: False,
        "targets": lambda value: value in (None, [], {}, "", [[]]),
        "objective": lambda value: value in (None, [], "", {}, [[]]),
        "force": lambda value: value in (None, [], {}),
        "cap": lambda value: False,
        "outputs_dir": lambda value: isinstance(value, str),
        "store_dir": lambda value: isinstance(value, str),
        "watcher": lambda value: isinstance(value, dict),
        "compute": lambda value: isinstance(value, dict),
    }
    key, value = draw.choice(list(right)), draw.choice(JUNK)
    expected = (0, 2) if right[key](value) or value == "???" else (2,)
    # A file that turns the dry run off would run.
    words = RUN if key == "dry_run" else (*RUN, "dry_run=true")
    return Try(
        words, written(body(**{key: value})), expected, (key, "nterpolation", "experiment/bad")
    )


def shipped_argument(draw: Random) -> Try:
    """An argument of a component of our own experiments with a value of any kind."""
    experiment, place, takes_mapping = draw.choice(ARGUMENTS)
    value = draw.choice(JUNK)
    wrong = isinstance(value, dict) and value and not takes_mapping
    place_above = ".".join(place.split(".")[:2])
    config = put({"defaults": [f"/experiment/{experiment}", "_self_"]}, place, value)
    put(config, "watcher.mode", "disabled")
    return planned(
        config, (place_above, "nterpolation", "experiment/bad"), (2,) if wrong else (0, 2)
    )


def toy_argument(draw: Random) -> Try:
    """An argument of a toy with a value that its annotation does not take."""
    wrong: dict[str, Sequence[Any]] = {
        "count": (0, -3, 1.5, "3", True, [1], {"a": 1}, None, math.nan, math.inf),
        "share": (-0.1, 1.1, "0.5", True, [0.5], {}, None, math.nan, 10**400, -math.inf),
        "name": ("", 3, 1.5, [], {}, None, True),
        "path": ("nowhere", "", 3, [], {"a": 1}, "x" * 300, "y/" * 3000, "a\0b", "~/none"),
        "paths": ("nowhere", ["nowhere"], 3, [3], [[]], {"a": 1}, [""], ["conf", None]),
        "options": (3, [], "a", {"a": "b"}, {"a": 1.5}, {"a": None}, {"a": {"b": 1}}),
        "flag": (0, 1, "true", None, [], {}),
        "token": ("sesame", 3, "${oc.env:NOT_SET_ANYWHERE}", ["x"], {"a": 1}),
        "seed": ("1", 1.5, None, [1], {}, True),
        "unknown_one": (1, None, "x", {}),
        "_partial_": (True, 3),
        "_args_": ([1], 3),
    }
    name = draw.choice(list(wrong))
    place = f"jobs.x.executor.{name}"
    config = put(body(), place, draw.choice(wrong[name]))
    return planned(config, (place, "jobs.x.executor"))


def reference(draw: Random) -> Try:
    """A reference or an interpolation that leads nowhere, at some place of the frame."""
    text = draw.choice(
        (
            *("${output:nope.value}", "${output:x}", "${output:}", "${output}", "${output:x.nope}"),
            *("${output:y.value}", "${output: x . value }", "a ${output:nope.a} b", "${previous:}"),
            *("${nope}", "${nope.a.b}", "${oc.env:NOT_SET_ANYWHERE}", "${nope:1}", "${jobs.nope}"),
            *("${", "${a", "${}", "${.}", "${..nope}", "${:}", "${a:${b}}", "${oc.decode:'['}"),
            *("${oc.create:3}", "${oc.select:}", "${now:}", "${hydra:nope}", "${hydra:}", "${jobs"),
            *(
                "${run_folder:}",
                "${run_folder:../x}",
                "${output:a,b}",
                "${previous:x.value,${nope}}",
            ),
            *("${" * 50 + "}" * 50, "${oc.select:" * 30 + "a" + "}" * 30, "${oc.env:}", "${\0}"),
        )
    )
    place = draw.choice(
        (
            *("pipelines", "pipelines.main", "pipelines.main.execution_jobs", "jobs", "jobs.x"),
            *("jobs.x.executor", "jobs.x.executor.value", "jobs.x.executor._target_", "jobs.x.map"),
            *("jobs.x.map.executor.value", "jobs.x.seeds", "jobs.x.compute", "jobs.x._target_"),
            *("targets", "objective", "force", "cap", "cap.numbers", "cap.lists.paths", "compute"),
            *(
                "watcher",
                "watcher.mode",
                "max_iterations",
                "dry_run",
                "experiment_name",
                "store_dir",
            ),
            *("outputs_dir", "jobs.x.executor.options", "jobs.x.executor.paths", "targets.any"),
        )
    )
    value = [text] if draw.random() < 0.2 else text
    words = RUN if place == "dry_run" else (*RUN, "dry_run=true")
    # References of these places may be valid text, or text of no meaning.
    named = (place, place.split(".")[0], "jobs.y", "bad.yaml", "experiment/bad", "hydra.run.dir")
    return Try(words, written(put(body(), place, value)), (0, 2), named)


def path(draw: Random) -> Try:
    """A folder for results that is none."""
    files: dict[str, bytes | None] = dict(written(body()))
    files["project/file"] = b"keep"
    key = draw.choice(("outputs_dir", "store_dir"))
    value = draw.choice(
        (
            *(
                "",
                " ",
                "/",
                "//",
                "/.",
                "a/../../../../../../../..",
                "file",
                "file/below",
                "n" * 300,
            ),
            *(
                "a/" * 3000,
                "a\0b",
                "a\nb",
                "\x1b[31m",
                "/proc/self/mem",
                "/dev/null",
                "/dev/null/x",
            ),
            *("[]", "null", "{a: 1}", "${nope}", "/proc/nope", "/sys/nope", None, 3, [], {}),
        )
    )
    if isinstance(value, str) and draw.random() < 0.5 and value.isprintable() and "{" not in value:
        quoted = value if value in ("[]", "null") else f"'{value}'"
        return Try((*RUN, f"{key}={quoted}"), files, (2,), (key, str(value)))
    if value in ("[]", "null", "{a: 1}"):
        value = yaml.safe_load(str(value))
    files |= written(body(**{key: value}))
    return Try(RUN, files, (2,), (key, str(value)))


def hydra_folder(draw: Random) -> Try:
    """A setting of Hydra that is of the wrong kind, or leads outside."""
    key = draw.choice(
        (
            *(
                "run",
                "run.dir",
                "sweep",
                "sweep.dir",
                "output_subdir",
                "job",
                "job.name",
                "job.chdir",
            ),
            *(
                "job.env_set",
                "job_logging",
                "job_logging.handlers",
                "job_logging.root",
                "hydra_logging",
            ),
            *(
                "launcher",
                "sweeper",
                "sweeper.params",
                "verbose",
                "mode",
                "callbacks",
                "searchpath",
            ),
            *("job.config", "runtime", "help", "overrides", "job_logging.handlers.file.filename"),
        )
    )
    value = draw.choice(
        (*JUNK, "/", "../out", "/etc", "${nope}", {"x": {"_target_": "os.system"}}, ["a", "b"])
    )
    config = put(body(), f"hydra.{key}", value)
    return Try(
        (*RUN, "dry_run=true"),
        written(config),
        (0, 2),
        (key.split(".")[0], "hydra", "experiment/bad"),
    )


def number(draw: Random) -> Try:
    """A number that is too large, or none, where a number is expected."""
    text = draw.choice(
        (
            *(
                "9" * 400,
                "-" + "9" * 400,
                "9" * 5000,
                "1e400",
                ".inf",
                "-.inf",
                ".nan",
                "1e-400",
                "0x" + "f" * 400,
            ),
            *("0b101", "1_000", "0o7", "1:30:00", "1e999999999", "-0.0", "00", "+1", "9" * 4299),
        )
    )
    place = draw.choice(
        (
            *(
                "jobs.x.executor.value",
                "jobs.x.executor.count",
                "jobs.x.executor.share",
                "max_iterations",
            ),
            *("cap.numbers.count", "cap.lists.paths", "jobs.x.executor.seed", "mine"),
        )
    )
    files = yaml.safe_dump(put(body(), place, "PLACE"), sort_keys=False).replace("PLACE", text)
    named = (place, place.split(".")[0], "bad", "max_iterations")
    return Try(RUN, text_file(f"# @package _global_\n{files}"), (0, 1, 2), named)


def unicode_text(draw: Random) -> Try:
    """Odd characters in names, keys and values; they may be right, but nothing may break."""
    odd = draw.choice(
        (
            *("ä", "\u202e", "\u200b", "\U0001f600", "e\u0301", "\ufeff", "\x85", "\u2028", "\x07"),
            *(
                "\x1b[31m",
                "名前",
                "\ud800",
                "\0",
                "\r",
                "\t",
                "%s",
                "{0}",
                "\\",
                "'",
                "ı",
                "ﬀ",
                "＝",
            ),
        )
    )
    name = f"a{odd}b"
    config = body()
    place = draw.choice(("job", "pipeline", "experiment", "value", "key", "argument", "top"))
    if place == "job":
        config["jobs"][name] = config["jobs"].pop("y")
        config["pipelines"]["main"]["execution_jobs"] = ["x", name]
    elif place == "pipeline":
        config["pipelines"][name] = config["pipelines"].pop("main")
    elif place == "experiment":
        config["experiment_name"] = name
    elif place == "top":
        config[name] = 1
    else:
        put(
            config,
            {"value": "jobs.x.executor.value", "key": "mine"}.get(place, "jobs.x.executor"),
            {},
        )
        inner = config["mine"] if place == "key" else config["jobs"]["x"]["executor"]
        inner |= {"value": name} if place == "value" else {name: 1}
        if place != "key":
            inner["_target_"] = "bad_input_toys.Hand"
    return Try(RUN, written(config), (0, 1, 2), ("",))
