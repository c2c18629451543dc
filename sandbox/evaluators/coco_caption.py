"""COCO caption scores of generated captions: Bleu, METEOR, ROUGE-L, CIDEr."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from sandbox.evaluators import BaseEvaluator
from sandbox.evaluators.coco_caption_java import meteor, ptb_tokens
from sandbox.job import Outputs

METRICS = ("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "METEOR", "ROUGE_L", "CIDEr")
JAVA_FREE_SUFFIX = "_nojava"
JAVA = "java"

Scores = dict[str, tuple[float, list[float]]]
"""By metric: the score of all captions together, and each caption's own."""

_NAMED_AT_MOST = 5


class COCOCaptionEvaluator(BaseEvaluator):
    """Score generated captions against reference captions as the COCO caption challenge does.

    Tokens are the PTB tokenizer's, METEOR is version 1.5: both are Java programs. ``avg_score`` is the
    mean of the seven scores. ``per_image_path`` is JSON, ``{metric: {image id: score}}``; a corpus score
    is not always the mean of its pictures' (Bleu and METEOR are not).

    Args:
        annotation_path: The references, COCO caption annotations. Every picture in it must have a caption
            among those that are judged.

    Raises:
        ValueError: Java or pycocoevalcap is missing; captions are missing, for unknown pictures, or come
            twice.

    Source: pycocoevalcap 1.2 (COCO caption evaluation). Unlike its ``evaluate()``: no SPICE, which
    downloads; line ends inside a caption are one blank; captions that the tokenizer empties count.
    """

    OUTPUTS: ClassVar[tuple[str, ...]] = (*METRICS, "avg_score", "per_image_path")

    def __init__(self, annotation_path: Path) -> None:
        self.annotation_path = annotation_path

    @staticmethod
    def check() -> None:
        """Raise ValueError where Java or pycocoevalcap is missing."""
        _check_pycocoevalcap()
        if shutil.which(JAVA) is None:
            raise ValueError(
                "Java is not there (no program java on the PATH): install it (Debian: apt-get install "
                "default-jre-headless), or choose scorer=coco_caption_java_free (evaluator of that name), "
                "whose scores have names of their own and cannot be compared with these"
            )

    def run(self, eval_type: str | None, eval_obj: Any, *, output_dir: Path) -> Outputs:
        """Score the captions in ``eval_obj``, a path of COCO results: ``[{"image_id", "caption"}, …]``."""
        self.check()
        references, candidates = _read(self.annotation_path, eval_type, eval_obj)
        tokens = ptb_tokens(JAVA, _in_a_row(references, candidates), output_dir)
        tokenized = _regroup(tokens, references)
        single = [lines[0] for lines in tokenized[1].values()]
        scores = _score(*tokenized)
        scores["METEOR"] = meteor(JAVA, list(tokenized[0].values()), single, output_dir)
        return _outputs(
            {metric: scores[metric] for metric in METRICS}, list(references), output_dir
        )


class COCOCaptionJavaFreeEvaluator(BaseEvaluator):
    """Score generated captions without Java: no METEOR, tokens by a regular expression.

    The tokens differ from the PTB tokenizer's in rare cases, so the scores carry names of their own
    and must not be compared with :class:`COCOCaptionEvaluator`'s.

    Args:
        annotation_path: The references, COCO caption annotations.

    Raises:
        ValueError: pycocoevalcap is missing; captions are missing, for unknown pictures, or come twice.
    """

    OUTPUTS: ClassVar[tuple[str, ...]] = (
        *(metric + JAVA_FREE_SUFFIX for metric in METRICS if metric != "METEOR"),
        "avg_score" + JAVA_FREE_SUFFIX,
        "per_image_path",
    )

    def __init__(self, annotation_path: Path) -> None:
        self.annotation_path = annotation_path

    @staticmethod
    def check() -> None:
        """Raise ValueError where pycocoevalcap is missing."""
        _check_pycocoevalcap()

    def run(self, eval_type: str | None, eval_obj: Any, *, output_dir: Path) -> Outputs:
        """Score the captions in ``eval_obj``, a path of COCO results: ``[{"image_id", "caption"}, …]``."""
        self.check()
        references, candidates = _read(self.annotation_path, eval_type, eval_obj)
        tokens = [_regex_tokens(caption) for caption in _in_a_row(references, candidates)]
        scores = _score(*_regroup(tokens, references))
        return _outputs(scores, list(references), output_dir, suffix=JAVA_FREE_SUFFIX)


def _check_pycocoevalcap() -> None:
    if find_spec("pycocoevalcap") is None:
        raise ValueError("pycocoevalcap is not installed; pip install 'sandbox[caption]'")


def _read(
    annotation_path: Path, eval_type: str | None, eval_obj: Any
) -> tuple[dict[Any, list[str]], dict[Any, str]]:
    """References and candidates by picture id, in the same order; white space is single blanks."""
    if eval_type is not None:
        raise ValueError(
            f"eval_type is {eval_type!r}; captions are scored in one way only, expected none"
        )
    if not isinstance(eval_obj, str | Path):
        raise ValueError(f"eval_obj is {eval_obj!r}; expected the path of one file of captions")
    references = _read_references(annotation_path)
    return references, _read_candidates(Path(eval_obj), references)


