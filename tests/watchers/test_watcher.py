"""The watcher: metrics in a file, on wandb, and queried."""

from __future__ import annotations

import errno
import json
import logging
import math
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contract import problems_of
from toy_project import until
from wandb_files import wandb_records

from sandbox.job import JobFailed, Label, Secret
from sandbox.watchers import SandboxWatcher
from sandbox.watchers.metrics_file import read_events
from sandbox.watchers.open_watcher import OpenWatcher

SECRET = "5ecret5ecret5ecret5ecret5ecret5ecret5ecret"


@pytest.fixture
def watcher(tmp_path: Path) -> Iterator[OpenWatcher]:
    with SandboxWatcher(mode="disabled").open(tmp_path, "a run") as opened:
        yield opened


def lines(run_dir: Path) -> list[dict[str, Any]]:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    text = (run_dir / "metrics.jsonl").read_text()
    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


def history(run_dir: Path, name: str) -> list[tuple[int | None, float]]:
    """Read the (step, value) pairs of a metric from the file of a run."""
    return [(step, metrics[name]) for step, metrics in read_events(run_dir) if name in metrics]


def finished_records(run_dir: Path) -> list[Any]:
    """Return the records of a finished run; wandb's own process may still write them."""
    (path,) = (run_dir / "wandb").glob("offline-run-*/*.wandb")

    def is_finished() -> bool:
        return any(record.HasField("exit") for record in wandb_records(path))

    until(is_finished, "wandb has not finished the run")
    return list(wandb_records(path))


def test_nested_results_are_flattened_with_dots(watcher: OpenWatcher, tmp_path: Path) -> None:
    watcher.watch({"CIDEr": 0.5, "Bleu": {"1": 0.7, 2: 0.6}}, name="score", step=3)
    (line,) = lines(tmp_path)
    assert line["metrics"] == {"score.CIDEr": 0.5, "score.Bleu.1": 0.7, "score.Bleu.2": 0.6}
    assert line["step"] == 3
    assert line["time"] > 1e9


def test_only_numbers_are_kept(watcher: OpenWatcher, tmp_path: Path) -> None:
    watcher.watch(
        {
            "yes": True,
            "integer": np.int64(3),
            "float": np.float32(0.5),
            "truth": np.bool_(False),
            "scalar": np.array(2.0),
            "text": "3",
            "none": None,
            "list": [1, 2],
            "array": np.zeros(3),
        },
        name="job",
    )
    assert lines(tmp_path)[0]["metrics"] == {
        "job.yes": 1,
        "job.integer": 3,
        "job.float": 0.5,
        "job.truth": 0,
        "job.scalar": 2.0,
    }


def test_one_number_is_recorded_under_its_name(watcher: OpenWatcher) -> None:
    watcher.watch(0.25, name="loss")
    assert watcher.query("loss") == 0.25
    with pytest.raises(ValueError, match="needs a name"):
        watcher.watch(0.25)


def test_nan_and_infinity_are_written_as_strings_that_float_reads(
    watcher: OpenWatcher, tmp_path: Path
) -> None:
    watcher.watch({"nan": math.nan, "high": math.inf, "low": -math.inf}, name="x")
    assert lines(tmp_path)[0]["metrics"] == {
        "x.nan": "NaN",
        "x.high": "Infinity",
        "x.low": "-Infinity",
    }
    again = SandboxWatcher().open(tmp_path)
    assert math.isnan(again.query("x.nan"))
    assert (again.query("x.high"), again.query("x.low")) == (math.inf, -math.inf)


def test_query_gives_the_last_value_and_the_file_all(watcher: OpenWatcher, tmp_path: Path) -> None:
    for step, loss in ((10, 3.0), (20, 2.0)):
        watcher.watch({"loss": loss}, name="train", step=step)
    watcher.watch({"accuracy": 1.0}, name="score")
    assert watcher.query("train.loss") == 2.0
    assert history(tmp_path, "train.loss") == [(10, 3.0), (20, 2.0)]
    watcher.close()
    assert watcher.query("train.loss") == 2.0
    after = SandboxWatcher().open(tmp_path)
    assert after.query("train.loss") == 2.0
    assert history(tmp_path, "score.accuracy") == [(None, 1.0)]


@pytest.mark.parametrize(
    "asked", ["CIDEr", "score.CIDER", "score"], ids=["last part", "typing error", "job"]
)
def test_an_unknown_metric_is_an_error_that_lists_near_ones(
    watcher: OpenWatcher, asked: str
) -> None:
    watcher.watch({"CIDEr": 0.5}, name="score")
    with pytest.raises(KeyError, match=r"score\.CIDEr"):
        watcher.query(asked)


