"""Files and folders, as calls of FileService."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from typing import IO, Any

import hostler
from hostler import v1

from hostler_nova.agent import ask, client
from hostler_nova.errors import Work, as_nova

# What one message carries.
PIECE = 256 * 1024


def chown(path: str, owner: str) -> None:
    """Change the owner: a number, a name, or `user:group`."""
    request = v1.ChownRequest(path=os.path.abspath(path), owner=str(owner))
    with as_nova(Work.COMMAND, path):
        client().file.chown(request).wait()


def shift(path: str, uid_maps: Iterable[Any], gid_maps: Iterable[Any]) -> None:
    """Shift all owners of a tree through maps that have start, target and count."""
    request = v1.ChownForIdMapsRequest(
        path=os.path.abspath(path),
        uid_maps=[id_map(each) for each in uid_maps],
        gid_maps=[id_map(each) for each in gid_maps],
    )
    with as_nova(Work.COMMAND, path):
        client().file.chown_for_id_maps(request).wait()


def id_map(one: Any) -> v1.IdMap:
    """Return a map of Nova as one of the contract."""
    return v1.IdMap(start=int(one.start), target=int(one.target), count=int(one.count))


def delete(path: str) -> None:
    """Remove a file; a missing one is FileNotFoundError."""
    with as_nova(Work.FILE, path):
        client().file.delete_file(v1.DeleteFileRequest(path=os.path.abspath(path)))


def exists(path: str) -> bool:
    """Whether a path exists; links are followed."""
    with as_nova(Work.FILE, path):
        return ask(client().file.stat_file, v1.StatFileRequest(path=os.path.abspath(path))).exists


def touch(path: str) -> None:
    """Set the times of a file to now; a missing one is not made."""
    with as_nova(Work.COMMAND, path):
        client().file.touch_file(v1.TouchFileRequest(path=os.path.abspath(path)))


def read(path: str, offset: int = 0, length: int | None = None) -> bytes:
    """Read a file, or a part of it."""
    request = v1.ReadFileRequest(path=os.path.abspath(path), offset=offset, length=length)
    with as_nova(Work.FILE, path):
        return ask(_read_all, request)


def _read_all(request: v1.ReadFileRequest) -> bytes:
    with client().file.read_file(request) as answers:
        return b"".join(answer.data for answer in answers)


def write(path: str, content: IO[bytes], umask: int | None = None) -> None:
    """Replace the content of a file in one step, or make it."""
    header = v1.WriteFileHeader(path=os.path.abspath(path), umask=umask)
    with as_nova(Work.FILE, path):
        client().file.write_file(messages(header, content))


def append(path: str, content: bytes) -> None:
    """Write at the end of a file, which is made if it is missing."""
    header = v1.WriteFileHeader(path=os.path.abspath(path), append=True)
    with as_nova(Work.FILE, path):
        try:
            client().file.write_file(messages(header, io.BytesIO(content)))
        except hostler.StatusError as error:
            if error.reason != "FILE_NOT_FOUND":
                raise
            first = v1.WriteFileHeader(path=header.path)
            client().file.write_file(messages(first, io.BytesIO(content)))


def messages(header: v1.WriteFileHeader, content: IO[bytes]) -> Iterator[v1.WriteFileRequest]:
    """Return the messages of a write: the header, then pieces."""
    yield v1.WriteFileRequest(header=header)
    while data := content.read(PIECE):
        yield v1.WriteFileRequest(data=data)
