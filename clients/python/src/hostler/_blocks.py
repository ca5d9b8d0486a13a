"""The files of uploads and downloads: their bytes, zeros and digests. Nothing here knows gRPC."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Union

from hostler import v1
from hostler.errors import DownloadError

ALGORITHM = "sha256-4m-blocks"
BLOCK_BYTES = 4 * 1024 * 1024
PIECE_BYTES = 256 * 1024
ZEROS = bytes(BLOCK_BYTES)
ZERO_DIGEST = hashlib.sha256(ZEROS).digest()

PathLike = Union[str, "os.PathLike[str]"]


class BlockDigest:
    """The sha256 over the sha256 of each block of 4 MiB, of bytes that come in their order."""

    def __init__(self) -> None:
        self._whole = hashlib.sha256()
        self._block = hashlib.sha256()
        self._filled = 0

    def data(self, data: bytes) -> None:
        """Add bytes."""
        view = memoryview(data)
        while view:
            part = view[: BLOCK_BYTES - self._filled]
            self._block.update(part)
            self._fill(len(part))
            view = view[len(part) :]

    def zeros(self, count: int) -> None:
        """Add zero bytes; whole blocks of them cost next to nothing."""
        while count > 0:
            if self._filled == 0 and count >= BLOCK_BYTES:
                self._whole.update(ZERO_DIGEST)
                count -= BLOCK_BYTES
                continue
            part = min(count, BLOCK_BYTES - self._filled)
            self._block.update(memoryview(ZEROS)[:part])
            self._fill(part)
            count -= part

    def _fill(self, count: int) -> None:
        self._filled += count
        if self._filled == BLOCK_BYTES:
            self._whole.update(self._block.digest())
            self._block, self._filled = hashlib.sha256(), 0

    def checksum(self) -> v1.Checksum:
        """Return the digest of all bytes until now."""
        whole = self._whole.copy()
        if self._filled:
            whole.update(self._block.digest())
        return v1.Checksum(algorithm=ALGORITHM, digest=whole.hexdigest())


class UploadFile:
    """A file that is sent, from any offset, as often as needed."""

    def __init__(self, path: PathLike) -> None:
        self._path = os.fspath(path)
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        found = os.fstat(self._descriptor)
        self.length = found.st_size
        self.data_bytes = min(found.st_blocks * 512, found.st_size)

    def __enter__(self) -> UploadFile:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def messages(
        self, upload_id: str, offset: int, rate: int | None
    ) -> Iterator[v1.UploadImageRequest]:
        """Yield what UploadImage wants: header, the bytes from offset on, the digest of them all.

        The whole file is read for the digest, without its holes. Raises OSError.
        """
        header = v1.UploadHeader(
            upload_id=upload_id, offset=offset, bandwidth_bytes_per_second=rate
        )
        yield v1.UploadImageRequest(header=header)
        digest, position, zeros = BlockDigest(), 0, 0
        while position < self.length:
            hole = self._hole(position)
            data = b"" if hole else self._read(position)
            count = hole or len(data)
            if hole or data == memoryview(ZEROS)[: len(data)]:
                digest.zeros(count)
                zeros += max(0, position + count - max(position, offset))
            else:
                digest.data(data)
                if position + count > offset:
                    if zeros:
                        yield v1.UploadImageRequest(zero_bytes=zeros)
                        zeros = 0
                    yield v1.UploadImageRequest(data=data[max(0, offset - position) :])
            position += count
        if zeros:
            yield v1.UploadImageRequest(zero_bytes=zeros)
        yield v1.UploadImageRequest(checksum=digest.checksum())

    def _hole(self, position: int) -> int:
        """Return how many bytes from here on are in a hole."""
        try:
            data = os.lseek(self._descriptor, position, os.SEEK_DATA)
        except OSError as error:
            # ENXIO: no data follows. Filesystems without holes have none.
            return self.length - position if error.errno == errno.ENXIO else 0
        return min(data, self.length) - position

    def _read(self, position: int) -> bytes:
        count = min(PIECE_BYTES, self.length - position)
        data = os.pread(self._descriptor, count, position)
        if not data:
            raise OSError(errno.ESTALE, "the file became shorter while it was sent", self._path)
        return data


class DownloadFile:
    """A file that is received. It gets its name when it is complete and durable."""

    def __init__(self, path: PathLike, *, overwrite: bool) -> None:
        self._target = Path(path)
        self._overwrite = overwrite
        if not overwrite and os.path.lexists(self._target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(self._target))
        self._part = self._target.parent / f".hostler-download-{secrets.token_hex(6)}"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._descriptor = os.open(self._part, flags, 0o600)
        #: Bytes that have arrived.
        self.position = 0
        #: Whether an earlier call broke: the digest of the last one is not that of the file.
        self.resumed = False
        self._whole = BlockDigest()
        self._sent = self._whole
        #: Whether the digest that the daemon gave last is that of the bytes.
        self.confirmed = False

    def begin(self) -> int:
        """Note that a call begins; returns the offset for it."""
        self.resumed = self.position > 0
        self._sent = BlockDigest() if self.resumed else self._whole
        self.confirmed = False
        return self.position

    def receive(self, answer: v1.DownloadImageResponse) -> None:
        """Write what came. Raises DownloadError if the digest of the call differs."""
        kind = answer.WhichOneof("content")
        if kind == "data":
            self._write(answer.data)
        elif kind == "zero_bytes":
            self.position += answer.zero_bytes
        for digest in (self._whole, self._sent) if self.resumed else (self._whole,):
            digest.data(answer.data)
            digest.zeros(answer.zero_bytes)
        if kind == "checksum":
            self._confirm(answer.checksum, self._sent)

    def confirm(self, result: v1.DigestResult) -> None:
        """Compare the whole file with its digest on the host; raises DownloadError."""
        self._confirm(v1.Checksum(algorithm=result.algorithm, digest=result.digest), self._whole)

    def _confirm(self, expected: v1.Checksum, digest: BlockDigest) -> None:
        if expected != digest.checksum():
            raise DownloadError(
                f"{self._target}: the bytes do not have the digest that they should"
            )
        self.confirmed = True

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            written = os.pwrite(self._descriptor, view, self.position)
            view, self.position = view[written:], self.position + written

    def publish(self) -> None:
        """Make the file, which is confirmed, durable and give it its name. Raises OSError."""
        os.ftruncate(self._descriptor, self.position)
        os.fsync(self._descriptor)
        if self._overwrite:
            self._part.replace(self._target)
        else:
            os.link(self._part, self._target)
        folder = os.open(self._target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def __enter__(self) -> DownloadFile:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file; what has no name yet is removed."""
        os.close(self._descriptor)
        self._part.unlink(missing_ok=True)