def test_nothing_is_written_for_a_run_without_metrics(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from sandbox.watchers import SandboxWatcher\n"
        "with SandboxWatcher().open(Path(sys.argv[1]), 'empty') as watcher:\n"
        "    watcher.watch_cfgs({'a': 1}); watcher.watch({'text': 'x'}, name='job')\n"
        "assert 'wandb' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    assert list(tmp_path.iterdir()) == []


def test_a_line_cut_off_by_a_crash_is_left_out_and_does_not_swallow_the_next(
    tmp_path: Path,
) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"time": 1, "step": 1, "metrics": {"a": 1}}\n{"time": 2, "step": 2, "metr')
    with SandboxWatcher(mode="disabled").open(tmp_path) as watcher:
        assert watcher.query("a") == 1
        watcher.watch({"a": 3}, step=3)
    assert history(tmp_path, "a") == [(1, 1.0), (3, 3.0)]


def test_metrics_from_several_threads_are_whole_lines(watcher: OpenWatcher, tmp_path: Path) -> None:
    def report(name: str) -> None:
        for step in range(50):
            watcher.watch({"loss": step}, name=name, step=step)

    threads = [threading.Thread(target=report, args=(f"job{k}",)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lines(tmp_path)) == 200
    assert history(tmp_path, "job3.loss") == [(step, float(step)) for step in range(50)]


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"mode": "on"}, "wrong_type"),
        ({"timeout_s": 0}, "constraint"),
    ],
    ids=["mode", "timeout"],
)
def test_the_plan_refuses_a_wrong_argument(given: dict[str, Any], kind: str) -> None:
    (problem,) = problems_of(SandboxWatcher, **given)
    assert (problem.where, problem.kind) == (next(iter(given)), kind)


def test_watching_after_the_end_of_a_run_is_an_error(watcher: OpenWatcher) -> None:
    watcher.close()
    with pytest.raises(RuntimeError, match="is closed"):
        watcher.watch(1.0, name="x")


def test_an_online_watcher_needs_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_BASE_URL", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    online = SandboxWatcher(mode="online")
    with pytest.raises(ValueError, match="set WANDB_API_KEY"):
        online.check()
    (tmp_path / ".netrc").write_text("machine api.wandb.ai login user password x")
    online.check()
    SandboxWatcher(mode="online", api_key=Secret(SECRET)).check()
    SandboxWatcher().check()


def test_wandb_records_two_runs_in_one_process(tmp_path: Path) -> None:
    for run in ("first", "second"):
        watcher = SandboxWatcher().open(tmp_path / run, run)
        watcher.watch_cfgs({"jobs": {"train": {"key": "${oc.env:WANDB_API_KEY}"}}})
        for job in ("train.0", "train.1"):
            for step in (10, 20):
                watcher.watch({"loss": 1 / step}, name=job, step=step)
        watcher.watch({"CIDEr": 0.5}, name="score")
        watcher.close()
    for run in ("first", "second"):
        records = finished_records(tmp_path / run)
        (start,) = [record.run for record in records if record.HasField("run")]
        assert start.display_name == run
        assert "${oc.env:WANDB_API_KEY}" in str(start.config)
        axes = {
            record.metric.name: record.metric.step_metric
            for record in records
            if record.HasField("metric")
        }
        assert axes == {
            "train/0/step": "",
            "train\\.0\\.loss": "train/0/step",
            "train/1/step": "",
            "train\\.1\\.loss": "train/1/step",
        }
        events = [
            {"/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
            for record in records
            if record.HasField("history")
        ]
        curves = [
            {name: value for name, value in event.items() if name[0] != "_"} for event in events
        ]
        assert curves == [
            {"train.0.loss": 0.1, "train/0/step": 10},
            {"train.0.loss": 0.05, "train/0/step": 20},
            {"train.1.loss": 0.1, "train/1/step": 10},
            {"train.1.loss": 0.05, "train/1/step": 20},
            {"score.CIDEr": 0.5},
        ]


def test_labels_of_elements_are_beside_their_metrics_in_file_and_on_wandb(tmp_path: Path) -> None:
    watcher = SandboxWatcher().open(tmp_path, "a run")
    axes: dict[str, Label] = {"executor.dataset_path": "web_low", "seed": 2}
    for step in (1, 2):
        watcher.watch({"loss": 1 / step}, name="train.4", step=step, axes=axes)
    watcher.watch({"loss": 1.0}, name="other")
    watcher.close()
    first, second, other = lines(tmp_path)
    for line in (first, second):
        assert (line["label"], line["axes"]) == ("web_low, seed 2", axes)
    assert set(other) == {"time", "step", "metrics"}
    configs = [record.config for record in finished_records(tmp_path) if record.HasField("config")]
    updates = {item.key: json.loads(item.value_json) for each in configs for item in each.update}
    assert updates["elements.train.4"] == "web_low, seed 2"


@pytest.mark.parametrize("failure", ["folder", "init", "log", "import"])
def test_a_failing_wandb_is_one_warning(
    failure: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import wandb

    def fail(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    if failure == "folder":
        (tmp_path / "wandb").write_text("a file where wandb wants a folder")
    elif failure == "import":
        monkeypatch.setitem(sys.modules, "wandb", None)
    elif failure == "init":
        monkeypatch.setattr(wandb, "init", fail)
    else:
        monkeypatch.setattr(wandb.Run, "log", fail)
    with caplog.at_level(logging.WARNING), SandboxWatcher().open(tmp_path, "run") as watcher:
        for step in range(3):
            watcher.watch({"loss": step}, name="train", step=step)
    assert len([record for record in caplog.records if "wandb is off" in record.message]) == 1
    assert history(tmp_path, "train.loss") == [(0, 0.0), (1, 1.0), (2, 2.0)]


def test_a_run_whose_metrics_cannot_be_written_fails_in_the_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "metrics.jsonl").mkdir()
    message = r"metrics\.jsonl lacks 2 lines of metrics: .*Is a directory"
    with (
        pytest.raises(JobFailed, match=message),
        SandboxWatcher(mode="disabled").open(tmp_path) as watcher,
    ):
        watcher.watch({"loss": 1.0}, name="train")
        watcher.watch({"loss": 2.0}, name="train")
        assert watcher.query("train.loss") == 2.0
    assert len(caplog.records) == 1


@pytest.mark.parametrize("num_bytes", [0, 1, 20])
def test_metrics_are_complete_after_a_disk_was_full_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_bytes: int
) -> None:
    """The disk took the first bytes of a line, and then no more."""
    write, taken = os.write, [num_bytes]

    def full(file: int, data: bytes) -> int:
        part = data[: taken[0]]
        taken[0] -= len(part)
        if not part:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, part)

    with SandboxWatcher(mode="disabled").open(tmp_path) as watcher:
        watcher.watch({"loss": 0.0}, name="train", step=0)
        monkeypatch.setattr(os, "write", full)
        for step in (1, 2):
            watcher.watch({"loss": float(step)}, name="train", step=step)
        monkeypatch.setattr(os, "write", write)
        watcher.watch({"loss": 3.0}, name="train", step=3)
    assert history(tmp_path, "train.loss") == [(step, float(step)) for step in range(4)]
    assert len(lines(tmp_path)) == 4


