"""The two Java programs of COCO caption scores, both in pycocoevalcap: PTB tokenizer and METEOR."""

from __future__ import annotations

import gzip
import itertools
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from sandbox.job import JobScope
from sandbox.system import process

JAVA = "java"

# Measured on 500 captions and a small table, OpenJDK 17, in CPU seconds of METEOR: 2.4 without
# options, 1.25 without the optimising compiler and the parallel collector, 0.8 with enough memory
# for all objects from the start.
_JAVA_OPTIONS = (
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-Xms512m",
    "-Xmn400m",
    "-Xmx2G",
    "-Dfile.encoding=UTF-8",
    "-Duser.language=en",  # under other locales METEOR writes "0,5" and fails to read it
    "-Duser.country=US",
)
# pycocoevalcap.tokenizer.ptbtokenizer.PUNCTUATIONS
_PUNCTUATION = {"''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"}
_PUNCTUATION |= {"-LRB-", "-RRB-", "-LCB-", "-RCB-"}
_SEGMENT = re.compile(r"^Segment (\d+) score:\s+(\S+)$", re.MULTILINE)
_FINAL = re.compile(r"^Final score:\s+(\S+)$", re.MULTILINE)
_WORD = re.compile(rb"[a-z0-9]+")
_BLOCK_BYTES = 16 * 1024


def ptb_tokens(captions: Sequence[str], scope: JobScope) -> list[str]:
    """Return lower-case PTB tokens of captions of one line each, separated by blanks.

    Punctuation is left out, so there may be none.
    """
    jar = _package_dir() / "tokenizer" / "stanford-corenlp-3.4.1.jar"
    options = ("-preserveLines", "-lowerCase", "-encoding", "UTF-8")
    tokenizer = ("edu.stanford.nlp.process.PTBTokenizer", *options)
    with TemporaryDirectory(dir=scope.output_dir) as folder:
        work_dir = Path(folder)
        _write_lines(work_dir / "captions.txt", captions)
        # The program writes to a file only if a list of file pairs names it.
        _write_lines(work_dir / "files.txt", ["captions.txt\ttokens.txt"])
        process.run(
            [JAVA, *_JAVA_OPTIONS, "-cp", jar, *tokenizer, "-ioFileList", "files.txt"],
            log_path=scope.log_path,
            cwd=work_dir,
        )
        lines = (work_dir / "tokens.txt").read_text(encoding="utf-8").split("\n")[:-1]
    if len(lines) != len(captions):
        raise RuntimeError(f"the PTB tokenizer made {len(lines)} lines of {len(captions)} captions")
    return [" ".join(word for word in line.split() if word not in _PUNCTUATION) for line in lines]


def meteor(
    references: Collection[Sequence[str]], candidates: Collection[Sequence[str]], scope: JobScope
) -> tuple[float, list[float]]:
    """Return METEOR 1.5 of tokenized captions: the corpus score, and the score of each caption.

    ``candidates`` hold one caption each.

    METEOR runs on files, not in a dialogue. It expects the same number of references for every
    caption, so the last one is repeated: the best reference counts. Its paraphrase table is cut to
    the entries that can match; reading the whole table takes 11 CPU seconds. Neither changes a
    score.
    """
    most = max(map(len, references))
    padded: list[str] = []
    for lines in references:
        padded += [*lines, *[lines[-1]] * (most - len(lines))]
    single = [lines[0] for lines in candidates]
    jar_dir = _package_dir() / "meteor"
    log_size = scope.log_path.stat().st_size if scope.log_path.exists() else 0
    with TemporaryDirectory(dir=scope.output_dir) as folder:
        work_dir = Path(folder)
        _write_lines(work_dir / "references.txt", padded)
        _write_lines(work_dir / "candidates.txt", single)
        table_path = jar_dir / "data" / "paraphrase-en.gz"
        _write_paraphrases(table_path, [*padded, *single], work_dir / "table.gz")
        files = ("candidates.txt", "references.txt", "-r", str(most), "-a", "table.gz")
        process.run(
            [JAVA, *_JAVA_OPTIONS, "-jar", jar_dir / "meteor-1.5.jar", *files, "-l", "en", "-norm"],
            log_path=scope.log_path,
            cwd=work_dir,
        )
    # The program prints its scores, after what the log holds already.
    printed = scope.log_path.read_bytes()[log_size:].decode()
    scores = {int(number): float(score) for number, score in _SEGMENT.findall(printed)}
    final = _FINAL.search(printed)
    if final is None or sorted(scores) != list(range(1, len(candidates) + 1)):
        raise RuntimeError(
            f"METEOR gave {len(scores)} scores for {len(candidates)} captions, see {scope.log_path}"
        )
    return float(final[1]), [scores[number] for number in sorted(scores)]


def _package_dir() -> Path:
    import pycocoevalcap

    return Path(pycocoevalcap.__path__[0])


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _write_paraphrases(table_path: Path, texts: Sequence[str], path: Path) -> None:
    """Write the entries of a paraphrase table whose words all occur in ``texts``.

    An entry is three lines: probability, phrase, paraphrase. Words are compared by their ASCII
    letters and digits only, so METEOR's own handling of punctuation can make no difference.
    """
    words = frozenset(_WORD.findall("\n".join(texts).lower().encode()))
    prefixes = {word[:length] for word in words for length in range(1, len(word) + 1)}
    with gzip.open(path, "wb", compresslevel=1) as output:
        for block in _entry_blocks(table_path):
            # Phrases are sorted, so all phrases of a block share the common prefix of its first and
            # its last one. If that is not the beginning of a word, nothing in the block matches.
            shared = _shared_prefix(block.split(b"\n", 2)[1], block.rsplit(b"\n", 2)[1])
            if prefixes.issuperset(_WORD.findall(shared)):
                output.writelines(_matching_entries(block, words))


def _entry_blocks(table_path: Path) -> Iterator[bytes]:
    """Yield the table in pieces of whole entries, each without its last line end."""
    rest = b""
    with gzip.open(table_path) as table:
        while piece := table.read(_BLOCK_BYTES):
            block = rest + piece
            end = len(block)
            # Back to the last line end that leaves a multiple of three lines before it.
            for _ in range(block.count(b"\n") % 3 + 1):
                end = block.rfind(b"\n", 0, end)
            rest = block[end + 1 :]
            if end > 0:
                yield block[:end]


def _shared_prefix(first: bytes, last: bytes) -> bytes:
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    return bytes(byte for byte, _ in same)


def _matching_entries(block: bytes, words: frozenset[bytes]) -> Iterator[bytes]:
    lines = block.split(b"\n")
    phrase, matches = None, False
    entries = zip(lines[::3], lines[1::3], lines[2::3], strict=True)
    for probability, next_phrase, paraphrase in entries:
        # A phrase has many entries in a row.
        if next_phrase != phrase:
            phrase, matches = next_phrase, words.issuperset(_WORD.findall(next_phrase))
        if matches and words.issuperset(_WORD.findall(paraphrase)):
            yield b"%s\n%s\n%s\n" % (probability, next_phrase, paraphrase)
