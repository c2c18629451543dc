"""Compressed pools, Parquet, separate statistics, and media paths that move."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from contract import problems_of
from pool_samples import MakePool, ids, run, sample

from sandbox.pools.cartesian_join import DataPoolCartesianJoin
from sandbox.pools.combination import DataPoolCombination
from sandbox.pools.construction import DataPoolConstruction
from sandbox.pools.downsampling import DataPoolDownsampling
from sandbox.pools.duplication import DataPoolDuplication
from sandbox.pools.media import perhaps_relative
from sandbox.pools.merging import DataPoolMerging
from sandbox.samples import FORMATS, STATS


def written_as(path: Path, ending: str) -> Path:
    """The same pool in another format."""
    data = path.read_bytes()
    other = path.with_name(path.name.replace(".jsonl", f".{ending}"))
    if ending == "parquet":
        pq.write_table(
            pa.Table.from_pylist([json.loads(line) for line in data.splitlines()]), other
        )
    elif ending == "jsonl.gz":
        other.write_bytes(gzip.compress(data))
    elif ending == "jsonl.zst":
        other.write_bytes(zstandard.ZstdCompressor().compress(data))
    return other


def samples(path: Path) -> list[Any]:
    """Return the samples of a pool of any format."""
    if path.suffix == ".parquet":
        rows: list[Any] = pq.read_table(path).to_pylist()
        return rows
    if path.suffix == ".zst":
        with path.open("rb") as file:
            text = zstandard.ZstdDecompressor().stream_reader(file).read()
    else:
        text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("before", FORMATS)
@pytest.mark.parametrize("after", [None, *FORMATS])
def test_every_format_goes_in_and_out(
    make_pool: MakePool, out: Path, before: str, after: str | None
) -> None:
    lines = [sample(i, a=[float(-i)], b=i / 3) for i in range(9)]
    pool = written_as(make_pool("my.v1.jsonl", lines), before)
    ending = after or before
    wanted = [json.loads(line) for line in lines]

    high = run(DataPoolConstruction, out, dataset_path=pool, output_format=after).paths[2]
    merged = run(DataPoolMerging, out, dataset_paths=[pool, pool], output_format=after).dataset_path
    doubled = run(
        DataPoolDuplication, out, dataset_paths=[pool], duplicating_times=[2], output_format=after
    ).paths
    drawn = run(
        DataPoolDownsampling, out, dataset_paths=[pool], num_samples=9, output_format=after
    ).paths
    common = run(DataPoolCombination, out, dataset_paths=[pool, pool], output_format=after).paths

    assert [path.name for path in (high, *doubled)] == [
        f"my.v1_a_high.{ending}",
        f"my.v1_x2.{ending}",
    ]
    assert samples(high) == wanted[2::-1]
    assert samples(merged) == samples(doubled[0]) == wanted * 2
    assert samples(drawn[0]) == samples(common[2]) == wanted


def test_a_join_goes_in_and_out_of_parquet(make_pool: MakePool, out: Path) -> None:
    left = written_as(make_pool("v.jsonl", ['{"v": 1}', '{"v": 2}']), "parquet")
    right = make_pool("t.jsonl", ['{"t": "x"}'])
    (joined,) = run(DataPoolCartesianJoin, out, first_paths=[left], second_paths=[right]).paths
    assert joined.suffix == ".parquet"
    assert samples(joined) == [{"v": 1, "t": "x"}, {"v": 2, "t": "x"}]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ['{"a": 1}', '{"a": 12345678901234567890}'],
            r"d\.jsonl:2: 12345678901234567890 does not",
        ),
        (
            ['{"a": {"b": [9007199254740993]}}', '{"a": {"b": [0.5]}}'],
            r"d\.jsonl:1: 900719",
        ),
        (['{"a": {}}'], r"cannot be written as Parquet"),
        (['{"a": ' + "[" * 200 + "]" * 200 + "}"], r"d\.jsonl: cannot be read as Parquet"),
    ],
)
def test_values_that_parquet_would_change_are_refused(
    make_pool: MakePool, out: Path, lines: list[str], message: str
) -> None:
    pool = make_pool("d.jsonl", lines)
    with pytest.raises(ValueError, match=message):
        run(DataPoolMerging, out, dataset_paths=[pool], output_format="parquet")
    assert not list(out.iterdir())


def test_large_whole_numbers_go_into_parquet(make_pool: MakePool, out: Path) -> None:
    lines = ['{"a": 9223372036854775807, "b": 1e300}', '{"a": -9223372036854775808, "b": 2.0}']
    merged = run(
        DataPoolMerging, out, dataset_paths=[make_pool("d.jsonl", lines)], output_format="parquet"
    )
    assert samples(merged.dataset_path) == [json.loads(line) for line in lines]


def test_parquet_keeps_its_types(tmp_path: Path, out: Path) -> None:
    schema = pa.schema(
        [("id", pa.int16()), ("raw", pa.binary()), ("when", pa.timestamp("ms"))], {"k": "v"}
    )
    table = pa.table({"id": [1, 2, 3], "raw": [b"\xff", b"", None], "when": [5, 6, 7]}, schema)
    pq.write_table(table, tmp_path / "a.parquet")
    merged = run(DataPoolMerging, out, dataset_paths=[tmp_path / "a.parquet"]).dataset_path
    assert pq.read_table(merged).equals(table, check_metadata=True)


@pytest.mark.parametrize("ending", ["jsonl.gz", "jsonl.zst", "parquet"])
@pytest.mark.parametrize("keep", [0, 30])
def test_a_cut_file_is_refused(make_pool: MakePool, out: Path, ending: str, keep: int) -> None:
    pool = written_as(make_pool("a.jsonl", [sample(i, a=i) for i in range(50)]), ending)
    pool.write_bytes(pool.read_bytes()[:keep])
    with pytest.raises(ValueError, match=rf"a\.{ending}: "):
        run(DataPoolMerging, out, dataset_paths=[pool])
    assert not list(out.iterdir())


def test_zstandard_files_may_have_several_frames(tmp_path: Path, out: Path) -> None:
    pack, skipped = zstandard.ZstdCompressor().compress, b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"
    big = "".join(sample(i) + "\n" for i in range(20_000)).encode()
    path = tmp_path / "a.jsonl.zst"
    path.write_bytes(skipped + pack(big) + pack(b"") + skipped + pack(big) + skipped)
    merged = run(DataPoolMerging, out, dataset_paths=[path], output_format="jsonl").dataset_path
    assert merged.read_bytes() == big * 2
    path.write_bytes(pack(big) + b"rubbish")
    with pytest.raises(ValueError, match="cannot be unpacked"):
        run(DataPoolMerging, out, dataset_paths=[path])


def test_an_unknown_format_is_refused(make_pool: MakePool) -> None:
    pool = make_pool("a.jsonl", [sample(1)])
    (problem,) = problems_of(DataPoolMerging, dataset_paths=[pool], output_format="csv")
    assert (problem.where, problem.kind) == ("output_format", "wrong_type")
    assert "jsonl.zst" in str(problem)


# statistics of their own


def test_statistics_may_come_from_a_file_of_their_own(make_pool: MakePool, out: Path) -> None:
    data = make_pool("d.jsonl", [f'{{"id": {i}}}' for i in range(6)])
    stats = make_pool("d_stats.jsonl", [json.dumps({STATS: {"a": -i}}) for i in range(6)])
    made = run(DataPoolConstruction, out, dataset_path=data, stats_path=stats)
    assert [ids(path) for path in made.paths] == [[5, 4], [3, 2], [1, 0]]
    short = make_pool("short.jsonl", [json.dumps({STATS: {"a": 1}})])
    with pytest.raises(ValueError, match=r"short\.jsonl has statistics of 1 samples, but .* has 6"):
        run(DataPoolConstruction, out, dataset_path=data, stats_path=short)


@pytest.mark.parametrize("ending", FORMATS)
def test_statistics_in_data_juicers_file_beside_the_pool_are_found(
    make_pool: MakePool, out: Path, ending: str
) -> None:
    data = written_as(make_pool("d.jsonl", [f'{{"id": {i}}}' for i in range(6)]), ending)
    make_pool("d_stats.jsonl", [json.dumps({STATS: {"a": -i}}) for i in range(6)])
    made = run(DataPoolConstruction, out, dataset_path=data, output_format="jsonl")
    assert [ids(path) for path in made.paths] == [[5, 4], [3, 2], [1, 0]]


# shards


@pytest.mark.parametrize("ending", FORMATS)
def test_a_folder_of_shards_is_one_pool(make_pool: MakePool, out: Path, ending: str) -> None:
    lines = [sample(i, a=-i) for i in range(6)]
    (folder := out.parent / "pool").mkdir()
    for name, part in (("b", lines[2:]), ("a", lines[:2])):
        written_as(make_pool(f"{name}.jsonl", part), ending).rename(folder / f"{name}.{ending}")
    merged = run(DataPoolMerging, out, dataset_paths=[folder, folder], output_format="jsonl")
    assert merged.dataset_path.name == "pool_merged.jsonl"
    assert ids(merged.dataset_path) == [0, 1, 2, 3, 4, 5] * 2
    made = run(DataPoolConstruction, out, dataset_path=folder)
    assert [path.name for path in made.paths] == [
        f"pool_a_{part}.{ending}" for part in ("low", "middle", "high")
    ]
    assert [each["id"] for each in samples(made.paths[0])] == [5, 4]


def test_statistics_beside_every_shard_are_found(make_pool: MakePool, out: Path) -> None:
    for name, numbers in (("a", [1, 2]), ("b", [3])):
        make_pool(f"pool/{name}.jsonl", [f'{{"id": {i}}}' for i in numbers])
        make_pool(f"pool/{name}_stats.jsonl", [json.dumps({STATS: {"x": -i}}) for i in numbers])
    made = run(DataPoolConstruction, out, dataset_path=out.parent / "pool", split_num=3)
    assert ids(made.paths[0]) == [3, 2, 1]


def test_the_number_of_a_line_counts_blank_lines(make_pool: MakePool, out: Path) -> None:
    pool = make_pool("d.jsonl", ["", sample(1, a=1), "", "", sample(2), sample(3, a=2)])
    with pytest.raises(ValueError, match=r"d\.jsonl:5: no statistic 'a'"):
        run(DataPoolConstruction, out, dataset_path=pool)


# media


def test_relative_media_paths_stay_valid(make_pool: MakePool, tmp_path: Path, out: Path) -> None:
    lines = [
        '{"id": 1, "images": ["/x/y.png"], "text": "\\"images\\": [\\"no.png\\"]"}',
        '{"id": 2,  "images" : [ "/x.png", "b/\\u00e9 \\"q\\".png" ], '
        '"videos": ["s3://v.mp4", "c.mp4"]}',
        '{"id": 3, "meta": {"images": ["not.png", "ours.png"]}, "images": ["\\/abs.png"]}',
    ]
    pool = make_pool("in/a.jsonl", lines)
    merged = run(DataPoolMerging, out, dataset_paths=[pool]).dataset_path
    written = merged.read_text().splitlines()
    folder = tmp_path / "in"
    assert [written[0], written[2]] == [lines[0], lines[2]]
    assert written[1] == lines[1].replace('"b/', f'"{folder}/b/').replace(
        '"c.mp4', f'"{folder}/c.mp4'
    )
    drawn = run(DataPoolDownsampling, out, dataset_paths=[pool], num_samples=2, seed=4).paths[0]
    assert drawn.read_text().splitlines() == written[:2]


@pytest.mark.parametrize("path", ["/a", "\\/a", "http://a", "https://a", "s3://a/b"])
def test_absolute_media_paths_are_recognized_without_parsing_the_line(path: str) -> None:
    line = f'{{"x": 1, "videos" : [ "/y" , "{path}"]}}'
    value = pa.array([line.encode()])
    assert not len(perhaps_relative(value, value))


@pytest.mark.parametrize(
    "path",
    [
        "a",
        "h",
        "ht",
        "http",
        "httpd/a",
        "https",
        "http:a",
        "https:a",
        "s",
        "s3",
        "s3:",
        "sa",
        "\\u00e9",
    ],
)
def test_relative_media_paths_are_not_missed(path: str) -> None:
    for media in (f'"{path}"', f'"/y", "{path}"', f'"http://y","{path}", "/z"'):
        value = pa.array([f'{{"images":[{media}]}}'.encode()])
        assert perhaps_relative(value, value).tolist() == [0]


@pytest.mark.parametrize("kind", [pa.list_(pa.string()), pa.large_list(pa.string())])
def test_relative_media_paths_stay_valid_in_parquet(
    tmp_path: Path, out: Path, kind: pa.DataType
) -> None:
    pool = tmp_path / "in" / "a.parquet"
    pool.parent.mkdir()
    pq.write_table(pa.table({"images": pa.array([["/x.png", "y.png"], []], kind)}), pool)
    merged = run(DataPoolMerging, out, dataset_paths=[pool]).dataset_path
    assert samples(merged) == [{"images": ["/x.png", f"{tmp_path}/in/y.png"]}, {"images": []}]
