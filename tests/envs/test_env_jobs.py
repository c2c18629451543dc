"""Jobs in envs of their own: chosen per job, checked by the plan, part of the fingerprint."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from contract import scope
from dry_run import shown_jobs
from package_sources import Sources
from toy_project import SUPPORT, Project, compose, experiment

from sandbox.envs import Env, managers, worker
from sandbox.envs.virtual_env import VirtualEnv
from sandbox.executors.internvl_captioning import InternVLCaptioning
from sandbox.executors.internvl_training import InternVLTraining

MODEL_FILES = {
    "config.json": "{}",
    "config.cfg": "",
    "metadata/part-0": '{"class": "org.apache.spark.ml.PipelineModel"}',
    "stages/0/metadata/part-0": '{"class": "org.apache.spark.ml.Tokenizer"}',
    "stages/1/metadata/part-0": '{"class": "org.apache.spark.ml.LogisticRegressionModel"}',
}
"""Files that components look for in a checkpoint, a spaCy model and a quality classifier."""


@pytest.fixture
def library(project: Project, sources: Sources, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with the experiment ``library``: one training, whose library is not installed."""
    monkeypatch.setattr(worker, "_WORKERS_DIR", SUPPORT)
    monkeypatch.setenv("SANDBOX_ALLOW_TARGETS", "env_toys.*")
    monkeypatch.setenv("SANDBOX_ALLOW", "code-folder,interpreter")
    job = ("train_model", {"executor": {"_target_": "env_toys.LibraryTraining"}})
    body = experiment({"train": job})
    body["defaults"].insert(-1, {"/env@jobs.train.executor.env": "current"})
    project.write("library", body)
    return project


def chosen(sources: Sources, *more: str, env: str = "uv") -> list[str]:
    """Overrides that give the training an env with ``tiny-demo``."""
    where = "jobs.train.executor.env"
    return [
        f"env@{where}={env}",
        f"{where}.dependencies=['tiny-demo==1.0']",
        f"+{where}.index_url={sources.index_url}",
        *more,
    ]


def test_a_job_creates_its_env_and_runs_in_it(
    library: Project, sources: Sources, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RuntimeError, match="No module named 'tiny_demo'"):
        library.run("library")
    library.run("library", *chosen(sources), "dry_run=true")
    lines = capsys.readouterr().out.splitlines()
    (shown,) = (line for line in lines if line.split()[0] == "jobs.train.executor.env")
    assert (
        "uv: outputs/envs/uv-" in shown
        and "(to be created): python 3.11" in shown
        and "tiny-demo==1.0" in shown
    )
    assert not (library.root / "outputs" / "envs").exists()

    library.run("library", *chosen(sources))
    version, prefix = Path(library.info("train")["path"]).read_text().split()
    assert version == "1.0" and Path(prefix).parent == library.root / "outputs" / "envs"
    assert library.metrics()["train.version"] == [1.0]
    log = (library.records("train")[0].parent / "logs" / "1.log").read_text()
    assert "installing tiny-demo==1.0" in log
    library.run("library", *chosen(sources), "dry_run=true")
    shown = capsys.readouterr().out
    assert shown_jobs(shown)["train"].reason == "recorded"
    assert "(exists, packages: 1)" in shown


def test_an_env_counts_in_the_fingerprint(
    library: Project, sources: Sources, capsys: pytest.CaptureFixture[str]
) -> None:
    library.run("library", *chosen(sources))
    for more in (
        "jobs.train.executor.env.dependencies=['tiny-demo==2.0']",
        "jobs.train.executor.env.root=elsewhere",
        f"jobs.train.executor.env.requirements_path={sources.requirements_path}",
        "jobs.train.executor.env.env_manager=virtualenv",
    ):
        capsys.readouterr()
        library.run("library", *chosen(sources, more), "dry_run=true")
        assert "executor.env" in shown_jobs(capsys.readouterr().out)["train"].reason, more


