"""The commands for images that modules of Nova start by themselves, as calls."""

from __future__ import annotations

import os
from typing import Any, Callable

from hostler import v1

from hostler_nova.agent import client
from hostler_nova.disks import address_of
from hostler_nova.errors import Work, as_nova

Output = tuple[str, str]


def resize(disk_format: str, path: str, size: object) -> Output:
    """Do what `qemu-img resize -f FORMAT PATH SIZE` does: an image only grows."""
    fields: dict[str, Any] = (
        {"virtual_size_bytes": size} if isinstance(size, int) else {"size": str(size)}
    )
    request = v1.ResizeImageRequest(path=address_of(path), format=disk_format, **fields)
    with as_nova(Work.COMMAND, path):
        client().image.resize_image(request).wait()
    return "", ""


def rebase(path: str, backing_file: str, backing_format: str) -> Output:
    """Do what `qemu-img rebase -b FILE -F FORMAT PATH` does; without a file it flattens."""
    request = v1.RebaseImageRequest(
        path=address_of(path),
        # Nova rebases files of volume snapshots, which are qcow2 always.
        format="qcow2",
        backing_file=os.path.join(os.path.dirname(path), backing_file) if backing_file else "",
        backing_format=backing_format,
    )
    with as_nova(Work.COMMAND, path):
        client().image.rebase_image(request).wait()
    return "", ""


def recognized(command: tuple[Any, ...]) -> Callable[[], Output] | None:
    """Return the call for a command line, or None for one that is not about images."""
    if command[:3] == ("qemu-img", "resize", "-f") and len(command) == 6:
        return lambda: resize(*command[3:])
    if command[:3] == ("qemu-img", "rebase", "-b") and len(command) == 5:
        return lambda: rebase(command[4], command[3], "")
    if command[:3] == ("qemu-img", "rebase", "-b") and command[4:5] == ("-F",):
        return lambda: rebase(command[6], command[3], command[5])
    return None


class Door:
    """Stands in a module of Nova where `processutils` was: commands for images become calls."""

    def __init__(self, theirs: Any, guarded: Callable[..., Any]) -> None:
        """theirs: the real processutils; guarded: chooses between ours and theirs."""
        self._theirs = theirs
        self._guarded = guarded

    def __getattr__(self, name: str) -> Any:
        """Return everything else as it is."""
        return getattr(self._theirs, name)

    def execute(self, *command: Any, **options: Any) -> Any:
        """Run a command, or make the call that does the same."""
        call = None if options else recognized(command)
        if call is None:
            return self._theirs.execute(*command, **options)
        return self._guarded(" ".join(command[:2]), call, lambda: self._theirs.execute(*command))
