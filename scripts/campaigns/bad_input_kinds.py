"""Classes of wrong inputs: each draws one try, a project and a command, at random."""

from __future__ import annotations

import gzip
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import yaml
from bad_input_arguments import ARGUMENTS

Files = Mapping[str, bytes | None]


@dataclass(frozen=True)
class Try:
    """A project and a command in it.

    Args:
        words: The command line, without the program.
        files: Content by path; ``None`` makes a folder.
        expected: The right exit statuses.
        named: Texts of which the message holds at least one.
        is_fresh: True if it needs a process that has imported nothing.
    """

    words: Sequence[str]
    files: Files = field(default_factory=dict)
    expected: Sequence[int] = (2,)
    named: Sequence[str] = ("",)
    is_fresh: bool = False

    def shown(self) -> list[str]:
        """Return its files as text for people."""
        return [f"{name}: …{repr(content)[-300:]}" for name, content in self.files.items()]


BAD = "project/conf/experiment/bad.yaml"
RUN = ("+experiment=bad",)
HOOK = "sandbox.hooks.general_data_executor.GeneralDataExecutorHook"
JUNK: Sequence[Any] = (
    *(3, -1, 0, 1.5, True, None, "", " ", "nonsense!", "\n", "a: b", [], {}),
    *([[]], [1, "a"], [None], {"a": 1}, {"a": {"b": []}}, {1: 2}, [{"_target_": "x"}]),
    *(math.nan, math.inf, 10**30, -(10**400), "x" * 5000, "ä\u202e\U0001f600", "???", "${", "\0"),
)
"""Values of every kind."""


def body(**more: Any) -> dict[str, Any]:
    """Return an experiment of two jobs that is right."""
    return {
        "experiment_name": "bad",
        "watcher": {"mode": "disabled"},
        "pipelines": {"main": {"execution_jobs": ["x", "y"]}},
        "jobs": {
            "x": {"_target_": HOOK, "executor": {"_target_": "bad_input_toys.Hand", "value": 1}},
            "y": {
                "_target_": HOOK,
                "executor": {"_target_": "bad_input_toys.Hand", "value": "${output:x.value}"},
            },
        },
        **more,
    }


def put(config: dict[str, Any], place: str, value: Any) -> dict[str, Any]:
    """Set a value at a place; return the config."""
    inner = config
    *above, last = place.split(".")
    for key in above:
        inner = inner.setdefault(key, {})
    inner[last] = value
    return config


def written(config: Any) -> Files:
    """Return the file of an experiment."""
    text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    return {BAD: f"# @package _global_\n{text}".encode(errors="surrogatepass")}


def text_file(text: str) -> Files:
    """Return the file of an experiment with this text."""
    return {BAD: text.encode(errors="surrogatepass")}


def planned(config: Any, named: Sequence[str], expected: Sequence[int] = (2,)) -> Try:
    """Return the dry run of an experiment."""
    return Try((*RUN, "dry_run=true"), written(config), expected, named)


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
    return planned(config, (place_above, "nterpolation", "experiment/bad"), (2,) if wrong else (0, 2))


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


def broken_yaml(draw: Random) -> Try:
    """A file that is no YAML, or no mapping."""
    good = written(body())[BAD] or b""
    bad: Sequence[bytes] = (
        *(b"a: [1, 2", b"a: {b: 1", b"\tkey: 1", b"a: 'x", b'a: "x\\q"', b"a: b: c", b"- 1\na: 2"),
        *(b"a: *nope", b"a: &x", b"a: &x [*x]", b"%YAML 9.9\n---\na: 1", b"a: 1\n---\nb: 2"),
        *(b"\xff\xfe\x00a", b"a: \xff", b"a: \x00", b"a: 1\na: 2", b"? [1]\n: 2", b"? {a: b}\n: 2"),
        *(b"[1, 2]", b"3", b"just text", b"!!python/object/apply:os.system ['id']", b"@", b"`a`"),
        *(
            b"a: !",
            b"!!map [1]",
            b"a: !!int x",
            b"a: !!float y",
            b"a: !!bool z",
            b"<<: 3",
            b"a: |3",
        ),
    )
    if draw.random() < 0.6:
        head = b"# @package _global_\n" if draw.random() < 0.7 else b""
        content = head + draw.choice(bad)
        return Try((*RUN, "dry_run=true"), {BAD: content}, (2,), ("bad", "pipelines", "experiment"))
    data = bytearray(good)
    for _ in range(draw.randint(1, 4)):
        place = draw.randrange(len(data))
        data[place : place + draw.randint(0, 3)] = bytes([draw.randrange(256)])
    return Try((*RUN, "dry_run=true"), {BAD: bytes(data)}, (0, 2), ("",))


