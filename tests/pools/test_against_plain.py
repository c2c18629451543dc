"""Pools against a few plain lines of Python on the same samples: random small inputs, with ties."""

from __future__ import annotations

import gzip
import itertools
import json
import math
import random
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from pool_samples import run

from sandbox.pools.cartesian_join import DataPoolCartesianJoin
from sandbox.pools.combination import DataPoolCombination
from sandbox.pools.construction import DataPoolConstruction
from sandbox.pools.downsampling import DataPoolDownsampling
from sandbox.pools.duplication import DataPoolDuplication
from sandbox.pools.merging import DataPoolMerging
from sandbox.samples import STATS

SEEDS = range(12)
TEXTS = (
    "",
    "plain",
    "é",
    "\\u00e9",
    "数据",
    "\u2028",
    '\\"',
    f'\\"{STATS}\\": {{\\"a\\": 1}}',
    "{}",
    "\\\\",
    "\\n",
)


def line(draw: random.Random, number: int, stats: str) -> str:
    """A sample as no program writes it: odd spaces, odd numbers, statistics at any place."""
    parts = [
        f'"id":{draw.choice(["", " ", "  "])}{number}',
        f'"text" : "{draw.choice(TEXTS)}"',
        f'"{STATS}": {stats}',
        f'"meta": {{"{STATS}": {{"a": {number}}}, "x": [1.50, 1e2, -0.0]}}',
    ]
    draw.shuffle(parts)
    return "{" + draw.choice([", ", ",", " , "]).join(parts) + "}"


def numbers(draw: random.Random) -> list[str]:
    """Statistics with ties: whole and broken numbers, lists, spelled in several ways."""
    tied = ["1", "1.0", "10e-1", "-0", "0", "0.0", "2", "-3.5", "1e300", "123456789012"]
    few = ["0.1", "0.2", "0.10"]
    return [
        draw.choice(tied),
        draw.choice(few),
        f"[{', '.join(draw.choices(few, k=draw.randint(1, 3)))}]",
        str(draw.random()),
    ]


def data_set(draw: random.Random, num_samples: int) -> list[str]:
    """Lines with the statistics a, b, c (lists) and d, and one that is not numeric."""
    lines = []
    for number in range(num_samples):
        stats = [f'"{key}":{value}' for key, value in zip("abcd", numbers(draw), strict=True)]
        stats.append('"lang": "en"')
        draw.shuffle(stats)
        lines.append(line(draw, number, "{" + ", ".join(stats) + "}"))
    return lines


def write(path: Path, lines: Sequence[str], draw: random.Random) -> Path:
    """A pool, in one of the forms that files have: blank lines, no end of the last line."""
    text = "\n".join(lines)
    text = text.replace("\n", draw.choice(["\n", "\n\n"])) + draw.choice(["", "\n", "\n\n"])
    path.write_text(text, encoding="utf-8", newline="\n")
    return path


def read(path: Path) -> list[str]:
    """The lines of a new pool; its last one is ended."""
    text = path.read_text(encoding="utf-8")
    assert text.endswith("\n")
    return text[:-1].split("\n")


def value(sample: str, key: str) -> float:
    """Return the number of a sample, or the mean of a list."""
    found = json.loads(sample)[STATS][key]
    return math.fsum(found) / len(found) if isinstance(found, list) else found


