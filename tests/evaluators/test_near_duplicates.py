from __future__ import annotations

import itertools
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contract import build, problems_of, scope
from pool_files import write_texts as write

from sandbox.evaluators.minhash import MinHash, bands_for
from sandbox.evaluators.near_duplicates import DuplicateScores, NearDuplicates

Pair = tuple[int, int]


def search(pool: Path | Sequence[Path], tmp_path: Path, **arguments: Any) -> DuplicateScores:
    evaluator = build(NearDuplicates, **arguments)
    scores: DuplicateScores = evaluator.run(None, pool, scope=scope(tmp_path))
    return scores


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def members(outputs: DuplicateScores) -> list[list[int]]:
    return [row["samples"] for row in read(outputs.clusters_path)]


def edited(words: list[str], num_edits: int, rng: random.Random) -> list[str]:
    copy = list(words)
    for place in rng.sample(range(len(words)), num_edits):
        copy[place] = f"edit{rng.randrange(10**9)}"
    return copy


def shingles(words: list[str]) -> set[tuple[str, ...]]:
    return {tuple(words[start : start + 5]) for start in range(len(words) - 4)}


@pytest.fixture(scope="module")
def documents() -> list[list[str]]:
    """Make 100 texts, each with up to four copies in which up to 6 words differ."""
    rng = random.Random(0)
    made = []
    for _ in range(100):
        words = [f"word{rng.randrange(3000)}" for _ in range(rng.randint(20, 120))]
        made += [words, *(edited(words, rng.randint(0, 6), rng) for _ in range(rng.randint(0, 4)))]
    rng.shuffle(made)
    return made


@pytest.fixture(scope="module")
def similarity(documents: list[list[str]]) -> dict[Pair, float]:
    """Jaccard similarity of every pair."""
    sets = [shingles(words) for words in documents]
    return {
        (a, b): len(sets[a] & sets[b]) / len(sets[a] | sets[b])
        for a, b in itertools.combinations(range(len(sets)), 2)
    }


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_recall_and_precision_against_comparing_every_pair(
    documents: list[list[str]], similarity: dict[Pair, float], seed: int, tmp_path: Path
) -> None:
    """Clearly similar pairs are found, clearly different ones never, and most at the threshold."""
    outputs = search(write(tmp_path / "pool.jsonl", map(" ".join, documents)), tmp_path, seed=seed)
    together = {pair for cluster in members(outputs) for pair in itertools.combinations(cluster, 2)}
    for threshold, recall in ((0.9, 1.0), (0.8, 0.9), (0.7, 0.8)):
        wanted = {pair for pair, value in similarity.items() if value >= threshold}
        assert len(together & wanted) >= recall * len(wanted) > 30
    found = [similarity[row["first"], row["second"]] for row in read(outputs.pairs_path)]
    assert min(found) > 0.6 and np.mean(np.array(found) >= 0.7) >= 0.9


def test_clusters_do_not_depend_on_the_order(documents: list[list[str]], tmp_path: Path) -> None:
    texts = [" ".join(words) for words in documents]
    found = set()
    for seed in range(4):
        random.Random(seed).shuffle(texts)
        outputs = search(write(tmp_path / "pool.jsonl", texts), tmp_path, threshold=0.6)
        found.add(frozenset(frozenset(texts[row] for row in rows) for rows in members(outputs)))
    assert len(found) == 1


def test_similarity_is_estimated_without_bias(
    documents: list[list[str]], similarity: dict[Pair, float], tmp_path: Path
) -> None:
    pool = write(tmp_path / "pool.jsonl", map(" ".join, documents))
    rows = read(search(pool, tmp_path, threshold=0.4).pairs_path)
    errors = [row["similarity"] - similarity[row["first"], row["second"]] for row in rows]
    assert np.abs(np.mean(errors)) < 0.01
    assert np.std(errors) < 0.04  # √(0.5 · 0.5 / 256) is 0.031 at most