def test_a_code_base_counts_by_its_content_without_the_files_of_its_installation(
    library: Project, sources: Sources, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = chosen(sources, f'jobs.train.executor.env.code_dir="{sources.code_dir}"')
    library.run("library", *overrides)
    for name in ("__pycache__/x.pyc", "code_base.egg-info/PKG-INFO", ".git/index"):
        (sources.code_dir / "source" / name).parent.mkdir(exist_ok=True)
        (sources.code_dir / "source" / name).touch()
    library.run("library", *overrides, "dry_run=true")
    assert " recorded" in capsys.readouterr().out
    (sources.code_dir / "source" / "code_base.py").write_text("WHERE = 'changed'\n")
    library.run("library", *overrides, "dry_run=true")
    assert "input executor.env.code_dir changed" in capsys.readouterr().out


def test_elements_of_a_job_may_have_envs_of_their_own(
    library: Project, sources: Sources, capsys: pytest.CaptureFixture[str]
) -> None:
    each = "+jobs.train.map.executor.env.dependencies=[['tiny-demo==1.0'],['tiny-demo==2.0']]"
    library.run("library", *chosen(sources, each), "dry_run=true")
    assert "env            one for each element\n" in capsys.readouterr().out
    library.run("library", *chosen(sources, each))
    texts = [Path(path).read_text().split() for path in library.info("train")["path"]]
    assert [version for version, _ in texts] == ["1.0", "2.0"] and texts[0][1] != texts[1][1]


@pytest.mark.parametrize("manager", ["conda", "mamba", "micromamba"])
def test_a_missing_manager_is_found_by_the_plan(
    library: Project, manager: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(managers, "find", lambda name: ["uv"] if name == "uv" else None)
    (problem,) = library.problems("library", f"env@jobs.train.executor.env={manager}")
    assert (problem.where, problem.kind) == ("jobs.train.executor.env", "machine")
    assert problem.text.startswith(f"{manager} was not found: install ")
    assert problem.text.endswith("or choose another manager; available: uv")


@pytest.mark.parametrize(
    ("override", "where", "kind"),
    [
        ("env_manager=pipenv", ".env_manager", "wrong_type"),
        ("python=three", ".python", "rule"),
        ("requirements_path=nope.txt", ".requirements_path", "missing_path"),
        ("code_dir=simple", "", "machine"),
        ("env_name=./simple", "", "machine"),
    ],
    ids=["manager", "python", "requirements", "code", "folder"],
)
def test_a_wrong_env_is_found_by_the_plan(
    library: Project, override: str, where: str, kind: str
) -> None:
    env = "jobs.train.executor.env"
    found = library.problems("library", f"env@{env}=uv", f"{env}.{override}")
    assert (f"{env}{where}", kind) in [(problem.where, problem.kind) for problem in found]


def test_a_password_in_a_url_is_refused_and_written_nowhere(library: Project) -> None:
    where = "jobs.train.executor.env"
    url = "https://me:hunter2@example.org/simple"
    done = library.command(
        "+experiment=library",
        f"env@{where}=uv",
        f"+{where}.index_url={url}",
        SANDBOX_ALLOW_TARGETS="env_toys.*",
    )
    assert done.code == 2 and f"{where}.index_url" in done.err and "hunter2" not in done.text
    written = [
        path.read_text(errors="replace") for path in library.root.rglob("*") if path.is_file()
    ]
    assert not [text for text in written if "hunter2" in text]


def test_a_password_from_a_variable_is_in_no_record(
    library: Project, sources: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INDEX_LOGIN", "me:hunter2")
    monkeypatch.setenv("SANDBOX_ALLOW", "credentials")
    overrides = chosen(
        sources, "+jobs.train.executor.env.index_credentials='${oc.env:INDEX_LOGIN}'"
    )
    overrides = [
        text.replace(sources.index_url, "'http://no such host/simple'") for text in overrides
    ]
    library.run("library", *overrides, "dry_run=true")
    with pytest.raises(RuntimeError, match=r"no such host"):  # uv repeats it, login and all
        library.run("library", *overrides)
    written = [
        path.read_text(errors="replace") for path in library.root.rglob("*") if path.is_file()
    ]
    assert written and not [text for text in written if "hunter2" in text]


def test_every_experiment_can_swap_the_env_of_a_training(project: Project) -> None:
    for name, job in (("demo", "train"), ("internvl_coco", "single_train"), ("demo", "perplexity")):
        part = "evaluator" if job == "perplexity" else "executor"
        cfg = compose(f"+experiment={name}", f"env@jobs.{job}.{part}.env=uv")
        assert cfg.jobs[job][part].env.env_manager == "uv"
        cfg = compose(f"+experiment={name}")
        assert cfg.jobs[job][part].env == {"_target_": "sandbox.envs.CurrentEnv"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> VirtualEnv:
    """An existing env that sees our own packages and lists the programs it ran in ``ran.txt``."""
    folder = tmp_path_factory.mktemp("whole")
    made = VirtualEnv(root=str(folder))
    made.create()
    (packages,) = made.folder.glob("lib/python*/site-packages")
    ledger = made.folder / "ran.txt"
    note = f"import sys; open({str(ledger)!r}, 'a').write(' '.join(sys.argv[:1]) + chr(10))"
    ours = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "ours.pth").write_text("".join(f"{path}\n" for path in ours))
    (packages / "sitecustomize.py").write_text(note)
    return VirtualEnv(env_name=str(made.folder))


def ran(env: Env) -> list[str]:
    """Return the names of the workers that an env ran since the last call."""
    ledger = env.folder / "ran.txt"
    names = [Path(line).name for line in ledger.read_text().split("\n") if line]
    ledger.unlink()
    return names


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    path = tmp_path / "pool.jsonl"
    path.write_text(
        "".join(json.dumps({"text": f"The number {n} is no word."}) + "\n" for n in range(40))
    )
    return path


@pytest.mark.slow
def test_a_language_model_is_trained_and_measured_in_an_env(
    whole: VirtualEnv, pool: Path, tmp_path: Path
) -> None:
    from sandbox.evaluators.perplexity import PerplexityEvaluator
    from sandbox.executors.causal_lm import CausalLMTraining

    small: dict[str, Any] = {"max_steps": 2, "warmup_steps": 0, "hidden_size": 32, "num_layers": 1}
    training = CausalLMTraining(
        dataset_path=pool, batch_size=2, sequence_length=32, env=whole, **small
    )
    trained = training.run(scope=scope(tmp_path))
    assert ran(whole) == ["causal_lm_train.py"]
    evaluator = PerplexityEvaluator(heldout_path=pool, env=whole)
    scores = evaluator.run(None, trained.checkpoint_path, scope=scope(tmp_path))
    assert ran(whole) == ["causal_lm_perplexity.py"] and scores.perplexity > 1


@pytest.mark.parametrize(
    "name", ["smollm2", "text_likelihood", "text_quality", "verb_noun_diversity"]
)
def test_packages_of_another_env_are_not_expected_in_the_launcher(
    name: str, pool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan ignores packages missing in the launcher; the program runs in the empty env."""
    from sandbox import evaluators as family
    from sandbox.evaluators.text_likelihood import TextLikelihood
    from sandbox.evaluators.text_quality import TextQuality
    from sandbox.evaluators.verb_noun_diversity import VerbNounDiversity
    from sandbox.executors.smollm2 import SmolLM2Checkpoint
    from sandbox.system.process import ProcessError

    monkeypatch.setattr(family, "find_spec", lambda _: None)
    for place, text in MODEL_FILES.items():
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(text)
    env = VirtualEnv(root=str(tmp_path / "envs"))
    with pytest.raises(ProcessError, match=r"No module named '(torch|pyspark|spacy)'") as caught:
        if name == "smollm2":
            SmolLM2Checkpoint(env=env).run(scope=scope(tmp_path))
        else:
            evaluators: dict[str, Any] = {
                "text_likelihood": TextLikelihood,
                "text_quality": TextQuality,
                "verb_noun_diversity": VerbNounDiversity,
            }
            evaluator = evaluators[name](model_path=tmp_path, env=env)
            getattr(evaluator, "check", lambda: None)()
            evaluator.run(None, pool, scope=scope(tmp_path))
    assert env.exists() and sys.executable not in str(caught.value)


@pytest.mark.slow
def test_data_juicer_runs_in_an_env(whole: VirtualEnv, pool: Path, tmp_path: Path) -> None:
    from sandbox.executors.data_juicer import DataJuicerAnalyzer, DataJuicerExecutor

    recipe = {"process": {"text_length_filter": {"min_len": 1}}}
    for cls in (DataJuicerAnalyzer, DataJuicerExecutor):
        output_dir = tmp_path / cls.__name__
        output_dir.mkdir()
        cls(env=whole).run(pool, recipe, scope=scope(output_dir))
    assert {"juicer_analyze.py", "juicer_process.py"} <= set(ran(whole))


@pytest.mark.parametrize("cls", [InternVLTraining, InternVLCaptioning])
def test_the_workers_of_internvl_run_in_the_given_env(
    cls: Any, sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without torch in the env the worker fails at its first import, in the env's interpreter."""
    import asyncio

    from sandbox.system.process import ProcessError

    monkeypatch.chdir(tmp_path)
    env = VirtualEnv(dependencies=["tiny-demo"], index_url=sources.index_url)
    paths = {"dataset_path": Path("pool")} if cls is InternVLTraining else {
        "annotation_path": Path("a.json"), "image_dir": Path("images")
    }  # fmt: skip
    executor = cls(model_path="a/b", env=env, **paths)
    with pytest.raises(ProcessError, match="No module named 'torch'") as caught:
        data: Any = {} if cls is InternVLTraining else None
        asyncio.run(executor._run(data, scope=scope(tmp_path)))
    assert "internvl_" in str(caught.value) and sys.executable not in str(caught.value)
    assert env.exists()