def yaml_tag(draw: Random) -> Try:
    """A value with a tag of YAML that is neither text, number nor truth value."""
    tag = draw.choice(
        (
            *("!!binary aGVsbG8=", "!!binary x", "!!set {a, b}", "!!omap [a: 1]", "!!pairs [a: 1]"),
            *("!!python/object/apply:os.system ['id']", "!!python/name:os.system", "!custom 3"),
            *("!!python/tuple [1]", "!!python/bytes x", "!!timestamp 2020-01-01", "!!int 'x'"),
            *("!!python/object/new:os.system [id]", "!!null x", "!<tag:x,2000:y> 1", "!!merge x"),
        )
    )
    place = draw.choice(("jobs.x.executor.value", "outputs_dir", "force", "mine", "targets"))
    text = yaml.safe_dump(put(body(), place, "PLACE"), sort_keys=False).replace("PLACE", tag)
    is_right = tag.startswith(("!!timestamp", "!!null", "!!merge"))
    return Try(
        (*RUN, "dry_run=true"),
        text_file(f"# @package _global_\n{text}"),
        (0, 2) if is_right else (2,),
        (place, "bad.yaml", "experiment/bad"),
    )


def override(draw: Random) -> Try:
    """A command line that Hydra, or our frame, refuses."""
    words = draw.choice(
        (
            *(
                "nope=1",
                "+jobs.x.executor.value=1",
                "jobs.x.executor.valu=1",
                "jobs.z.executor.a=1",
            ),
            *("jobs.x.executor.value=[1", "jobs.x.executor.value={a", "jobs.x.executor.value='a"),
            *(
                "jobs.x.executor.value=a(b",
                "=",
                "==",
                "x",
                "+",
                "~",
                "~~x",
                "++",
                "+=1",
                "=3",
                "@x=1",
            ),
            *("~jobs", "~pipelines", "~cap", "~store_dir", "~outputs_dir", "~watcher", "~hydra"),
            *("hook@jobs.x=general", "compute=nope", "watcher=nope", "+env@jobs.x.env=nope"),
            *("+experiment=nope", "+experiment=", "+experiment=[a,b]", "+experiment=../bad"),
            *("+experiment=/etc/passwd", "+experiment=bad/x", "experiment=bad", "--cfg=nope"),
            *("--nope", "--config-name=nope", "--config-dir=nope", "--config-path=nope", "--cfg"),
            *("--package=x", "-z", "jobs=null", "jobs.x=null", "jobs.x=3", "jobs.x.executor=null"),
            *("jobs.x._target_=3", "jobs.x._target_=os.system", "pipelines.main=3", "a b=c"),
            *("pipelines.main.execution_jobs=x", "pipelines.main.execution_jobs=[x,x]", "cap=null"),
            *(
                "pipelines.main.execution_jobs=[nope]",
                "pipelines.main.exe_jobs=[x]",
                "cap.numbers=3",
            ),
            *("cap.lists=[1]", "cap.numbers.count=a", "cap.lists.paths=-1", "+cap.x=3", "cap=[]"),
            *("\udcff=1", "ä=\udcff", "jobs.x.executor.value=\udcff", "${nope}=1", "${jobs}=1"),
            *("jobs.x.executor.value=range(1,", "jobs.x.executor.value=glob(*", "k" * 5000 + "=1"),
        )
    )
    right = {"--package=x", "~cap", "~hydra", "~watcher", "jobs.x.executor.value=\udcff", "--cfg"}
    expected = (0, 2) if words in right else (2,)
    name = words.lstrip("+~-").partition("=")[0][:40]
    given = Try((*RUN, "dry_run=true", words), written(body()), expected, ("",))
    known = (name, name.split(".")[0], "verride", "experiment", "EQUAL", "usage", "command")
    return Try(given.words, given.files, expected, known)


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
        ("", " ", "/", "//", "/.", "a/../../../../../../../..", "file", "file/below", "n" * 300)
        + ("a/" * 3000, "a\0b", "a\nb", "\x1b[31m", "/proc/self/mem", "/dev/null", "/dev/null/x")
        + ("[]", "null", "{a: 1}", "${nope}", "/proc/nope", "/sys/nope", None, 3, [], {})
    )
    if isinstance(value, str) and draw.random() < 0.5 and value.isprintable() and "{" not in value:
        quoted = value if value in ("[]", "null") else f"'{value}'"
        return Try((*RUN, f"{key}={quoted}"), files, (2,), (key,))
    if value in ("[]", "null", "{a: 1}"):
        value = yaml.safe_load(str(value))
    files |= written(body(**{key: value}))
    return Try(RUN, files, (2,), (key,))


