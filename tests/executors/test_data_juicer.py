"""Data-Juicer's Analyzer and Executor through our executors."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.executors.data_juicer import DataJuicerAnalyzer, DataJuicerExecutor
from sandbox.process import ProcessError

Write = Callable[[Sequence[str]], Path]
TEXT = {"process": {"text_length_filter": {"min_len": 20, "max_len": 100}}}
IMAGE = {"process": {"image_shape_filter": {}}}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def make(lines: Sequence[str]) -> Path:
        path = tmp_path / "data" / "in.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(line + "\n" for line in lines), encoding="utf-8", newline="")
        return path

    return make


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    image = pytest.importorskip("PIL.Image")
    path = tmp_path / "data" / "red.png"
    path.parent.mkdir(exist_ok=True)
    image.new("RGB", (32, 16), "red").save(path)
    return path


@pytest.fixture
def run(tmp_path: Path) -> Callable[[Any], dict[str, Any]]:
    def go(component: Any) -> dict[str, Any]:
        out = tmp_path / "out"
        out.mkdir(exist_ok=True)
        outputs = dict(component.run(output_dir=out, log_path=tmp_path / "log"))
        assert set(outputs) == set(component.OUTPUTS)
        assert not list(out.glob("cache-*"))
        return outputs

    return go


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.slow
def test_the_analyzer_adds_statistics_and_keeps_the_lines(write: Write, picture: Path, run: Any) -> None:
    lines = [
        '{"id":1.50, "text": "A red\\u0020circle, d\\u00e9j\\u00e0 vu", "n": 12345678901234567, "images": ["'
        f'{picture}"]}}',
        '{"text": "caf\u00e9 \u2028 x", "images": [ "red.png","red.png" ] ,"id": null, "meta": {"a": [1]}}  ',
        "",
        '{"__dj__stats__": {"text_len": 999, "old": 7}, "text": "three", "images": []}',
    ]
    recipe = {"process": {"text_length_filter": {}, "image_shape_filter": {}}}
    made = run(DataJuicerAnalyzer(write(lines), recipe))

    first, second, third = made["dataset_path"].read_text(encoding="utf-8").split("\n")[:3]
    stats = ', "__dj__stats__": {"text_len": 21, "image_width": [32], "image_height": [16]}}'
    assert first == lines[0][:-1] + stats
    absolute = f'{{"text": "caf\u00e9 \u2028 x", "images": ["{picture}", "{picture}"] ,"id": null'
    assert second.startswith(absolute + ', "meta": {"a": [1]}, "__dj__stats__": {"text_len": 8, ')
    assert json.loads(third) == {
        "text": "three",
        "images": [],
        "__dj__stats__": {"text_len": 5, "old": 7, "image_width": [], "image_height": []},
    }
    lengths = [21.0, 8.0, 5.0]
    assert made["statistics"]["text_len"] == {
        "count": 3.0,
        "mean": pytest.approx(34 / 3),
        "std": pytest.approx(statistics.stdev(lengths)),
        "min": 5.0,
        "q25": 6.5,
        "q50": 8.0,
        "q75": 14.5,
        "max": 21.0,
    }
    assert made["statistics"]["image_width"]["count"] == 3.0
    assert made["statistics"]["image_width"]["std"] == 0.0
    assert [path.name for path in made["analysis_dir"].iterdir()] == ["overall.csv"]


@pytest.mark.slow
def test_the_analyzer_draws_when_asked_and_has_no_spread_of_one_sample(write: Write, run: Any) -> None:
    made = run(DataJuicerAnalyzer(write(['{"text": "one"}']), TEXT, plots=True))
    assert made["statistics"]["text_len"]["std"] is None
    assert {path.name for path in made["analysis_dir"].glob("*.png")} >= {
        "text_len-hist.png",
        "text_len-box.png",
    }


@pytest.mark.slow
def test_the_executor_filters_and_hands_its_recipe_on_as_a_file(
    write: Write, picture: Path, run: Any
) -> None:
    texts = ["short", "long enough for the filter", "long enough, but far too strange $$$$$$$$$$$$$$$$$$$$$"]
    stale = '"__dj__stats__": {"text_len": 50}'
    data = write([f'{{"text": "{text}", "images": ["red.png"], {stale}}}' for text in texts])
    recipe = {
        "project_name": "mine",
        "process": {
            "text_length_filter": {"min_len": 10},
            "special_characters_filter": {"max_ratio": 0.4},
            "text_length_filter__2": {"max_len": 90},
        },
    }
    made = run(DataJuicerExecutor(data, recipe))
    assert (made["num_samples_in"], made["num_samples_out"]) == (3, 1)
    assert rows(made["dataset_path"]) == [{"text": texts[1], "images": [str(picture)]}]
    written = yaml.safe_load(made["recipe_path"].read_text())
    assert [next(iter(operator)) for operator in written["process"]] == [
        "text_length_filter",
        "special_characters_filter",
        "text_length_filter",
    ]
    recipe_file = data.with_name("recipe.yaml")
    recipe_file.write_text(yaml.safe_dump({**written, "dataset_path": "/nowhere", "np": 4}))
    again = run(DataJuicerExecutor(data, recipe_path=recipe_file, num_proc=2))
    assert rows(again["dataset_path"]) == [{"text": texts[1], "images": [str(picture)]}]


@pytest.mark.parametrize("component", [DataJuicerAnalyzer, DataJuicerExecutor])
@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "in.jsonl: the data set is empty"),
        (['{"text": "a"}', "", '{"text": "b"'], "in.jsonl:3: not valid JSON"),
        (['{"text": "a"}', '{"text": NaN}'], "in.jsonl:2: not valid JSON: NaN"),
        (['["text"]'], "in.jsonl:1: expected a JSON object"),
        (['{"text": "a"}', '{"text": null}'], "in.jsonl:2: expected a text under 'text', got None"),
        (['{"text": "a", "images": ["gone.png"]}'], "in.jsonl:1: images: there is no file"),
        (['{"text": "a", "images": [3]}'], "in.jsonl:1: expected a list of paths"),
    ],
    ids=["empty", "malformed", "nan", "no-object", "no-text", "no-picture", "no-path"],
)
def test_bad_data_is_named_in_one_line(
    write: Write, run: Any, component: Any, lines: list[str], message: str
) -> None:
    with pytest.raises(ProcessError) as error:
        run(component(write(lines), TEXT))
    assert message in str(error.value).splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("component", "recipe", "message"),
    [
        (DataJuicerAnalyzer, {"process": {"text_lenght_filter": {}}}, "text_length_filter"),
        (DataJuicerExecutor, {"process": {"text_length_filter": {"min_length": 1}}}, "did you mean: min_len"),
        (
            DataJuicerAnalyzer,
            {"process": {"text_length_filter": {"min_len": "x"}}},
            "'min_len' expects type 'int'",
        ),
        (DataJuicerExecutor, {**TEXT, "no_such_key": 1}, "no_such_key"),
        (DataJuicerAnalyzer, {"process": {"whitespace_normalization_mapper": {}}}, "needs a filter"),
        (DataJuicerExecutor, TEXT, "keeps none of the 1 samples"),
        (DataJuicerAnalyzer, IMAGE, "cannot identify image file"),
        (DataJuicerExecutor, IMAGE, "cannot identify image file"),
    ],
    ids=["operator", "argument", "type", "key", "no-filter", "none-kept", "picture", "picture-executor"],
)
def test_a_bad_recipe_or_picture_is_named_in_the_last_line(
    write: Write, run: Any, tmp_path: Path, component: Any, recipe: dict[str, Any], message: str
) -> None:
    data = write(['{"text": "a", "images": ["broken.png"]}'])
    data.with_name("broken.png").write_bytes(b"no picture")
    with pytest.raises(ProcessError) as error:
        run(component(data, recipe))
    assert message in str(error.value).splitlines()[-1]
    assert "Traceback" not in (tmp_path / "log").read_text()
    assert not list((tmp_path / "out").glob("*.jsonl"))


@pytest.mark.slow
def test_nothing_is_ever_installed(write: Write, run: Any) -> None:
    with pytest.raises(ProcessError) as error:
        run(DataJuicerAnalyzer(write(['{"text": "a"}']), {"process": {"language_id_score_filter": {}}}))
    assert "needs the package 'fasttext" in str(error.value).splitlines()[-1]


@pytest.mark.slow
def test_an_operator_cannot_start_pip_itself() -> None:
    workers = Path(__file__).parents[2] / "sandbox" / "workers"
    # a dry run without an index: harmless where the guard should fail
    command = "[sys.executable, '-m', 'pip', 'install', '--dry-run', '--no-index', 'nothing']"
    script = f"import juicer_session as s, subprocess, sys; s.import_data_juicer(); subprocess.run({command})"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(workers)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "RecipeError: an operator of the recipe needs the package" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "exactly one of recipe and recipe_path"),
        ({"recipe": TEXT, "recipe_path": Path("r.yaml")}, "exactly one of recipe and recipe_path"),
        ({"recipe": {"np": 1}}, r"recipe\.process"),
        ({"recipe": TEXT, "num_proc": 0}, "num_proc"),
    ],
)
def test_arguments_are_checked_at_once(arguments: dict[str, Any], message: str) -> None:
    for component in (DataJuicerAnalyzer, DataJuicerExecutor):
        with pytest.raises(ValueError, match=message):
            component(Path("in.jsonl"), **arguments)


def test_executors_for_ray_are_refused(write: Write, run: Any) -> None:
    with pytest.raises(ValueError, match=r"recipe\.executor_type.*'ray'"):
        run(DataJuicerExecutor(write(['{"text": "a"}']), {**TEXT, "executor_type": "ray"}))
