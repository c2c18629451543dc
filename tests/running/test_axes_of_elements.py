"""Axes, labels and means of elements, against nested loops."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from sandbox.job import JobSpec, Label
from sandbox.planning.axes import with_axes
from sandbox.planning.references import Reference
from sandbox.running.context import Context
from sandbox.running.elements import expand
from sandbox.running.outputs import finish
from sandbox.store.records import JobRecord, JobStore

HOOK = "sandbox.hooks.general_data_executor.GeneralDataExecutorHook"
PLACES = ("executor.value", "executor.name", "executor.seed")


@dataclass(frozen=True)
class Job:
    """A drawn job: by place a list of its own, or an earlier job and its output to map over."""

    leaves: Mapping[str, list[int] | tuple[str, str]]
    product: bool
    seeds: tuple[int, ...]


@dataclass
class Loop:
    """The rounds of one loop: for each the values by place, and the labels by axis."""

    names: list[str]
    rounds: list[tuple[dict[str, Any], list[Label]]]
    seeds: list[bool]
    inherits: bool = False


@dataclass
class Done:
    """Elements by nested loops."""

    names: list[str] = field(default_factory=list)
    seeds: list[bool] = field(default_factory=list)
    values: list[dict[str, Any]] = field(default_factory=list)
    labels: list[list[Label]] = field(default_factory=list)

    def score(self, index: int) -> float:
        """A number that no other element of the job has, and that is not linear in the index."""
        return float((index + 3) ** 2 % 101)


class Misfit(Exception):
    """Lists cannot be zipped."""


@st.composite
def chains(draw: st.DrawFn) -> list[Job]:
    jobs: list[Job] = []
    for number in range(draw(st.integers(1, 3))):
        earlier = [f"job{index}" for index in range(number)]
        own: Any = st.lists(st.integers(0, 9), min_size=1, max_size=3, unique=True)
        outputs = st.tuples(st.sampled_from(earlier), st.sampled_from(["path", "score"]))
        leaf = st.one_of(outputs, outputs, own) if earlier else own
        min_size = 1 if earlier else 0
        places = draw(st.lists(st.sampled_from(PLACES), min_size=min_size, unique=True))
        seeds: tuple[int, ...] = ()
        if PLACES[2] not in places:
            seeds = draw(st.sampled_from([(), (5,), (7, 2), (1, 2, 3)]))
        jobs.append(Job({place: draw(leaf) for place in places}, draw(st.booleans()), seeds))
    return jobs


def loop_over(place: str, leaf: Any, job: Job, done: Mapping[str, Done]) -> Loop:
    if isinstance(leaf, tuple):
        source = done[leaf[0]]
        if not source.names:
            raise Misfit  # its job has one element: there is no list
        rounds = []
        for index, labels in enumerate(source.labels):
            value = source.score(index) if leaf[1] == "score" else f"{leaf[0]} {index}"
            rounds.append(({place: value}, labels))
        return Loop(source.names, rounds, source.seeds, inherits=True)
    is_seed = place.endswith(".seed") and (job.product or len(job.leaves) == 1)
    labels = [value if is_seed else str(value) for value in leaf]
    rounds = [({place: value}, [label]) for value, label in zip(leaf, labels, strict=True)]
    return Loop(["seed" if is_seed else place], rounds, [is_seed])


def zipped(loops: Sequence[Loop], job: Job) -> Loop:
    if len({len(loop.rounds) for loop in loops}) > 1:
        raise Misfit
    inheriting = [loop for loop in loops if loop.inherits]
    for loop in inheriting:
        same_seeds = loop.seeds == inheriting[0].seeds
        order = [inheriting[0].names.index(n) for n in loop.names if n in inheriting[0].names]
        places = [loop.names.index(n) for n in loop.names if n in inheriting[0].names]
        if not same_seeds or order != places or sizes(loop) != sizes(inheriting[0]):
            raise Misfit
    rounds = []
    for row in zip(*(loop.rounds for loop in loops), strict=True):
        values = {place: value for part, _ in row for place, value in part.items()}
        differing = [
            str(labels[0])
            for (_, labels), loop in zip(row, loops, strict=True)
            if len(loop.rounds) > 1
        ]
        rounds.append((values, [" ".join(differing) or row[0][1][0]]))
    if inheriting:
        lead = inheriting[0]
        rounds = [
            (values, labels) for (values, _), (_, labels) in zip(rounds, lead.rounds, strict=True)
        ]
        return Loop(lead.names, rounds, lead.seeds)
    named = [place for place in job.leaves if not place.endswith(".seed")] or [*job.leaves]
    if len(loops) == 1:
        return loops[0]
    return Loop([named[0]], rounds, [False])


def sizes(loop: Loop) -> list[int]:
    return [len({labels[axis] for _, labels in loop.rounds}) for axis in range(len(loop.names))]


def by_loops(job: Job, done: Mapping[str, Done]) -> Done:
    """Return the elements of a job by loops that are written out."""
    loops = [loop_over(place, leaf, job, done) for place, leaf in job.leaves.items()]
    if loops and not job.product:
        loops = [zipped(loops, job)]
    if job.seeds:
        rounds: list[Any] = [({PLACES[2]: seed}, [seed]) for seed in job.seeds]
        loops.append(Loop(["seed"], rounds, [True]))
    found = Done()
    for loop in loops:
        for name, is_seed in zip(loop.names, loop.seeds, strict=True):
            number, unique = 2, name
            while unique in found.names:
                unique, number = f"{name}_{number}", number + 1
            found.names.append(unique)
            found.seeds.append(is_seed)

    def nest(level: int, values: dict[str, Any], labels: list[Label]) -> None:
        if level == len(loops):
            found.values.append(values)
            found.labels.append(labels)
            return
        for more, names in loops[level].rounds:
            nest(level + 1, {**values, **more}, [*labels, *names])

    nest(0, {}, [])
    return seeds_last(found)


def seeds_last(done: Done) -> Done:
    """Return elements with their seeds as the last axes, and each candidate's together."""
    axes = [
        axis
        for is_seed in (False, True)
        for axis, is_one in enumerate(done.seeds)
        if is_one == is_seed
    ]
    indices = [index for _, same in candidates_of(done) for index in same]
    return Done(
        [done.names[axis] for axis in axes],
        [done.seeds[axis] for axis in axes],
        [done.values[index] for index in indices],
        [[done.labels[index][axis] for axis in axes] for index in indices],
    )