def hydra_folder(draw: Random) -> Try:
    """A setting of Hydra that is of the wrong kind, or leads outside."""
    key = draw.choice(
        ("run", "run.dir", "sweep", "sweep.dir", "output_subdir", "job", "job.name", "job.chdir")
        + (
            "job.env_set",
            "job_logging",
            "job_logging.handlers",
            "job_logging.root",
            "hydra_logging",
        )
        + ("launcher", "sweeper", "sweeper.params", "verbose", "mode", "callbacks", "searchpath")
        + ("job.config", "runtime", "help", "overrides", "job_logging.handlers.file.filename")
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
            "9" * 400,
            "-" + "9" * 400,
            "9" * 5000,
            "1e400",
            ".inf",
            "-.inf",
            ".nan",
            "1e-400",
            "0x" + "f" * 400,
        )
        + ("0b101", "1_000", "0o7", "1:30:00", "1e999999999", "-0.0", "00", "+1", "9" * 4299)
    )
    place = draw.choice(
        (
            "jobs.x.executor.value",
            "jobs.x.executor.count",
            "jobs.x.executor.share",
            "max_iterations",
        )
        + ("cap.numbers.count", "cap.lists.paths", "jobs.x.executor.seed", "mine")
    )
    files = yaml.safe_dump(put(body(), place, "PLACE"), sort_keys=False).replace("PLACE", text)
    named = (place, place.split(".")[0], "bad", "max_iterations")
    return Try(RUN, text_file(f"# @package _global_\n{files}"), (0, 1, 2), named)


def nesting(draw: Random) -> Try:
    """A value that is nested too deeply."""
    depth = draw.choice((41, 60, 99, 101, 150, 300, 1000, 5000, 50000))
    begin, end = draw.choice((("{a: ", "}"), ("[", "]"), ("[{a: ", "}]")))
    value = begin * depth + "1" + end * depth
    place = draw.choice(("jobs.x.executor.value", "mine", "pipelines", "targets", "watcher"))
    if draw.random() < 0.3 and depth < 5000:
        value = value.replace(" ", "")
        return Try((*RUN, "dry_run=true", f"++{place}={value}"), written(body()), (2,), ("deep",))
    text = yaml.safe_dump(put(body(), place, "PLACE"), sort_keys=False).replace("PLACE", value)
    named = ("bad", place)
    return Try((*RUN, "dry_run=true"), text_file(f"# @package _global_\n{text}"), (2,), named)


