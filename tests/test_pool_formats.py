"""Every component that takes a data pool gives the same results whatever the pool's format.

The components are found by introspection: a new one that takes a pool fails the first test until
it has an entry in ``CASES``.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
from pool_cases import (
    FIRST,
    LABELS,
    SECOND,
    TEXTS,
    Case,
    Fixture,
    Runs,
    all_but_summary,
    all_files,
    pools_in,
    sample,
    without_statistics,
)
from pool_files import FORMATS, write_pool
from tiny_models import byte_model, quality_classifiers, spacy_models

import sandbox
from sandbox.components.signature import arguments_of, run_annotations
from sandbox.evaluators import BaseEvaluator
from sandbox.evaluators.text_diversity import TextDiversityEvaluator
from sandbox.executors import BaseDataExecutor, BaseModelExecutor, BaseRecipeExecutor
from sandbox.executors.data_juicer import DataJuicerExecutor, DataJuicerFastProbe
from sandbox.hooks import BaseHook
from sandbox.pools import BaseDataPoolManipulator
from sandbox.samples import STATS
from sandbox.store.content import ContentHashes

FAMILIES = ("pools", "evaluators", "executors", "datasets", "hooks")
BASES = (
    BaseDataExecutor,
    BaseDataPoolManipulator,
    BaseEvaluator,
    BaseHook,
    BaseModelExecutor,
    BaseRecipeExecutor,
)
NO_POOLS = {
    "annotation_path": "COCO annotations",
    "image_dir": "a folder of pictures",
    "model_path": "a model",
    "name_or_path": "a model",
    "recipe_path": "a recipe",
    "references_dir": "tokenized references",
    "root": "a data set as it was downloaded",
    "tokenizer_path": "a tokenizer",
    "COCOCaptionEvaluator.eval_obj": "captions in COCO's results format",
    "COCOCaptionJavaFreeEvaluator.eval_obj": "captions in COCO's results format",
    "PerplexityEvaluator.eval_obj": "a model",
    "Decision.eval_obj": "score files of evaluators",
}
"""Arguments that are paths, but not of pools, and what they are."""

RECIPE = {"process": {"text_length_filter": {"min_len": 12, "max_len": 1000}}}


EVALUATION = {"eval_type": None, "eval_obj": FIRST}
PROCESSING = {"dataset_path": FIRST, "recipe": RECIPE}
TRAINING = {"max_steps": 2, "batch_size": 1, "sequence_length": 8, "hidden_size": 32}
CASES = {
    # datasets
    "TextFile": Case({"path": FIRST, "heldout_fraction": 0.5}, compared=all_but_summary),
    # pools
    "DataPoolCartesianJoin": Case({"first_paths": [FIRST], "second_paths": [LABELS]}),
    "DataPoolCombination": Case({"dataset_paths": [FIRST, SECOND]}),
    "DataPoolConstruction": Case({"dataset_path": FIRST}, reads_statistics=True),
    "DataPoolConstruction: stats_path": Case({"dataset_path": LABELS, "stats_path": FIRST}),
    "DataPoolDownsampling": Case({"dataset_paths": [FIRST, SECOND], "num_samples": 3}),
    "DataPoolDuplication": Case({"dataset_paths": [FIRST], "duplicating_times": [2]}),
    "DataPoolMerging": Case({"dataset_paths": [FIRST, SECOND]}),
    "DataPoolRanking": Case({"dataset_paths": [FIRST, SECOND], "metrics": [1.0, 2.0]}),
    # evaluators
    "NearDuplicates": Case({"threshold": 0.3, "shingle_size": 1}, EVALUATION),
    "PerplexityEvaluator": Case(
        {"heldout_path": FIRST, "sequence_length": 8},
        {"eval_type": None, "eval_obj": Fixture("tiny_model")},
        is_slow=True,
    ),
    "PoolDistance": Case({"reference_path": SECOND}, EVALUATION, reads_statistics=True),
    "StatisticDistributions": Case({}, EVALUATION, reads_statistics=True),
    "TextDiversityEvaluator": Case({}, EVALUATION),
    "TextLikelihood": Case(
        {"model_path": Fixture("tiny_model"), "window": 512}, EVALUATION, is_slow=True
    ),
    "TextQuality": Case({"model_path": Fixture("classifier")}, EVALUATION, is_slow=True),
    "VerbNounDiversity": Case({"model_path": Fixture("parser")}, EVALUATION, is_slow=True),
    # executors
    "CausalLMTraining": Case(
        {"dataset_path": FIRST, "heldout_path": SECOND, "num_layers": 1, **TRAINING}, is_slow=True
    ),
    "COCOCaptionMetaGeneration": Case(
        {"dataset_path": FIRST, "image_dir": Fixture("image_dir")}, compared=all_files
    ),
    "DataJuicerAnalyzer": Case({}, PROCESSING, is_slow=True),
    "DataJuicerExecutor": Case({}, PROCESSING, is_slow=True),
    "DataJuicerFastProbe": Case({}, PROCESSING, is_slow=True),
    # Its program reads the files that the connector writes, and no pool.
    "InternVLTraining": Case(
        {"model_path": "some/model", "dataset_path": FIRST, "eval_dataset_path": SECOND},
        method="data_connector",
        compared=all_files,
    ),
    # hooks
    "EvaluateDataHook": Case({"evaluator": TextDiversityEvaluator(), "eval_obj": FIRST}),
    "EvaluateModelHook": Case({"evaluator": TextDiversityEvaluator(), "eval_obj": FIRST}),
    "ProbeViaAnalyzerHook": Case({"analyzer": DataJuicerFastProbe(), **PROCESSING}, is_slow=True),
    "ProcessDataHook": Case({"executor": DataJuicerExecutor(), **PROCESSING}, is_slow=True),
    "RefineRecipeViaPercentilesHook": Case(PROCESSING, reads_statistics=True),
}


@cache
def components() -> dict[str, type]:
    """Return the components of all families by class name."""
    found = {}
    for family in FAMILIES:
        package = importlib.import_module(f"{sandbox.__name__}.{family}")
        for entry in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            for cls in vars(importlib.import_module(entry.name)).values():
                is_ours = inspect.isclass(cls) and cls.__module__ == entry.name
                if is_ours and issubclass(cls, BASES) and not inspect.isabstract(cls):
                    found[cls.__name__] = cls
    return found


def is_path(annotation: Any) -> bool:
    """Return True if an annotation allows a path, or several."""
    return annotation is Path or any(map(is_path, get_args(annotation)))


def pool_arguments(cls: type) -> set[str]:
    """Return the names of arguments, of a component and of its ``run``, that take pools."""
    annotations = {name: given.annotation for name, given in arguments_of(cls).items()}
    annotations |= run_annotations(cls)
    annotations.pop("return", None)
    return {
        name
        for name, annotation in annotations.items()
        if is_path(annotation) and not {name, f"{cls.__name__}.{name}"} & NO_POOLS.keys()
    }


def case_of(name: str) -> tuple[str, type, Case]:
    """Return name, component and case."""
    return name, components()[name.partition(":")[0]], CASES[name]


def cases_of(component: str) -> list[Case]:
    """Return the cases of a component."""
    return [case for name, case in CASES.items() if name.partition(":")[0] == component]


@pytest.fixture(scope="module")
def image_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one picture for every sample."""
    image = pytest.importorskip("PIL.Image")
    folder = tmp_path_factory.mktemp("images")
    for number in range(len(TEXTS)):
        image.new("RGB", (8, 8), (number, 0, 0)).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("tiny_model")
    byte_model(folder)
    return folder


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("pyspark")
    folder = tmp_path_factory.mktemp("classifier")
    quality_classifiers(folder, ["a"])
    return folder / "whole"


