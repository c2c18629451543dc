"""Follow a file that another process appends to."""

from __future__ import annotations

import codecs
import os
from pathlib import Path


class FileFollower:
    """Read what was appended to a file since the last call.

    A file that does not exist yet counts as empty. One that was replaced or became shorter is read
    again from its beginning. Use either :meth:`read_lines` or :meth:`read_text` of one follower.

    Args:
        path: The file.
        offset: Byte to start from.
    """

    def __init__(self, path: Path, offset: int = 0) -> None:
        self.path = path
        self._offset = offset
        self._inode = path.stat().st_ino if path.exists() else None
        self._unfinished = b""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    @property
    def offset(self) -> int:
        """Byte after the last one that was returned."""
        return self._offset - len(self._unfinished)

    def read_lines(self) -> list[str]:
        """Return the complete new lines, without their line ends.

        A line ends with a line feed, a carriage return (progress bars), or both. The last line is
        kept back until its end is there; bytes that are not UTF-8 become replacement characters.
        """
        new = self._read()  # may reset what is unfinished
        self._unfinished += new
        # A carriage return at the very end may be the first half of "\r\n".
        last_return = self._unfinished.rfind(b"\r", 0, -1)
        end = max(self._unfinished.rfind(b"\n"), last_return) + 1
        complete, self._unfinished = self._unfinished[:end], self._unfinished[end:]
        # Split before decoding: str.splitlines() also splits at U+2028 and others.
        return [line.decode(errors="replace") for line in complete.splitlines()]

    def read_text(self) -> str:
        """Return the new text; a character whose bytes are not all there yet comes next time."""
        return self._decoder.decode(self._read())

    def _read(self) -> bytes:
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            return b""
        with file:
            if self._was_replaced(file.fileno()):
                self._offset = 0
                self._unfinished = b""
                self._decoder.reset()
            file.seek(self._offset)
            new = file.read()
        self._offset += len(new)
        return new

    def _was_replaced(self, descriptor: int) -> bool:
        status = os.fstat(descriptor)
        before, self._inode = self._inode, status.st_ino
        return before not in (None, status.st_ino) or status.st_size < self._offset
