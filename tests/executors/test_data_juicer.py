"""Data-Juicer's Analyzer, Executor and our fast probe of it."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from contract import problems_of
from pool_files import repacked

from sandbox.executors.data_juicer import (
    DataJuicerAnalyzer,
    DataJuicerExecutor,
    DataJuicerFastProbe,
)
from sandbox.job import JobScope
from sandbox.system.process import ProcessError

Write = Callable[[Sequence[str]], Path]
Run = Callable[..., dict[str, Any]]
PROBES = [DataJuicerAnalyzer, DataJuicerFastProbe]
TEXT = {"process": {"text_length_filter": {"min_len": 20, "max_len": 100}}}
IMAGE: dict[str, Any] = {"process": {"image_shape_filter": {}}}


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
def run(tmp_path: Path) -> Run:
    numbers = itertools.count()

    def go(
        component: Any, dataset_path: Path, recipe: dict[str, Any], **more: Any
    ) -> dict[str, Any]:
        out = tmp_path / "out" / str(next(numbers))  # each run is a job of its own
        out.mkdir(parents=True)
        scope = JobScope("job", out, tmp_path / "log", lambda metrics, step=None: None, **more)
        results = component.run(dataset_path, recipe, scope=scope)
        assert not list(out.glob("*_work"))
        return dict(vars(results))

    return go


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("probe", PROBES)
def test_a_probe_adds_statistics_and_keeps_the_lines(
    write: Write, picture: Path, run: Run, probe: Any
) -> None:
    lines = [
        '{"id":1.50, "text": "A red\\u0020circle, d\\u00e9j\\u00e0 vu", "n": 12345678901234567, '
        f'"images": ["{picture}"]}}',
        '{"text": "caf\u00e9 \u2028 x", "images": [ "red.png","red.png" ] ,"id": null, '
        '"meta": {"a": [1]}}  ',
        "",
        '{"__dj__stats__": {"text_len": 999, "old": 7}, "text": "three", "images": []}',
    ]
    recipe: dict[str, Any] = {"process": {"text_length_filter": {}, "image_shape_filter": {}}}
    made = run(probe(), write(lines), recipe)

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
def test_the_analyzer_draws_plots_on_request_and_gives_no_std_of_one_sample(
    write: Write, run: Run
) -> None:
    made = run(DataJuicerAnalyzer(plots=True), write(['{"text": "one"}']), TEXT)
    assert made["statistics"]["text_len"]["std"] is None
    assert {path.name for path in made["analysis_dir"].glob("*.png")} >= {
        "text_len-hist.png",
        "text_len-box.png",
    }


@pytest.mark.slow
def test_the_executor_filters_and_writes_its_recipe_as_a_file(
    write: Write, picture: Path, run: Run
) -> None:
    texts = [
        "short",
        "long enough for the filter",
        "long enough, but far too strange $$$$$$$$$$$$$$$$$$$$$",
    ]
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
    made = run(DataJuicerExecutor(), data, recipe)
    assert (made["num_samples_in"], made["num_samples_out"]) == (3, 1)
    assert rows(made["dataset_path"]) == [{"text": texts[1], "images": [str(picture)]}]
    written = yaml.safe_load(made["recipe_path"].read_text())
    assert [next(iter(operator)) for operator in written["process"]] == [
        "text_length_filter",
        "special_characters_filter",
        "text_length_filter",
    ]
    again = run(
        DataJuicerExecutor(num_proc=2), data, {**written, "dataset_path": "/nowhere", "np": 4}
    )
    assert rows(again["dataset_path"]) == [{"text": texts[1], "images": [str(picture)]}]


@pytest.mark.parametrize("component", [DataJuicerFastProbe, DataJuicerExecutor])
@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "in.jsonl: the data pool is empty"),
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
    write: Write, run: Run, component: Any, lines: list[str], message: str
) -> None:
    with pytest.raises(ProcessError) as error:
        run(component(), write(lines), TEXT)
    assert message in str(error.value).splitlines()[0]


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["jsonl.gz", "jsonl.zst", "parquet", "shards"])
@pytest.mark.parametrize("probe", PROBES)
def test_a_probe_reads_pools_of_every_format(
    write: Write, picture: Path, run: Run, probe: Any, ending: str
) -> None:
    lines = [f'{{"text": "{text}", "images": ["red.png"]}}' for text in ("one", "three")]
    folder = "../" if ending == "shards" else ""
    pool = repacked(write([line.replace("red.png", f"{folder}red.png") for line in lines]), ending)
    made = run(probe(), pool, TEXT)
    assert [row["text"] for row in rows(made["dataset_path"])] == ["one", "three"]
    assert all(Path(row["images"][0]).is_absolute() for row in rows(made["dataset_path"]))
    assert made["statistics"]["text_len"]["mean"] == 4.0


@pytest.mark.slow
def test_the_executor_reads_a_compressed_pool(write: Write, run: Run) -> None:
    texts = ["short", "long enough for the filter"]
    pool = repacked(write([json.dumps({"text": text}) for text in texts]), "jsonl.gz")
    made = run(DataJuicerExecutor(), pool, TEXT)
    assert [row["text"] for row in rows(made["dataset_path"])] == texts[1:]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("component", "recipe", "message"),
    [
        (DataJuicerAnalyzer, {"process": {"text_lenght_filter": {}}}, "text_length_filter"),
        (
            DataJuicerExecutor,
            {"process": {"text_length_filter": {"min_length": 1}}},
            "did you mean: min_len",
        ),
        (
            DataJuicerAnalyzer,
            {"process": {"words_num_filter": {"tokenization": 7}}},
            "'tokenization' expects type 'bool'",
        ),
        (DataJuicerExecutor, {**TEXT, "no_such_key": 1}, "no_such_key"),
        (
            DataJuicerAnalyzer,
            {"process": {"whitespace_normalization_mapper": {}}},
            "needs a filter",
        ),
        (DataJuicerExecutor, TEXT, "keeps none of the 1 samples"),
        (DataJuicerAnalyzer, IMAGE, "cannot identify image file"),
        (
            DataJuicerFastProbe,
            IMAGE,
            "image_shape_filter: UnidentifiedImageError: cannot identify image",
        ),
        (DataJuicerFastProbe, {"process": {"text_lenght_filter": {}}}, "text_lenght_filter"),
        (DataJuicerFastProbe, {"process": {"clean_email_mapper": {}}}, "needs a filter"),
        (
            DataJuicerFastProbe,
            {"process": {"words_num_filter": {"tokenization": 7}}},
            "'tokenization' expects type 'bool'",
        ),
        (DataJuicerExecutor, IMAGE, "cannot identify image file"),
    ],
    ids=[
        "operator",
        "argument",
        "type",
        "key",
        "no-filter",
        "none-kept",
        "picture",
        "picture-fast",
        "operator-fast",
        "no-filter-fast",
        "type-fast",
        "picture-executor",
    ],
)
def test_a_bad_recipe_or_picture_is_named_in_the_last_line(
    write: Write, run: Run, tmp_path: Path, component: Any, recipe: dict[str, Any], message: str
) -> None:
    data = write(['{"text": "a", "images": ["broken.png"]}'])
    data.with_name("broken.png").write_bytes(b"no picture")
    with pytest.raises(ProcessError) as error:
        run(component(), data, recipe)
    assert message in str(error.value).splitlines()[0]
    assert "Traceback" not in (tmp_path / "log").read_text()
    left = {path.name for path in (tmp_path / "out").glob("*/*.jsonl")}
    assert left <= {"rejected.jsonl"}  # of a recipe that keeps nothing


@pytest.mark.slow
def test_nothing_is_ever_installed(write: Write, run: Run) -> None:
    with pytest.raises(ProcessError) as error:
        run(
            DataJuicerAnalyzer(),
            write(['{"text": "a"}']),
            {"process": {"language_id_score_filter": {}}},
        )
    assert "needs the package 'fasttext" in str(error.value).splitlines()[0]


@pytest.mark.slow
def test_an_operator_cannot_start_pip_itself() -> None:
    workers = Path(__file__).parents[2] / "sandbox" / "workers"
    # a dry run without an index does no harm if the guard fails
    command = "[sys.executable, '-m', 'pip', 'install', '--dry-run', '--no-index', 'nothing']"
    script = (
        "import juicer_session, subprocess, sys\n"
        f"juicer_session.import_data_juicer(); subprocess.run({command})"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(workers)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "InputError: an operator of the recipe needs the package" in done.stderr.splitlines()[-1]


def test_the_number_of_processes_is_checked_and_may_come_with_the_recipe(
    write: Write, run: Run
) -> None:
    for component in (DataJuicerAnalyzer, DataJuicerExecutor, DataJuicerFastProbe):
        (problem,) = problems_of(component, num_proc=0)
        assert (problem.where, problem.kind) == ("num_proc", "constraint")
        with pytest.raises(ValueError, match=r"recipe\.np: expected at least 1, got 0"):
            run(component(), write(['{"text": "a"}']), {**TEXT, "np": 0})


TEXTS = [
    "Plain words, and more of them.",
    "Tief im Wald, d\u00e9j\u00e0 vu",
    "short",
    "one line\nand another one\n\nand one more",
    "ha ha ha ha ha ha ha ha ha ha ha ha ha ha",
    "$$$ ### !!!",
    "",
]
FILTERS: dict[str, dict[str, Any]] = {
    "alphanumeric_filter": {},
    "average_line_length_filter": {},
    "character_repetition_filter": {"rep_len": 3},
    "maximum_line_length_filter": {},
    "special_characters_filter": {},
    "text_length_filter": {"max_len": 3},
    "word_repetition_filter": {"rep_len": 2},
    "words_num_filter": {},
    "specified_field_filter": {"field_key": "id", "target_value": [1]},
    "specified_numeric_field_filter": {"field_key": "id", "max_value": 2},
    "image_aspect_ratio_filter": {},
    "image_shape_filter": {},
    "image_size_filter": {},
    "image_subplot_filter": {},
    "clean_email_mapper": {},
}
"""Every filter for texts and images that needs no download; and a mapper, which probes skip."""


@pytest.fixture
def captions(tmp_path: Path) -> Path:
    """Samples of all kinds: one, several or no pictures, rare keys, older statistics."""
    image = pytest.importorskip("PIL.Image")
    for index in range(4):
        image.effect_noise((20 + 13 * index, 30), 50).save(tmp_path / f"{index}.png")
    with (tmp_path / "captions.jsonl").open("w") as file:
        for index in range(60):
            sample: dict[str, Any] = {
                "id": index,
                "text": TEXTS[index % len(TEXTS)] + " x" * (index // 7 + 1),
            }
            if index % 3:
                sample["images"] = [f"{(index + i) % 4}.png" for i in range(index % 4)]
            if index % 10 == 0:
                sample["meta"] = {"title": f"title {index}"}
                sample["__dj__stats__"] = {"text_len": 99, "mine": [index]}
            file.write(json.dumps(sample) + "\n")
    return tmp_path / "captions.jsonl"


def installed(*packages: str) -> bool:
    return all(importlib.util.find_spec(package) for package in packages)


@pytest.mark.slow
def test_the_fast_probe_gives_the_analyzers_statistics_to_the_last_digit(
    captions: Path, run: Run
) -> None:
    process = dict(FILTERS)
    if not installed("cv2"):
        del process["image_subplot_filter"]
    recipe = {"process": process, "percentiles": [0.1]}
    slow = run(DataJuicerAnalyzer(), captions, recipe)
    lines = slow["dataset_path"].read_bytes()
    table = (slow["analysis_dir"] / "overall.csv").read_text()
    for num_proc in (1, 3):
        fast = run(DataJuicerFastProbe(num_proc=num_proc), captions, recipe)
        assert fast["dataset_path"].read_bytes() == lines
        assert fast["statistics"] == slow["statistics"]
        assert (fast["analysis_dir"] / "overall.csv").read_text() == table
    assert {"alnum_ratio", "image_width", "aspect_ratios", "num_words"} <= set(slow["statistics"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"usage_counter_mapper": {}}, "usage_counter_mapper tags samples"),
        ({"my_letter_filter": {}}, "custom_operator_paths: operators of your own"),
    ],
    ids=["tags", "own"],
)
def test_the_fast_probe_leaves_to_the_analyzer_what_only_that_can_do(
    write: Write, run: Run, tmp_path: Path, more: dict[str, Any], reason: str
) -> None:
    data = write(['{"text": "a letter"}', '{"text": "none"}'])
    recipe: dict[str, Any] = {"process": {"text_length_filter": {}, **more}}
    if "my_letter_filter" in more:
        (tmp_path / "my_operators.py").write_text(OWN_FILTER)
        recipe["custom_operator_paths"] = [str(tmp_path / "my_operators.py")]
    slow = run(DataJuicerAnalyzer(), data, recipe)
    (tmp_path / "log").unlink()
    fast = run(DataJuicerFastProbe(), data, recipe)
    assert fast["dataset_path"].read_bytes() == slow["dataset_path"].read_bytes()
    assert fast["statistics"] == slow["statistics"]
    assert "text_len" in fast["statistics"]
    log = (tmp_path / "log").read_text(encoding="utf-8")
    assert log.startswith(f"by the Analyzer: {reason}")


OWN_FILTER = """
from data_juicer.ops.base_op import OPERATORS, Filter
from data_juicer.utils.constant import Fields

