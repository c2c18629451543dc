"""Classes of wrong inputs in files: broken YAML, damaged data pools, files in the way."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Sequence
from random import Random
from typing import Any

import yaml
from bad_input_try import BAD, RUN, Try, body, planned, put, text_file, written


def broken_yaml(draw: Random) -> Try:
    """A file that is no YAML, or no mapping."""
    good = written(body())[BAD] or b""
    bad: Sequence[bytes] = (
        *(b"a: [1, 2", b"a: {b: 1", b"\tkey: 1", b"a: 'x", b'a: "x\\q"', b"a: b: c", b"- 1\na: 2"),
        *(b"a: *nope", b"a: &x", b"a: &x [*x]", b"%YAML 9.9\n---\na: 1", b"a: 1\n---\nb: 2"),
        *(b"\xff\xfe\x00a", b"a: \xff", b"a: \x00", b"a: 1\na: 2", b"? [1]\n: 2", b"? {a: b}\n: 2"),
        *(b"[1, 2]", b"3", b"just text", b"!!python/object/apply:os.system ['id']", b"@", b"`a`"),
        *(
            b"a: !",
            b"!!map [1]",
            b"a: !!int x",
            b"a: !!float y",
            b"a: !!bool z",
            b"<<: 3",
            b"a: |3",
        ),
    )
    if draw.random() < 0.6:
        head = b"# @package _global_\n" if draw.random() < 0.7 else b""
        content = head + draw.choice(bad)
        return Try((*RUN, "dry_run=true"), {BAD: content}, (2,), ("bad", "pipelines", "experiment"))
    data = bytearray(good)
    for _ in range(draw.randint(1, 4)):
        place = draw.randrange(len(data))
        data[place : place + draw.randint(0, 3)] = bytes([draw.randrange(256)])
    return Try((*RUN, "dry_run=true"), {BAD: bytes(data)}, (0, 2), ("",))


def yaml_tag(draw: Random) -> Try:
    """A value with a tag of YAML that is neither text, number nor truth value."""
    tag = draw.choice(
        (
            *("!!binary aGVsbG8=", "!!binary x", "!!set {a, b}", "!!omap [a: 1]", "!!pairs [a: 1]"),
            *("!!python/object/apply:os.system ['id']", "!!python/name:os.system", "!custom 3"),
            *("!!python/tuple [1]", "!!python/bytes x", "!!timestamp 2020-01-01", "!!int 'x'"),
            *("!!python/object/new:os.system [id]", "!!null x", "!<tag:x,2000:y> 1", "!!merge x"),
        )
    )
    place = draw.choice(("jobs.x.executor.value", "outputs_dir", "force", "mine", "targets"))
    text = yaml.safe_dump(put(body(), place, "PLACE"), sort_keys=False).replace("PLACE", tag)
    is_right = tag.startswith(("!!timestamp", "!!null", "!!merge"))
    return Try(
        (*RUN, "dry_run=true"),
        text_file(f"# @package _global_\n{text}"),
        (0, 2) if is_right else (2,),
        (place, "bad.yaml", "experiment/bad"),
    )


def nesting(draw: Random) -> Try:
    """A value that is nested too deeply."""
    depth = draw.choice((41, 60, 99, 101, 150, 300, 1000, 5000, 50000))
    begin, end = draw.choice((("{a: ", "}"), ("[", "]"), ("[{a: ", "}]")))
    value = begin * depth + "1" + end * depth
    place = draw.choice(("jobs.x.executor.value", "mine", "pipelines", "targets", "watcher"))
    if draw.random() < 0.3 and depth < 5000:
        value = value.replace(" ", "")
        return Try((*RUN, "dry_run=true", f"++{place}={value}"), written(body()), (2,), ("deep",))
    text = yaml.safe_dump(put(body(), place, "PLACE"), sort_keys=False).replace("PLACE", value)
    named = ("bad", place)
    return Try((*RUN, "dry_run=true"), text_file(f"# @package _global_\n{text}"), (2,), named)


def defaults(draw: Random) -> Try:
    """A defaults list that is wrong, or leads in a circle."""
    if draw.random() < 0.3:
        size = draw.randint(1, 4)
        names = ["bad", *(f"more_{index}" for index in range(1, size))]
        group = draw.choice(("", "/experiment: "))
        files = {}
        for index, name in enumerate(names):
            after = names[(index + 1) % size]
            text = f"# @package _global_\ndefaults: [{group}{after}, _self_]\n"
            files[f"project/conf/experiment/{name}.yaml"] = text.encode()
        return Try((*RUN, "dry_run=true"), files, (2,), ("experiment/bad",))
    wrong = draw.choice(
        (
            *(
                3,
                "text",
                {"a": "b"},
                [3],
                [[]],
                [None],
                [{}],
                ["_self_", "_self_"],
                [{"/nope": "x"}],
            ),
            *([{"/hook@jobs.x": "nope"}], [{"/hook@jobs.x": ["general_probe", 3]}], ["nope"], [""]),
            *([{"override /compute": "nope"}], [{"override /nope": "x"}], [{"/compute": "local"}]),
            *(
                [{"a": 1, "b": 2}],
                [{"/hook@jobs.x": "${nope}"}],
                [{"/hook@": "x"}],
                ["/etc/passwd"],
            ),
            *([{"/hook@jobs.x": None}], [{"/hook@jobs.x": {"a": 1}}], ["../../x"], [{"": ""}]),
            *([{"/experiment": "bad"}], ["bad"], [{"optional": "x"}], [{"optional /nope": "x"}]),
        )
    )
    known = wrong in (["_self_"], [{"/hook@jobs.x": None}], [{"optional /nope": "x"}])
    config = {"defaults": wrong, **body()}
    return planned(config, ("bad", "defaults", "compute"), (0, 2) if known else (2,))


def pool_file(draw: Random) -> Try:
    """A damaged data pool, read by a component of ours."""
    ending = draw.choice((".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet"))
    name = f"pool{ending}"
    content = damaged(draw, ending)
    reader = draw.choice(list(READERS))
    files: dict[str, bytes | None] = {f"project/{name}": content}
    job = json.loads(json.dumps(READERS[reader]).replace("POOL", name))
    config = body(jobs={"x": job}, pipelines={"main": {"evaluation_jobs": ["x"]}})
    return Try(RUN, {**files, **written(config)}, (0, 1), (name,))


EVALUATION = "sandbox.hooks.evaluate_data.EvaluateDataHook"


MANIPULATION = "sandbox.hooks.data_pool_manipulation.DataPoolManipulationHook"


def _evaluation(target: str, **arguments: Any) -> dict[str, Any]:
    evaluator = {"_target_": f"sandbox.evaluators.{target}", **arguments}
    return {"_target_": EVALUATION, "evaluator": evaluator, "eval_obj": "POOL", "eval_type": None}


def _manipulation(target: str, **arguments: Any) -> dict[str, Any]:
    manipulator = {"_target_": f"sandbox.pools.{target}", **arguments}
    return {"_target_": MANIPULATION, "manipulator": manipulator}


READERS = {
    "diversity": _evaluation("text_diversity.TextDiversityEvaluator"),
    "duplicates": _evaluation("near_duplicates.NearDuplicates"),
    "statistics": _evaluation("statistic_distributions.StatisticDistributions"),
    "distance": _evaluation("pool_distance.PoolDistance", reference_path="POOL"),
    "downsampling": _manipulation("downsampling.DataPoolDownsampling", dataset_paths=["POOL"]),
    "merging": _manipulation("merging.DataPoolMerging", dataset_paths=["POOL", "POOL"]),
    "to lines": _manipulation(
        "merging.DataPoolMerging", dataset_paths=["POOL"], output_format="jsonl"
    ),
    "to table": _manipulation(
        "merging.DataPoolMerging", dataset_paths=["POOL"], output_format="parquet"
    ),
}


def damaged(draw: Random, ending: str) -> bytes:
    """Return a data pool in this format that is damaged somehow."""
    lines = [json.dumps({"text": f"text {index}"}).encode() for index in range(40)]
    row = draw.choice(
        (
            *(
                b"",
                b"nonsense",
                b"[1]",
                b"3",
                b"null",
                b'{"text": ',
                b'{"text": "\xff"}',
                b'{"text": 3}',
            ),
            *(
                b'{"txt": "a"}',
                b'{"text": null}',
                b"{}",
                b'{"text": "a"} x',
                b'{"text": "\\ud800"}',
            ),
            *(b'{"a": ' * 2000 + b"1" + b"}" * 2000, b"[" * 50000, b'{"text": 1e999}', b"\0\0\0"),
            *(b'{"text": "a", "text": 3}', b'{"text": "' + b"9" * 10000 + b'"}', b"\xef\xbb\xbf{}"),
        )
    )
    lines[draw.randrange(40)] = row
    plain = b"\n".join(lines) + b"\n"
    packed = {".jsonl": lambda: plain, ".jsonl.gz": lambda: gzip.compress(plain)}
    packed |= {".jsonl.zst": lambda: _zst(plain), ".parquet": _parquet}
    data = bytearray(packed[ending]())
    kind = draw.choice(("sample", "cut", "flip", "other format", "empty", "garbage"))
    if kind == "cut":
        data = data[: draw.randrange(len(data))]
    elif kind == "flip" or (kind == "sample" and ending == ".parquet"):
        for _ in range(draw.randint(1, 8)):
            data[draw.randrange(len(data))] = draw.randrange(256)
    elif kind == "other format":
        data = bytearray(packed[draw.choice(list(packed))]())
    elif kind == "empty":
        data = bytearray()
    elif kind == "garbage":
        data = bytearray(draw.randbytes(draw.randint(1, 3000)))
    return bytes(data)


def _zst(data: bytes) -> bytes:
    import zstandard

    return zstandard.compress(data)


def _parquet() -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = io.BytesIO()
    table = pa.table({"text": [f"text {index}" for index in range(300)], "images": [["x"]] * 300})
    pq.write_table(table, file)
    return file.getvalue()


def file_in_place(draw: Random) -> Try:
    """A file where a folder should be, or the other way round."""
    good = dict(written(body()))
    files: dict[str, bytes | None] = draw.choice(
        (
            {**good, "project/outputs": b""},
            {**good, "project/outputs/store": b""},
            {**good, "project/outputs/bad": b""},
            {"project/conf/experiment": b""},
            {"project/conf/experiment/bad.yaml/x": b""},
            {**good, "project/conf/config.yaml": b"nonsense: ["},
            {**good, "project/conf/compute/inline.yaml": b"nonsense: ["},
            {**good, "project/conf/job": b""},
            {**good, "project/outputs/store/hashes.jsonl/x": b""},
            {**good, "project/outputs/store/x": b""},
            {**good, "project/outputs/store/hashes.jsonl": b"\xff\0[[["},
        )
    )
    named = ("outputs", "bad", "conf", "store", "inline")
    return Try(RUN, files, (0, 1, 2), named)


def allow_file(draw: Random) -> Try:
    """A file of the user's permissions that cannot be read, or means nothing."""
    content = draw.choice(
        (b"\xff\xfe", b"toys.*\n\xe4\n", None, b"\0", b"[\n", b"x" * 100_000, b"*x*")
    )
    is_wrong = content is None or content[:1] == b"\xff" or b"\xe4" in content
    place = "settings/sandbox/allow_targets"
    words = draw.choice(((*RUN, "dry_run=true"), (*RUN, "dry_run=true"), ("doctor",)))
    # The doctor reports it among all that is missing.
    wrong = (1,) if words == ("doctor",) else (2,)
    expected = wrong if is_wrong else (0, 1, 2)
    named = ("allow_targets",) if is_wrong else ("",)
    return Try(words, {**written(body()), place: content}, expected, named, is_fresh=True)
