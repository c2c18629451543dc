"""COCO caption scores, with Java and without."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from contract import problems_of, request_problems, scope

from sandbox.evaluators.coco_caption import (
    CaptionScores,
    COCOCaptionEvaluator,
    COCOCaptionJavaFreeEvaluator,
    JavaFreeCaptionScores,
)
from sandbox.evaluators.coco_caption_java import PTBTokenizer
from sandbox.executors.coco_references import COCOCaptionReferences
from sandbox.samples import write_coco
from sandbox.system.kept import close_kept

pytest.importorskip("pycocoevalcap")

METRICS = ("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "METEOR", "ROUGE_L", "CIDEr")

PUBLISHED = Path(__file__).parents[3] / "shared" / "data" / "coco_caption"
needs_published = pytest.mark.skipif(
    not PUBLISHED.is_dir(), reason=f"no published captions in {PUBLISHED}"
)
needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="Java is not installed")

REFERENCES = {
    1: ["A red circle is on the left.", "There is a red circle."],
    2: ["Two blue stars, side by side!", "A pair of blue stars."],
    3: ["A large green square in the corner"],
}
CAPTIONS = {1: "A red circle is on the left.", 2: "two blue rings side by side", 3: ""}


@pytest.fixture(autouse=True)
def _no_java_is_left() -> Iterator[None]:
    yield
    close_kept()


def write_references(folder: Path, references: dict[Any, list[str]] = REFERENCES) -> Path:
    rows = [
        (image_id, caption) for image_id, captions in references.items() for caption in captions
    ]
    path = folder / "references.json"
    write_coco(path, [{"id": each, "file_name": f"{each}.png"} for each in references], rows)
    return path


def write_captions(folder: Path, captions: Any = CAPTIONS) -> Path:
    path = folder / "captions.json"
    if isinstance(captions, dict):
        captions = [
            {"image_id": image_id, "caption": caption} for image_id, caption in captions.items()
        ]
    path.write_text(json.dumps(captions))
    return path


def evaluate(
    folder: Path, captions: Any = CAPTIONS, references: Any = REFERENCES
) -> JavaFreeCaptionScores:
    return evaluate_against(write_references(folder, references), folder, captions)


def evaluate_against(
    annotation_path: Path, folder: Path, captions: Any = CAPTIONS
) -> JavaFreeCaptionScores:
    evaluator = COCOCaptionJavaFreeEvaluator(annotation_path=annotation_path)
    return evaluator.run(None, write_captions(folder, captions), scope=scope(folder))


@needs_published
@needs_java
@pytest.mark.slow
def test_published_scores_are_reproduced_to_four_digits(tmp_path: Path) -> None:
    expected = json.loads((PUBLISHED / "EXPECTED.json").read_text())
    captions = PUBLISHED / "captions_val2014_fakecap_results.json"
    annotation_path = PUBLISHED / "captions_val2014_subset1000.json"
    evaluator = COCOCaptionEvaluator(annotation_path=annotation_path)
    scores = evaluator.run(None, captions, scope=scope(tmp_path))
    for metric, score in expected["measured_here_pycocoevalcap_1.2_java17"].items():
        assert getattr(scores, metric) == pytest.approx(score, abs=5e-7), metric
    for metric, score in expected["published_4_decimals"].items():
        assert getattr(scores, metric) == pytest.approx(score, abs=5.1e-5), metric
    assert scores.avg_score == pytest.approx(sum(getattr(scores, metric) for metric in METRICS) / 7)
    per_image = json.loads(scores.per_image_path.read_text())
    assert set(per_image) == set(METRICS)
    assert all(len(single) == 1000 for single in per_image.values())
    assert sum(per_image["CIDEr"].values()) / 1000 == pytest.approx(scores.CIDEr)


@needs_published
def test_java_free_scores_are_close_to_the_published(tmp_path: Path) -> None:
    expected = json.loads((PUBLISHED / "EXPECTED.json").read_text())["published_4_decimals"]
    annotation_path = PUBLISHED / "captions_val2014_subset1000.json"
    evaluator = COCOCaptionJavaFreeEvaluator(annotation_path=annotation_path)
    captions = PUBLISHED / "captions_val2014_fakecap_results.json"
    scores = evaluator.run(None, captions, scope=scope(tmp_path))
    for metric, score in expected.items():
        assert getattr(scores, f"{metric}_nojava") == pytest.approx(score, abs=5e-4), metric


def tokenize(folder: Path, tokenizer: Any = "ptb", references: Any = REFERENCES) -> Path:
    """Return the folder that the job for references makes."""
    made = COCOCaptionReferences(
        annotation_path=write_references(folder, references), tokenizer=tokenizer
    )
    return made.run(scope=scope(folder / "references_job")).references_dir


def java_pids() -> set[int]:
    """Java programs of this process."""
    return {each.pid for each in psutil.Process().children(recursive=True) if each.name() == "java"}


def java_scores(evaluator: COCOCaptionEvaluator, folder: Path, captions: Any) -> CaptionScores:
    folder.mkdir(exist_ok=True)
    return evaluator.run(None, write_captions(folder, captions), scope=scope(folder))


@needs_java
@pytest.mark.slow
@pytest.mark.parametrize("made_before", [True, False], ids=["references-job", "annotations"])
def test_known_scores_with_java(tmp_path: Path, made_before: bool) -> None:
    evaluator = COCOCaptionEvaluator(annotation_path=write_references(tmp_path))
    if made_before:
        evaluator = COCOCaptionEvaluator(references_dir=tokenize(tmp_path))
    scores = evaluator.run(None, write_captions(tmp_path), scope=scope(tmp_path))
    per_image = json.loads(scores.per_image_path.read_text())
    # From METEOR's own command line, with the whole paraphrase table.
    assert per_image["METEOR"] == {"1": 1.0, "2": pytest.approx(0.3932249165105456), "3": 0.0}
    java_free = evaluate(tmp_path)
    for metric in ("Bleu_1", "Bleu_4", "ROUGE_L", "CIDEr"):
        assert getattr(scores, metric) == pytest.approx(getattr(java_free, f"{metric}_nojava"))


def test_known_scores_without_java(tmp_path: Path) -> None:
    scores = evaluate(tmp_path)
    assert not set(vars(scores)) & set(METRICS)
    per_image = json.loads(scores.per_image_path.read_text())
    assert per_image["Bleu_4_nojava"]["1"] == pytest.approx(1.0)
    assert per_image["ROUGE_L_nojava"] == {"1": 1.0, "2": pytest.approx(5 / 6), "3": 0.0}
    # 12 of 13 words match; the references are 7, 6 and 7 words: brevity costs exp(1 - 20 / 13).
    assert scores.Bleu_1_nojava == pytest.approx(12 / 13 * 2.718281828459045 ** (1 - 20 / 13))


@pytest.mark.parametrize("space", ["\r", "\u2028", "\x0b", "\n\n", "\t "], ids=ascii)
def test_line_ends_in_a_caption_do_not_shift_others(tmp_path: Path, space: str) -> None:
    captions = {**CAPTIONS, 1: CAPTIONS[1].replace(" ", space)}
    scores = evaluate(tmp_path, captions)
    assert scores.CIDEr_nojava == pytest.approx(evaluate(tmp_path).CIDEr_nojava)


@needs_java
@pytest.mark.slow
def test_elements_share_the_java_programs_and_one_that_dies_is_replaced(tmp_path: Path) -> None:
    evaluator = COCOCaptionEvaluator(references_dir=tokenize(tmp_path))
    assert not java_pids()
    better = {**CAPTIONS, 3: "A large green square in the corner"}
    first = java_scores(evaluator, tmp_path / "a", CAPTIONS)
    programs = java_pids()
    assert len(programs) == 2
    assert java_scores(evaluator, tmp_path / "b", better).METEOR > first.METEOR
    assert java_pids() == programs
    for pid in programs:
        psutil.Process(pid).kill()
    again = java_scores(evaluator, tmp_path / "c", CAPTIONS)
    assert {**vars(again), "per_image_path": None} == {**vars(first), "per_image_path": None}
    assert len(java_pids()) == 2 and not java_pids() & programs
    with pytest.raises(ValueError, match="expected text"):
        java_scores(evaluator, tmp_path / "d", {**CAPTIONS, 3: None})
    assert java_scores(evaluator, tmp_path / "e", CAPTIONS).METEOR == first.METEOR


@needs_java
@pytest.mark.slow
def test_tokens_do_not_depend_on_what_is_tokenized_with_them(tmp_path: Path) -> None:
    odd = [
        "",
        "A dog's “odd” toy -- U.S. size, 3/4!",
        "can't (not) won't ",
        '"a',
        "|||",
        "ü\u00a0x",
    ]
    odd = [" ".join(each.split()) for each in odd]
    tokenizer = PTBTokenizer(tmp_path / "log")
    together = tokenizer.tokens([*odd * 500])
    assert together == [tokenizer.tokens([each])[0] for each in odd] * 500
    assert together[1] == "a dog 's odd toy u.s. size 3/4"
    tokenizer.close()


def test_references_made_before_score_without_java(tmp_path: Path) -> None:
    references_dir = tokenize(tmp_path, "regex")
    evaluator = COCOCaptionJavaFreeEvaluator(references_dir=references_dir)
    scores = evaluator.run(None, write_captions(tmp_path), scope=scope(tmp_path))
    expected = evaluate(tmp_path)
    assert vars(scores) == vars(expected)


def test_references_of_another_tokenizer_or_another_folder_are_errors(tmp_path: Path) -> None:
    captions = write_captions(tmp_path)
    evaluator = COCOCaptionEvaluator(references_dir=tokenize(tmp_path, "regex"))
    if shutil.which("java"):
        with pytest.raises(ValueError, match="tokenizer=regex, expected ptb"):
            evaluator.run(None, captions, scope=scope(tmp_path))
        assert not java_pids()
    other = COCOCaptionJavaFreeEvaluator(references_dir=tmp_path)
    with pytest.raises(ValueError, match="was not made by COCOCaptionReferences"):
        other.run(None, captions, scope=scope(tmp_path))


def test_references_must_be_given_in_one_way(tmp_path: Path) -> None:
    for given in ({}, {"annotation_path": tmp_path, "references_dir": tmp_path}):
        found = problems_of(COCOCaptionJavaFreeEvaluator, **given)
        assert [(problem.where, problem.kind) for problem in found] == [("", "rule")]
    assert problems_of(COCOCaptionJavaFreeEvaluator, references_dir=tmp_path) == []


@needs_java
@pytest.mark.slow
def test_odd_captions_score_with_java(tmp_path: Path) -> None:
    odd = {1: "A\u2028red\rcircle", 2: "...", 3: "日本語 ||| café “x” &amp; 1,000.50 İ"}
    references = write_references(tmp_path, {**REFERENCES, 2: ["!!!", "A ring ||| here"]})
    evaluator = COCOCaptionEvaluator(annotation_path=references)
    scores = evaluator.run(None, write_captions(tmp_path, odd), scope=scope(tmp_path))
    assert all(0 <= getattr(scores, metric) < 1 for metric in METRICS if metric != "CIDEr")


@pytest.mark.parametrize(
    ("captions", "message"),
    [
        ({**CAPTIONS, 9: "A."}, "1 captions are for pictures without references, the first: 9"),
        ({1: "A.", 2: "B."}, "1 pictures of the references have no caption, the first: 3"),
        (
            [*({"image_id": i, "caption": "A."} for i in (1, 2, 3, 3))],
            "1 pictures have several captions, the first: 3",
        ),
        (
            {"1": "A.", "2": "B.", "3": "C."},
            "3 captions are for pictures without references, the first: '1', '2'",
        ),
        ({**CAPTIONS, 3: None}, "a caption is None; expected text"),
        ([{"id": 1, "text": "A."}], "is no list of"),
        ([], "3 pictures of the references have no caption"),
    ],
    ids=["unknown", "missing", "twice", "text-ids", "null", "other-keys", "none"],
)
def test_captions_that_do_not_match_the_references_are_errors(
    tmp_path: Path, captions: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate(tmp_path, captions)


@pytest.mark.parametrize(
    ("references", "message"),
    [
        ({**REFERENCES, 3: []}, "1 pictures have no caption, the first: 3"),
        ({}, "lists no images"),
    ],
    ids=["bare", "empty"],
)
def test_incomplete_references_are_errors(tmp_path: Path, references: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate(tmp_path, references=references)


@pytest.mark.parametrize(
    "content", ["", "[]", '{"images": []}'], ids=["empty", "list", "no-annotations"]
)
def test_another_kind_of_file_is_an_error(tmp_path: Path, content: str) -> None:
    path = write_references(tmp_path)
    path.write_text(content)
    with pytest.raises(ValueError, match="is no COCO caption file"):
        evaluate_against(path, tmp_path)


def test_references_for_an_unlisted_picture_are_an_error(tmp_path: Path) -> None:
    path = write_references(tmp_path)
    content = json.loads(path.read_text())
    content["annotations"][0]["image_id"] = 77
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="is for picture 77, which the file does not list"):
        evaluate_against(path, tmp_path)


def test_an_eval_type_or_several_files_are_refused_in_the_plan(tmp_path: Path) -> None:
    def places(eval_type: Any, eval_obj: Any) -> list[str]:
        found = request_problems(COCOCaptionEvaluator, eval_type, eval_obj)
        return [where for _, where in found]

    assert places(None, tmp_path) == []
    assert places("fast", tmp_path) == ["eval_type"]
    assert places(None, [tmp_path]) == ["eval_obj"]


def test_missing_java_is_found_in_the_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match=r"install it.*coco_caption_java_free"):
        COCOCaptionEvaluator.check()
    with pytest.raises(ValueError, match=r"install it.*tokenizer=regex"):
        COCOCaptionReferences(annotation_path=tmp_path).check()
    COCOCaptionReferences(annotation_path=tmp_path, tokenizer="regex").check()
