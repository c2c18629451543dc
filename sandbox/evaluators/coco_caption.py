"""COCO caption scores of generated captions: Bleu, METEOR, ROUGE-L, CIDEr."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from statistics import fmean
from typing import Any

from sandbox.evaluators import BaseEvaluator, check_package
from sandbox.evaluators.caption_tokens import regex_tokens
from sandbox.evaluators.coco_caption_java import JAVA, meteor, ptb_tokens
from sandbox.job import JobScope, score
from sandbox.samples import first_of, read_coco

ImageId = Any
"""A JSON number or text."""

Captions = dict[ImageId, list[str]]
"""Captions by picture; white space in them is single blanks."""


Scores = dict[str, tuple[float, Sequence[float]]]
"""By metric the score of all captions together, and of each caption."""


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
        check_package("pycocoevalcap", "caption")
        if shutil.which(JAVA) is None:
            raise ValueError(
                "Java is missing (no program java on the PATH): install it (Debian: apt-get "
                "install default-jre-headless), or choose scorer=coco_caption_java_free "
                "(evaluator of that name), whose scores have names of their own and cannot be "
                "compared with these"
            )

    def run(self, eval_type: None, eval_obj: Path, *, scope: JobScope) -> CaptionScores:
        """Score the captions in a file of COCO results: ``[{"image_id", "caption"}, …]``.

        Raises:
            ValueError: Captions are missing, for unknown pictures, or come twice.
        """
        references, candidates = _read_tokens(
            self.annotation_path, eval_obj, lambda captions: ptb_tokens(captions, scope)
        )
        scores = _scores(references, candidates)
        scores["METEOR"] = meteor(references.values(), candidates.values(), scope)
        return CaptionScores(**_results(scores, references, scope.output_dir))


@dataclass(frozen=True, kw_only=True)
class COCOCaptionJavaFreeEvaluator(BaseEvaluator):
    """Score generated captions without Java: no METEOR, tokens by a regular expression.

    The tokens differ from those of the PTB tokenizer in rare cases, so the scores have names of
    their own and must not be compared with those of :class:`COCOCaptionEvaluator`.

    Args:
        annotation_path: The references, see :class:`COCOCaptionEvaluator`.
    """

    annotation_path: Path

    @staticmethod
    def check() -> None:
        """Raise ValueError if pycocoevalcap is missing."""
        check_package("pycocoevalcap", "caption")

    def run(self, eval_type: None, eval_obj: Path, *, scope: JobScope) -> JavaFreeCaptionScores:
        """Score the captions in a file, see :meth:`COCOCaptionEvaluator.run`."""
        references, candidates = _read_tokens(
            self.annotation_path, eval_obj, lambda captions: list(map(regex_tokens, captions))
        )
        scores = _scores(references, candidates)
        return JavaFreeCaptionScores(**_results(scores, references, scope.output_dir, "_nojava"))


def _read_tokens(
    annotation_path: Path, candidate_path: Path, tokenize: Callable[[list[str]], list[str]]
) -> tuple[Captions, Captions]:
    """Read references and candidates of the same pictures, in the same order, as tokens."""
    annotations = read_coco(annotation_path, allow_empty_captions=True)
    annotations.require_captions()
    references: Captions = {image_id: [] for image_id in annotations.images}
    for annotation in annotations.captions:
        references[annotation.image_id].append(_one_line(annotation.caption))
    candidates = _read_candidates(candidate_path, references)
    # All captions at once, because a tokenizer may take long to start.
    tokens = iter(tokenize([*chain(*references.values()), *candidates.values()]))
    references = {
        image_id: list(islice(tokens, len(each))) for image_id, each in references.items()
    }
    return references, {image_id: [next(tokens)] for image_id in candidates}


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
        named = first_of(map(repr, image_ids))
        raise ValueError(f"{path}: {len(image_ids)} {problem}, the first: {named}")


def _one_line(caption: object) -> str:
    if not isinstance(caption, str):
        raise TypeError(f"a caption is {caption!r}; expected text")
    # A line end of any kind inside a caption would shift all later ones in the tokenizer's output.
    return " ".join(caption.split())


def _scores(references: Captions, candidates: Captions) -> Scores:
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    totals, singles = Bleu(4).compute_score(references, candidates, verbose=0)
    bleu = zip(totals, singles, strict=True)
    scores: Scores = {f"Bleu_{order}": each for order, each in enumerate(bleu, start=1)}
    scores["ROUGE_L"] = Rouge().compute_score(references, candidates)
    scores["CIDEr"] = Cider().compute_score(references, candidates)
    return scores


def _results(
    scores: Scores, image_ids: Iterable[ImageId], folder: Path, suffix: str = ""
) -> dict[str, Any]:
    """Write the scores of every picture; return the results by name, scores with ``suffix``."""
    names = list(map(str, image_ids))
    totals, per_image = {}, {}
    for metric, (total, single) in scores.items():
        # The scorers return numbers of numpy, which JSON does not know.
        totals[f"{metric}{suffix}"] = float(total)
        per_image[f"{metric}{suffix}"] = dict(zip(names, map(float, single), strict=True))
    path = folder / "per_image.json"
    path.write_text(json.dumps(per_image), encoding="utf-8")
    return {**totals, f"avg_score{suffix}": fmean(totals.values()), "per_image_path": path}