def _read_references(path: Path) -> dict[Any, list[str]]:
    try:
        content = json.loads(path.read_bytes())
        references: dict[Any, list[str]] = {image["id"]: [] for image in content["images"]}
        rows = [(row["image_id"], _one_line(row["caption"])) for row in content["annotations"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no COCO caption annotation file: {error!r}") from error
    if not references:
        raise ValueError(f"{path} lists no pictures")
    _refuse(
        path,
        "references are for pictures that it does not list",
        [i for i, _ in rows if i not in references],
    )
    for image_id, caption in rows:
        references[image_id].append(caption)
    _refuse(
        path,
        "pictures have no reference",
        [i for i, captions in references.items() if not captions],
    )
    return references


def _read_candidates(path: Path, references: dict[Any, list[str]]) -> dict[Any, str]:
    try:
        rows = [
            (row["image_id"], _one_line(row["caption"])) for row in json.loads(path.read_bytes())
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f'{path} is no list of {{"image_id", "caption"}}: {error!r}') from error
    counts = Counter(image_id for image_id, _ in rows)
    _refuse(
        path,
        "captions are for pictures without references",
        [i for i in counts if i not in references],
    )
    _refuse(path, "pictures have several captions", [i for i, count in counts.items() if count > 1])
    _refuse(
        path,
        "pictures of the references have no caption",
        [i for i in references if i not in counts],
    )
    captions = dict(rows)
    return {image_id: captions[image_id] for image_id in references}


def _refuse(path: Path, problem: str, image_ids: Sequence[Any]) -> None:
    if image_ids:
        named = ", ".join(repr(image_id) for image_id in image_ids[:_NAMED_AT_MOST])
        raise ValueError(f"{path}: {len(image_ids)} {problem}, the first: {named}")


def _one_line(caption: object) -> str:
    if not isinstance(caption, str):
        raise TypeError(f"a caption is {caption!r}; expected text")
    # A line end of any kind inside a caption would shift all later ones in the tokenizer's output.
    return " ".join(caption.split())


def _in_a_row(references: dict[Any, list[str]], candidates: dict[Any, str]) -> list[str]:
    """All references, then all candidates: one start of the tokenizer for both."""
    return [caption for captions in references.values() for caption in captions] + list(
        candidates.values()
    )


def _regroup(
    tokens: list[str], references: dict[Any, list[str]]
) -> tuple[dict[Any, list[str]], dict[Any, list[str]]]:
    """Tokens of the references, then of the candidates, as the scorers take them."""
    lines = iter(tokens)
    tokenized = {
        image_id: [next(lines) for _ in captions] for image_id, captions in references.items()
    }
    return tokenized, {image_id: [next(lines)] for image_id in references}


def _score(references: dict[Any, list[str]], candidates: dict[Any, list[str]]) -> Scores:
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    bleu, bleus = Bleu(4).compute_score(references, candidates, verbose=0)
    rouge, rouges = Rouge().compute_score(references, candidates)
    cider, ciders = Cider().compute_score(references, candidates)
    scores: Scores = {
        f"Bleu_{n + 1}": (float(bleu[n]), list(map(float, bleus[n]))) for n in range(4)
    }
    scores["ROUGE_L"] = (float(rouge), list(map(float, rouges)))
    scores["CIDEr"] = (float(cider), list(map(float, ciders)))
    return scores


def _outputs(scores: Scores, image_ids: list[Any], output_dir: Path, suffix: str = "") -> Outputs:
    per_image = {
        metric + suffix: dict(zip(map(str, image_ids), single, strict=True))
        for metric, (_, single) in scores.items()
    }
    per_image_path = output_dir / "per_image.json"
    per_image_path.write_text(json.dumps(per_image), encoding="utf-8")
    totals = {metric + suffix: total for metric, (total, _) in scores.items()}
    average = sum(totals.values()) / len(totals)
    return {**totals, f"avg_score{suffix}": average, "per_image_path": per_image_path}


_SPELLINGS = [
    (re.compile(pattern, re.IGNORECASE), replacement)
    for pattern, replacement in (
        (r"[\u2018\u2019\u0060\u00b4]", "'"),
        (r"[\u201c\u201d]", '"'),
        (r"\b(can)(not)\b", r"\1 \2"),
        (r"\b(gon|wan|got)(na|ta)\b", r"\1 \2"),
        (r"([a-z])(n't)\b", r"\1 \2"),
        (r"([a-z0-9])('(?:s|m|d|re|ve|ll))\b", r"\1 \2"),
    )
]
_TOKEN = re.compile(
    r"\$?\d+(?:[.,:/]\d+)*(?:st|nd|rd|th|s)?%?(?!\w)"
    r"|(?:[a-z]\.){2,}"
    r"|(?:mr|mrs|ms|dr|st|rd|ave|blvd|jr|sr|vs|etc|ft|inc|co|ltd|corp|mt)\.(?=\s|$|,)"
    r"|n't|'(?:s|m|d|re|ve|ll)\b"
    r"|\w+(?:[-./&']\w+)*"
    r"|[^\w\s]"
)
_ALL_PUNCTUATION = re.compile(r"[^\w$%&#@+=*<>]+")


def _regex_tokens(caption: str) -> str:
    """Nearly what :func:`_ptb_tokens` gives, without Java."""
    text = caption.lower()
    for pattern, replacement in _SPELLINGS:
        text = pattern.sub(replacement, text)
    return " ".join(word for word in _TOKEN.findall(text) if not _ALL_PUNCTUATION.fullmatch(word))