@pytest.fixture(scope="module")
def parser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("spacy")
    folder = tmp_path_factory.mktemp("parser")
    spacy_models(folder)
    return folder / "parser"


@pytest.fixture(scope="module")
def runs(
    tmp_path_factory: pytest.TempPathFactory, image_dir: Path, request: pytest.FixtureRequest
) -> Runs:
    pytest.importorskip("pyarrow")
    return Runs(tmp_path_factory.mktemp("runs"), image_dir, request.getfixturevalue)


def parameters(endings: tuple[str, ...], wanted: Callable[[Case], bool]) -> list[Any]:
    """Return the parameters of a test of every wanted case in every format."""
    return [
        pytest.param(name, ending, id=f"{name}-{ending}", marks=[pytest.mark.slow] * case.is_slow)
        for name, case in CASES.items()
        if wanted(case)
        for ending in endings
    ]


def test_every_component_that_takes_a_pool_has_a_case() -> None:
    for name, cls in components().items():
        given = {
            argument
            for case in cases_of(name)
            for argument, value in {**case.arguments, **case.run}.items()
            if any(pools_in(value))
        }
        assert given == pool_arguments(cls), f"{name}: its cases do not give all its pools"
    names = {name.partition(":")[0] for name in CASES}
    assert names <= components().keys(), "a case of no component"


@pytest.mark.parametrize(("name", "ending"), parameters(FORMATS[1:], lambda case: True))
def test_results_do_not_depend_on_the_format(runs: Runs, name: str, ending: str) -> None:
    case = case_of(name)
    assert runs.outcome(*case, ending) == runs.in_jsonl(*case)


@pytest.mark.parametrize(
    ("name", "ending"), parameters(FORMATS, lambda case: case.reads_statistics)
)
def test_statistics_beside_the_pool_count_like_those_inside(
    runs: Runs, name: str, ending: str
) -> None:
    case = case_of(name)
    found = runs.outcome(*case, ending, stats_beside=True)
    # New pools hold samples as they were given: without statistics that were in another file.
    assert without_statistics(found) == without_statistics(runs.in_jsonl(*case))


@pytest.mark.parametrize("stats_beside", [False, True], ids=["inside", "beside"])
@pytest.mark.parametrize("ending", FORMATS)
def test_the_hash_of_a_pool_covers_samples_statistics_and_pictures(
    tmp_path: Path, ending: str, stats_beside: bool
) -> None:
    picture = tmp_path / "store" / "0.png"
    picture.parent.mkdir()
    one = sample(0, "a text", picture.parent)
    versions = [
        one,
        {**one, "text": "another"},
        {**one, STATS: {"text_len": 0, "num_words": 0}},
    ]
    hashes = []
    for picture_bytes in (b"red", b"blue"):
        picture.write_bytes(picture_bytes)
        for version in versions:
            path = write_pool(tmp_path, "pool", [version], ending, stats_beside=stats_beside)
            hashes.append(ContentHashes(tmp_path / "store").of(path))
    assert len(set(hashes)) == len(hashes)
