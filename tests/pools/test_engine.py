"""Lines in any order, draws that are the same everywhere, files that are whole or not there."""

from __future__ import annotations

import errno
import os
import random
import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pool_samples import MakePool, run, sample

from sandbox.pools import lines as engine
from sandbox.pools.combination import DataPoolCombination
from sandbox.pools.construction import DataPoolConstruction
from sandbox.pools.downsampling import DataPoolDownsampling
from sandbox.pools.duplication import DataPoolDuplication
from sandbox.pools.merging import DataPoolMerging
from sandbox.pools.opening import open_lines
from sandbox.pools.sampling import draw, shuffled


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small pools go the way of large ones: many blocks, windows and takes."""
    sizes = {"_SCAN": 100, "_CHECK": 3, "_TAKE": 5, "_TAKE_WINDOW": 7}
    for name, size in {**sizes, "_SMALL": 0, "_WINDOW": 3000, "_COPY": 64}.items():
        monkeypatch.setattr(engine, name, size)


def use_cores(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(engine, "available_cpus", lambda: number)


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("cores", [1, 2, 5])
def test_lines_come_in_the_order_asked_for(
    make_pool: MakePool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    use_cores(monkeypatch, cores)
    text = [f'{{"id": {i}, "text": "{"é" * (i * 37 % 200)}"}}' for i in range(200)]
    pool = open_lines(make_pool("a.jsonl", text), tmp_path)
    generator = random.Random(1)
    for wanted in (
        generator.sample(range(200), 200),
        generator.choices(range(200), k=500),
        sorted(generator.sample(range(200), 50)),
        range(200),
        range(17, 40),
    ):
        rows = wanted if isinstance(wanted, range) else np.array(wanted, dtype=np.uint32)
        written = b"".join(bytes(piece) for piece in pool.pieces(rows)).decode()
        assert written == "".join(text[row] + "\n" for row in wanted)


@pytest.mark.usefixtures("small_steps")
def test_one_core_and_several_write_the_same_files(
    make_pool: MakePool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [sample(i, a=i * 7919 % 83, b=[i % 5, i % 3], c=i / 7) for i in range(300)]
    pools = [make_pool(f"p{n}.jsonl", lines[n * 20 : 200 + n * 20]) for n in range(3)]
    written = []
    for cores in (1, 4):
        use_cores(monkeypatch, cores)
        out = tmp_path / str(cores)
        run(
            DataPoolConstruction,
            out,
            dataset_path=make_pool("d.jsonl", lines),
            equal_size=True,
            num_random=2,
        )
        run(DataPoolCombination, out, dataset_paths=pools)
        run(DataPoolDownsampling, out, dataset_paths=pools, num_samples=50)
        run(DataPoolDuplication, out, dataset_paths=pools, duplicating_times=[2, 3], shuffle=True)
        run(DataPoolMerging, out, dataset_paths=pools)
        written.append({path.name: path.read_bytes() for path in out.iterdir()})
    assert len(written[0]) == 11 + 7 + 3 + 6 + 1
    assert written[0] == written[1]


def test_shown_order_is_the_same_in_every_version(make_pool: MakePool, tmp_path: Path) -> None:
    assert draw(20, 5, 0).tolist() == [3, 5, 7, 12, 15]
    assert shuffled(10, 0).tolist() == [3, 7, 5, 2, 8, 4, 9, 1, 6, 0]


def test_file_systems_that_cannot_copy_inside_the_kernel_do_as_well(
    make_pool: MakePool, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: int) -> int:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "copy_file_range", refuse)
    pool = make_pool("a.jsonl", [sample(i) for i in range(9)])
    (doubled,) = run(DataPoolDuplication, out, dataset_paths=[pool], duplicating_times=[2]).paths
    assert doubled.read_bytes() == pool.read_bytes() * 2


@pytest.mark.parametrize("seed", [0, 42, 2**32 + 5, 2**70, -3])
def test_draws_follow_pythons_own_stream(seed: int) -> None:
    generator = random.Random(seed)
    keys = [generator.random() for _ in range(1000)]
    order = sorted(range(1000), key=keys.__getitem__)
    assert shuffled(1000, seed).tolist() == order
    for size in (1, 10, 999, 1000):
        assert draw(1000, size, seed).tolist() == sorted(order[:size])


def test_white_space_between_values_is_kept(make_pool: MakePool, out: Path) -> None:
    path = make_pool("a.jsonl", [])
    path.write_bytes(b'{"id":\t1}\r\n\t{"id": 2 }\t\r\n{\r"id": 3}\n')
    merged = run(DataPoolMerging, out, dataset_paths=[path]).dataset_path
    assert merged.read_bytes() == path.read_bytes()


def test_blank_lines_and_a_missing_line_end_do_not_matter(make_pool: MakePool, out: Path) -> None:
    path = make_pool("a.jsonl", [])
    path.write_bytes(b'\n{"id": 1}\n  \n\n{"id": 2}\r\n{"id": 3}')
    merged = run(DataPoolMerging, out, dataset_paths=[path, path]).dataset_path
    assert merged.read_bytes() == b'{"id": 1}\n{"id": 2}\r\n{"id": 3}\n' * 2


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"a\.jsonl: the data pool is empty"),
        (b"\n \n", r"a\.jsonl: the data pool is empty"),
        (
            b'{"id": 1}\n\nnonsense\n',
            r"a.jsonl:3: expected a JSON object on every line, got 'nonsense'",
        ),
        (b'\xef\xbb\xbf{"id": 1}\n', r"a.jsonl:1: .* got '\\ufeff{"),
        (b'{"id": 1}\n{"id": 2}\x0b\n', r"a.jsonl:2: expected a JSON object"),
        (b'{"id": 1}\r{"id": 2}\r', r"a.jsonl:1: not valid JSON"),
        (b'{"id": 1}\n{"id": "a\tb"}\n', r"a.jsonl:2: not valid JSON"),
        (b'{"id": 1}\r\n{"id": \x00 2}\r\n', r"a.jsonl:2: not valid JSON"),
        (b'{"id": 1}\n{"id": 2\n', r"a.jsonl:2: expected a JSON object"),
        (b'{"id": 1}\n[1]\n', r"a.jsonl:2: expected a JSON object"),
        (b'{\n"id": 1}\n', r"a.jsonl:1: expected a JSON object"),
    ],
)
def test_malformed_pools_are_refused(
    make_pool: MakePool, out: Path, data: bytes, message: str
) -> None:
    path = make_pool("a.jsonl", [])
    path.write_bytes(data)
    for manipulator in (DataPoolMerging, DataPoolDownsampling, DataPoolCombination):
        with pytest.raises(ValueError, match=message):
            run(manipulator, out, dataset_paths=[path])
    assert not list(out.iterdir())


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file may be longer than 100,000 bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("output_format", ["jsonl", "jsonl.gz", "jsonl.zst", "parquet"])
def test_a_pool_that_does_not_fit_leaves_nothing_under_its_name(
    make_pool: MakePool, out: Path, request: pytest.FixtureRequest, output_format: str
) -> None:
    generator = random.Random(0)
    text = [f'{{"id": {i}, "text": "{generator.randbytes(90).hex()}"}}' for i in range(3000)]
    pool = make_pool("a.jsonl", text)
    request.getfixturevalue("small_disk")
    given = {"dataset_paths": [pool], "num_samples": 2000, "output_format": output_format}
    with pytest.raises(OSError, match="File too large") as raised:
        run(DataPoolDownsampling, out, **given)
    assert raised.value.errno == errno.EFBIG
    assert not list(out.iterdir())
