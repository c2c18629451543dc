"""The one door to data pools: formats, shards, statistics, media, and one form of error."""

from __future__ import annotations

import datetime
import gzip
import json
import pickle
import random
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from sandbox.samples import (
    FORMATS,
    STATS,
    SampleError,
    format_of,
    is_pool,
    media_of,
    numbered_lines,
    parse_sample,
    read_lines,
    read_samples,
    shards,
    text_of,
    texts,
)
from sandbox.store.content import ContentHashes

SAMPLES = [{"id": number, "text": f"é {number}"} for number in range(5)]


def write(path: Path, samples: list[dict[str, Any]]) -> Path:
    """Write a pool in the format that its name asks for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in samples).encode()
    packs: dict[str, Callable[[bytes], bytes]] = {
        ".gz": gzip.compress,
        ".zst": zstandard.ZstdCompressor().compress,
    }
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(samples), path)
    else:
        path.write_bytes(packs.get(path.suffix, bytes)(data))
    return path


def contents(path: Path) -> list[dict[str, Any]]:
    return [sample for _, sample in read_samples(path)]


# formats


@pytest.mark.parametrize("ending", FORMATS)
def test_every_format_holds_the_same_samples(tmp_path: Path, ending: str) -> None:
    pool = write(tmp_path / f"my.v1.{ending}", SAMPLES)
    assert format_of(pool) == ending
    assert is_pool(pool)
    assert list(read_samples(pool)) == list(enumerate(SAMPLES, start=1))
    assert [json.loads(line) for line in read_lines(pool)] == SAMPLES
    assert list(texts([pool, pool], "text")) == [each["text"] for each in SAMPLES] * 2


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("x.jsonl.gz", "jsonl.gz"),
        ("x.JSONL.GZ", "jsonl.gz"),
        ("x.gz.jsonl", "jsonl"),
        ("x.zst", "jsonl.zst"),
        ("x.Parquet", "parquet"),
        ("x.json", "jsonl"),
        ("x", "jsonl"),
    ],
)
def test_the_last_extension_decides(name: str, expected: str) -> None:
    assert format_of(Path(name)) == expected


def test_a_folder_of_shards_is_one_pool(tmp_path: Path) -> None:
    write(tmp_path / "pool" / "b.jsonl.gz", SAMPLES[2:4])
    write(tmp_path / "pool" / "a.jsonl", SAMPLES[:2])
    write(tmp_path / "pool" / "c.parquet", SAMPLES[4:])
    write(tmp_path / "pool" / ".hidden.jsonl", SAMPLES)
    write(tmp_path / "pool" / "README.md", SAMPLES)
    pool = tmp_path / "pool"
    assert [shard.name for shard in shards(pool)] == ["a.jsonl", "b.jsonl.gz", "c.parquet"]
    assert list(read_samples(pool)) == list(enumerate(SAMPLES, start=1))
    assert [number for number, _ in numbered_lines(pool)] == [1, 2, 3, 4, 5]


def test_blank_lines_count_as_lines_but_not_as_samples(tmp_path: Path) -> None:
    pool = tmp_path / "a.jsonl"
    pool.write_bytes(b'\n{"id": 1}\n  \r\n{"id": 2}\r\n\n{"id": 3}')
    assert [(number, sample["id"]) for number, sample in read_samples(pool)] == [
        (2, 1),
        (4, 2),
        (6, 3),
    ]


def test_lines_keep_their_spelling_and_may_be_longer_than_a_chunk(tmp_path: Path) -> None:
    lines = [b'{ "a" : 1.50}', b'{"text": "' + b"x" * 5_000_000 + b'"}', b'{"b":"\\u00e9"} ']
    pool = tmp_path / "a.jsonl"
    pool.write_bytes(b"\n".join(lines))
    assert list(read_lines(pool)) == lines


def test_zstandard_frames_and_gzip_members_are_all_read(tmp_path: Path) -> None:
    skipped = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"
    frame = zstandard.ZstdCompressor().compress(b'{"id": 1}\n')
    (tmp_path / "a.jsonl.zst").write_bytes(skipped + frame + skipped + frame)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b'{"id": 1}\n') * 2)
    for name in ("a.jsonl.zst", "a.jsonl.gz"):
        assert contents(tmp_path / name) == [{"id": 1}] * 2


def test_whole_numbers_of_any_size_keep_their_value(tmp_path: Path) -> None:
    pool = write(tmp_path / "a.jsonl", [{"id": 12345678901234567890123}])
    assert contents(pool) == [{"id": 12345678901234567890123}]


def test_rows_of_parquet_are_written_as_json_as_far_as_json_goes(tmp_path: Path) -> None:
    pool = tmp_path / "a.parquet"
    pq.write_table(pa.table({"day": [datetime.date(2024, 5, 6)]}), pool)
    assert list(read_lines(pool)) == [b'{"day": "2024-05-06"}']
    pq.write_table(pa.table({"raw": [b"\xff"]}), pool)
    with pytest.raises(SampleError, match=r"a\.parquet:1: bytes cannot be written as JSON Lines"):
        list(read_lines(pool))


@pytest.mark.parametrize("ending", FORMATS)
def test_memory_does_not_grow_with_the_pool(tmp_path: Path, ending: str) -> None:
    generator = random.Random(0)
    rows = [{"id": i, "text": generator.randbytes(250).hex()} for i in range(40_000)]
    pool = write(tmp_path / f"a.{ending}", rows)
    next(iter(read_samples(pool)))  # imports are not counted
    tracemalloc.start()
    assert sum(1 for _ in read_samples(pool)) == 40_000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12_000_000


# statistics


@pytest.mark.parametrize("ending", FORMATS)
def test_statistics_of_a_file_beside_are_merged_in(tmp_path: Path, ending: str) -> None:
    pool = write(tmp_path / f"a.{ending}", SAMPLES)
    write(tmp_path / "a_stats.jsonl", [{STATS: {"len": i}} for i in range(5)])
    assert contents(pool) == [{**each, STATS: {"len": each["id"]}} for each in SAMPLES]
    assert [sample for _, sample in read_samples(pool, with_stats=False)] == SAMPLES


def test_statistics_beside_a_pool_count_in_its_content(tmp_path: Path) -> None:
    pool = write(tmp_path / "a.jsonl", SAMPLES)
    contents_of = []
    for value in (None, 1, 2, 1):
        if value is not None:
            write(tmp_path / "a_stats.jsonl", [{STATS: {"len": value}}] * 5)
        contents_of.append(ContentHashes(tmp_path / "store").of(pool))
    assert contents_of[1] == contents_of[3]
    assert len(set(contents_of)) == 3


def test_statistics_inside_a_sample_come_first(tmp_path: Path) -> None:
    pool = write(tmp_path / "a.jsonl", [{"id": 1, STATS: {"len": 3}}])
    write(tmp_path / "a_stats.jsonl", [{STATS: {"len": 9}}] * 2)
    assert contents(pool) == [{"id": 1, STATS: {"len": 3}}]


def test_a_file_of_statistics_is_no_shard(tmp_path: Path) -> None:
    write(tmp_path / "pool" / "a.jsonl.gz", SAMPLES[:1])
    write(tmp_path / "pool" / "a_stats.jsonl", [{STATS: {"len": 3}}])
    assert contents(tmp_path / "pool") == [{**SAMPLES[0], STATS: {"len": 3}}]


@pytest.mark.parametrize(
    ("statistics", "message"),
    [
        ([{STATS: {}}] * 4, r"a_stats\.jsonl: expected as many samples as a\.jsonl has"),
        ([{STATS: {}}] * 6, r"a_stats\.jsonl: expected as many samples as a\.jsonl has"),
        ([{STATS: {}}, {"len": 2}], r"a_stats\.jsonl:2: no statistics under '__dj__stats__'"),
    ],
)
def test_a_file_of_statistics_must_fit(tmp_path: Path, statistics: Any, message: str) -> None:
    pool = write(tmp_path / "a.jsonl", SAMPLES)
    write(tmp_path / "a_stats.jsonl", statistics)
    with pytest.raises(SampleError, match=message):
        contents(pool)


# media and texts


def test_relative_media_count_from_the_pools_folder(tmp_path: Path) -> None:
    sample = {"images": ["a/b.png", "/x/y.png", "s3://c/d.png"], "videos": "v.mp4", "audios": None}
    pool = write(tmp_path / "pool" / "a.jsonl", [sample])
    for path in (pool, pool.parent):
        assert media_of(sample, "images", path, 1) == [
            f"{tmp_path}/pool/a/b.png",
            "/x/y.png",
            "s3://c/d.png",
        ]
        assert media_of(sample, "videos", path, 1) == [f"{tmp_path}/pool/v.mp4"]
        assert media_of(sample, "audios", path, 1) == media_of({}, "images", path, 1) == []


@pytest.mark.parametrize("value", [3, [3], {"a": "b"}])
def test_media_must_be_paths(value: Any) -> None:
    with pytest.raises(SampleError, match=r"a\.jsonl:7: expected a list of paths under 'images'"):
        media_of({"images": value}, "images", Path("a.jsonl"), 7)


def test_a_sample_without_the_text_is_an_error_that_names_its_keys() -> None:
    assert text_of({"text": "x"}, "text", Path("a.jsonl"), 1) == "x"
    with pytest.raises(SampleError, match=r"^a\.jsonl:3: no text under 'text'; keys: id, body$"):
        text_of({"id": 1, "body": "x"}, "text", Path("a.jsonl"), 3)
    with pytest.raises(SampleError, match=r"^a\.jsonl:3: expected a text under 'text', got 5$"):
        text_of({"text": 5}, "text", Path("a.jsonl"), 3)


# errors


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"a\.jsonl: the data pool is empty"),
        (b"\n \n", r"a\.jsonl: the data pool is empty"),
        (b'{"id": 1}\n\nnonsense\n', r"a\.jsonl:3: not valid JSON"),
        (b'{"id": 1}\n[1]\n', r"a\.jsonl:2: expected a JSON object, got '\[1\]'"),
        (b'\xef\xbb\xbf{"id": 1}\n', r"a\.jsonl:1: not valid JSON"),
        (b'{"id": 1} {"id": 2}\n', r"a\.jsonl:1: not valid JSON: extra data from character 10"),
        (b'{"id": 1}\xe2\x80\xa8\n', r"a\.jsonl:1: not valid JSON: extra data"),
        (b'{"id": "\xff"}\n', r"a\.jsonl:1: not valid JSON: .*utf-8"),
        (b'{"id": ' + b"[" * 100_000 + b"\n", r"a\.jsonl:1: not valid JSON"),
    ],
)
def test_malformed_lines_are_named(tmp_path: Path, data: bytes, message: str) -> None:
    pool = tmp_path / "a.jsonl"
    pool.write_bytes(data)
    with pytest.raises(SampleError, match=message):
        contents(pool)


@pytest.mark.parametrize("ending", ["jsonl.gz", "jsonl.zst", "parquet"])
@pytest.mark.parametrize("keep", [0, 40])
def test_a_cut_file_is_named(tmp_path: Path, ending: str, keep: int) -> None:
    pool = write(tmp_path / f"a.{ending}", [{"id": i, "text": str(i) * 9} for i in range(99)])
    pool.write_bytes(pool.read_bytes()[:keep])
    for read in (read_samples, read_lines):
        with pytest.raises(SampleError, match=rf"a\.{ending}: "):
            list(read(pool))


def test_missing_pools_and_empty_folders_are_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no data pool .*a\.jsonl"):
        list(read_samples(tmp_path / "a.jsonl"))
    with pytest.raises(SampleError, match=r"no shard in this folder \(\.jsonl, \.jsonl\.gz, "):
        list(read_samples(tmp_path))


def test_errors_are_short_and_survive_pickling() -> None:
    error = SampleError.at(Path("/very/long" * 99, "a.jsonl"), 12, "many words\n" * 99)
    assert len(str(error)) == 200
    assert "long/a.jsonl:12: many words many" in str(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize(
    ("ending", "package"), [("jsonl.zst", "zstandard"), ("parquet", "pyarrow")]
)
def test_a_missing_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, package: str
) -> None:
    pool = write(tmp_path / f"a.{ending}", SAMPLES)
    for module in [each for each in sys.modules if each.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    expected = rf"a\.{ending} needs {package}, which is not installed in .*sandbox\[data\]"
    with pytest.raises(ModuleNotFoundError, match=expected):
        list(read_samples(pool))


def test_constants_that_are_not_json_are_refused_on_request() -> None:
    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is not JSON")

    line = b'{"a": NaN}'
    assert parse_sample(line, Path("a.jsonl"), 1)["a"] != 0
    with pytest.raises(SampleError, match=r"a\.jsonl:1: not valid JSON: NaN is not JSON"):
        parse_sample(line, Path("a.jsonl"), 1, parse_constant=refuse)


def test_a_worker_reads_pools_without_the_rest_of_the_project(tmp_path: Path) -> None:
    pool = write(tmp_path / "a.jsonl.gz", SAMPLES)
    workers = Path(__file__).parents[1] / "sandbox" / "workers"
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path; "
        "import sample_files; print(len(list(sample_files.read_samples(Path(sys.argv[2])))))"
    )
    command = [sys.executable, "-I", "-S", "-c", script, str(workers), str(pool)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "5\n"
