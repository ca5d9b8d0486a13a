"""Files and folders of another compute host, made and removed by the hostlerd there."""

from __future__ import annotations

import functools
import io
from typing import Any, Callable

from hostler import v1

from hostler_nova import files
from hostler_nova.agent import CONF, client_of
from hostler_nova.errors import Work, as_nova


def create_file(host: str, path: str) -> None:
    """Make an empty file, as touch does."""
    with as_nova(Work.COMMAND, path):
        far = client_of(host)
        if not far.file.touch_file(v1.TouchFileRequest(path=path)).existed:
            header = v1.WriteFileHeader(path=path)
            far.file.write_file(files.messages(header, io.BytesIO()))


def remove_file(host: str, path: str) -> None:
    """Remove a file."""
    with as_nova(Work.COMMAND, path):
        client_of(host).file.delete_file(v1.DeleteFileRequest(path=path))


def create_dir(host: str, path: str) -> None:
    """Make a folder and those above it; one that is there is fine."""
    request = v1.CreateDirectoryRequest(path=path, parents=True)
    with as_nova(Work.COMMAND, path):
        client_of(host).file.create_directory(request).wait()


def remove_dir(host: str, path: str) -> None:
    """Remove a folder with all that is in it."""
    request = v1.RemoveDirectoryRequest(path=path, recursive=True, missing_ok=True)
    with as_nova(Work.COMMAND, path):
        client_of(host).file.remove_directory(request).wait()


FUNCTIONS = (create_file, remove_file, create_dir, remove_dir)


def method(ours: Callable[[str, str], None], theirs: Callable[..., Any]) -> Callable[..., Any]:
    """Make the method of Nova's RemoteFilesystem that calls ours, if nova.conf says where."""

    @functools.wraps(theirs)
    def call(self: Any, host: str, path: str, *args: Any, **options: Any) -> None:
        if CONF.hostler.remote_address:
            ours(host, path)
        else:
            theirs(self, host, path, *args, **options)

    return call
