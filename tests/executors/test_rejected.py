"""The samples that a recipe removes: in a file, each with what decided it."""

from __future__ import annotations

import importlib.util
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from sandbox.executors.data_juicer import DataJuicerExecutor, ProcessedDataset
from sandbox.job import JobScope
from sandbox.system.process import ProcessError

pytestmark = pytest.mark.slow

Process = Callable[..., ProcessedDataset]

TEXTS = [
    "short",
    "long enough for the filter",
    "long enough, but far too strange $$$$$$$$$$$$$$$$$$$$$",
    "long enough for the filter",
    "far too long " * 20,
    "another text to keep",
]


@pytest.fixture
def process(tmp_path: Path) -> Process:
    def go(samples: Sequence[dict[str, Any]], recipe: dict[str, Any], **more: Any) -> Any:
        out = tmp_path / f"out-{len(list(tmp_path.glob('out-*')))}"
        out.mkdir()
        data = tmp_path / "in.jsonl"
        data.write_text("".join(json.dumps(sample) + "\n" for sample in samples))
        scope = JobScope(
            "process",
            out,
            tmp_path / "log",
            lambda metrics, step=None: None,
            cache_dir=tmp_path / "cache",
        )
        return DataJuicerExecutor(**more).run(data, recipe, scope=scope)

    return go


def rejected(made: ProcessedDataset) -> list[dict[str, Any]]:
    lines = made.rejected_path.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def reasons(made: ProcessedDataset) -> list[tuple[Any, ...]]:
    keys = ("number", "operator", "statistic", "value", "bound")
    return [tuple(row["__rejected__"][key] for key in keys) for row in rejected(made)]


def test_every_removed_sample_has_its_operator_value_and_bound(
    process: Process, caplog: pytest.LogCaptureFixture
) -> None:
    samples = [{"text": text, "id": index} for index, text in enumerate(TEXTS)]
    recipe = {
        "process": {
            "text_length_filter": {"min_len": 10},
            "document_deduplicator": {},
            "special_characters_filter": {"max_ratio": 0.4},
            "text_length_filter__2": {"max_len": 90},
            "words_num_filter": {"min_num": 1},
        }
    }
    with caplog.at_level(logging.WARNING):
        made = process(samples, recipe)
    assert reasons(made) == [
        (1, "text_length_filter", "text_len", 5, "min_len 10"),
        (4, "document_deduplicator", None, None, None),
        (3, "special_characters_filter", "special_char_ratio", 0.5185185185, "max_ratio 0.4"),
        (5, "text_length_filter__2", "text_len", 260, "max_len 90"),
    ]
    assert rejected(made)[1]["__rejected__"]["duplicate_of"] == 2
    kept = [json.loads(line) for line in made.dataset_path.read_text().splitlines()]
    assert kept == [samples[1], samples[5]]
    bare = [{key: row[key] for key in ("text", "id")} for row in rejected(made)]
    assert bare == [samples[0], samples[3], samples[2], samples[4]]
    assert made.rejected == {**dict.fromkeys(recipe["process"], 1), "words_num_filter": 0}
    assert (made.num_samples_in, made.num_samples_out, made.num_rejected) == (6, 2, 4)
    assert made.summary.startswith("kept 2 of 6 samples; removed: 1 by text_length_filter, 1 by ")
    assert caplog.messages == ["process: 1 of 5 operators removed nothing: words_num_filter"]


def test_the_record_is_the_same_with_more_processes_and_from_the_cache(process: Process) -> None:
    samples = [{"text": "word " * (1 + index % 7), "id": index} for index in range(3000)]
    recipe = {
        "process": {"words_num_filter": {"min_num": 3}, "text_length_filter": {"max_len": 24}}
    }
    first = process(samples, recipe)
    assert first.rejected == {"words_num_filter": 858, "text_length_filter": 1284}
    numbers = [row["__rejected__"]["number"] for row in rejected(first)]
    assert all(
        row["id"] + 1 == number for row, number in zip(rejected(first), numbers, strict=True)
    )
    assert numbers == sorted(numbers[:858]) + sorted(numbers[858:])
    for made in (
        process(samples, recipe),
        process(samples, {**recipe, "use_cache": False}, num_proc=2),
    ):
        assert made.rejected_path.read_bytes() == first.rejected_path.read_bytes()
        assert made.dataset_path.read_bytes() == first.dataset_path.read_bytes()


