"""The two Java programs behind COCO caption scores, both in pycocoevalcap: PTB tokenizer and METEOR."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from sandbox.system import process

# CPU seconds of METEOR on 500 captions and a small table, OpenJDK 17: 2.4 without options, 1.25 without the
# optimising compiler and the parallel collector, 0.8 with room for all objects from the start.
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
_PUNCTUATION = frozenset(
    (
        "''",
        "'",
        "``",
        "`",
        "-LRB-",
        "-RRB-",
        "-LCB-",
        "-RCB-",
        ".",
        "?",
        "!",
        ",",
        ":",
        "-",
        "--",
        "...",
        ";",
    )
)
_SEGMENT = re.compile(r"^Segment (\d+) score:\s+(\S+)$", re.MULTILINE)
_FINAL = re.compile(r"^Final score:\s+(\S+)$", re.MULTILINE)
_WORD = re.compile(rb"[a-z0-9]+")
_BLOCK_BYTES = 16 * 1024


def ptb_tokens(java: str, captions: Sequence[str], output_dir: Path) -> list[str]:
    """Captions as lower-case PTB tokens with blanks between them, without punctuation; may be empty.

    A caption must be one line; the program's log goes to ``output_dir``.
    """
    jar = pycocoevalcap_dir() / "tokenizer" / "stanford-corenlp-3.4.1.jar"
    tokenizer = (
        "edu.stanford.nlp.process.PTBTokenizer",
        "-preserveLines",
        "-lowerCase",
        "-encoding",
        "UTF-8",
    )
    with TemporaryDirectory(dir=output_dir) as folder:
        work_dir = Path(folder)
        _write_lines(work_dir / "captions.txt", captions)
        # The program writes to a file only where a list of file pairs tells it so.
        _write_lines(work_dir / "files.txt", ["captions.txt\ttokens.txt"])
        process.run(
            [java, *_JAVA_OPTIONS, "-cp", jar, *tokenizer, "-ioFileList", "files.txt"],
            log_path=output_dir / "tokenizer.log",
            cwd=work_dir,
        )
        lines = (work_dir / "tokens.txt").read_text(encoding="utf-8").split("\n")[:-1]
    if len(lines) != len(captions):
        raise RuntimeError(f"the PTB tokenizer made {len(lines)} lines of {len(captions)} captions")
    return [" ".join(word for word in line.split() if word not in _PUNCTUATION) for line in lines]


def meteor(
    java: str, references: Sequence[Sequence[str]], candidates: Sequence[str], output_dir: Path
) -> tuple[float, list[float]]:
    """METEOR 1.5 of tokenized captions: the corpus score, and every caption's own.

    METEOR runs on files, not in a dialogue. It wants equally many references for all captions, so the
    last one is repeated: it scores against the best reference. Its paraphrase table is cut to the entries
    that can match; reading the whole one takes it 11 CPU seconds. Neither changes a score.
    """
    most = max(map(len, references))
    padded = [lines[min(number, len(lines) - 1)] for lines in references for number in range(most)]
    log_path = output_dir / "meteor.log"
    log_path.unlink(missing_ok=True)
    jar_dir = pycocoevalcap_dir() / "meteor"
    with TemporaryDirectory(dir=output_dir) as folder:
        work_dir = Path(folder)
        _write_lines(work_dir / "references.txt", padded)
        _write_lines(work_dir / "candidates.txt", candidates)
        _write_paraphrases(
            jar_dir / "data" / "paraphrase-en.gz", [*padded, *candidates], work_dir / "table.gz"
        )
        files = ("candidates.txt", "references.txt", "-r", str(most), "-a", "table.gz")
        process.run(
            [java, *_JAVA_OPTIONS, "-jar", jar_dir / "meteor-1.5.jar", *files, "-l", "en", "-norm"],
            log_path=log_path,
            cwd=work_dir,
        )
    log = log_path.read_text(encoding="utf-8")
    scores = {int(number): float(score) for number, score in _SEGMENT.findall(log)}
    final = _FINAL.search(log)
    if final is None or sorted(scores) != list(range(1, len(candidates) + 1)):
        raise RuntimeError(
            f"METEOR gave {len(scores)} scores for {len(candidates)} captions; log: {log_path}"
        )
    return float(final[1]), [scores[number] for number in sorted(scores)]


def pycocoevalcap_dir() -> Path:
    """The folder of the installed pycocoevalcap."""
    spec = find_spec("pycocoevalcap")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("pycocoevalcap is not installed; pip install 'sandbox[caption]'")
    return Path(next(iter(spec.submodule_search_locations)))


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _write_paraphrases(table_path: Path, texts: Sequence[str], path: Path) -> None:
    """Write the entries of a paraphrase table of which all words are among those of ``texts``.

    An entry is three lines: probability, phrase, paraphrase. Words are compared by their ASCII letters and
    digits only, so METEOR's own handling of punctuation can make no difference.
    """
    words = frozenset(_WORD.findall("\n".join(texts).lower().encode()))
    beginnings = {word[:length] for word in words for length in range(1, len(word) + 1)}
    with gzip.open(path, "wb", compresslevel=1) as output:
        for block in _entry_blocks(table_path):
            # Phrases are sorted, so all phrases of a block begin as its first and its last both do.
            shared = _shared_beginning(block.split(b"\n", 2)[1], block.rsplit(b"\n", 2)[1])
            if beginnings.issuperset(_WORD.findall(shared)):
                output.writelines(_matching_entries(block, words))


def _entry_blocks(table_path: Path) -> Iterator[bytes]:
    """The table in pieces of whole entries, each without its last line end."""
    rest = b""
    with gzip.open(table_path) as table:
        while piece := table.read(_BLOCK_BYTES):
            block = rest + piece
            end = len(block)
            for _ in range(block.count(b"\n") % 3 + 1):
                end = block.rfind(b"\n", 0, end)
            rest = block[end + 1 :]
            if end > 0:
                yield block[:end]


def _shared_beginning(first: bytes, last: bytes) -> bytes:
    length = 0
    for one, other in zip(first, last, strict=False):
        if one != other:
            break
        length += 1
    return first[:length]


def _matching_entries(block: bytes, words: frozenset[bytes]) -> Iterator[bytes]:
    lines = block.split(b"\n")
    phrase, matches = None, False
    for probability, next_phrase, paraphrase in zip(
        lines[::3], lines[1::3], lines[2::3], strict=True
    ):
        if next_phrase != phrase:
            phrase, matches = next_phrase, words.issuperset(_WORD.findall(next_phrase))
        if matches and words.issuperset(_WORD.findall(paraphrase)):
            yield b"%s\n%s\n%s\n" % (probability, next_phrase, paraphrase)