@pytest.mark.parametrize("seed", SEEDS)
def test_construction_is_sorting_and_cutting(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    lines = data_set(draw, draw.randint(3, 60))
    made = run(
        DataPoolConstruction, tmp_path, dataset_path=write(tmp_path / "d.jsonl", lines, draw)
    )
    assert set(made.pools) == set("abcd")
    for key, parts in made.pools.items():
        written = [each for path in parts.values() for each in read(path)]
        assert written == sorted(lines, key=lambda each: value(each, key))
        assert [len(read(path)) for path in parts.values()] == sizes(len(lines))


def sizes(num_samples: int) -> list[int]:
    """Of the thirds."""
    cuts = [0, int(num_samples / 3 + 0.5), int(num_samples * 2 / 3 + 0.5), num_samples]
    return [stop - start for start, stop in itertools.pairwise(cuts)]


@pytest.mark.parametrize("seed", SEEDS)
def test_combination_is_intersecting_sets(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    lines = data_set(draw, 40)
    pools = [draw.sample(lines, draw.randint(1, 40)) for _ in range(draw.randint(1, 4))]
    paths = [write(tmp_path / f"p_{rank}.jsonl", pool, draw) for rank, pool in enumerate(pools)]
    (out := tmp_path / "out").mkdir()
    made = run(DataPoolCombination, out, dataset_paths=paths)
    written = {name: read(path) for name, path in zip(made.names, made.paths, strict=True)}
    for size in range(1, len(pools) + 1):
        for ranks in itertools.combinations(range(len(pools)), size):
            name = "top_" + "_".join(str(rank + 1) for rank in ranks)
            common = set.intersection(*(set(pools[rank]) for rank in ranks))
            expected = [each for each in pools[ranks[0]] if each in common]
            assert written.get(name, []) == expected
            assert (name in made.left_out) == (not expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_downsampling_takes_equally_many_of_each_and_keeps_them(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    pools = [data_set(draw, draw.randint(1, 50)) for _ in range(3)]
    paths = [write(tmp_path / f"p{rank}.jsonl", pool, draw) for rank, pool in enumerate(pools)]
    (out := tmp_path / "out").mkdir()
    made = run(DataPoolDownsampling, out, dataset_paths=paths, seed=seed)
    for pool, path in zip(pools, made.paths, strict=True):
        written = read(path)
        assert len(written) == min(map(len, pools))
        remaining = iter(pool)
        assert all(each in remaining for each in written)  # a subsequence: same lines, same order


def test_every_sample_is_drawn_equally_often(tmp_path: Path) -> None:
    path = write(
        tmp_path / "p.jsonl", [json.dumps({"id": number}) for number in range(10)], random.Random(0)
    )
    (out := tmp_path / "out").mkdir()
    counts = [0] * 10
    for seed in range(400):
        (drawn,) = run(
            DataPoolDownsampling, out, dataset_paths=[path], num_samples=3, seed=seed
        ).paths
        for each in read(drawn):
            counts[json.loads(each)["id"]] += 1
    assert sum(counts) == 1200
    assert all(80 < count < 165 for count in counts)  # 120, five standard deviations of 9 about it


@pytest.mark.parametrize("seed", SEEDS)
def test_merging_is_one_after_another(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    pools = [data_set(draw, draw.randint(1, 30)) for _ in range(3)]
    paths = [write(tmp_path / f"p{rank}.jsonl", pool, draw) for rank, pool in enumerate(pools)]
    made = run(DataPoolMerging, tmp_path / "out", dataset_paths=paths)
    assert read(made.dataset_path) == list(itertools.chain(*pools))
    assert made.num_samples == sum(map(len, pools))


@pytest.mark.parametrize("seed", SEEDS)
def test_duplication_has_every_sample_equally_often(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    lines = data_set(draw, draw.randint(1, 30))
    path = write(tmp_path / "p.jsonl", lines, draw)
    plain = run(
        DataPoolDuplication, tmp_path / "plain", dataset_paths=[path], duplicating_times=[1, 3]
    ).paths
    assert [read(path) for path in plain] == [lines, lines * 3]
    mixed = run(
        DataPoolDuplication,
        tmp_path / "mixed",
        dataset_paths=[path],
        duplicating_times=[1, 3],
        shuffle=True,
        seed=seed,
    )
    assert [sorted(read(path)) for path in mixed.paths] == [sorted(lines), sorted(lines * 3)]
    if len(lines) > 5:
        assert read(mixed.paths[1]) != lines * 3


@pytest.mark.parametrize("seed", SEEDS)
def test_a_join_has_every_pair_in_order(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    lines = data_set(draw, draw.randint(1, 12))
    others = [
        f'{{"n" :{number}.50, "o": "{draw.choice(TEXTS)}" }}'
        for number in range(draw.randint(1, 12))
    ]
    first, second = (
        write(tmp_path / f"{n}.jsonl", each, draw) for n, each in (("l", lines), ("r", others))
    )
    (joined,) = run(
        DataPoolCartesianJoin, tmp_path / "out", first_paths=[first], second_paths=[second]
    ).paths
    expected = [json.loads(left) | json.loads(right) for left in lines for right in others]
    written = read(joined)
    assert [json.loads(each) for each in written] == expected
    for each, (left, right) in zip(written, itertools.product(lines, others), strict=True):
        assert left[1:-1].strip() in each and right[1:-1].strip() in each  # as they are spelled
    assert [list(json.loads(each)) for each in written] == [list(each) for each in expected]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("ending", ["jsonl.gz", "jsonl.zst"])
def test_compressed_pools_give_the_same_lines(tmp_path: Path, seed: int, ending: str) -> None:
    draw = random.Random(seed)
    lines = data_set(draw, draw.randint(1, 40))
    path = write(tmp_path / "p.jsonl", lines, draw)
    packed = run(
        DataPoolMerging, tmp_path, dataset_paths=[path, path], output_format=ending
    ).dataset_path
    assert packed.name == f"p_merged.{ending}"
    back = run(
        DataPoolMerging, tmp_path / "back", dataset_paths=[packed], output_format="jsonl"
    ).dataset_path
    assert read(back) == lines * 2


def test_samples_without_a_number_come_last_in_input_order(tmp_path: Path) -> None:
    stats = ["NaN", "Infinity", "1", "[1, NaN]", "-Infinity", "1.0", "NaN", "-1"]
    lines = [f'{{"id":{number},"{STATS}":{{"a":{value}}}}}' for number, value in enumerate(stats)]
    path = write(tmp_path / "d.jsonl", lines, random.Random(0))
    parts = run(DataPoolConstruction, tmp_path / "out", dataset_path=path).paths
    written = [json.loads(each)["id"] for part in parts for each in read(part)]
    assert written == [4, 7, 2, 5, 1, 0, 3, 6]


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system than ``tmp_path``."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        if Path(name).stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("there is only one file system here")
        yield Path(name)


def test_pools_may_be_written_to_another_file_system(tmp_path: Path, elsewhere: Path) -> None:
    draw = random.Random(0)
    lines = data_set(draw, 30)
    path = write(tmp_path / "p.jsonl", lines, draw)
    merged = run(DataPoolMerging, elsewhere / "merged", dataset_paths=[path, path]).dataset_path
    assert read(merged) == lines * 2
    (doubled,) = run(
        DataPoolDuplication, elsewhere / "doubled", dataset_paths=[path], duplicating_times=[2]
    ).paths
    assert read(doubled) == lines * 2
    (whole,) = run(DataPoolDownsampling, elsewhere / "whole", dataset_paths=[path]).paths
    assert read(whole) == lines


def test_a_compressed_pool_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    draw = random.Random(0)
    text = "".join(each + "\n" for each in data_set(draw, 3000)).encode()
    for ending, packed in (
        ("gz", gzip.compress(text)),
        ("zst", zstandard.ZstdCompressor().compress(text)),
    ):
        for cut in (1, 5, len(packed) // 2):
            path = tmp_path / f"p.jsonl.{ending}"
            path.write_bytes(packed[:-cut])
            with pytest.raises(ValueError, match=f"{path.name}.*unpack"):
                run(DataPoolMerging, tmp_path / "out", dataset_paths=[path])
            assert not list((tmp_path / "out").glob("*merged*"))


def test_equal_lines_that_name_different_pictures_are_different_samples(tmp_path: Path) -> None:
    paths = []
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        paths.append(tmp_path / folder / "p.jsonl")
        paths[-1].write_text('{"images": ["1.png"]}\n{"images": ["/same.png"]}\n')
    made = run(DataPoolCombination, tmp_path / "out", dataset_paths=paths)
    common = dict(zip(made.names, made.paths, strict=True))["top_1_2"]
    assert read(common) == ['{"images": ["/same.png"]}']


def test_pools_of_a_statistic_called_random_and_controls_do_not_overwrite_each_other(
    tmp_path: Path,
) -> None:
    lines = [json.dumps({"id": number, STATS: {"random": number}}) for number in range(8)]
    path = write(tmp_path / "d.jsonl", lines, random.Random(0))
    try:
        made = run(
            DataPoolConstruction, tmp_path / "out", dataset_path=path, split_num=4, num_random=2
        )
    except ValueError:
        return  # refused is right too
    assert len(set(made.paths)) == len(set(made.names)) == 4


@pytest.mark.parametrize("name", ["../up", "a/b", "/abs"])
def test_a_statistic_cannot_name_a_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "out" / "d_a").mkdir(parents=True)
    lines = [json.dumps({"id": number, STATS: {name: number}}) for number in range(3)]
    path = write(tmp_path / "d.jsonl", lines, random.Random(0))
    with pytest.raises(ValueError, match=re.escape(name)):
        run(DataPoolConstruction, tmp_path / "out", dataset_path=path)
    assert {each.name for each in tmp_path.rglob("*.jsonl")} == {"d.jsonl"}