def defaults(draw: Random) -> Try:
    """A defaults list that is wrong, or leads in a circle."""
    if draw.random() < 0.3:
        size = draw.randint(1, 4)
        names = ["bad", *(f"more_{index}" for index in range(1, size))]
        group = draw.choice(("", "/experiment: "))
        files = {}
        for index, name in enumerate(names):
            after = names[(index + 1) % size]
            text = f"# @package _global_\ndefaults: [{group}{after}, _self_]\n"
            files[f"project/conf/experiment/{name}.yaml"] = text.encode()
        return Try((*RUN, "dry_run=true"), files, (2,), ("experiment/bad",))
    wrong = draw.choice(
        (
            *(
                3,
                "text",
                {"a": "b"},
                [3],
                [[]],
                [None],
                [{}],
                ["_self_", "_self_"],
                [{"/nope": "x"}],
            ),
            *([{"/hook@jobs.x": "nope"}], [{"/hook@jobs.x": ["general_probe", 3]}], ["nope"], [""]),
            *([{"override /compute": "nope"}], [{"override /nope": "x"}], [{"/compute": "local"}]),
            *(
                [{"a": 1, "b": 2}],
                [{"/hook@jobs.x": "${nope}"}],
                [{"/hook@": "x"}],
                ["/etc/passwd"],
            ),
            *([{"/hook@jobs.x": None}], [{"/hook@jobs.x": {"a": 1}}], ["../../x"], [{"": ""}]),
            *([{"/experiment": "bad"}], ["bad"], [{"optional": "x"}], [{"optional /nope": "x"}]),
        )
    )
    known = wrong in (["_self_"], [{"/hook@jobs.x": None}], [{"optional /nope": "x"}])
    config = {"defaults": wrong, **body()}
    return planned(config, ("bad", "defaults", "compute"), (0, 2) if known else (2,))


def job_map(draw: Random) -> Try:
    """A ``map`` or ``seeds`` of a job that is wrong."""
    if draw.random() < 0.5:
        seeds = draw.choice(
            (0, -1, "3", 1.5, True, [], [1, 1], ["a"], {"a": 1}, [[1]], [1.5], [None])
        )
        return planned(put(body(), "jobs.x.seeds", seeds), ("jobs.x.seeds",))
    wrong = draw.choice(
        (
            *(3, "a", [1], True, {"executor": 3}, {"executor": {"value": 3}}, {"nope": [1]}),
            *(
                {"executor": {"value": []}},
                {"executor": {"nope": [1]}},
                {"executor": {"count": [0]}},
            ),
            *(
                {"executor": {"value": [1, 2], "count": [1]}},
                {"product": 3, "executor": {"count": [1]}},
            ),
            *({"executor": {"value": {"a": [1]}}}, {"executor": {"path": ["nowhere"]}}),
            *(
                {"executor": {"count": [1, "a"]}},
                {"executor": []},
                {"": [1]},
                {"executor": {"": [1]}},
            ),
        )
    )
    return planned(put(body(), "jobs.x.map", wrong), ("jobs.x.map", "jobs.x"))


def scalar(draw: Random) -> Try:
    """Targets, objectives and forced jobs that mean nothing."""
    wrong: dict[str, Sequence[Any]] = {
        "targets": (
            *("x.value", "x.value >", "x.value >= a", "x.value == 1", "nope.value > 1", "> 1", 3),
            *(
                "x.nope > 1",
                "x > 1",
                "x.value > nan",
                "sum(x.numbers) > 1",
                {"some": ["x.value > 1"]},
            ),
            *(
                ["x.value > 1", 3],
                {"any": "x"},
                {"any": [], "all": []},
                "x.value >= 1e",
                "x..a > 1",
            ),
            *("__import__('os') > 1", "max(x.value > 1", "x.value => 1", "x.value > 1 and y > 2"),
        ),
        "objective": (
            *(
                "nope.value",
                "x.nope",
                "x",
                ".",
                "max(",
                "max()",
                "max(x)",
                "sum(x.numbers)",
                3,
                [3],
            ),
            *("max(max(x.numbers))", "x.value + 1", "__import__('os')", ["x.value", "nope.a"], " "),
        ),
        "force": ("nope", ["nope"], 3, [3], {"x": 1}, ["x", "nope"], "x,y", [["x"]], True),
    }
    key = draw.choice(list(wrong))
    return planned(body(**{key: draw.choice(wrong[key])}), (key,))


