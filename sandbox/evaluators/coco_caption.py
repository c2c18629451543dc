"""COCO caption scores of generated captions: Bleu, METEOR, ROUGE-L, CIDEr."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from sandbox import process
from sandbox.evaluators import BaseEvaluator
from sandbox.job import Outputs

METRICS = ("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "METEOR", "ROUGE_L", "CIDEr")
JAVA_FREE_SUFFIX = "_nojava"

Scores = dict[str, tuple[float, list[float]]]
"""By metric: the score of all captions together, and each caption's own."""

_JAVA_OPTIONS = (
    "-XX:TieredStopAtLevel=1",  # short programs: the optimising compiler costs more than it gives
    "-XX:+UseSerialGC",
    "-Xmx2G",
    "-Dfile.encoding=UTF-8",
    "-Duser.language=en",  # METEOR reads numbers in the locale's way and fails on "0,5"
    "-Duser.country=US",
)
# pycocoevalcap.tokenizer.ptbtokenizer.PUNCTUATIONS
_PUNCTUATION = frozenset(
    ("''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", ".", "?", "!", ",", ":", "-", "--", "...", ";")
)
_SEGMENT = re.compile(r"^Segment (\d+) score:\s+(\S+)$", re.MULTILINE)
_FINAL = re.compile(r"^Final score:\s+(\S+)$", re.MULTILINE)
_NAMED_AT_MOST = 5


class COCOCaptionEvaluator(BaseEvaluator):
    """Score generated captions against reference captions as the COCO caption challenge does.

    Tokens are the PTB tokenizer's, METEOR is version 1.5: both are Java programs. ``avg_score`` is the
    mean of the seven scores. ``per_image_path`` is JSON, ``{metric: {image id: score}}``; a corpus score
    is not always the mean of its pictures' (Bleu and METEOR are not).

    Args:
        annotation_path: The references, COCO caption annotations. Every picture in it must have a caption
            among those that are judged.
        java: The Java program, 8 or newer.

    Raises:
        ValueError: Java or pycocoevalcap is missing; captions are missing, for unknown pictures, or come
            twice.

    Source: pycocoevalcap 1.2 (COCO caption evaluation). Unlike its ``evaluate()``: no SPICE, which
    downloads; line ends inside a caption are one blank; captions that the tokenizer empties count.
    """

    OUTPUTS: ClassVar[tuple[str, ...]] = (*METRICS, "avg_score", "per_image_path")

    def __init__(self, annotation_path: Path, java: str = "java") -> None:
        self.annotation_path = annotation_path
        self.java = java

    def check(self) -> None:
        """Raise ValueError where Java or pycocoevalcap is missing."""
        _check_pycocoevalcap()
        if shutil.which(self.java) is None:
            raise ValueError(
                f"the program {self.java!r} is not there: install Java (Debian: apt-get install "
                "default-jre-headless) or choose evaluator coco_caption_java_free, whose scores have names of "
                "their own and are not comparable"
            )

    def run(self, eval_type: str | None, eval_obj: Any, *, output_dir: Path) -> Outputs:
        """Score the captions in ``eval_obj``, a path of COCO results: ``[{"image_id", "caption"}, …]``."""
        self.check()
        references, candidates = _read(self.annotation_path, Path(eval_obj))
        flat = [caption for captions in references.values() for caption in captions]
        tokens = _ptb_tokens(self.java, [*flat, *candidates.values()], output_dir)
        tokenized = _regroup(tokens, references)
        scores = _score(*tokenized) | {"METEOR": _meteor(self.java, *tokenized, output_dir)}
        return _outputs({metric: scores[metric] for metric in METRICS}, references, output_dir)


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

    def check(self) -> None:
        """Raise ValueError where pycocoevalcap is missing."""
        _check_pycocoevalcap()

    def run(self, eval_type: str | None, eval_obj: Any, *, output_dir: Path) -> Outputs:
        """Score the captions in ``eval_obj``, a path of COCO results: ``[{"image_id", "caption"}, …]``."""
        self.check()
        references, candidates = _read(self.annotation_path, Path(eval_obj))
        flat = [caption for captions in references.values() for caption in captions]
        tokens = [_regex_tokens(caption) for caption in [*flat, *candidates.values()]]
        scores = _score(*_regroup(tokens, references))
        return _outputs(scores, references, output_dir, suffix=JAVA_FREE_SUFFIX)


def _check_pycocoevalcap() -> None:
    if find_spec("pycocoevalcap") is None:
        raise ValueError("pycocoevalcap is not installed; pip install 'sandbox[caption]'")


def _read(annotation_path: Path, captions_path: Path) -> tuple[dict[Any, list[str]], dict[Any, str]]:
    """References and candidates by picture id, in the same order; white space is single blanks."""
    try:
        content = json.loads(annotation_path.read_text(encoding="utf-8"))
        references: dict[Any, list[str]] = {image["id"]: [] for image in content["images"]}
        for annotation in content["annotations"]:
            references[annotation["image_id"]].append(_one_line(annotation["caption"]))
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{annotation_path} is no COCO caption annotation file: {error!r}") from error
    bare = [image_id for image_id, captions in references.items() if not captions]
    if bare or not references:
        raise ValueError(
            f"{annotation_path}: {len(bare)} pictures have no reference, the first: {_first(bare)}"
        )
    return references, _read_candidates(captions_path, references)


