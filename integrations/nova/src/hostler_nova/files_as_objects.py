"""Files of the host as Python's open() gives them, read and written by hostlerd."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from typing import IO, Any

import hostler
from hostler import v1

from hostler_nova import files
from hostler_nova.agent import ask, client
from hostler_nova.errors import Work, as_nova

# What is written stays in memory up to this length, and then goes to a temporary file.
IN_MEMORY = 4 * 1024 * 1024
MODES = ("r", "w", "a")


class ReadableFile(io.RawIOBase):
    """A file that is read from any place: a piece with a call, and what follows with one more."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._offset = 0
        self._stream: Stream | None = None
        with as_nova(Work.FILE, path):
            facts = ask(client().file.stat_file, v1.StatFileRequest(path=path))
        if not facts.exists:
            raise FileNotFoundError(2, os.strerror(2), path)
        files.read(path, 0, 1)  # Whether it may be read is found now, as open() does.
        self._size = facts.size_bytes
        self._expected = -1
        self.name = path

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set the place of the next read."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._offset, io.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise ValueError(f"negative offset {start + offset}")
        self._offset = start + offset
        return self._offset

    def tell(self) -> int:
        """Return the place of the next read."""
        return self._offset

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer; 0: the end."""
        data = self._read(len(buffer))
        buffer[: len(data)] = data
        self._offset += len(data)
        self._expected = self._offset
        return len(data)

    def readall(self) -> bytes:
        """Read all that is left, with one call."""
        data = files.read(self._path, self._offset)
        self._offset += len(data)
        return data

    def close(self) -> None:
        """End the call that is under way."""
        self._leave()
        super().close()

    def _read(self, length: int) -> bytes:
        if self._offset != self._expected:
            self._leave()
            return files.read(self._path, self._offset, length)
        if self._stream is None:
            self._stream = Stream(self._path, self._offset)
        data = self._stream.read(length)
        if data is not None:
            return data
        # A broken call, or the end: what is there now is read anew.
        self._leave()
        return files.read(self._path, self._offset, length)

    def _leave(self) -> None:
        if self._stream is not None:
            self._stream.close()
        self._stream = None


class Stream:
    """A call that reads a file from an offset to its end."""

    def __init__(self, path: str, offset: int) -> None:
        request = v1.ReadFileRequest(path=path, offset=offset)
        self._answers = client().file.read_file(request)
        self._rest = b""

    def read(self, length: int) -> bytes | None:
        """Return at most so many bytes; None: the call has ended."""
        if not self._rest:
            with contextlib.suppress(hostler.HostlerError, StopIteration):
                self._rest = next(self._answers).data
        data, self._rest = self._rest[:length], self._rest[length:]
        return data or None

    def close(self) -> None:
        """End the call."""
        self._answers.close()


class ReplacedFile(io.RawIOBase):
    """A file that gets its new content in one step, when it is closed."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._content: IO[bytes] = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115
        self.name = path

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: Any) -> int:
        """Keep bytes until the file is closed."""
        return self._content.write(data)

    def close(self) -> None:
        """Replace the content of the file."""
        if self.closed:
            return
        try:
            self._content.seek(0)
            files.write(self._path, self._content)
        finally:
            self._content.close()
            super().close()


class AppendedFile(io.RawIOBase):
    """A file at whose end each write adds; it is made if it is missing."""

    def __init__(self, path: str) -> None:
        self._path = path
        files.append(path, b"")
        self.name = path

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: Any) -> int:
        """Write at the end, durably."""
        content = bytes(data)
        files.append(self._path, content)
        return len(content)


def open_file(
    file: str | os.PathLike[str],
    mode: str = "r",
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
) -> IO[Any]:
    """Open a file of a root of hostlerd, as open() does.

    Modes are r, w and a, as text or with b; others are a ValueError.
    """
    kind = mode.replace("b", "").replace("t", "")
    if kind not in MODES or len(mode) != len(set(mode)) or {"b", "t"} <= set(mode):
        raise ValueError(f"hostler serves the modes r, w and a, not {mode!r}")
    path = os.path.abspath(os.fspath(file))
    size = files.PIECE if buffering < 0 else buffering
    if kind == "r":
        reader = ReadableFile(path)
        opened: Any = io.BufferedReader(reader, size) if size else reader
    else:
        writer = ReplacedFile(path) if kind == "w" else AppendedFile(path)
        opened = io.BufferedWriter(writer, size) if size else writer
    if "b" in mode:
        return opened  # type: ignore[no-any-return]
    return io.TextIOWrapper(opened, encoding, errors, newline, line_buffering=buffering == 1)