def test_bounds_of_every_kind_are_named(process: Process, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    for name, size in (("wide", (40, 10)), ("tall", (10, 40)), ("good", (20, 20))):
        image.new("RGB", size, "red").save(tmp_path / f"{name}.png")
    samples = [
        {"text": "one", "n": 1, "images": ["wide.png"]},
        {"text": "two", "n": 2, "images": ["good.png", "tall.png"]},
        {"text": "three", "n": 3, "images": ["good.png"]},
        {"text": "four", "n": 4, "images": []},
        {"text": "fives", "n": 5, "images": []},
        {"text": "a text to keep", "n": 6, "images": []},
    ]
    recipe = {
        "process": {
            "image_shape_filter": {"min_height": 20, "max_height": 30, "any_or_all": "all"},
            "image_size_filter": {"min_size": "1kb"},
            "specified_field_filter": {"field_key": "n", "target_value": [1, 2, 3, 5, 6]},
            "text_length_filter": {"min_len": 2, "max_len": 9, "reversed_range": True},
        }
    }
    made = process(samples, recipe)
    assert reasons(made) == [
        (1, "image_shape_filter", "image_height", 10, "min_height 20"),
        (2, "image_shape_filter", "image_height", 40, "max_height 30"),
        (
            3,
            "image_size_filter",
            "image_sizes",
            (tmp_path / "good.png").stat().st_size,
            "min_size 1kb",
        ),
        (4, "specified_field_filter", "n", 4, "field_key n, target_value [1, 2, 3, 5, 6]"),
        (5, "text_length_filter", "text_len", 5, "min_len 2, max_len 9"),
    ]


def test_after_an_operator_that_makes_samples_their_numbers_are_unknown(process: Process) -> None:
    samples = [{"text": "first part\n\nx"}, {"text": "second part"}]
    recipe = {
        "process": {
            "text_chunk_mapper": {"split_pattern": "\n\n"},
            "text_length_filter": {"min_len": 5},
        }
    }
    made = process(samples, recipe)
    assert reasons(made) == [(None, "text_length_filter", "text_len", 1, "min_len 5")]
    assert (made.num_samples_in, made.num_samples_out, made.num_rejected) == (2, 2, 1)


def test_a_selector_is_recorded(process: Process) -> None:
    samples = [{"text": "word " * number, "score": number} for number in (5, 1, 4, 2, 3)]
    selector = {"field_key": "score", "topk": 3}
    made = process(samples, {"process": {"topk_specified_field_selector": selector}})
    assert reasons(made) == [
        (2, "topk_specified_field_selector", None, None, None),
        (4, "topk_specified_field_selector", None, None, None),
    ]


@pytest.mark.skipif(importlib.util.find_spec("av") is None, reason="fused filters need av")
def test_fused_filters_are_recorded_one_by_one(process: Process) -> None:
    samples = [{"text": text} for text in ("one two three four", "one two one two", "one two")]
    recipe = {
        "op_fusion": True,
        "fusion_strategy": "greedy",
        "process": {
            "words_num_filter": {"max_num": 4},
            "word_repetition_filter": {"rep_len": 2, "max_ratio": 0.5},
            "words_num_filter__2": {"max_num": 3},
        },
    }
    assert reasons(process(samples, recipe)) == [
        (1, "words_num_filter__2", "num_words", 4, "max_num 3"),
        (2, "word_repetition_filter", "word_rep_ratio", 0.6666666667, "max_ratio 0.5"),
    ]


def test_a_recipe_that_keeps_nothing_leaves_the_reasons(process: Process, tmp_path: Path) -> None:
    with pytest.raises(ProcessError) as error:
        process([{"text": "a"}, {"text": "b"}], {"process": {"text_length_filter": {"min_len": 9}}})
    line = str(error.value).splitlines()[0]
    assert "keeps none of the 2 samples; removed: 2 by text_length_filter (values and" in line
    assert len((tmp_path / "out-0" / "rejected.jsonl").read_text().splitlines()) == 2


def test_an_operator_that_removes_nearly_everything_is_warned_about(
    process: Process, caplog: pytest.LogCaptureFixture
) -> None:
    samples = [{"text": "x" * length} for length in range(1, 41)]
    with caplog.at_level(logging.WARNING):
        process(samples, {"process": {"text_length_filter": {"min_len": 40}}})
    assert caplog.messages == [
        "process: text_length_filter removed 39 of the 40 samples that reached it"
    ]


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs Ray")
def test_ray_leaves_the_same_record(process: Process) -> None:
    samples = [{"text": "word " * (1 + index % 7), "id": index} for index in range(300)]
    recipe = {
        "process": {
            "words_num_filter": {"min_num": 3},
            "whitespace_normalization_mapper": {},
            "specified_numeric_field_filter": {"field_key": "id", "max_value": 200},
        }
    }
    plain = process(samples, recipe)
    made = process(samples, {**recipe, "executor_type": "ray"}, num_proc=2)
    assert made.rejected == plain.rejected
    assert rejected(made) == rejected(plain)