def _read_candidates(path: Path, references: dict[Any, list[str]]) -> dict[Any, str]:
    try:
        rows = [(row["image_id"], _one_line(row["caption"])) for row in json.loads(path.read_bytes())]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f'{path} is no list of {{"image_id", "caption"}}: {error!r}') from error
    candidates = dict(rows)
    problems = {
        "are for pictures without references": [key for key in candidates if key not in references],
        "are missing, for the pictures": [key for key in references if key not in candidates],
        "come twice, for the pictures": _repeated([key for key, _ in rows]),
    }
    for problem, image_ids in problems.items():
        if image_ids:
            raise ValueError(f"{path}: {len(image_ids)} captions {problem}: {_first(image_ids)}")
    return {image_id: candidates[image_id] for image_id in references}


def _one_line(caption: object) -> str:
    if not isinstance(caption, str):
        raise TypeError(f"a caption is {caption!r}; expected text")
    # A line end of any kind inside a caption would shift all later ones in the tokenizer's output.
    return " ".join(caption.split())


def _repeated(values: Sequence[Any]) -> list[Any]:
    seen: set[Any] = set()
    return [value for value in values if value in seen or seen.add(value)]  # type: ignore[func-returns-value]


def _first(values: Sequence[Any]) -> str:
    return ", ".join(str(value) for value in values[:_NAMED_AT_MOST])


def _ptb_tokens(java: str, captions: Sequence[str], output_dir: Path) -> list[str]:
    """Captions as lower-case PTB tokens between blanks, without punctuation."""
    captions_path, tokens_path = output_dir / "captions.txt", output_dir / "tokens.txt"
    captions_path.write_text("".join(f"{caption}\n" for caption in captions), encoding="utf-8")
    # The program takes pairs of files from a list; a pair on the command line is two inputs.
    (output_dir / "tokenizer_files.txt").write_text("captions.txt\ttokens.txt\n", encoding="utf-8")
    jar = _pycocoevalcap_dir() / "tokenizer" / "stanford-corenlp-3.4.1.jar"
    tokenizer = (
        "edu.stanford.nlp.process.PTBTokenizer",
        "-preserveLines",
        "-lowerCase",
        "-encoding",
        "UTF-8",
    )
    process.run(
        [java, *_JAVA_OPTIONS, "-cp", jar, *tokenizer, "-ioFileList", "tokenizer_files.txt"],
        log_path=output_dir / "tokenizer.log",
        cwd=output_dir,
    )
    lines = tokens_path.read_text(encoding="utf-8").split("\n")[:-1]
    if len(lines) != len(captions):
        raise RuntimeError(
            f"the PTB tokenizer made {len(lines)} lines of {len(captions)} captions: {tokens_path}"
        )
    return [" ".join(word for word in line.split() if word not in _PUNCTUATION) for line in lines]


def _regroup(
    tokens: list[str], references: dict[Any, list[str]]
) -> tuple[dict[Any, list[str]], dict[Any, list[str]]]:
    """Tokens of the references, then of the candidates, as the scorers take them."""
    lines = iter(tokens)
    tokenized = {image_id: [next(lines) for _ in captions] for image_id, captions in references.items()}
    return tokenized, {image_id: [next(lines)] for image_id in references}


def _score(references: dict[Any, list[str]], candidates: dict[Any, list[str]]) -> Scores:
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    bleu, bleus = Bleu(4).compute_score(references, candidates, verbose=0)
    rouge, rouges = Rouge().compute_score(references, candidates)
    cider, ciders = Cider().compute_score(references, candidates)
    scores: Scores = {f"Bleu_{n + 1}": (float(bleu[n]), list(map(float, bleus[n]))) for n in range(4)}
    scores["ROUGE_L"] = (float(rouge), list(map(float, rouges)))
    scores["CIDEr"] = (float(cider), list(map(float, ciders)))
    return scores


def _meteor(
    java: str, references: dict[Any, list[str]], candidates: dict[Any, list[str]], output_dir: Path
) -> tuple[float, list[float]]:
    """METEOR 1.5 on files. It wants equally many references for all: the last one is repeated.

    That changes nothing, as METEOR scores against the best reference.
    """
    most = max(len(captions) for captions in references.values())
    padded = [
        line for captions in references.values() for line in captions + captions[-1:] * (most - len(captions))
    ]
    (output_dir / "references.txt").write_text("".join(f"{line}\n" for line in padded), encoding="utf-8")
    lines = [captions[0] for captions in candidates.values()]
    (output_dir / "candidates.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    log_path = output_dir / "meteor.log"
    jar = _pycocoevalcap_dir() / "meteor" / "meteor-1.5.jar"
    files = ("candidates.txt", "references.txt", "-r", str(most))
    log_path.unlink(missing_ok=True)
    process.run(
        [java, *_JAVA_OPTIONS, "-jar", jar, *files, "-l", "en", "-norm"], log_path=log_path, cwd=output_dir
    )
    log = log_path.read_text(encoding="utf-8")
    scores = {int(number): float(score) for number, score in _SEGMENT.findall(log)}
    final = _FINAL.search(log)
    if final is None or sorted(scores) != list(range(1, len(lines) + 1)):
        raise RuntimeError(f"METEOR gave {len(scores)} scores for {len(lines)} captions; log: {log_path}")
    return float(final[1]), [scores[number] for number in sorted(scores)]


def _pycocoevalcap_dir() -> Path:
    spec = find_spec("pycocoevalcap")
    assert spec is not None and spec.submodule_search_locations
    return Path(next(iter(spec.submodule_search_locations)))


def _outputs(
    scores: Scores, image_ids: Sequence[Any] | dict[Any, Any], output_dir: Path, suffix: str = ""
) -> Outputs:
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
