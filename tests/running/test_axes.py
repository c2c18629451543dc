"""Seeds and maps through a chain of jobs: ``train`` → ``score`` → ``rank``; what is recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from dry_run import shown_jobs
from toy_project import Project, data_job, experiment, merge, values

from sandbox.job import JobFailed


def chain(**more: Any) -> dict[str, Any]:
    """Pools of 3, 2 and 1 rows, a training of each with two seeds, its score, the best pool."""
    jobs: dict[str, Any] = {
        name: data_job("Rows", num_rows=number, word=name)
        for name, number in (("large", 3), ("middle", 2), ("small", 1))
    }
    paths = [f"${{output:{name}.path}}" for name in jobs]
    training = {"_target_": "toys.Training", "dataset_path": "???", "num_steps": 1}
    grade = {"evaluator": {"_target_": "toys.Grade"}}
    jobs["pools"] = data_job("Value", value=paths)
    jobs["train"] = (
        "train_model",
        {
            "executor": training,
            "map": {"executor": {"dataset_path": paths, "model": ["huge", "web", "tiny"]}},
            "seeds": [1, 4],
        },
    )
    jobs["score"] = (
        "evaluate_model",
        {**grade, "map": {"eval_obj": "${output:train.checkpoint_path}"}},
    )
    ranking = {"_target_": "sandbox.pools.ranking.DataPoolRanking", "dataset_paths": paths}
    jobs["rank"] = (
        "general_probe",
        {"probe": {**ranking, "metrics": "${output:score.accuracy}"}},
    )
    for name, node in more.items():
        hook, given = jobs.get(name, ("general_data_executor", {}))
        jobs[name] = (hook, merge(given, node))
    found = experiment(jobs, objective="max(score.accuracy)")
    lists = found["pipelines"]["main"]
    found["pipelines"] = {
        "main": {key: lists[key] for key in ("execution_jobs", "evaluation_jobs")},
        "choice": {"probe_jobs": lists["probe_jobs"]},
    }
    return found


SEEDS = [0.01, 0.16]


def test_seeds_reach_the_ranking_without_flattening(project: Project) -> None:
    project.write("toy", chain())
    best = 0.3 + sum(SEEDS) / 2
    assert project.run("toy") == pytest.approx(best)
    score = project.info("score")
    means = [0.1 * rows + sum(SEEDS) / 2 for rows in (3, 2, 1)]
    assert score["accuracy"] == pytest.approx(means)
    assert score["accuracy_std"] == pytest.approx([0.15 / 2**0.5] * 3)
    assert score["accuracy_values"][1] == pytest.approx([0.2 + each for each in SEEDS])
    assert [scores["easy"] for scores in score["tasks"]] == pytest.approx([2 * m for m in means])
    assert len(score["details_path"]) == len(set(score["details_path"])) == 6
    assert len(project.info("train")["checkpoint_path"]) == 6
    ranked = project.info("rank", "choice")
    assert ranked["scores"] == pytest.approx(means) and ranked["order"] == [0, 1, 2]


def test_elements_have_the_labels_of_the_job_that_they_map_over(project: Project) -> None:
    project.write("toy", chain())
    project.run("toy")
    names = [name for name in ("huge", "web", "tiny") for _ in SEEDS]
    for job in ("train", "score"):
        info = project.info(job)
        assert info["axes"] == {
            "executor.dataset_path": names,
            "seed": [1, 4] * 3,
        }
        assert info["candidates"] == info["axes"]["executor.dataset_path"]


def test_metrics_have_labels_beside_their_keys(project: Project) -> None:
    project.write("toy", chain())
    project.run("toy")
    lines = (project.run_dir / "metrics.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    (event,) = [event for event in events if "train.3.loss" in event["metrics"]]
    assert event["label"] == "web, seed 4"
    assert event["axes"] == {"executor.dataset_path": "web", "seed": 4}
    (objective,) = [event for event in events if "objective" in event["metrics"]]
    assert "axes" not in objective


def test_log_lines_and_dry_run_show_labels(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.write("toy", chain())
    out = project.main("toy")
    assert "score[3] (web, seed 4) done in " in out.text
    assert "score (web): accuracy 0.285 ± 0.11, " in out.text
    project.run("toy", "dry_run=true")
    shown = capsys.readouterr().out
    assert shown_jobs(shown)["score[3]"].title == "web, seed 4"
    assert shown_jobs(shown)["score[3]"].reason == "recorded"
    assert "      axes: executor.dataset_path (3) × seed (2)" in shown.splitlines()


def test_a_seed_in_the_map_is_the_axis_seed(project: Project) -> None:
    train = {"seeds": None, "map": {"product": True, "executor": {"seed": [1, 4], "model": ["a"]}}}
    project.write("toy", chain(train=train))
    project.run("toy")
    score = project.info("score")
    # the product goes over pools, models and seeds: the seeds of a pool are its mean
    assert len(score["details_path"]) == 6
    assert score["accuracy"] == pytest.approx([0.1 * n + sum(SEEDS) / 2 for n in (3, 2, 1)])


def test_seeds_alone_give_one_mean_to_every_later_job(project: Project) -> None:
    jobs = {
        "data": data_job("Rows", num_rows=2),
        "train": (
            "train_model",
            {
                "executor": {
                    "_target_": "toys.Training",
                    "dataset_path": "${output:data.path}",
                    "num_steps": 1,
                },
                "seeds": [1, 4],
            },
        ),
        "score": (
            "evaluate_model",
            {
                "evaluator": {"_target_": "toys.Grade"},
                "map": {"eval_obj": "${output:train.checkpoint_path}"},
            },
        ),
    }
    project.write("toy", experiment(jobs, objective="score.accuracy"))
    assert project.run("toy") == pytest.approx(0.2 + sum(SEEDS) / 2)
    assert project.metrics()["score.accuracy"] == pytest.approx([0.2 + sum(SEEDS) / 2])
    assert project.info("score")["candidates"] == ["", ""]
    assert project.info("score")["axes"] == {"seed": [1, 4]}


@pytest.mark.parametrize(
    ("metric", "name"), [("f1", "f1"), ("tasks", "tasks.hard")], ids=["none", "key"]
)
def test_a_metric_that_a_seed_lacks_has_no_mean(project: Project, metric: str, name: str) -> None:
    more = {
        "score": {"evaluator": {"missing": [4]}},
        "rank": {"probe": {"metrics": f"${{output:score.{metric}}}", "keys": None}},
    }
    project.write("toy", chain(**more))
    message = rf"rank: \$\{{output:score\.{metric}\}}: score\[1\] \(huge, seed 4\) has no {name};"
    with pytest.raises(JobFailed, match=message):
        project.run("toy")
    # it is there for whoever asks for single values, and the others have means
    score = project.info("score")
    assert score[metric] is None
    assert score["f1_values"][0][1] is None
    assert len(score["accuracy"]) == 3


def test_a_metric_that_nobody_reads_may_be_missing(project: Project) -> None:
    project.write("toy", chain(score={"evaluator": {"missing": [1, 4]}}))
    project.run("toy")
    assert project.info("score")["f1"] is None


def test_an_inherited_axis_multiplies_with_one_of_the_job_itself(project: Project) -> None:
    score = {"map": {"product": True, "evaluator": {"missing": [[], [4]]}}}
    project.write("toy", chain(score=score, rank={"probe": {"metrics": [1, 2, 3]}}))
    project.run("toy")
    axes = project.info("score")["axes"]
    assert [*axes] == ["executor.dataset_path", "evaluator.missing", "seed"]
    assert axes["seed"] == [1, 4] * 6
    means = [0.1 * rows + sum(SEEDS) / 2 for rows in (3, 3, 2, 2, 1, 1)]
    assert project.info("score")["accuracy"] == pytest.approx(means)


def test_zipped_lists_that_a_run_makes_must_fit(project: Project) -> None:
    mapped = {"map": {"executor": {"value": "${output:a.value}", "name": "${output:b.value}"}}}
    given = values(
        "lists",
        "a",
        "b",
        "both",
        lists={"executor": {"value": {"two": [1, 2], "three": [1, 2, 3]}}},
        a={"map": {"executor": {"value": "${output:lists.value.two}"}}},
        b={"map": {"executor": {"value": "${output:lists.value.three}"}}},
        both=mapped,
    )
    project.write("toy", given)
    with pytest.raises(JobFailed, match=r"both: .* axes that do not fit: .*\(2\).*\(3\)"):
        project.run("toy")


def test_labels_are_short_and_distinct(project: Project) -> None:
    long = "a very long text that nobody wants to read to its end in every line"
    paths = ["a/pool.jsonl.gz", "b/pool.jsonl", "pool"]
    given = [*paths, long, 0.5]
    project.write("toy", values("x", x={"map": {"executor": {"value": given}}}))
    project.run("toy")
    labels = project.info("x")["candidates"]
    assert labels[:3] == ["pool", "pool (2)", "pool (3)"]
    assert len(labels[3]) == 40 and labels[3].startswith("a very long text")
    assert labels[4] == "0.5"


def test_results_of_other_jobs_are_known_by_their_labels(project: Project) -> None:
    chosen = ["${output:train.checkpoint_path.2}", "${output:train.checkpoint_path.5}"]
    rank = {"probe": {"metrics": [3, 2, 1]}}
    project.write("toy", chain(score={"map": {"eval_obj": chosen}}, rank=rank))
    project.run("toy")
    assert project.info("score")["candidates"] == ["web, seed 1", "tiny, seed 4"]


def test_records_are_shared_by_all_spellings_of_the_seeds(project: Project) -> None:
    project.write("toy", chain())
    project.run("toy")
    project.ran()
    seeds = {"seeds": None, "map": {"executor": {"model": None, "dataset_path": None}}}
    paths = [f"${{output:{name}.path}}" for name in ("large", "large", "middle", "middle")]
    flat = {
        "executor": {
            "dataset_path": paths,
            "model": ["huge", "huge", "web", "web"],
            "seed": [1, 4, 1, 4],
        }
    }
    train = merge(seeds, {"map": flat})
    rank = {"probe": {"metrics": [3, 2, 1]}}
    project.write("toy", chain(train=train, rank=rank))
    project.run("toy")
    assert project.ran() == []
    assert Path(project.info("train")["checkpoint_path"][0]).is_file()


def test_the_last_iteration_is_a_plain_list_for_a_map(project: Project) -> None:
    job = data_job(
        "Add", also={"map": {"executor": {"start": "${previous:grow.value, [0, 10, 20]}"}}}
    )
    project.write("toy", experiment({"grow": job}, max_iterations=2))
    project.run("toy")
    assert project.info("grow")["value"] == [2, 12, 22]
    assert project.info("grow")["axes"] == {"executor.start": ["1", "11", "21"]}
