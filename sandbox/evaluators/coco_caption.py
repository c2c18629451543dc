"""COCO caption scores of generated captions: Bleu, METEOR, ROUGE-L, CIDEr."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from sandbox.evaluators import BaseEvaluator
from sandbox.evaluators.caption_references import (
    Captions,
    ImageId,
    load_references,
    one_line,
    paraphrases_path,
    read_references,
    tokenized,
    write_references,
)
from sandbox.evaluators.coco_caption_java import Meteor, PTBTokenizer, check_java
from sandbox.job import JobScope, rule, score
from sandbox.samples import first_of
from sandbox.system.kept import use_kept

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
class CaptionEvaluator(BaseEvaluator):
    """Score generated captions against reference captions.

    Args:
        annotation_path: The references, COCO caption annotations. Every picture in it must have
            one generated caption.
        references_dir: Instead of them their tokens, made once by a job with
            ``COCOCaptionReferences``.
    """

    PACKAGES: ClassVar[Mapping[str, Sequence[str]]] = {"caption": ("pycocoevalcap",)}

    annotation_path: Path | None = None
    references_dir: Path | None = None

    @rule
    def _references_are_given_once(
        annotation_path: Path | None, references_dir: Path | None
    ) -> None:
        if annotation_path is None and references_dir is None:
            raise ValueError("annotation_path: give the references, or references_dir")
        if annotation_path is not None and references_dir is not None:
            raise ValueError("annotation_path: give it or references_dir, not both")


@dataclass(frozen=True, kw_only=True)
class COCOCaptionEvaluator(CaptionEvaluator):
    """Score generated captions against reference captions as the COCO caption challenge does.

    The PTB tokenizer and METEOR 1.5 are Java programs. They stay open in this process for the next
    element of the job.

    Args:
        annotation_path: The references, see :class:`CaptionEvaluator`.
        references_dir: Their tokens, instead; those of ``tokenizer=ptb``.

    Source: pycocoevalcap 1.2 (COCO caption evaluation). Unlike its ``evaluate()``: no SPICE, which
    downloads; a line end inside a caption is one blank; captions without tokens count.
    """

    @staticmethod
    def check() -> None:
        """Raise ValueError if Java is missing."""
        check_java("evaluator of that name")

    def run(self, eval_type: None, eval_obj: Path, *, scope: JobScope) -> CaptionScores:
        """Score the captions in a file of COCO results: ``[{"image_id", "caption"}, …]``.

        Raises:
            ValueError: Captions are missing, for unknown pictures, or come twice.
            ProcessError: A Java program ended, and its successor too.
        """

        def scored(programs: _Programs) -> tuple[Captions, Scores]:
            return programs.references, programs.scores(eval_obj)

        path = self.references_dir or self.annotation_path
        assert path is not None
        key = (type(self), path.absolute(), path.stat().st_mtime_ns)
        references, scores = use_kept(key, lambda: self._open(scope), scored)
        return CaptionScores(**_results(scores, references, scope.output_dir))

    def _open(self, scope: JobScope) -> _Programs:
        with ExitStack() as on_error, TemporaryDirectory(dir=scope.output_dir) as made_dir:
            tokenizer = PTBTokenizer(scope.log_path)
            on_error.callback(tokenizer.close)
            folder = self.references_dir or Path(made_dir)
            if self.annotation_path is not None:
                captions = read_references(self.annotation_path)
                write_references(folder, "ptb", tokenized(captions, tokenizer))
            references = load_references(folder, "ptb")
            meteor = Meteor(paraphrases_path(folder), scope.log_path)
            on_error.pop_all()
        return _Programs(references, tokenizer, meteor)


@dataclass(frozen=True)
class _Programs:
    """References with the open programs that score captions against them."""

    references: Captions
    tokenizer: PTBTokenizer
    meteor: Meteor

    def scores(self, candidate_path: Path) -> Scores:
        candidates = tokenized(_read_candidates(candidate_path, self.references), self.tokenizer)
        # METEOR works in a process of its own.
        with ThreadPoolExecutor(1) as thread:
            meteor = thread.submit(
                self.meteor.scores, self.references.values(), candidates.values()
            )
            scores = _scores(self.references, candidates)
            scores["METEOR"] = meteor.result()
        return scores

    def close(self) -> None:
        self.tokenizer.close()
        self.meteor.close()


@dataclass(frozen=True, kw_only=True)
class COCOCaptionJavaFreeEvaluator(CaptionEvaluator):
    """Score generated captions without Java: no METEOR, tokens by a regular expression.

    The tokens differ from those of the PTB tokenizer in rare cases, so the scores have names of
    their own and must not be compared with those of :class:`COCOCaptionEvaluator`.

    Args:
        annotation_path: The references, see :class:`CaptionEvaluator`.
        references_dir: Their tokens, instead; those of ``tokenizer=regex``.
    """

    def run(self, eval_type: None, eval_obj: Path, *, scope: JobScope) -> JavaFreeCaptionScores:
        """Score the captions in a file, see :meth:`COCOCaptionEvaluator.run`."""
        if self.references_dir is not None:
            references = load_references(self.references_dir, "regex")
        else:
            assert self.annotation_path is not None
            references = tokenized(read_references(self.annotation_path), None)
        candidates = tokenized(_read_candidates(eval_obj, references), None)
        scores = _scores(references, candidates)
        return JavaFreeCaptionScores(**_results(scores, references, scope.output_dir, "_nojava"))


def _read_candidates(path: Path, image_ids: Collection[ImageId]) -> Captions:
    """Read one caption per picture, in the order of ``image_ids``."""
    try:
        content = json.loads(path.read_bytes())
        rows = [(row["image_id"], one_line(row["caption"])) for row in content]
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
    return {image_id: [captions[image_id]] for image_id in image_ids}


def _refuse(path: Path, problem: str, image_ids: Sequence[ImageId]) -> None:
    if image_ids:
        named = first_of(map(repr, image_ids))
        raise ValueError(f"{path}: {len(image_ids)} {problem}, the first: {named}")


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
