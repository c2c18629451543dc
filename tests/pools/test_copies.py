"""Duplication, merging and cartesian join of data pools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from contract import problems_of
from pool_samples import MakePool, ids, run, sample

from sandbox.pools.cartesian_join import DataPoolCartesianJoin
from sandbox.pools.duplication import DataPoolDuplication
from sandbox.pools.merging import DataPoolMerging

# duplication


def test_duplication_repeats_every_pool_every_number_of_times(
    make_pool: MakePool, out: Path
) -> None:
    pools = [make_pool("a.v1.jsonl", [sample(1), sample(2)]), make_pool("b.jsonl", [sample(3)])]
    paths = run(DataPoolDuplication, out, dataset_paths=pools, duplicating_times=[3, 1]).paths
    assert [path.name for path in paths] == [
        "a.v1_x3.jsonl",
        "a.v1_x1.jsonl",
        "b_x3.jsonl",
        "b_x1.jsonl",
    ]
    assert [ids(path) for path in paths] == [[1, 2] * 3, [1, 2], [3] * 3, [3]]
    assert paths[1].read_bytes() == pools[0].read_bytes()


def test_duplication_shuffles_by_the_seed_alone(make_pool: MakePool, out: Path) -> None:
    pool = make_pool("a.jsonl", [sample(i) for i in range(5)])
    orders = [
        ids(
            run(
                DataPoolDuplication,
                out,
                dataset_paths=[pool],
                duplicating_times=[2],
                shuffle=True,
                seed=seed,
            ).paths[0]
        )
        for seed in (0, 0, 1)
    ]
    assert orders[0] == orders[1] == [3, 2, 0, 2, 3, 4, 4, 1, 1, 0]
    assert orders[0] != orders[2]
    assert sorted(orders[2]) == sorted([*range(5)] * 2)


@pytest.mark.parametrize(
    ("times", "where", "kind"),
    [
        ([], "duplicating_times", "constraint"),
        ([0], "duplicating_times.0", "constraint"),
        ([2, 2], "duplicating_times", "rule"),
        ([1.5], "duplicating_times.0", "wrong_type"),
        (2, "duplicating_times", "wrong_type"),
        ("23", "duplicating_times", "wrong_type"),
        ([True], "duplicating_times.0", "wrong_type"),
    ],
)
def test_duplication_refuses_times_that_are_no_counts(
    make_pool: MakePool, times: Any, where: str, kind: str
) -> None:
    pool = make_pool("a.jsonl", [sample(1)])
    (problem,) = problems_of(DataPoolDuplication, dataset_paths=[pool], duplicating_times=times)
    assert (problem.where, problem.kind) == (where, kind)


# merging


def test_merging_keeps_every_byte_in_order(make_pool: MakePool, out: Path) -> None:
    pools = [make_pool(f"{n}/d_{n}.jsonl", [sample(i, a=n) for i in range(n)]) for n in (3, 1, 2)]
    made = run(DataPoolMerging, out, dataset_paths=pools)
    assert made.dataset_path.name == "d_merged.jsonl"
    assert made.dataset_path.read_bytes() == b"".join(pool.read_bytes() for pool in pools)
    assert made.num_samples == 6


def test_merging_names_pools_that_share_no_name(make_pool: MakePool, out: Path) -> None:
    pools = [make_pool("a.jsonl", [sample(1)]), make_pool("b.jsonl", [sample(2)])]
    assert run(DataPoolMerging, out, dataset_paths=pools).dataset_path.name == "merged.jsonl"


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            '{"id": 2}',
            r"a\.jsonl and .*b\.jsonl have different schemas: 'text' is a string and missing",
        ),
        ('{"id": "2", "text": "x"}', "'id' is a number and a string"),
        ('{"id": 2, "text": "x", "more": 1}', "'more' is missing and a number"),
        ('{"id": 2.5, "text": null}', None),
        ('{"text": "x", "id": 2}', None),
    ],
)
def test_merging_refuses_different_schemas(
    make_pool: MakePool, out: Path, other: str, message: str | None
) -> None:
    pools = [make_pool("a.jsonl", ['{"id": 1, "text": "x"}']), make_pool("b.jsonl", [other])]
    if message is None:
        assert run(DataPoolMerging, out, dataset_paths=pools).num_samples == 2
        return
    with pytest.raises(ValueError, match=message):
        run(DataPoolMerging, out, dataset_paths=pools)
    assert not list(out.iterdir())


def test_merging_refuses_parquet_of_different_types(tmp_path: Path, out: Path) -> None:
    for name, kind in (("a", pa.int64()), ("b", pa.float64())):
        pq.write_table(pa.table({"id": pa.array([1], kind)}), tmp_path / f"{name}.parquet")
    with pytest.raises(ValueError, match="different schemas: 'id' is int64 and double"):
        run(DataPoolMerging, out, dataset_paths=[tmp_path / "a.parquet", tmp_path / "b.parquet"])


# cartesian join


def letters(make_pool: MakePool, key: str, name: str, values: str) -> Path:
    return make_pool(f"{name}.jsonl", [json.dumps({key: value}) for value in values])


def test_cartesian_join_pairs_every_pool_with_every_other(make_pool: MakePool, out: Path) -> None:
    first = [letters(make_pool, "v", f"v_{name}", name) for name in ("ABC", "EF", "GHIJ")]
    second = [letters(make_pool, "t", f"t_{name}", name) for name in ("1", "23")]
    paths = run(DataPoolCartesianJoin, out, first_paths=first, second_paths=second).paths
    assert [path.name for path in paths] == [
        f"v_t_cartesian_join_{i}_{j}.jsonl" for i in range(3) for j in range(2)
    ]
    pairs = [[json.loads(line) for line in path.read_text().splitlines()] for path in paths]
    assert [" ".join(pair["v"] + pair["t"] for pair in pool) for pool in pairs] == [
        "A1 B1 C1",
        "A2 A3 B2 B3 C2 C3",
        "E1 F1",
        "E2 E3 F2 F3",
        "G1 H1 I1 J1",
        "G2 G3 H2 H3 I2 I3 J2 J3",
    ]


def test_cartesian_join_keeps_the_spelling_of_both_sides(
    make_pool: MakePool, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.pools.cartesian_join._PIECE", 1)
    first = make_pool("v.jsonl", ['{"v":1.50, "w" : "\\u00e9"  } ', '{"v": "}"}'])
    second = make_pool("t.jsonl", ['{ "t": [1,  2]}', '{"t":"{é"}', '{"t" :{"a":{}}}'])
    joined = run(DataPoolCartesianJoin, out, first_paths=[first], second_paths=[second]).paths[0]
    assert joined.read_text(encoding="utf-8").splitlines() == [
        '{"v":1.50, "w" : "\\u00e9",  "t": [1,  2]}',
        '{"v":1.50, "w" : "\\u00e9", "t":"{é"}',
        '{"v":1.50, "w" : "\\u00e9", "t" :{"a":{}}}',
        '{"v": "}",  "t": [1,  2]}',
        '{"v": "}", "t":"{é"}',
        '{"v": "}", "t" :{"a":{}}}',
    ]


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ('{"a": 1}', '{"b": 1, "a": 2}', r"v\.jsonl and .*t\.jsonl both have a"),
        ("{}", '{"b": 1}', r"v\.jsonl:2: expected a JSON object with keys"),
        ('{"a": 1}', '{"b": 1,}', r"t\.jsonl:2: not valid JSON"),
    ],
)
def test_cartesian_join_refuses_samples_that_cannot_be_joined(
    make_pool: MakePool, out: Path, first: str, second: str, message: str
) -> None:
    left = make_pool("v.jsonl", ['{"v": 1}', first])
    right = make_pool("t.jsonl", ['{"t": 1}', second])
    with pytest.raises(ValueError, match=message):
        run(DataPoolCartesianJoin, out, first_paths=[left], second_paths=[right])
    assert not list(out.iterdir())


@pytest.mark.parametrize(("paths", "kind"), [("a.jsonl", "wrong_type"), ([], "constraint")])
def test_paths_must_be_lists(make_pool: MakePool, paths: Any, kind: str) -> None:
    pool = make_pool("b.jsonl", [sample(1)])
    for found, where in (
        (problems_of(DataPoolMerging, dataset_paths=paths), "dataset_paths"),
        (
            problems_of(DataPoolDuplication, dataset_paths=paths, duplicating_times=[2]),
            "dataset_paths",
        ),
        (
            problems_of(DataPoolCartesianJoin, first_paths=[pool], second_paths=paths),
            "second_paths",
        ),
    ):
        assert [(problem.where, problem.kind) for problem in found] == [(where, kind)]


def test_a_missing_pool_is_an_error(make_pool: MakePool, tmp_path: Path, out: Path) -> None:
    pools = [make_pool("a.jsonl", [sample(1)]), tmp_path / "b.jsonl"]
    for manipulator, arguments in (
        (DataPoolMerging, {"dataset_paths": pools}),
        (DataPoolDuplication, {"dataset_paths": pools, "duplicating_times": [2]}),
        (DataPoolCartesianJoin, {"first_paths": pools[:1], "second_paths": pools[1:]}),
    ):
        with pytest.raises(FileNotFoundError, match=r"b\.jsonl"):
            run(manipulator, out, **arguments)