def candidates_of(done: Done) -> Iterator[tuple[list[Label], list[int]]]:
    """Yield the labels of every candidate, and its elements."""
    seen: list[list[Label]] = []
    for labels in done.labels:
        kept = [label for label, is_seed in zip(labels, done.seeds, strict=True) if not is_seed]
        if kept in seen:
            continue
        seen.append(kept)
        same = []
        for index, others in enumerate(done.labels):
            if kept == [o for o, is_seed in zip(others, done.seeds, strict=True) if not is_seed]:
                same.append(index)
        yield kept, same


def spec_of(name: str, job: Job) -> JobSpec:
    leaves = {
        place: Reference(leaf[0], (leaf[1],)) if isinstance(leaf, tuple) else leaf
        for place, leaf in job.leaves.items()
    }
    return JobSpec(
        name,
        "main",
        "execution_jobs",
        {"_target_": HOOK, "executor": {"_target_": "toys.Value"}},
        leaves,
        job.product,
        job.seeds,
        PLACES[2] if job.seeds else "",
        outputs=("score", "path"),
        output_kinds={"score": "number", "path": "other"},
    )


@settings(max_examples=120, deadline=None)
@given(chains())
def test_elements_and_outputs_are_those_of_nested_loops(chain: list[Job]) -> None:
    store = JobStore(Path("never_written"))
    context = Context()
    done: dict[str, Done] = {}
    specs: dict[str, JobSpec] = {}
    for number, job in enumerate(chain):
        name = f"job{number}"
        spec, problems = with_axes(spec_of(name, job), specs)
        try:
            expected = by_loops(job, done)
        except Misfit:
            event("misfit")
            if problems:
                return
            # a reference to one path is a list of one for the plan, which knows no more of it
            references = [leaf for leaf in job.leaves.values() if isinstance(leaf, tuple)]
            assert any(not done[name].names for name, _ in references)
            return
        assert problems == []
        specs[name], done[name] = spec, expected
        elements = expand(spec, context, store, ("toys.*", "sandbox.*"))
        assert [axis.name for axis in spec.axes] == expected.names
        assert [axis.is_seed for axis in spec.axes] == expected.seeds
        assert [[*element.axes.values()] for element in elements] == expected.labels
        for element, values in zip(elements, expected.values, strict=True):
            given_values = {place: element.config["executor"][place[9:]] for place in values}
            assert given_values == values
        records = [
            JobRecord(name, "", 1, {}, {"score": expected.score(i), "path": f"{name} {i}"}, {})
            for i in range(len(elements))
        ]
        outputs = finish(spec, elements, records, context)
        assert not spec.axes or set(outputs) == set(spec.outputs)
        check_outputs(outputs, expected, name)
        event(f"{len(spec.axes)} axes")


def check_outputs(outputs: Mapping[str, Any], expected: Done, name: str) -> None:
    paths = [f"{name} {index}" for index in range(len(expected.labels))]
    if not expected.names:
        assert outputs == {"score": expected.score(0), "path": paths[0]}
        return
    assert outputs["path"] == paths
    groups = [
        [expected.score(index) for index in indices] for _, indices in candidates_of(expected)
    ]
    if not any(expected.seeds):
        assert [[score] for score in outputs["score"]] == groups
        return
    means = [statistics.fmean(scores) for scores in groups]
    deviations = [statistics.stdev(scores) if len(scores) > 1 else 0.0 for scores in groups]
    values: Any = groups
    if all(expected.seeds):  # one candidate: no list
        assert (outputs["score"], outputs["score_std"]) == (means[0], deviations[0])
        values = groups[0]
    else:
        assert (outputs["score"], outputs["score_std"]) == (means, deviations)
    assert outputs["score_values"] == values
    flat = [score for scores in groups for score in scores]
    assert flat == [expected.score(index) for index in range(len(paths))]
    for axis, column in zip(expected.names, zip(*expected.labels, strict=True), strict=True):
        assert outputs["axes"][axis] == [*column]
    candidates = [""] * len(paths)
    for labels, indices in candidates_of(expected):
        for index in indices:
            candidates[index] = ", ".join(str(label) for label in labels)
    assert outputs["candidates"] == candidates
