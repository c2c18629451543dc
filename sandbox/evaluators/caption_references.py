"""Reference captions of pictures as tokens, in a folder that a job of their own writes once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from sandbox.evaluators.caption_tokens import regex_tokens
from sandbox.evaluators.coco_caption_java import PTBTokenizer, package_dir
from sandbox.evaluators.paraphrases import write_paraphrases
from sandbox.samples import read_coco

TokenizerName = Literal["ptb", "regex"]
"""The PTB tokenizer, which needs Java, or its approximation by a regular expression."""

ImageId = Any
"""A JSON number or text."""

Captions = dict[ImageId, list[str]]
"""Captions by picture; white space in them is single blanks."""

_TOKENS = "tokens.json"
_PARAPHRASES = "paraphrases.gz"


def one_line(caption: object) -> str:
    """Return a caption with single blanks for white space.

    A line end of any kind inside a caption would shift all later ones in a tokenizer's output.

    Raises:
        TypeError: The caption is no text.
    """
    if not isinstance(caption, str):
        raise TypeError(f"a caption is {caption!r}; expected text")
    return " ".join(caption.split())


def read_references(annotation_path: Path) -> Captions:
    """Read the captions of every picture in COCO caption annotations.

    Raises:
        ValueError: It is no such file, or a picture has no caption.
    """
    annotations = read_coco(annotation_path, allow_empty_captions=True)
    annotations.require_captions()
    references: Captions = {image_id: [] for image_id in annotations.images}
    for annotation in annotations.captions:
        references[annotation.image_id].append(one_line(annotation.caption))
    return references


def tokenized(captions: Captions, tokenizer: PTBTokenizer | None) -> Captions:
    """Return the tokens of captions, separated by blanks.

    Args:
        captions: The captions.
        tokenizer: ``None``: tokens by a regular expression.
    """
    texts = [text for each in captions.values() for text in each]
    found = iter(tokenizer.tokens(texts) if tokenizer else map(regex_tokens, texts))
    return {image_id: [next(found) for _ in each] for image_id, each in captions.items()}


def write_references(folder: Path, name: TokenizerName, references: Captions) -> None:
    """Write tokens, and for METEOR the part of its paraphrase table that can match them."""
    content = {"tokenizer": name, "captions": [*references.items()]}
    (folder / _TOKENS).write_text(json.dumps(content), encoding="utf-8")
    if name == "ptb":
        table_path = package_dir() / "meteor" / "data" / "paraphrase-en.gz"
        texts = (text for each in references.values() for text in each)
        write_paraphrases(table_path, texts, folder / _PARAPHRASES)


def load_references(folder: Path, name: TokenizerName) -> Captions:
    """Read tokens that :func:`write_references` wrote.

    Raises:
        ValueError: The folder holds no tokens, or those of another tokenizer.
    """
    path = folder / _TOKENS
    try:
        match json.loads(path.read_bytes()):
            case {"tokenizer": str(made_by), "captions": list(captions)}:
                references: Captions = dict(captions)
            case _:
                raise ValueError("expected the keys tokenizer and captions")
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(
            f"references_dir: {folder} was not made by COCOCaptionReferences: {error}"
        ) from error
    if made_by != name:
        raise ValueError(
            f"references_dir: {folder} holds tokens of tokenizer={made_by}, expected {name}"
        )
    return references


def paraphrases_path(folder: Path) -> Path:
    """Return the paraphrase table in a folder of references."""
    return folder / _PARAPHRASES
