"""Classes of wrong inputs in jobs: their shape, class paths, maps, seeds and scalars."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from bad_input_try import Try, body, planned, put


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
