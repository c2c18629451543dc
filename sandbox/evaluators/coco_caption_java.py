"""The two Java programs of COCO caption scores, both in pycocoevalcap: PTB tokenizer and METEOR."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from pathlib import Path

from sandbox.system.process import Dialogue

_JAVA = "java"

# Without the optimising compiler and the parallel collector METEOR starts in half the CPU time.
_JAVA_OPTIONS = (
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-XX:+DisplayVMOutputToStderr",  # a warning of Java's is no answer
    "-Xmx2G",
    "-Dfile.encoding=UTF-8",
    "-Duser.language=en",  # under other locales METEOR writes "0,5" and fails to read it
    "-Duser.country=US",
)
# pycocoevalcap.tokenizer.ptbtokenizer.PUNCTUATIONS
_PUNCTUATION = {"''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"}
_PUNCTUATION |= {"-LRB-", "-RRB-", "-LCB-", "-RCB-"}
# The tokenizer flushes its output only at the end of its input. It buffers at most 24 KiB, so this
# much more of output brings out what is before it. Measured: 2 ms.
_PADDING_LINE = f"{'pad ' * 256}\n"
_NUM_PADDING_LINES = 40
_SEPARATOR = " ||| "


class PTBTokenizer:
    """The PTB tokenizer, open.

    Args:
        log_path: Log of its errors.
    """

    def __init__(self, log_path: Path) -> None:
        jar = package_dir() / "tokenizer" / "stanford-corenlp-3.4.1.jar"
        program = ("-cp", jar, "edu.stanford.nlp.process.PTBTokenizer")
        options = ("-preserveLines", "-lowerCase", "-encoding", "UTF-8")
        self._program = Dialogue([_JAVA, *_JAVA_OPTIONS, *program, *options], log_path=log_path)
        self._num_unread = 0

    def tokens(self, captions: Sequence[str]) -> list[str]:
        """Return lower-case PTB tokens of captions of one line each, separated by blanks.

        Punctuation is left out, so there may be none.
        """
        text = "".join(f"{caption}\n" for caption in captions)
        lines = self._program.ask(
            text + _PADDING_LINE * _NUM_PADDING_LINES, self._num_unread + len(captions)
        )
        found = [_words(line) for line in lines[self._num_unread :]]
        self._num_unread = _NUM_PADDING_LINES
        return found

    def close(self) -> None:
        """End the program."""
        self._program.close()


class Meteor:
    """METEOR 1.5, open, with a paraphrase table that it has read.

    Args:
        table_path: The paraphrase table, not read any more when this returns.
        log_path: Log of its errors.
    """

    def __init__(self, table_path: Path, log_path: Path) -> None:
        jar = package_dir() / "meteor" / "meteor-1.5.jar"
        options = ("-", "-", "-stdio", "-l", "en", "-norm", "-a", table_path.absolute())
        self._program = Dialogue([_JAVA, *_JAVA_OPTIONS, "-jar", jar, *options], log_path=log_path)
        self.scores([["a"]], [["a"]])

    def scores(
        self, references: Collection[Sequence[str]], candidates: Collection[Sequence[str]]
    ) -> tuple[float, list[float]]:
        """Score tokenized captions: return the corpus score, and the score of each caption.

        ``candidates`` hold one caption each.
        """
        questions = [
            _SEPARATOR.join(["SCORE", *map(_apart, [*texts, *single])])
            for texts, single in zip(references, candidates, strict=True)
        ]
        counts = self._program.ask("".join(f"{each}\n" for each in questions), len(questions))
        question = _SEPARATOR.join(["EVAL", *counts])
        answers = self._program.ask(f"{question}\n", len(questions) + 1)
        *single_scores, total = map(float, answers)
        return total, single_scores

    def close(self) -> None:
        """End the program."""
        self._program.close()


def check_java(alternative: str) -> None:
    """Require Java, for the PTB tokenizer and METEOR.

    Args:
        alternative: What the choice without Java selects, for the message.

    Raises:
        ValueError: It is missing.
    """
    if shutil.which(_JAVA) is None:
        raise ValueError(
            "Java is missing (no program java on the PATH): install it (Debian: apt-get "
            "install default-jre-headless), or choose scorer=coco_caption_java_free "
            f"({alternative}), whose scores have names of their own and cannot be "
            "compared with these"
        )


def package_dir() -> Path:
    """Return the folder of pycocoevalcap."""
    import pycocoevalcap

    return Path(pycocoevalcap.__path__[0])


def _words(line: str) -> str:
    return " ".join(word for word in line.split() if word not in _PUNCTUATION)


def _apart(caption: str) -> str:
    """Return a caption without METEOR's separator; it takes these signs apart anyway."""
    return caption.replace("|||", "| | |")
