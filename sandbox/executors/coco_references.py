"""Reference captions as tokens, made once for all scorings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from sandbox.evaluators.caption_references import (
    TokenizerName,
    read_references,
    tokenized,
    write_references,
)
from sandbox.evaluators.coco_caption_java import PTBTokenizer, check_java
from sandbox.executors import BaseDataExecutor
from sandbox.job import JobScope


@dataclass(frozen=True, kw_only=True)
class TokenizedReferences:
    """Reference captions as tokens.

    Args:
        references_dir: Folder for an evaluator's ``references_dir``.
    """

    references_dir: Path


@dataclass(frozen=True, kw_only=True)
class COCOCaptionReferences(BaseDataExecutor):
    """Tokenize the references of COCO caption scores, and prepare METEOR's paraphrases for them.

    Args:
        annotation_path: COCO caption annotations.
        tokenizer: ``ptb`` for ``COCOCaptionEvaluator``, needs Java; ``regex`` for
            ``COCOCaptionJavaFreeEvaluator``.
    """

    PACKAGES: ClassVar[Mapping[str, Sequence[str]]] = {"caption": ("pycocoevalcap",)}

    annotation_path: Path
    tokenizer: TokenizerName = "ptb"

    def check(self) -> None:
        """Raise ValueError if Java is missing."""
        if self.tokenizer == "ptb":
            check_java("tokenizer=regex")

    def run(self, *, scope: JobScope) -> TokenizedReferences:
        """Write the tokens.

        Raises:
            ValueError: The file is no caption annotation file, or a picture has no caption.
        """
        folder = scope.output_dir / "references"
        folder.mkdir()
        captions = read_references(self.annotation_path)
        if self.tokenizer == "ptb":
            tokenizer = PTBTokenizer(scope.log_path)
            try:
                tokens = tokenized(captions, tokenizer)
            finally:
                tokenizer.close()
        else:
            tokens = tokenized(captions, None)
        write_references(folder, self.tokenizer, tokens)
        return TokenizedReferences(references_dir=folder)
