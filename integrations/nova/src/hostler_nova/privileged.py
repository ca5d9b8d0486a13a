"""What Nova does with files as root, and what it removes from its image cache."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Callable

import hostler
from hostler import v1
from nova import exception

from hostler_nova import files
from hostler_nova.agent import client
from hostler_nova.errors import Work, as_nova


@contextmanager
def of_file(path: str) -> Iterator[None]:
    """Raise errors as `nova.privsep.path` does."""
    try:
        with as_nova(Work.FILE, path):
            yield
    except FileNotFoundError as error:
        raise exception.FileNotFound(file_path=path) from error.__cause__


def utime(path: str) -> None:
    """Do what `nova.privsep.path.utime` does: the image cache sees that a base is in use.

    A base that an operation reads, such as the copy for another server, keeps its times: for the
    operation it would have changed.
    """
    request = v1.TouchFileRequest(path=os.path.abspath(path))
    with of_file(path):
        try:
            existed = client().file.touch_file(request).existed
        except hostler.StatusError as error:
            if error.reason != "PATH_BUSY":
                raise
            existed = True
    if not existed:
        raise exception.FileNotFound(file_path=path)


def chown(path: str, uid: int = -1, gid: int = -1, recursive: bool = False) -> None:
    """Do what `nova.privsep.path.chown` does; -1 leaves what there is."""
    owner = ("" if uid == -1 else str(uid)) + ("" if gid == -1 else f":{gid}")
    if not owner:
        return
    request = v1.ChownRequest(path=os.path.abspath(path), owner=owner, recursive=recursive)
    with of_file(path):
        client().file.chown(request).wait()


class Door:
    """Stands in Nova's module of the image cache where `os` was.

    An unused base is removed by Hostler, which keeps one that has overlays or is in use.
    """

    def __init__(self, theirs: Any, guarded: Callable[..., Any]) -> None:
        """theirs: the real os; guarded: chooses between ours and theirs."""
        self._theirs = theirs
        self._guarded = guarded

    def __getattr__(self, name: str) -> Any:
        """Return everything else as it is."""
        return getattr(self._theirs, name)

    def remove(self, path: str) -> None:
        """Remove a file; raises OSError."""
        self._guarded("remove", lambda: files.delete(path), lambda: self._theirs.remove(path))
