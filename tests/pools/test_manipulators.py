"""Construction, combination, downsampling and ranking of data pools."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from contract import problems_of
from pool_samples import MakePool, ids, run, sample

from sandbox.pools.combination import DataPoolCombination
from sandbox.pools.construction import DataPoolConstruction
from sandbox.pools.downsampling import DataPoolDownsampling
from sandbox.pools.ranking import DataPoolRanking

# construction


def test_construction_splits_by_every_statistic_into_low_middle_high(
    make_pool: MakePool, out: Path
) -> None:
    data = make_pool("my.data.v1.jsonl", [sample(i, a=9 - i, b=[i % 3, i % 3]) for i in range(10)])
    made = run(DataPoolConstruction, out, dataset_path=data)
    assert made.names == ["a_low", "a_middle", "a_high", "b_low", "b_middle", "b_high"]
    assert [path.name for path in made.paths] == [f"my.data.v1_{name}.jsonl" for name in made.names]
    assert [ids(path) for path in made.paths] == [
        [9, 8, 7],
        [6, 5, 4, 3],
        [2, 1, 0],
        [0, 3, 6],
        [9, 1, 4, 7],
        [2, 5, 8],
    ]
    assert made.pools["a"] == dict(zip(("low", "middle", "high"), made.paths, strict=False))
    assert made.sizes == {name: {"low": 3, "middle": 4, "high": 3} for name in ("a", "b")}
    assert made.ranges == {
        "a": {"low": [0.0, 2.0], "middle": [3.0, 6.0], "high": [7.0, 9.0]},
        "b": {"low": [0.0, 0.0], "middle": [0.0, 1.0], "high": [2.0, 2.0]},
    }


def test_construction_keeps_every_byte_of_a_line(make_pool: MakePool, out: Path) -> None:
    lines = [sample(i, a=i) for i in range(6)]
    made = run(DataPoolConstruction, out, dataset_path=make_pool("d.jsonl", lines))
    written = [
        line for path in made.paths for line in path.read_text(encoding="utf-8").splitlines()
    ]
    assert written == lines


def test_construction_cuts_at_given_ratios(make_pool: MakePool, out: Path) -> None:
    data = make_pool("d.jsonl", [sample(i, a=i) for i in range(10)])
    made = run(DataPoolConstruction, out, dataset_path=data, split_ratios=[0.25])
    assert [path.name for path in made.paths] == ["d_a_0.jsonl", "d_a_1.jsonl"]
    assert [len(ids(path)) for path in made.paths] == [3, 7]


def test_construction_cuts_every_split_num_samples(make_pool: MakePool, out: Path) -> None:
    data = make_pool("d.jsonl", [sample(i, a=i) for i in range(10)])
    made = run(DataPoolConstruction, out, dataset_path=data, split_num=3)
    assert made.names == ["a_0", "a_1", "a_2", "a_3"]
    assert [len(ids(path)) for path in made.paths] == [3, 3, 3, 1]


def test_construction_makes_equal_pools_and_random_controls_of_that_size(
    make_pool: MakePool, out: Path
) -> None:
    data = make_pool("d.jsonl", [sample(i, a=i) for i in range(11)])
    made = run(DataPoolConstruction, out, dataset_path=data, equal_size=True, num_random=2)
    assert made.names == ["a_low", "a_middle", "a_high", "random_0", "random_1"]
    assert [len(set(ids(path))) for path in made.paths] == [3, 3, 3, 3, 3]
    assert set(ids(made.paths[2])) <= {7, 8, 9, 10}
    assert ids(made.paths[3]) != ids(made.paths[4])


def test_construction_names_a_single_control_random(make_pool: MakePool, out: Path) -> None:
    data = make_pool("d.jsonl", [sample(i, a=i) for i in range(9)])
    made = run(DataPoolConstruction, out, dataset_path=data, num_random=1)
    assert made.names[-1] == "random"
    assert made.pools["random"] == {"0": out / "d_random.jsonl"}


def test_random_controls_are_the_same_on_every_machine(make_pool: MakePool, out: Path) -> None:
    data = make_pool("d.jsonl", [sample(i, a=i) for i in range(30)])
    made = run(DataPoolConstruction, out, dataset_path=data, num_random=1, seed=7)
    assert ids(made.paths[-1]) == [1, 3, 6, 8, 10, 11, 14, 21, 24, 25]


def test_construction_reports_statistics_that_are_not_numeric(
    make_pool: MakePool, out: Path
) -> None:
    data = make_pool("d.jsonl", [sample(i, a=i, lang="en", seen=True) for i in range(3)])
    made = run(DataPoolConstruction, out, dataset_path=data)
    assert made.left_out == ["lang", "seen"]
    assert list(made.pools) == ["a"]


def test_construction_puts_ties_in_input_order_and_nan_last(make_pool: MakePool, out: Path) -> None:
    values = [math.nan, 2, math.inf, 1, math.nan, 2, -math.inf, 1]
    data = make_pool("d.jsonl", [sample(i, a=value) for i, value in enumerate(values)])
    made = run(DataPoolConstruction, out, dataset_path=data, split_ratios=["1/2"])
    assert [ids(path) for path in made.paths] == [[6, 3, 7, 1], [5, 2, 0, 4]]


def test_construction_takes_lists_of_any_length_by_their_mean(
    make_pool: MakePool, out: Path
) -> None:
    values: list[Any] = [[3], [1, 1, 10], [2, 2], 1, [0.5, 0.5, 0.5, 0.5], [9]]
    for kind in (slice(0, 3), slice(0, 6)):  # lists alone; numbers among them
        data = make_pool("d.jsonl", [sample(i, a=value) for i, value in enumerate(values[kind])])
        made = run(DataPoolConstruction, out, dataset_path=data, split_num=6)
        assert ids(made.paths[0]) == ([2, 0, 1] if kind.stop == 3 else [4, 3, 2, 0, 1, 5])


def test_construction_cuts_a_data_set_as_it_lies(make_pool: MakePool, out: Path) -> None:
    data = make_pool("d.jsonl", [f'{{"id": {i}}}' for i in (3, 1, 2)])
    made = run(DataPoolConstruction, out, dataset_path=data, ignore_stats=True)
    assert made.names == [f"ignore_stats_{part}" for part in ("low", "middle", "high")]
    assert [ids(path) for path in made.paths] == [[3], [1], [2]]


def test_construction_takes_the_statistics_asked_for(make_pool: MakePool, out: Path) -> None:
    data = make_pool("d.jsonl", [sample(i, a=i, b=i, c=i) for i in range(3)])
    assert list(run(DataPoolConstruction, out, dataset_path=data, statistics=["c", "a"]).pools) == [
        "c",
        "a",
    ]
    assert list(
        run(DataPoolConstruction, out, dataset_path=data, ignore_stats=["a", "c"]).pools
    ) == ["b"]


@pytest.mark.parametrize(
    ("arguments", "lines", "message"),
    [
        ({}, [sample(0, a=1), sample(1), sample(2, a=3)], ":2: no statistic 'a'"),
        ({}, [sample(0), sample(1, a=1), sample(2, a=3)], ":1: no statistics under"),
        (
            {},
            [sample(i, a=1) for i in range(9)] + [sample(9, a=1, late=2)],
            ":1: no statistic 'late'",
        ),
        (
            {},
            [sample(0, a=1), sample(1, a=None), sample(2, a=3)],
            ":2: no statistic 'a'",
        ),
        ({}, [sample(0, a=1), '{"id": 1}', sample(2, a=3)], ":2: no statistics under"),
        (
            {},
            [sample(0, a=[1]), sample(1, a=[]), sample(2, a=[3])],
            ":2: no statistic 'a'",
        ),
        (
            {},
            [sample(0, a=1), sample(1, a="x"), sample(2, a=3)],
            ":2: no statistic 'a'",
        ),
        (
            {"split_num": 1},
            [sample(0, a=1, b="x"), sample(1, a=1, b=7)],
            ":2: the statistic 'b' is a number, 7, but \"x\" in sample 1",
        ),
        (
            {"split_num": 1},
            [sample(0, a=1, b=["x"]), sample(1, a=1, b=[7.5])],
            r":2: the statistic 'b' is a number, \[7\.5\], but",
        ),
        (
            {"split_num": 1},
            [sample(0, a=1, b=None), sample(1, a=[1], b=7)],
            ":2: the statistic 'b' is a number, 7, but null in sample 1",
        ),
        (
            {"split_num": 1},
            [sample(0, **{"a/b": 1}), sample(1, **{"a/b": 1})],
            "the statistic 'a/b'; leave it out",
        ),
        ({"split_num": 1}, [sample(0, **{"": 1}), sample(1, **{"": 1})], "the statistic ''"),
        (
            {"split_num": 1},
            [sample(0, **{"b" * 256: 1}), sample(1, **{"b" * 256: 1})],
            "name is too long",
        ),
        (
            {"split_num": 1, "num_random": 1},
            [sample(0, random=1), sample(1, random=1)],
            "'random' is named like",
        ),
        ({}, [sample(0, a=1), '{"id": 1, }', sample(2, a=3)], ":2: not valid JSON"),
        ({}, [sample(0, a=1), "nonsense"], ":2: expected a JSON object"),
        ({}, ['{"id": 1}'] * 3, ":1: no statistics under"),
        ({}, [sample(0, a=1), sample(1, a=2)], "2 samples are too few for 3 pools"),
        ({}, [sample(i, lang="en") for i in range(3)], "no numeric statistic"),
        ({}, [], "the data pool is empty"),
        ({"statistics": ["b"]}, [sample(i, a=i) for i in range(3)], "no statistic b; available: a"),
        ({"statistics": ["l"]}, [sample(i, l="en") for i in range(3)], "not numeric.*: l"),
    ],
)
def test_construction_refuses_data_it_cannot_split(
    make_pool: MakePool, out: Path, arguments: dict[str, Any], lines: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        run(DataPoolConstruction, out, dataset_path=make_pool("d.jsonl", lines), **arguments)
    assert not list(out.iterdir())


@pytest.mark.parametrize(
    ("ratios", "kind"),
    [
        ([0], "rule"),
        ([1], "rule"),
        ([0.5, 0.2], "rule"),
        ([0.2, 0.2], "rule"),
        ([], "constraint"),
        (["x"], "rule"),
        ([-0.1, 0.5], "rule"),
        (["1/0"], "rule"),
        ([math.inf], "rule"),
    ],
)
def test_construction_refuses_ratios_that_do_not_cut(
    make_pool: MakePool, ratios: list[Any], kind: str
) -> None:
    data = make_pool("d.jsonl", [sample(1, a=1)])
    (problem,) = problems_of(DataPoolConstruction, dataset_path=data, split_ratios=ratios)
    assert (problem.where.partition(".")[0], problem.kind) == ("split_ratios", kind)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (0, "constraint"),
        (2.5, "wrong_type"),
        ("3", "wrong_type"),
        (True, "wrong_type"),
        (math.inf, "wrong_type"),
    ],
)
def test_numbers_must_be_whole(make_pool: MakePool, value: Any, kind: str) -> None:
    data = make_pool("d.jsonl", [sample(1, a=1)])
    found = [
        *problems_of(DataPoolConstruction, dataset_path=data, split_num=value),
        *problems_of(DataPoolDownsampling, dataset_paths=[data], num_samples=value),
    ]
    assert [(problem.where, problem.kind) for problem in found] == [
        ("split_num", kind),
        ("num_samples", kind),
    ]
    if value != 0:
        (problem,) = problems_of(DataPoolDownsampling, dataset_paths=[data], seed=value)
        assert (problem.where, problem.kind) == ("seed", kind)


# combination


def test_combination_writes_all_intersections(make_pool: MakePool, out: Path) -> None:
    pools = [
        make_pool("d_a_high.jsonl", [sample(i) for i in (3, 2, 1)]),
        make_pool("d_b_low.jsonl", [sample(i) for i in (1, 2, 4)]),
        make_pool("d_c_low.jsonl", [sample(i) for i in (4, 2)]),
    ]
    made = run(DataPoolCombination, out, dataset_paths=pools)
    assert made.names == [
        "top_1",
        "top_2",
        "top_3",
        "top_1_2",
        "top_1_3",
        "top_2_3",
        "top_1_2_3",
    ]
    assert [ids(path) for path in made.paths] == [
        [3, 2, 1],
        [1, 2, 4],
        [4, 2],
        [2, 1],
        [2],
        [2, 4],
        [2],
    ]
    assert made.paths[3].name == "d_top_1_2_num_2.jsonl"
    assert made.left_out == []


def test_combination_reports_empty_intersections(make_pool: MakePool, out: Path) -> None:
    pools = [make_pool("a.jsonl", [sample(1)]), make_pool("b.jsonl", [sample(2)])]
    made = run(DataPoolCombination, out, dataset_paths=pools)
    assert (made.names, made.left_out) == (["top_1", "top_2"], ["top_1_2"])
    assert len(list(out.iterdir())) == 2


def test_combination_by_a_key_takes_the_best_pools_lines(make_pool: MakePool, out: Path) -> None:
    pools = [
        make_pool("a.jsonl", ['{"id": 1, "meta": {"n": 7}, "from": "a"}']),
        make_pool(
            "b.jsonl", ['{"id": 1, "meta": {"n": 7}, "from": "b"}', '{"id": 2, "meta": {"n": 8}}']
        ),
    ]
    made = run(DataPoolCombination, out, dataset_paths=pools, key="meta.n")
    assert [json.loads(line)["from"] for line in made.paths[2].read_text().splitlines()] == ["a"]
    with pytest.raises(ValueError, match=r"b\.jsonl:2: no 'from'; keys: id, meta"):
        run(DataPoolCombination, out, dataset_paths=pools, key="from")


# downsampling


def test_downsampling_cuts_to_the_smallest_and_keeps_order(make_pool: MakePool, out: Path) -> None:
    pools = [
        make_pool("a.jsonl", [sample(i) for i in range(20)]),
        make_pool("b.jsonl", [sample(i) for i in (9, 3)]),
    ]
    paths = run(DataPoolDownsampling, out, dataset_paths=pools).paths
    assert [path.name for path in paths] == ["a_2.jsonl", "b_2.jsonl"]
    assert ids(paths[0]) == sorted(ids(paths[0]))
    assert ids(paths[1]) == [9, 3]


def test_downsampling_keeps_a_small_pool_whole(make_pool: MakePool, out: Path) -> None:
    pools = [
        make_pool("a.jsonl", [sample(i) for i in range(20)]),
        make_pool("b.jsonl", [sample(1)]),
    ]
    paths = run(DataPoolDownsampling, out, dataset_paths=pools, num_samples=5).paths
    assert [len(ids(path)) for path in paths] == [5, 1]


def test_downsampling_depends_on_the_seed_alone(make_pool: MakePool, out: Path) -> None:
    pool = make_pool("a.jsonl", [sample(i) for i in range(20)])
    drawn = [
        ids(run(DataPoolDownsampling, out, dataset_paths=[pool], num_samples=5, seed=s).paths[0])
        for s in (0, 0, 1)
    ]
    assert drawn[0] == drawn[1] == [3, 5, 7, 12, 15]
    assert drawn[0] != drawn[2]


def test_pools_of_one_name_do_not_overwrite_each_other(make_pool: MakePool, out: Path) -> None:
    pools = [make_pool(f"{folder}/a.jsonl", [sample(i)]) for i, folder in enumerate("xy")]
    paths = run(DataPoolDownsampling, out, dataset_paths=pools).paths
    assert [ids(path) for path in paths] == [[0], [1]]


def test_a_missing_pool_is_an_error(make_pool: MakePool, tmp_path: Path, out: Path) -> None:
    pools = [make_pool("a.jsonl", [sample(1)]), tmp_path / "b.jsonl"]
    for manipulator, arguments in (
        (DataPoolDownsampling, {"dataset_paths": pools}),
        (DataPoolCombination, {"dataset_paths": pools}),
        (DataPoolRanking, {"dataset_paths": pools, "metrics": [1, 2]}),
        (DataPoolConstruction, {"dataset_path": pools[1]}),
    ):
        with pytest.raises(FileNotFoundError, match=r"b\.jsonl"):
            run(manipulator, out, **arguments)


@pytest.mark.parametrize(("paths", "kind"), [("a.jsonl", "wrong_type"), ([], "constraint")])
def test_dataset_paths_must_be_a_list(paths: Any, kind: str) -> None:
    for manipulator in (DataPoolDownsampling, DataPoolCombination):
        (problem,) = problems_of(manipulator, dataset_paths=paths)
        assert (problem.where, problem.kind) == ("dataset_paths", kind)


def test_combination_takes_at_most_16_pools(make_pool: MakePool) -> None:
    pool = make_pool("a.jsonl", [sample(1)])
    assert not problems_of(DataPoolCombination, dataset_paths=[pool] * 16)
    (problem,) = problems_of(DataPoolCombination, dataset_paths=[pool] * 17)
    assert (problem.where, problem.kind) == ("dataset_paths", "constraint")


# ranking


@pytest.fixture
def three(make_pool: MakePool) -> list[Path]:
    return [make_pool(f"{name}.jsonl", [sample(1)]) for name in "abc"]


@pytest.mark.parametrize(
    ("metrics", "arguments", "order", "scores"),
    [
        ([1, 3, 2], {}, [1, 2, 0], [3, 2, 1]),
        ([1, 3, 2], {"descending": False, "top_n": 2}, [0, 2], [1, 2]),
        ([2, 2, 2], {}, [0, 1, 2], [2, 2, 2]),
        ([2, 1, 2], {"descending": False}, [1, 0, 2], [1, 2, 2]),
        ([[1, 3], [2, 4], [0, 0]], {}, [1, 0, 2], [3, 2, 0]),
        ([{"t": {"c": x}} for x in (1, 3, 2)], {"keys": "t.c"}, [1, 2, 0], [3, 2, 1]),
        (
            [{"c": 1, "b": x} for x in (1, 3, 2)],
            {"keys": ["c", "b"]},
            [1, 2, 0],
            [[1, 3], [1, 2], [1, 1]],
        ),
        ([[{"c": x}, {"c": 0}] for x in (1, 3, 2)], {"keys": ["c"]}, [1, 2, 0], [1.5, 1, 0.5]),
        ([{"c": [x, 0]} for x in (1, 3, 2)], {"keys": ["c"], "top_n": 1}, [1], [1.5]),
    ],
    ids=[
        "numbers",
        "ascending",
        "ties",
        "ties-ascending",
        "seeds",
        "path",
        "two-keys",
        "seeds-of-maps",
        "lists",
    ],
)
def test_ranking_orders_pools(
    three: list[Path],
    out: Path,
    metrics: list[Any],
    arguments: dict[str, Any],
    order: list[int],
    scores: list[Any],
) -> None:
    ranked = run(DataPoolRanking, out, dataset_paths=three, metrics=metrics, **arguments)
    assert ranked.order == order
    assert ranked.scores == scores
    assert ranked.paths == [three[position] for position in order]
    assert ranked.best_path == three[order[0]]


@pytest.mark.parametrize(
    ("arguments", "where", "kind"),
    [
        ({"metrics": [1, 2]}, "", "rule"),
        ({"groups": ["a"]}, "", "rule"),
        ({"top_n": 4}, "", "rule"),
        ({"top_n": 0}, "top_n", "constraint"),
        ({"metrics": {"a": 1}}, "metrics", "wrong_type"),
    ],
)
def test_ranking_refuses_arguments_that_do_not_fit_the_pools(
    three: list[Path], arguments: dict[str, Any], where: str, kind: str
) -> None:
    given = {"dataset_paths": three, "metrics": [1, 2, 3], **arguments}
    (problem,) = problems_of(DataPoolRanking, **given)
    assert (problem.where, problem.kind) == (where, kind)


@pytest.mark.parametrize(
    ("metrics", "arguments", "message"),
    [
        ([1, math.nan, 3], {}, r"b\.jsonl: expected a finite number, got nan"),
        ([1, None, 3], {}, r"b\.jsonl: expected a finite number, got None"),
        ([1, [], 3], {}, r"b\.jsonl: an empty list"),
        ([{"c": 1}] * 3, {}, "name the score with keys"),
        ([{"c": 1}] * 3, {"keys": "CIDEr"}, "there is no 'CIDEr'; available: c"),
        ([1, 2, 3], {"groups": ["a", "a", "a"], "top_n": 2}, "only 1 groups"),
        ([1, 2, 3], {"groups": ["a"] * 3, "ignore_groups": ["a"]}, "leaves no pool to rank"),
    ],
)
def test_ranking_refuses_metrics_that_do_not_fit(
    three: list[Path], out: Path, metrics: Any, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        run(DataPoolRanking, out, dataset_paths=three, metrics=metrics, **arguments)


def test_ranking_keeps_the_best_pool_of_each_group(three: list[Path], out: Path) -> None:
    groups = {"groups": ["a", "a", "b"], "ignore_groups": []}
    ranked = run(DataPoolRanking, out, dataset_paths=three, metrics=[1, 3, 2], **groups)
    assert ranked.order == [1, 2]
