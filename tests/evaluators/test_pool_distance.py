from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contract import build, problems_of, scope
from numpy.typing import ArrayLike

from sandbox.components import checks
from sandbox.evaluators import hash_counts
from sandbox.evaluators.pool_distance import DistanceScores, PoolDistance, sample_distance


def write(path: Path, texts: Iterable[str], **statistics: Iterable[Any]) -> Path:
    columns = zip(*statistics.values(), strict=True) if statistics else iter(lambda: (), None)
    with path.open("w") as out:
        for text, values in zip(texts, columns, strict=False):
            stats = dict(zip(statistics, values, strict=True))
            out.write(json.dumps({"text": text, "__dj__stats__": stats}) + "\n")
    return path


def distance(pool: Path, reference: Path, folder: Path, **arguments: Any) -> DistanceScores:
    evaluator = build(PoolDistance, reference_path=reference, **arguments)
    scores: DistanceScores = evaluator.run(None, pool, scope=scope(folder))
    return scores


def wasserstein(sample: ArrayLike, reference: ArrayLike) -> float | None:
    return sample_distance(np.asarray(sample), np.asarray(reference))["wasserstein"]


def kolmogorov_smirnov(sample: ArrayLike, reference: ArrayLike) -> float | None:
    return sample_distance(np.asarray(sample), np.asarray(reference))["ks"]


def test_wasserstein_is_the_shift_of_a_shifted_sample() -> None:
    values = np.random.default_rng(0).normal(size=500)
    assert wasserstein(values, values + 3) == pytest.approx(3)
    assert wasserstein(values, values) == 0


def test_wasserstein_is_scaled_by_the_reference() -> None:
    values = np.array([0.0, 2.0])
    assert sample_distance(values + 3, values)["wasserstein_scaled"] == pytest.approx(3)
    assert sample_distance(values, np.array([1.0, 1.0]))["wasserstein_scaled"] is None


def test_wasserstein_of_equal_sizes_is_the_mean_distance_in_order() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.exponential(size=200), rng.uniform(size=200)
    assert wasserstein(one, other) == pytest.approx(np.abs(np.sort(one) - np.sort(other)).mean())


def test_wasserstein_of_unequal_sizes() -> None:
    assert wasserstein([0, 1, 3], [5, 6, 8]) == pytest.approx(5)
    assert wasserstein([0], [0, 1]) == pytest.approx(0.5)
    assert wasserstein([0, 1], [0, 1] * 7) == pytest.approx(0)


def test_kolmogorov_smirnov_of_known_samples() -> None:
    assert kolmogorov_smirnov([1, 2], [3, 4]) == 1
    assert kolmogorov_smirnov([1, 2, 3, 4], [3, 4, 5, 6]) == 0.5
    assert kolmogorov_smirnov([1, 1, 2], [1]) == pytest.approx(1 / 3)


def test_distances_of_normal_distributions_are_the_closed_forms() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(0, 1, 200_000), rng.normal(1, 1, 100_000)
    assert wasserstein(one, other) == pytest.approx(1, abs=0.02)
    assert kolmogorov_smirnov(one, other) == pytest.approx(math.erf(0.5 / math.sqrt(2)), abs=0.01)


def test_js_divergence_of_words(tmp_path: Path) -> None:
    pool = write(tmp_path / "pool.jsonl", ["a a a b"])
    reference = write(tmp_path / "reference.jsonl", ["A b c c"])
    outputs = distance(pool, reference, tmp_path)
    p, q = np.array([3, 1, 0]) / 4, np.array([1, 1, 2]) / 4
    m = (p + q) / 2
    entropies = [-(v[v > 0] * np.log2(v[v > 0])).sum() for v in (m, p, q)]
    assert outputs.js_divergence_1 == pytest.approx(
        entropies[0] - (entropies[1] + entropies[2]) / 2
    )
    # aa aa ab against ab bc cc: a third of each is shared
    assert outputs.js_divergence_2 == pytest.approx(2 / 3)


def test_equal_pools_have_distance_zero_and_disjoint_ones_the_greatest(tmp_path: Path) -> None:
    pool = write(tmp_path / "pool.jsonl", ["one two three", "four five"], n=[1, 2])
    other = write(tmp_path / "other.jsonl", ["six seven eight", "nine ten"], n=[3, 4])
    same = distance(pool, pool, tmp_path)
    assert same.js_divergence_1 == same.js_divergence_2 == same.mean_ks == 0
    assert same.statistics["n"] == {"wasserstein": 0, "wasserstein_scaled": 0, "ks": 0}
    far = distance(pool, other, tmp_path)
    assert far.js_divergence_1 == far.js_divergence_2 == pytest.approx(1)
    assert far.statistics["n"] == {"wasserstein": 2, "wasserstein_scaled": 4, "ks": 1}


def test_the_divergence_does_not_depend_on_the_size_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    pools = [
        write(
            tmp_path / f"{name}.jsonl",
            (" ".join(f"w{n}" for n in rng.zipf(1.3, 50)) for _ in range(200)),
        )
        for name in ("one", "other")
    ]
    whole = distance(pools[0], pools[1], tmp_path)
    monkeypatch.setattr(hash_counts, "_PART_SIZE", 700)
    monkeypatch.setattr(hash_counts, "_BLOCK", 300)
    parts = distance(pools[0], pools[1], tmp_path)
    for name in ("js_divergence_1", "js_divergence_2"):
        assert 0 < getattr(parts, name) < 1
        assert getattr(parts, name) == pytest.approx(getattr(whole, name), rel=1e-12)


def test_statistics_of_both_data_sets_are_compared(tmp_path: Path) -> None:
    pool = write(tmp_path / "pool.jsonl", "ab", n=[1, None], mine=[1, 1], lang=["en", "fr"])
    reference = write(tmp_path / "reference.jsonl", "ab", n=[1, 1], theirs=[1, 1])
    outputs = distance(pool, reference, tmp_path)
    statistics = outputs.statistics
    assert list(statistics) == ["chars", "words", "n"]
    assert outputs.left_out == ["lang", "mine", "theirs"]
    assert statistics["n"] == {"wasserstein": 0, "wasserstein_scaled": None, "ks": 0}
    with pytest.raises(
        ValueError, match=r"reference.jsonl: statistic 'mine' does not exist; available: .*theirs"
    ):
        distance(pool, reference, tmp_path, statistics=["mine"])


def test_a_text_without_words_has_the_greatest_distance(tmp_path: Path) -> None:
    pool, reference = write(tmp_path / "a.jsonl", ["!"]), write(tmp_path / "b.jsonl", ["word"])
    assert distance(pool, reference, tmp_path).js_divergence_1 == 1
    assert distance(pool, pool, tmp_path).js_divergence_1 == 0


def test_missing_scipy_is_found_in_the_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "find_spec", lambda name: None)
    (problem,) = problems_of(PoolDistance, reference_path=tmp_path)
    assert problem.kind == "machine"
    assert "pip install 'sandbox[data]'" in problem.text


def test_a_single_name_is_no_list(tmp_path: Path) -> None:
    (problem,) = problems_of(PoolDistance, reference_path=str(tmp_path), statistics="text_len")
    assert (problem.where, problem.kind) == ("statistics", "wrong_type")
