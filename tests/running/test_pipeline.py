"""Walking the job lists: order, references, iterations, ``map``, ``seeds``, what a run leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from toy_project import CHAIN, Project, data_job, experiment, finish, merge, until, values


def noise(**node: Any) -> tuple[str, dict[str, Any]]:
    """A job that scores noise."""
    return "evaluate_model", merge(
        {"eval_obj": None, "evaluator": {"_target_": "toys.Noise"}}, node
    )


def test_job_lists_run_in_their_order_and_pipelines_as_written(project: Project) -> None:
    names = ["eval", "exec", "refine", "probe", "second"]
    body = values(*names)
    body["pipelines"] = {
        "main": {
            "evaluation_jobs": ["eval"],
            "execution_jobs": ["exec"],
            "refine_recipe_jobs": ["refine"],
            "probe_jobs": ["probe"],
        },
        "another": {"probe_jobs": ["second"]},
    }
    project.write("order", body)
    project.run("order")
    assert project.ran() == ["probe 0", "refine 0", "exec 0", "eval 0", "second 0"]
    assert [info["meta_name"] for info in project.infos()["main"]] == [
        "probe",
        "refine",
        "exec",
        "eval",
    ]
    assert [info["meta_name"] for info in project.infos()["another"]] == ["second"]


def test_outputs_reach_later_jobs_whole_nested_and_inside_a_text(project: Project) -> None:
    jobs = {
        "one": data_job("Add", start=1),
        "two": data_job(
            "Add", start="${output:one.nested.deep.er}", note="after ${output:one.value}"
        ),
        "three": data_job("Add", start="${output:two.values.1}"),
        "all": data_job("Value", value={"a": ["${output:one.values}", "${output:three.nested}"]}),
    }
    project.write("toy", experiment(jobs))
    project.run("toy")
    assert project.info("two")["value"] == 3 and project.info("three")["value"] == -2
    assert project.info("all")["value"] == {"a": [[2, -2], {"deep": {"er": -2}}]}
    assert "add 2 1 after 2" in project.ran()


def test_an_output_inside_a_missing_output_lists_the_available_ones(
    project: Project,
) -> None:
    jobs = {"one": data_job("Add"), "two": data_job("Add", start="${output:one.nested.deeper}")}
    project.write("toy", experiment(jobs))
    with pytest.raises(RuntimeError, match=r"two.*one\.nested\.deeper.*one\.nested"):
        project.run("toy")
    assert project.ran() == ["add 0 1"]


def test_iterations_read_the_previous_one(project: Project) -> None:
    project.write(
        "grow",
        merge(
            yaml.safe_load(CHAIN),
            {
                "max_iterations": 3,
                "jobs": {
                    "train": {"executor": {"start_path": "${previous:train.checkpoint_path, null}"}}
                },
            },
        ),
    )
    assert project.run("grow") == pytest.approx(1.2)
    infos = [info for info in project.infos()["main"] if info["meta_name"] == "score"]
    assert [info["accuracy"] for info in infos] == pytest.approx([0.4, 0.8, 1.2])
    assert [info["iteration"] for info in infos] == [1, 2, 3]
    assert sum(line.startswith("rows") for line in project.ran()) == 1, "the data are made once"
    assert (project.run_dir / "jobs" / "train").resolve() != (
        project.run_dir / "jobs_2" / "train"
    ).resolve()
    assert project.run("grow") == pytest.approx(1.2)
    assert project.ran() == []


def test_map_over_an_output_runs_one_element_an_item_in_input_order(project: Project) -> None:
    jobs: dict[str, Any] = {
        "data": data_job("Rows", num_rows=6),
        "pools": (
            "data_pool_manipulation",
            {
                "manipulator": {
                    "_target_": "toys.Pools",
                    "dataset_path": "${output:data.path}",
                    "num_pools": 3,
                }
            },
        ),
        "train": (
            "train_model",
            {
                "executor": {"_target_": "toys.Training", "dataset_path": "???"},
                "map": {"executor": {"dataset_path": "${output:pools.paths}"}},
            },
        ),
        "score": (
            "evaluate_model",
            {
                "evaluator": {"_target_": "toys.Score"},
                "map": {"eval_obj": "${output:train.checkpoint_path}"},
            },
        ),
    }
    project.write("toy", experiment(jobs, objective="max(score.accuracy)"))
    assert project.run("toy") == pytest.approx(0.2)
    trained = project.info("train")
    assert trained["elements"] == {"executor": {"dataset_path": project.info("pools")["paths"]}}
    assert len(set(trained["checkpoint_path"])) == 3
    assert [
        json.loads(Path(p).read_text())["value"] for p in trained["checkpoint_path"]
    ] == pytest.approx([0.2] * 3)
    links = sorted((project.run_dir / "jobs" / "train").iterdir())
    assert [link.name for link in links] == ["0", "1", "2"]
    assert all((link / "record.json").exists() for link in links)


@pytest.mark.parametrize(
    ("given", "result"),
    [
        ({"start": [1, 2], "by": [10, 20]}, [11, 22]),
        ({"product": True, "start": [1, 2], "by": [10, 20, 30]}, [11, 21, 31, 12, 22, 32]),
        ({"start": [5]}, [6]),
    ],
    ids=["zip", "product", "one"],
)
def test_several_leaves_are_zipped_or_multiplied(
    project: Project, given: dict[str, Any], result: list[int]
) -> None:
    product = {"product": given.pop("product")} if "product" in given else {}
    project.write(
        "toy", experiment({"sum": data_job("Add", also={"map": {**product, "executor": given}})})
    )
    project.run("toy")
    info = project.info("sum")
    assert info["value"] == result
    assert info["nested"] == [{"deep": {"er": value}} for value in result]
    parts = info["elements"]["executor"]
    assert [sum(row) for row in zip(*parts.values(), strict=True)] == [
        value if "by" in given else value - 1 for value in result
    ]


def test_a_whole_component_can_be_mapped(project: Project) -> None:
    jobs = {
        "data": data_job("Rows"),
        "train": (
            "train_model",
            {"executor": {"_target_": "toys.Training", "dataset_path": "${output:data.path}"}},
        ),
        "score": (
            "evaluate_model",
            {
                "eval_obj": "${output:train.checkpoint_path}",
                "evaluator": "???",
                "map": {
                    "evaluator": [
                        {"_target_": "toys.Score", "offset": 1},
                        {"_target_": "toys.Score"},
                    ]
                },
            },
        ),
    }
    project.write("toy", experiment(jobs, objective="[max(score.accuracy), best(score.loss)]"))
    assert project.run(
        "toy", "objective=['max(score.accuracy)','best(score.loss)']"
    ) == pytest.approx([1.4, -0.4])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"start": "${output:one.value}"}, "sum.*start.*one.value.*expected a list"),
        (
            {"start": "${output:one.values}", "by": [1, 2, 3]},
            "sum.*unequal lengths: executor.start has 2, executor.by has 3",
        ),
        ({"start": "${output:none.value}"}, "sum.*none.value.*empty"),
    ],
    ids=["no list", "unequal", "empty"],
)
def test_a_map_over_an_output_that_does_not_fit_fails(
    project: Project, given: dict[str, Any], message: str
) -> None:
    jobs = {
        "one": data_job("Add"),
        "none": data_job("Value", value=[]),
        "sum": data_job("Add", also={"map": {"executor": given}}),
    }
    project.write("toy", experiment(jobs))
    with pytest.raises(RuntimeError, match=message):
        project.run("toy")
    assert project.ran() == ["add 0 1", "value []"]


def test_seeds_give_mean_deviation_and_single_values(project: Project) -> None:
    project.write("toy", experiment({"score": noise(seeds=3)}, objective="score.score"))
    assert project.run("toy") == pytest.approx(7 / 3)
    info = project.info("score")
    assert info["score_values"] == [1, 2, 4]
    assert info["score_std"] == pytest.approx(((16 / 9 + 1 / 9 + 25 / 9) / 2) ** 0.5)
    assert info["label_values"] == ["seed 0", "seed 1", "seed 2"]
    assert project.metrics()["score.score"] == pytest.approx([7 / 3])
    assert project.ran() == ["noise 1 0", "noise 1 1", "noise 1 2"]


@pytest.mark.parametrize(
    ("node", "seeds"),
    [
        ({"seeds": [3, 1]}, [3, 1]),
        ({"seeds": 2, "evaluator": {"seed": 5}}, [5, 6]),
        ({"seeds": [0], "evaluator": {"seed": 5}}, [0]),
    ],
    ids=str,
)
def test_seeds_are_a_list_or_count_up_from_the_given_one(
    project: Project, node: dict[str, Any], seeds: list[int]
) -> None:
    project.write("toy", experiment({"score": noise(**node)}))
    project.run("toy")
    assert project.ran() == [f"noise 1 {seed}" for seed in seeds]
    assert project.info("score")["score_values"] == [2**seed for seed in seeds]
    if len(seeds) == 1:
        assert project.info("score")["score_std"] == 0


def test_seeds_repeat_each_element_of_a_map(project: Project) -> None:
    score = noise(seeds=2, map={"evaluator": {"scale": [1.0, 10.0]}})
    project.write("toy", experiment({"score": score}, objective="max(score.score)"))
    assert project.run("toy") == 15
    info = project.info("score")
    assert info["score"] == [1.5, 15] and info["score_values"] == [[1, 2], [10, 20]]
    assert info["elements"] == {"evaluator": {"scale": [1.0, 10.0]}}


def test_seeds_repeat_components_that_are_mapped_whole(project: Project) -> None:
    parts = [{"_target_": "toys.Noise", "scale": scale} for scale in (1.0, 10.0)]
    project.write(
        "toy", experiment({"score": noise(seeds=2, evaluator="???", map={"evaluator": parts})})
    )
    project.run("toy")
    assert project.info("score")["score_values"] == [[1, 2], [10, 20]]
    assert project.info("score")["elements"] == {"evaluator": parts}


def test_failed_elements_are_reported_together_and_only_they_run_again(project: Project) -> None:
    errors = [None, "first trouble", None, "second trouble"]
    job = data_job(
        "Value", name="x", also={"map": {"executor": {"value": [0, 1, 2, 3], "error": errors}}}
    )
    project.write("toy", experiment({"many": job, "after": data_job("Add")}))
    failed = project.main("toy")
    assert failed.code == 1
    for message in (
        "many: 2 of 4 failed, 2 recorded",
        "many[1]",
        "first trouble",
        "many[3]",
        "second trouble",
        "log:",
    ):
        assert message in failed.err, message
    assert "Traceback" not in failed.text
    assert project.ran() == ["x 0", "x 1", "x 2", "x 3"]
    (project.gate / "healed").touch()
    assert project.main("toy").code == 0
    assert project.ran() == ["x 1", "x 3", "add 0 1"]


def test_the_failure_of_a_job_of_one_element_is_reported_without_counting(project: Project) -> None:
    project.write("toy", values("one", one={"executor": {"value": 0, "error": "trouble"}}))
    failed = project.main("toy")
    assert failed.err.startswith("sandbox: failed:\n  one: ") and "1 of 1" not in failed.err


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "Liar returned NoneType, expected OneValue"),
        ("unknown", "Liar returned dict, expected OneValue"),
        ("unwritten", "value.*nothing.txt was not written"),
        ("object", "value.*JSON or a path.*object"),
        ("target", "value.*_target_"),
        ("interpolation", "value.*interpolation"),
    ],
)
def test_outputs_other_than_promised_fail_the_job_and_leave_no_record(
    project: Project, kind: str, message: str
) -> None:
    project.write("toy", experiment({"liar": data_job("Liar", kind=kind)}))
    with pytest.raises(RuntimeError, match=message):
        project.run("toy")
    assert project.records("liar") == []


@pytest.mark.parametrize(("kind", "value"), [("zero", 0.0), ("empty", {})])
def test_zero_and_empty_are_outputs_like_any_other(project: Project, kind: str, value: Any) -> None:
    jobs = {
        "liar": data_job("Liar", kind=kind),
        "next": data_job("Value", value="${output:liar.value}"),
    }
    project.write("toy", experiment(jobs))
    project.run("toy")
    assert project.info("next")["value"] == value


def test_a_failed_program_is_reported_with_its_last_lines(chain: Project) -> None:
    message = r"(?s)train: the loss went up for ever.*exit status 3.*log: .*\"loss\""
    with pytest.raises(RuntimeError, match=message):
        chain.run("chain", "+jobs.train.executor.exit_status=3")
    with pytest.raises(RuntimeError, match=r"(?s)train.*SIGKILL.*out of memory"):
        chain.run("chain", "+jobs.train.executor.die_at=1")
    assert chain.records("train") == [] and len(chain.records("data")) == 1


def test_a_run_writes_its_infos_metrics_and_links(chain: Project) -> None:
    chain.run("chain", "objective=[score.accuracy, score.loss]")
    assert [set(info) for info in chain.infos()["main"]] == [
        {"meta_name", "iteration", "path", "num_rows"},
        {"meta_name", "iteration", "checkpoint_path"},
        {"meta_name", "iteration", "accuracy", "loss", "per_group", "details_path"},
    ]
    metrics = chain.metrics()
    assert metrics["train.loss"] == pytest.approx([1, 1 / 2, 1 / 3])
    assert metrics["score.per_group.easy.accuracy"] == pytest.approx([0.8])
    assert metrics["objective.0"] == pytest.approx([0.4]) and metrics[
        "objective.1"
    ] == pytest.approx([0.6])
    assert (
        json.loads((chain.run_dir / "jobs" / "train" / "record.json").read_text())["job"] == "train"
    )


def test_metrics_can_be_read_while_a_job_runs(chain: Project) -> None:
    running = chain.start("chain", "+jobs.train.executor.gate=training")
    chain.wait_for("training")
    (run_dir,) = chain.runs("chain")
    until(
        lambda: (
            (run_dir / "metrics.jsonl").exists()
            and len(chain.metrics(run_dir).get("train.loss", [])) == 3
        ),
        "the losses did not come while the program ran",
    )
    assert running.poll() is None
    chain.let_go("training")
    assert finish(running).code == 0
    assert chain.metrics(run_dir)["train.loss"] == pytest.approx([1, 1 / 2, 1 / 3]), (
        "and they came once"
    )


def test_cap_makes_any_experiment_small(chain: Project) -> None:
    chain.run(
        "chain",
        "+cap.numbers.num_rows=2",
        "+cap.numbers.num_steps=1",
        "+jobs.train.map.executor.learning_rate=[0.1,0.2,0.3]",
        "+cap.lists.learning_rate=2",
        "objective=null",
        "jobs.score.eval_obj='${output:train.checkpoint_path.0}'",
    )
    assert chain.ran()[:3] == [
        "rows row 2",
        "training data.jsonl small 0.1 0",
        "training data.jsonl small 0.2 0",
    ]
    assert len(chain.info("train")["checkpoint_path"]) == 2