def target(draw: Random) -> Try:
    """A class path that is not allowed, not there or not a class."""
    value = draw.choice(
        (
            *(
                3,
                "",
                None,
                True,
                [],
                {},
                "os.system",
                "subprocess.Popen",
                "builtins.eval",
                ".",
                "..a",
            ),
            *(
                "bad_input_toys",
                "bad_input_toys.",
                "bad_input_toys.Nope",
                "bad_input_toys.Hand.run",
            ),
            *("bad_input_toys.Path", "bad_input_toys.Any", "bad_input_toys.os.system", "nope.Nope"),
            *("sandbox.hooks.Nope", "sandbox.pools.nope.X", "sandbox.pools.merging", "sandbox..X"),
            *("hydra.utils.instantiate", "sandbox.cli.run.main", "ä.Ä", "a\0.b", "x" * 3000 + ".Y"),
            *("bad_input_toys.Judge", "sandbox.compute.local.Local", "sandbox.envs.Env"),
        )
    )
    place = draw.choice(
        ("jobs.x._target_", "jobs.x.executor._target_", "watcher._target_", "compute._target_")
    )
    right = value == "sandbox.compute.local.Local" and place.startswith("compute")
    named = (place.removesuffix("._target_"),)
    return planned(put(body(), place, value), named, (0,) if right else (2,))


def job_shape(draw: Random) -> Try:
    """A job, a pipeline or a job list of the wrong shape."""
    place, value = draw.choice(
        (
            *(
                ("jobs.x", value)
                for value in (3, None, "a", [], {}, {"executor": {}}, {"_target_": 3})
            ),
            *(("jobs", value) for value in (3, None, "a", [], {}, {"x": None})),
            *(
                ("pipelines", value)
                for value in (3, None, "a", [], {}, {"main": None}, {"main": 3})
            ),
            *(("pipelines.main", value) for value in ([], "x", {"nope_jobs": ["x"]}, {1: ["x"]})),
            *(
                ("pipelines.main.execution_jobs", value)
                for value in (
                    3,
                    "x",
                    {},
                    {"x": 1},
                    [3],
                    [None],
                    [["x"]],
                    ["nope"],
                    ["x", "x"],
                    [""],
                )
            ),
            *(
                ("pipelines.main.execution_jobs", [name])
                for name in ("../x", "n" * 300, "a b", "x\0")
            ),
            *(
                ("jobs.x.compute", value)
                for value in (3, "local", [], {}, {"_target_": "os.system"})
            ),
            *(("cap", value) for value in (3, [], {}, {"numbers": 3}, {"numbers": {}, "lists": 3})),
            *(("cap.numbers.count", value) for value in ("a", [], None, {})),
            *(("jobs.x.executor", value) for value in (3, None, "a", [], {}, {"value": 1})),
        )
    )
    right = (place, value) in (("pipelines.main.execution_jobs", {}), ("cap", {}))
    named = (place, place.split(".")[0], "jobs.x", "pipelines", "experiment/bad")
    return planned(put(body(), place, value), named, (0, 2) if right else (2,))