def test_metrics_that_wait_are_written_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "metrics.jsonl").mkdir()
    with SandboxWatcher(mode="disabled").open(tmp_path) as watcher:
        watcher.watch({"loss": 1.0}, name="train")
        (tmp_path / "metrics.jsonl").rmdir()
    assert history(tmp_path, "train.loss") == [(None, 1.0)]


@pytest.mark.parametrize("is_replaced", [True, False], ids=["replaced", "removed"])
def test_metrics_that_somebody_takes_away_fail_the_run(tmp_path: Path, is_replaced: bool) -> None:
    path = tmp_path / "metrics.jsonl"
    with (
        pytest.raises(JobFailed, match=r"metrics\.jsonl lacks 1 lines"),
        SandboxWatcher(mode="disabled").open(tmp_path) as watcher,
    ):
        watcher.watch({"loss": 1.0}, name="train")
        path.rename(tmp_path / "aside")
        if is_replaced:
            path.touch()


def test_missing_metrics_do_not_hide_the_failure_of_a_job(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "metrics.jsonl").mkdir()
    with (
        pytest.raises(JobFailed, match="the job's own"),
        SandboxWatcher(mode="disabled").open(tmp_path) as watcher,
    ):
        watcher.watch({"loss": 1.0}, name="train")
        raise JobFailed("the job's own")
    assert "lacks 1 lines" in caplog.text


def test_damaged_metrics_of_an_earlier_run_are_passed_over(tmp_path: Path) -> None:
    good = json.dumps({"time": 1.0, "step": None, "metrics": {"loss": 1.5}}).encode()
    damage = b"\xff\n[1]\nnull\n" + b"[" * 100_000 + b"\n"
    (tmp_path / "metrics.jsonl").write_bytes(damage + good + b"\n")
    with SandboxWatcher(mode="disabled").open(tmp_path) as watcher:
        assert watcher.query("loss") == 1.5


ONLINE = """
import os, socket, sys, time
from pathlib import Path
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen(50)
os.environ["WANDB_BASE_URL"] = f"http://127.0.0.1:{listener.getsockname()[1]}"
from sandbox.watchers import SandboxWatcher
settings = SandboxWatcher(mode="online", api_key=os.environ["KEY"], timeout_s=2)
watcher = settings.open(Path(sys.argv[1]), "run")
start = time.monotonic()
watcher.watch({"loss": 1.0}, name="train", step=1)
assert time.monotonic() - start < 0.5
watcher.close()
assert time.monotonic() - start < 12
"""


@pytest.mark.slow
def test_a_server_that_never_answers_neither_holds_the_run_nor_leaks_the_key(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    environment = {"KEY": SECRET, "HOME": str(home), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", ONLINE, str(tmp_path / "run")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "wandb is off" in done.stderr
    assert "wandb:" not in done.stdout + done.stderr
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert tmp_path / "run" / "metrics.jsonl" in files
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]


def test_the_key_is_in_no_file_of_an_offline_run(tmp_path: Path) -> None:
    settings = SandboxWatcher(api_key=Secret(SECRET))
    assert SECRET not in repr(settings)
    with settings.open(tmp_path, "run") as watcher:
        watcher.watch({"loss": 1.0}, name="train", step=1)
    assert finished_records(tmp_path)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]