@OPERATORS.register_module("my_letter_filter")
class MyLetterFilter(Filter):
    def compute_stats_single(self, sample, context=False):
        sample[Fields.stats]["letters"] = float(sample["text"].count("t"))
        return sample

    def process_single(self, sample):
        return True
"""


@pytest.mark.slow
def test_the_fast_probe_reads_the_recipes_keys(write: Write, run: Run) -> None:
    data = write(['{"title": "four", "body": "x"}', '{"title": "seven!!", "body": "yy"}'])
    recipe = {
        "text_keys": "title",
        "process": [
            {"text_length_filter": {"min_len": None}},
            {"words_num_filter": {"text_key": "body"}},
        ],
    }
    fast, slow = (
        run(probe(), data, recipe)["statistics"]
        for probe in (DataJuicerFastProbe, DataJuicerAnalyzer)
    )
    assert fast == slow
    assert fast["text_len"]["mean"] == 5.5


def reused(log_path: Path) -> list[str]:
    """Operators of which a run took something from the cache."""
    found, any_reused = [], False
    for line in log_path.read_text().splitlines():
        any_reused = any_reused or line.startswith("reused from the operator cache")
        if done := re.search(r"OP \[(\w+)\] Done", line):
            found += [done[1]] if any_reused else []
            any_reused = False
    return found


@pytest.mark.slow
def test_only_later_operators_run_again(captions: Path, run: Run, tmp_path: Path) -> None:
    def process(max_num: int, **more: Any) -> tuple[list[str], bytes]:
        (tmp_path / "log").unlink(missing_ok=True)
        words = {"min_num": 1, "max_num": max_num}
        recipe = {
            "process": {
                "text_length_filter": {},
                "clean_email_mapper": {},
                "words_num_filter": words,
            }
        }
        made = run(DataJuicerExecutor(), captions, recipe, **more)
        return reused(tmp_path / "log"), made["dataset_path"].read_bytes()

    cache = {"cache_dir": tmp_path / "cache"}
    assert process(9, **cache)[0] == []
    operators, other = process(6, **cache)
    assert operators == ["text_length_filter", "clean_email_mapper"]
    operators, again = process(6, **cache)
    assert operators == ["text_length_filter", "clean_email_mapper", "words_num_filter"]
    assert other == again == process(6)[1]
    (captions.parent / "1.png").touch()  # pictures count, whichever operator reads them
    assert process(6, **cache)[0] == []


@pytest.mark.slow
def test_the_analyzer_reuses_statistics_and_two_runs_share_a_cache(
    captions: Path, tmp_path: Path
) -> None:
    recipe: dict[str, Any] = {
        "process": {"text_length_filter": {}, "image_shape_filter": {}, "words_num_filter": {}}
    }

    def analyze(name: str, recipe: dict[str, Any]) -> bytes:
        (tmp_path / name).mkdir()
        scope = JobScope(
            "job",
            tmp_path / name,
            tmp_path / f"{name}.log",
            lambda metrics, step=None: None,
            tmp_path / "cache",
        )
        return DataJuicerAnalyzer().run(captions, recipe, scope=scope).dataset_path.read_bytes()

    with ThreadPoolExecutor() as threads:
        first, second = threads.map(lambda name: analyze(name, recipe), ("one", "two"))
    assert first == second
    recipe["process"]["words_num_filter"] = {"min_num": 3}
    assert analyze("three", recipe) == first
    assert reused(tmp_path / "three.log") == list(recipe["process"])  # whatever the thresholds
    recipe["process"]["words_num_filter"] = {"lang": "zh"}
    analyze("four", recipe)
    assert reused(tmp_path / "four.log") == ["text_length_filter", "image_shape_filter"]


@pytest.mark.slow
def test_the_cache_is_bounded_and_can_be_turned_off(
    captions: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache" / "data_juicer"
    monkeypatch.setenv("SANDBOX_OPERATOR_CACHE_GB", "0")
    run(DataJuicerExecutor(), captions, TEXT, cache_dir=tmp_path / "cache")
    assert not cache.exists()
    monkeypatch.setenv("SANDBOX_OPERATOR_CACHE_GB", "0.000001")
    run(DataJuicerExecutor(), captions, TEXT, cache_dir=tmp_path / "cache")
    assert list(cache.iterdir()) == []
    monkeypatch.delenv("SANDBOX_OPERATOR_CACHE_GB")
    run(DataJuicerExecutor(), captions, TEXT, cache_dir=tmp_path / "cache")
    assert len(list(cache.iterdir())) == 1
    assert "GB of at most 10 in" in (tmp_path / "log").read_text()


@pytest.mark.slow
@pytest.mark.skipif(not installed("ray"), reason="needs Ray")
def test_ray_gives_the_default_executors_result_in_order_and_removes_its_files(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", tempfile.mkdtemp(prefix="rt-", dir="/tmp"))
    texts = [f"caf\u00e9 {'word ' * (i % 9)}" for i in range(12_000)]
    data = tmp_path / "in.jsonl"
    with data.open("w") as file:
        for i, text in enumerate(texts):
            more = {"more": 0.1 + i / 3} if i % 2 else {}
            file.write(json.dumps({"id": i, "text": text, "meta": {"a": [i]}, **more}) + "\n")
    recipe = {
        "process": {"text_length_filter": {"min_len": 12}, "whitespace_normalization_mapper": {}}
    }
    plain = run(DataJuicerExecutor(), data, recipe)
    expected, counts = (
        rows(plain["dataset_path"]),
        (plain["num_samples_in"], plain["num_samples_out"]),
    )
    made = run(DataJuicerExecutor(num_proc=2), data, {**recipe, "executor_type": "ray"})
    assert (made["num_samples_in"], made["num_samples_out"]) == counts
    assert rows(made["dataset_path"]) == expected
    left = Path(os.environ["TMPDIR"])
    assert not list(left.glob("sandbox-ray-*"))
    running = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not [line for line in running if str(left).encode() in line]
    shutil.rmtree(left)


@pytest.mark.slow
@pytest.mark.skipif(not installed("ray"), reason="needs Ray")
@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"ray_address": "127.0.0.1:1"}, "recipe.ray_address: '127.0.0.1:1' does not answer"),
        (
            {"ray_address": "nonsense"},
            "expected local, auto, HOST:PORT or ray://HOST:PORT, got 'nonsense'",
        ),
        ({"process": {"document_deduplicator": {}}}, "does not support executor mode 'ray'"),
    ],
    ids=["address", "no-address", "operator"],
)
def test_a_ray_that_cannot_be_used_is_one_line(
    write: Write, run: Run, more: Any, message: str
) -> None:
    with pytest.raises(ProcessError) as error:
        run(
            DataJuicerExecutor(), write(['{"text": "a"}']), {**TEXT, "executor_type": "ray", **more}
        )
    assert message in str(error.value).splitlines()[0]


@pytest.mark.slow
@pytest.mark.skipif(not installed("ray"), reason="needs Ray")
def test_a_sample_that_ray_cannot_handle_is_an_error(write: Write, run: Run) -> None:
    data = write([f'{{"text": "a", "images": ["{name}.png"]}}' for name in ("good", "broken")])
    pytest.importorskip("PIL.Image").new("RGB", (8, 8)).save(data.with_name("good.png"))
    data.with_name("broken.png").write_bytes(b"no picture")
    with pytest.raises(ProcessError, match="cannot identify image file"):
        run(DataJuicerExecutor(), data, {**IMAGE, "executor_type": "ray"})
    with pytest.raises(
        ProcessError, match="executor_type: ray needs values of one kind for each key"
    ):
        mixed = write(['{"text": "a", "x": 1}', '{"text": "a", "x": "one"}'])
        run(DataJuicerExecutor(), mixed, {**TEXT, "executor_type": "ray"})