def unicode_text(draw: Random) -> Try:
    """Odd characters in names, keys and values; they may be right, but nothing may break."""
    odd = draw.choice(
        ("ä", "\u202e", "\u200b", "\U0001f600", "e\u0301", "\ufeff", "\x85", "\u2028", "\x07")
        + ("\x1b[31m", "名前", "\ud800", "\0", "\r", "\t", "%s", "{0}", "\\", "'", "ı", "ﬀ", "＝")
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


def pool_file(draw: Random) -> Try:
    """A damaged data pool, read by a component of ours."""
    ending = draw.choice((".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet"))
    name = f"pool{ending}"
    content = damaged(draw, ending)
    reader = draw.choice(list(READERS))
    files: dict[str, bytes | None] = {f"project/{name}": content}
    job = json.loads(json.dumps(READERS[reader]).replace("POOL", name))
    config = body(jobs={"x": job}, pipelines={"main": {"evaluation_jobs": ["x"]}})
    return Try(RUN, {**files, **written(config)}, (0, 1), (name,))


EVALUATION = "sandbox.hooks.evaluate_data.EvaluateDataHook"
MANIPULATION = "sandbox.hooks.data_pool_manipulation.DataPoolManipulationHook"


def _evaluation(target: str, **arguments: Any) -> dict[str, Any]:
    evaluator = {"_target_": f"sandbox.evaluators.{target}", **arguments}
    return {"_target_": EVALUATION, "evaluator": evaluator, "eval_obj": "POOL", "eval_type": None}


def _manipulation(target: str, **arguments: Any) -> dict[str, Any]:
    manipulator = {"_target_": f"sandbox.pools.{target}", **arguments}
    return {"_target_": MANIPULATION, "manipulator": manipulator}


READERS = {
    "diversity": _evaluation("text_diversity.TextDiversityEvaluator"),
    "duplicates": _evaluation("near_duplicates.NearDuplicates"),
    "statistics": _evaluation("statistic_distributions.StatisticDistributions"),
    "distance": _evaluation("pool_distance.PoolDistance", reference_path="POOL"),
    "downsampling": _manipulation("downsampling.DataPoolDownsampling", dataset_paths=["POOL"]),
    "merging": _manipulation("merging.DataPoolMerging", dataset_paths=["POOL", "POOL"]),
    "to lines": _manipulation(
        "merging.DataPoolMerging", dataset_paths=["POOL"], output_format="jsonl"
    ),
    "to table": _manipulation(
        "merging.DataPoolMerging", dataset_paths=["POOL"], output_format="parquet"
    ),
}


def damaged(draw: Random, ending: str) -> bytes:
    """Return a data pool in this format that is damaged somehow."""
    lines = [json.dumps({"text": f"text {index}"}).encode() for index in range(40)]
    row = draw.choice(
        (
            *(
                b"",
                b"nonsense",
                b"[1]",
                b"3",
                b"null",
                b'{"text": ',
                b'{"text": "\xff"}',
                b'{"text": 3}',
            ),
            *(
                b'{"txt": "a"}',
                b'{"text": null}',
                b"{}",
                b'{"text": "a"} x',
                b'{"text": "\\ud800"}',
            ),
            *(b'{"a": ' * 2000 + b"1" + b"}" * 2000, b"[" * 50000, b'{"text": 1e999}', b"\0\0\0"),
            *(b'{"text": "a", "text": 3}', b'{"text": "' + b"9" * 10000 + b'"}', b"\xef\xbb\xbf{}"),
        )
    )
    lines[draw.randrange(40)] = row
    plain = b"\n".join(lines) + b"\n"
    packed = {".jsonl": lambda: plain, ".jsonl.gz": lambda: gzip.compress(plain)}
    packed |= {".jsonl.zst": lambda: _zst(plain), ".parquet": _parquet}
    data = bytearray(packed[ending]())
    kind = draw.choice(("sample", "cut", "flip", "other format", "empty", "garbage"))
    if kind == "cut":
        data = data[: draw.randrange(len(data))]
    elif kind == "flip" or (kind == "sample" and ending == ".parquet"):
        for _ in range(draw.randint(1, 8)):
            data[draw.randrange(len(data))] = draw.randrange(256)
    elif kind == "other format":
        data = bytearray(packed[draw.choice(list(packed))]())
    elif kind == "empty":
        data = bytearray()
    elif kind == "garbage":
        data = bytearray(draw.randbytes(draw.randint(1, 3000)))
    return bytes(data)


def _zst(data: bytes) -> bytes:
    import zstandard

    return zstandard.compress(data)


def _parquet() -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = io.BytesIO()
    table = pa.table({"text": [f"text {index}" for index in range(300)], "images": [["x"]] * 300})
    pq.write_table(table, file)
    return file.getvalue()


def failing_job(draw: Random) -> Try:
    """A job that fails with an odd message."""
    message = draw.choice(
        (
            "no",
            "",
            "\n" * 50,
            "x" * 100_000,
            "ä\u202e\U0001f600",
            "\udcff",
            "%s %d",
            "\x1b[31m",
            "a\0b",
        )
    )
    config = body(
        jobs={
            "x": {
                "_target_": HOOK,
                "executor": {"_target_": "bad_input_toys.Fail", "message": message},
            }
        },
        pipelines={"main": {"execution_jobs": ["x"]}},
    )
    if message == "\udcff":
        config["jobs"]["x"]["executor"]["message"] = "\\udcff"
    return Try((*RUN, *draw.choice(((), ("compute=local",)))), written(config), (1,), ("x",))


def file_in_place(draw: Random) -> Try:
    """A file where a folder should be, or the other way round."""
    good = dict(written(body()))
    files: dict[str, bytes | None] = draw.choice(
        (
            {**good, "project/outputs": b""},
            {**good, "project/outputs/store": b""},
            {**good, "project/outputs/bad": b""},
            {"project/conf/experiment": b""},
            {"project/conf/experiment/bad.yaml/x": b""},
            {**good, "project/conf/config.yaml": b"nonsense: ["},
            {**good, "project/conf/compute/inline.yaml": b"nonsense: ["},
            {**good, "project/conf/job": b""},
            {**good, "project/outputs/store/hashes.jsonl/x": b""},
            {**good, "project/outputs/store/x": b""},
            {**good, "project/outputs/store/hashes.jsonl": b"\xff\0[[["},
        )
    )
    named = ("outputs", "bad", "conf", "store", "inline")
    return Try(RUN, files, (0, 1, 2), named)


def allow_file(draw: Random) -> Try:
    """A file of the user's permissions that cannot be read, or means nothing."""
    content = draw.choice(
        (b"\xff\xfe", b"toys.*\n\xe4\n", None, b"\0", b"[\n", b"x" * 100_000, b"*x*")
    )
    is_wrong = content is None or content[:1] == b"\xff" or b"\xe4" in content
    place = "settings/sandbox/allow_targets"
    words = draw.choice(((*RUN, "dry_run=true"), (*RUN, "dry_run=true"), ("doctor",)))
    expected = (2,) if is_wrong else (0, 1, 2)
    named = ("allow_targets",) if is_wrong else ("",)
    return Try(words, {**written(body()), place: content}, expected, named, is_fresh=True)


def command_word(draw: Random) -> Try:
    """A command line that begins with a word that is no command."""
    word = draw.choice(
        (
            "docter",
            "run",
            "help",
            "list",
            "x" * 100_000,
            "a-b",
            "Ä",
            "--",
            "-x",
            "--nope",
            "",
            " ",
            "/",
        )
        + (
            "bad",
            "bad.yaml",
            "conf/experiment/bad.yaml",
            "@",
            "\n",
            "*",
            "sandbox",
            "\udcff",
            "1",
            "--run=",
        )
        + ("doctor", "experiment=bad", "+experiment", "experiment", "-m", "--multirun", "--info=x")
    )
    more = draw.choice(((), ("--nope",), ("nope",), ("+experiment=bad",), ("a=b",)))
    words = (word, *more)
    right = word in ("doctor", "-m", "--multirun", "--", "")
    named = (word[:20], "command", "usage", "config", "EQUAL", "pipelines")
    return Try(words, written(body()), (0, 1, 2) if right else (2,), named)


def sweep(draw: Random) -> Try:
    """A sweep whose values, sweeper or trials are wrong."""
    words = draw.choice(
        (
            *(("jobs.x.executor.count=0,1",), ("jobs.x.executor.nope=1,2",), ("nope=1,2",)),
            *(
                ("jobs.x.executor.value=1,",),
                ("jobs.x.executor.value=range(1,",),
                ("+experiment=bad,nope",),
            ),
            *(("hydra/sweeper=nope",), ("hydra/launcher=nope",), ("hydra.sweeper.params=3",)),
            *(("hydra.sweep.dir=/",), ("hydra.sweep.dir=''",), ("hydra.sweep.subdir=../../x",)),
            *(("outputs_dir=''",), ("experiment_name=''",), ("targets=nope",), ("store_dir=/",)),
            *(("hydra/sweeper=optuna_async",), ("hydra/sweeper=optuna_async", "objective=nope.a")),
            *(("hydra/sweeper=optuna_async", "hydra.sweeper.n_trials=-1"), ("jobs=1,2",)),
            *(
                ("hydra/sweeper=optuna_async", "jobs.x.executor.count=interval(0,1"),
                ("pipelines=1,2",),
            ),
        )
    )
    first = () if words[0].startswith("+experiment") else RUN
    expected = (0, 1, 2) if words[0].startswith("hydra.sweep.subdir") else (1, 2)
    return Try(("--multirun", *first, *words), written(body()), expected, ("",))


KINDS: Mapping[str, Callable[[Random], Try]] = {
    kind.__name__: kind
    for kind in (
        *(frame_key, shipped_argument, toy_argument, broken_yaml, yaml_tag, override, reference),
        *(path, hydra_folder, number, nesting, defaults, job_map, scalar, target, job_shape),
        *(unicode_text, pool_file, failing_job, file_in_place, allow_file, command_word, sweep),
    )
}
"""The classes by name."""