def test_minhash_estimates_the_jaccard_similarity() -> None:
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 1 << 63, 1500, dtype=np.uint64)
    sets = np.concatenate([hashes[:1000], hashes[500:]])  # 500 of 1500 in both
    one, other = MinHash(2048, seed=0).signatures(sets, np.array([1000, 1000]))
    assert (one == other).mean() == pytest.approx(1 / 3, abs=0.035)


def test_bands_equal_those_of_data_juicer() -> None:
    """Results of its ``optimal_param`` for the default and for two other choices."""
    assert bands_for(0.7, 256) == (25, 10)
    assert bands_for(0.5, 256) == (42, 6)
    assert bands_for(0.7, 128) == (14, 9)


def test_clusters_and_the_share_that_removing_them_would_cost(tmp_path: Path) -> None:
    texts = [
        "one two three four five six",
        "Other words",
        "ONE, two three four five six!",
        "",
        "other words",
    ]
    outputs = search(write(tmp_path / "pool.jsonl", [*texts, "other words", " "]), tmp_path)
    assert members(outputs) == [[1, 4, 5], [0, 2], [3, 6]]
    assert outputs.num_samples == 7 and outputs.num_clusters == 3 and outputs.num_in_clusters == 7
    assert outputs.largest_cluster == 3 and outputs.duplicate_ratio == 4 / 7
    assert {row["similarity"] for row in read(outputs.pairs_path)} == {1.0}


def test_a_data_set_without_duplicates_has_no_clusters(tmp_path: Path) -> None:
    outputs = search(write(tmp_path / "pool.jsonl", ["a b c", "d e f", "!!!", "???"]), tmp_path)
    assert members(outputs) == []
    assert read(outputs.pairs_path) == []
    assert (outputs.duplicate_ratio, outputs.largest_cluster) == (0, 1)


def test_characters_find_duplicates_that_words_miss(tmp_path: Path) -> None:
    texts = [
        "一只黑色的猫坐在红色的垫子上面",
        "一只黑色的猫坐在红色的垫子上边",
        "完全不同的另一句话在这里写着呢",
    ]
    pool = write(
        tmp_path / "pool.jsonl", [*texts, "thewholethingisoneword", "thewholethingisoneworm"]
    )
    assert members(search(pool, tmp_path)) == [[0, 1]]
    outputs = search(pool, tmp_path, shingle_unit="characters", shingle_size=3)
    assert members(outputs) == [[0, 1], [3, 4]]


def test_many_copies_of_one_text_are_one_cluster(tmp_path: Path) -> None:
    texts = [
        f"a text that comes often and another that is number {n if n % 5 == 0 else ''}"
        for n in range(5000)
    ]
    outputs = search(write(tmp_path / "pool.jsonl", texts), tmp_path, shingle_size=1)
    assert outputs.largest_cluster == 5000 and len(read(outputs.pairs_path)) == 4999


def test_several_files_are_one_data_set(tmp_path: Path) -> None:
    pools = [write(tmp_path / "a.jsonl", ["same", "x"]), write(tmp_path / "b.jsonl", ["y", "same"])]
    assert members(search(pools, tmp_path)) == [[0, 3]]


def test_temporary_files_are_removed(tmp_path: Path) -> None:
    pool = write(tmp_path / "pool.jsonl", ["a"])
    job = scope(tmp_path)
    NearDuplicates().run(None, pool, scope=job)
    names = sorted(path.name for path in job.output_dir.iterdir())
    assert names == ["clusters.jsonl", "pairs.jsonl"]


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("threshold", 0.0, "constraint"),
        ("threshold", 1.1, "constraint"),
        ("shingle_size", 0, "constraint"),
        ("shingle_unit", "bytes", "wrong_type"),
        ("num_permutations", 0, "constraint"),
        ("num_permutations", 4097, "constraint"),
    ],
)
def test_arguments_out_of_range_are_problems(name: str, value: Any, kind: str) -> None:
    (problem,) = problems_of(NearDuplicates, **{name: value})
    assert (problem.where, problem.kind) == (name, kind)
