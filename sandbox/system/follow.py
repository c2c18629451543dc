"""Follow a file that another process appends to."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator
from pathlib import Path

from sandbox.system.files import special_kind

LONGEST_LINE = 1 << 20
"""Bytes of one line that are read; the rest of a longer one is skipped."""

_CHUNK = 1 << 20


class FileFollower:
    """Read what was appended to a file since the last call, in pieces of at most 1 MiB.

    A file that does not exist yet counts as empty. One that was replaced or became shorter is read
    again from its beginning. Use either :meth:`read_lines` or :meth:`read_text` of one follower,
    and each to its end.

    Args:
        path: The file.
        offset: Byte to start from.
    """

    def __init__(self, path: Path, offset: int = 0) -> None:
        self.path = path
        self._offset = offset
        self._inode = path.stat().st_ino if path.exists() else None
        self._unfinished = b""
        self._num_skipped = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    @property
    def offset(self) -> int:
        """Byte after the last line that was returned."""
        return self._offset - len(self._unfinished) - self._num_skipped

    def read_lines(self) -> Iterator[str]:
        """Yield the complete new lines, without their line ends.

        A line ends with a line feed, a carriage return (progress bars), or both. The last line is
        kept back until its end is there; bytes that are not UTF-8 become replacement characters.
        """
        for new in self._read():
            for line in self._complete(new):
                yield line[:LONGEST_LINE].decode(errors="replace")

    def read_text(self) -> Iterator[str]:
        """Yield the new text; a character whose bytes are not all there yet comes next time."""
        for new in self._read():
            yield self._decoder.decode(new)

    def _complete(self, new: bytes) -> list[bytes]:
        """Return the lines that end in ``new``; keep the beginning of the one that does not."""
        text = self._unfinished + new
        # A carriage return at the very end may be the first half of "\r\n".
        last_return = text.rfind(b"\r", 0, -1)
        end = max(text.rfind(b"\n"), last_return) + 1
        complete, rest = text[:end], text[end:]
        if complete:
            self._num_skipped = 0
        self._unfinished = rest
        if len(rest) > LONGEST_LINE:
            self._unfinished = rest[:LONGEST_LINE] + (b"\r" if rest.endswith(b"\r") else b"")
            self._num_skipped += len(rest) - len(self._unfinished)
        # Split before decoding: str.splitlines() also splits at U+2028 and others.
        return complete.splitlines()

    def _read(self) -> Iterator[bytes]:
        try:
            if special_kind(self.path.stat().st_mode):  # whose opening could wait for ever
                return
            file = self.path.open("rb")
        except FileNotFoundError:
            return
        with file:
            if self._was_replaced(file.fileno()):
                self._offset = self._num_skipped = 0
                self._unfinished = b""
                self._decoder.reset()
            # Not further: its writer may be faster than we are.
            size = os.fstat(file.fileno()).st_size
            file.seek(self._offset)
            while self._offset < size:
                new = file.read(min(_CHUNK, size - self._offset))
                if not new:
                    return
                self._offset += len(new)
                yield new

    def _was_replaced(self, descriptor: int) -> bool:
        status = os.fstat(descriptor)
        before, self._inode = self._inode, status.st_ino
        return before not in (None, status.st_ino) or status.st_size < self._offset
