"""COCO caption scores of generated captions: Bleu, METEOR, ROUGE-L, CIDEr."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from sandbox.evaluators import BaseEvaluator
from sandbox.evaluators.caption_tokens import regex_tokens
from sandbox.evaluators.coco_caption_java import meteor, ptb_tokens
from sandbox.job import JobScope, score

_JAVA = "java"
_MAX_NAMED = 5

ImageId = Any
"""A JSON number or text."""


class Score(NamedTuple):
    """One metric: the score of all captions together, and of each caption."""

    total: float
    single: Sequence[float]


@dataclass(frozen=True, kw_only=True)
class CaptionScores:
    """Scores of captions, all of them 0 to 1 except CIDEr, 0 to 10.

    Args:
        Bleu_1: Overlap of single words, with a penalty for short captions.
        Bleu_2: The same for sequences of up to two words, and so on.
        METEOR: Match of words, stems, synonyms and paraphrases, version 1.5.
        ROUGE_L: Longest common subsequence.
        CIDEr: Consensus with the references, weighted by how rare an n-gram is.
        avg_score: Mean of the seven scores.
        per_image_path: JSON, ``{metric: {image id: score}}``. A total is not always the mean of
            its pictures (not for Bleu and METEOR).
    """

    Bleu_1: float = score()
    Bleu_2: float = score()
    Bleu_3: float = score()
    Bleu_4: float = score()
    METEOR: float = score()
    ROUGE_L: float = score()
    CIDEr: float = score()
    avg_score: float = score()
    per_image_path: Path


@dataclass(frozen=True, kw_only=True)
class JavaFreeCaptionScores:
    """Scores of captions under approximate tokens; the names differ from ``CaptionScores``."""

    Bleu_1_nojava: float = score()
    Bleu_2_nojava: float = score()
    Bleu_3_nojava: float = score()
    Bleu_4_nojava: float = score()
    ROUGE_L_nojava: float = score()
    CIDEr_nojava: float = score()
    avg_score_nojava: float = score()
    per_image_path: Path


@dataclass(frozen=True, kw_only=True)
class COCOCaptionEvaluator(BaseEvaluator):
    """Score generated captions against reference captions as the COCO caption challenge does.

    The PTB tokenizer and METEOR 1.5 are Java programs.

    Args:
        annotation_path: The references, COCO caption annotations. Every picture in it must have
            one generated caption.

    Source: pycocoevalcap 1.2 (COCO caption evaluation). Unlike its ``evaluate()``: no SPICE, which
    downloads; a line end inside a caption is one blank; captions without tokens count.
    """

    annotation_path: Path

    @staticmethod
    def check() -> None:
        """Raise ValueError if Java or pycocoevalcap is missing."""
        _check_pycocoevalcap()
        if shutil.which(_JAVA) is None:
            raise ValueError(
                "Java is missing (no program java on the PATH): install it (Debian: apt-get "
                "install default-jre-headless), or choose scorer=coco_caption_java_free "
                "(evaluator of that name), whose scores have names of their own and cannot be "
                "compared with these"
            )

    def run(self, eval_type: str | None, eval_obj: Path, *, scope: JobScope) -> CaptionScores:
        """Score the captions in a file of COCO results: ``[{"image_id", "caption"}, …]``.

        Raises:
            ValueError: Captions are missing, for unknown pictures, or come twice.
        """
        pictures = _Captions.read(self.annotation_path, eval_obj)
        references, candidates = pictures.tokenized(ptb_tokens(_JAVA, pictures.in_a_row(), scope))
        scores = _scores(references, candidates)
        single = [lines[0] for lines in candidates.values()]
        scores["METEOR"] = Score(*meteor(_JAVA, list(references.values()), single, scope))
        return CaptionScores(
            **{metric: each.total for metric, each in scores.items()},
            avg_score=fmean(each.total for each in scores.values()),
            per_image_path=_write_per_image(scores, pictures.references, scope.output_dir),
        )


@dataclass(frozen=True, kw_only=True)
class COCOCaptionJavaFreeEvaluator(BaseEvaluator):
    """Score generated captions without Java: no METEOR, tokens by a regular expression.

    The tokens differ from those of the PTB tokenizer in rare cases, so the scores have names of
    their own and must not be compared with those of :class:`COCOCaptionEvaluator`.

    Args:
        annotation_path: The references, COCO caption annotations. Every picture in it must have
            one generated caption.
    """

    annotation_path: Path

    @staticmethod
    def check() -> None:
        """Raise ValueError if pycocoevalcap is missing."""
        _check_pycocoevalcap()

    def run(
        self, eval_type: str | None, eval_obj: Path, *, scope: JobScope
    ) -> JavaFreeCaptionScores:
        """Score the captions in a file of COCO results: ``[{"image_id", "caption"}, …]``.

        Raises:
            ValueError: Captions are missing, for unknown pictures, or come twice.
        """
        pictures = _Captions.read(self.annotation_path, eval_obj)
        tokens = [regex_tokens(caption) for caption in pictures.in_a_row()]
        found = _scores(*pictures.tokenized(tokens))
        scores = {f"{metric}_nojava": each for metric, each in found.items()}
        return JavaFreeCaptionScores(
            **{metric: each.total for metric, each in scores.items()},
            avg_score_nojava=fmean(each.total for each in scores.values()),
            per_image_path=_write_per_image(scores, pictures.references, scope.output_dir),
        )


def _check_pycocoevalcap() -> None:
    if find_spec("pycocoevalcap") is None:
        raise ValueError("pycocoevalcap is not installed; pip install 'sandbox[caption]'")


class _Captions(NamedTuple):
    """References and candidates by picture, in the same order; white space is single blanks."""

    references: Mapping[ImageId, list[str]]
    candidates: Mapping[ImageId, str]

    @classmethod
    def read(cls, annotation_path: Path, candidate_path: Path) -> _Captions:
        references = _read_references(annotation_path)
        return cls(references, _read_candidates(candidate_path, references))

    def in_a_row(self) -> list[str]:
        """Return all references, then all candidates: the tokenizer starts once for both."""
        captions = [caption for captions in self.references.values() for caption in captions]
        return [*captions, *self.candidates.values()]

    def tokenized(
        self, tokens: Sequence[str]
    ) -> tuple[dict[ImageId, list[str]], dict[ImageId, list[str]]]:
        """Return references and candidates with the tokens of :meth:`in_a_row` in their place."""
        lines = iter(tokens)
        references = {
            image_id: [next(lines) for _ in captions]
            for image_id, captions in self.references.items()
        }
        return references, {image_id: [next(lines)] for image_id in self.candidates}


def _read_references(path: Path) -> dict[ImageId, list[str]]:
    try:
        content = json.loads(path.read_bytes())
        references: dict[ImageId, list[str]] = {image["id"]: [] for image in content["images"]}
        rows = [(row["image_id"], _one_line(row["caption"])) for row in content["annotations"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no COCO caption annotation file: {error!r}") from error
    if not references:
        raise ValueError(f"{path} lists no pictures")
    unknown = [image_id for image_id, _ in rows if image_id not in references]
    _refuse(path, "references are for pictures that it does not list", unknown)
    for image_id, caption in rows:
        references[image_id].append(caption)
    bare = [image_id for image_id, captions in references.items() if not captions]
    _refuse(path, "pictures have no reference", bare)
    return references


def _read_candidates(path: Path, image_ids: Collection[ImageId]) -> dict[ImageId, str]:
    """Read one caption per picture, in the order of ``image_ids``."""
    try:
        content = json.loads(path.read_bytes())
        rows = [(row["image_id"], _one_line(row["caption"])) for row in content]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f'{path} is no list of {{"image_id", "caption"}}: {error!r}') from error
    counts = Counter(image_id for image_id, _ in rows)
    unknown = [image_id for image_id in counts if image_id not in image_ids]
    _refuse(path, "captions are for pictures without references", unknown)
    repeated = [image_id for image_id, count in counts.items() if count > 1]
    _refuse(path, "pictures have several captions", repeated)
    bare = [image_id for image_id in image_ids if image_id not in counts]
    _refuse(path, "pictures of the references have no caption", bare)
    captions = dict(rows)
    return {image_id: captions[image_id] for image_id in image_ids}


def _refuse(path: Path, problem: str, image_ids: Sequence[ImageId]) -> None:
    if image_ids:
        named = ", ".join(map(repr, image_ids[:_MAX_NAMED]))
        raise ValueError(f"{path}: {len(image_ids)} {problem}, the first: {named}")


def _one_line(caption: object) -> str:
    if not isinstance(caption, str):
        raise TypeError(f"a caption is {caption!r}; expected text")
    # A line end of any kind inside a caption would shift all later ones in the tokenizer's output.
    return " ".join(caption.split())


def _scores(
    references: Mapping[ImageId, list[str]], candidates: Mapping[ImageId, list[str]]
) -> dict[str, Score]:
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    totals, singles = Bleu(4).compute_score(references, candidates, verbose=0)
    found = {
        f"Bleu_{order}": each for order, each in enumerate(zip(totals, singles, strict=True), 1)
    }
    found["ROUGE_L"] = Rouge().compute_score(references, candidates)
    found["CIDEr"] = Cider().compute_score(references, candidates)
    return {
        metric: Score(float(total), list(map(float, single)))
        for metric, (total, single) in found.items()
    }


def _write_per_image(
    scores: Mapping[str, Score], image_ids: Collection[ImageId], folder: Path
) -> Path:
    names = list(map(str, image_ids))
    content = {
        metric: dict(zip(names, each.single, strict=True)) for metric, each in scores.items()
    }
    path = folder / "per_image.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path
