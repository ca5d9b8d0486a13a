"""Puts Hostler's functions in the place of Nova's own, and Nova's back."""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Callable

from oslo_log import log as logging

from hostler_nova import agent, libvirt_utils, mitaka

LOG = logging.getLogger(__name__)
UTILS = "nova.virt.libvirt.utils"

Function = Callable[..., Any]


def serves_all(*_: Any, **__: Any) -> str:
    """Return the reason why Hostler does not serve a call; empty: it does."""
    return ""


@dataclass(frozen=True)
class Seam:
    """A function of Nova, and what takes its place."""

    module: str
    name: str
    ours: Function
    #: Gets the arguments of a call, and returns why Nova's own code has to do it; empty: it hasn't.
    unserved: Function = serves_all


def unserved_copy(
    src: str, dest: str, host: str | None = None, receive: bool = False, *_: Any, **__: Any
) -> str:
    """Folders (of ploop disks and virtual TPMs) are not images."""
    return "folders are not copied by Hostler" if not receive and os.path.isdir(src) else ""


def unserved_creation(
    path: str,
    disk_format: str,
    disk_size: Any,
    backing_file: str | None = None,
    encryption: dict[str, Any] | None = None,
) -> str:
    """CreateOverlay makes qcow2 overlays without encryption."""
    if backing_file and encryption:
        return "Hostler makes no encrypted overlays"
    if backing_file and disk_format != "qcow2":
        return "Hostler makes overlays in qcow2 only"
    return ""


def unserved_fetch(context: Any, target: str, image_id: str, trusted_certs: Any = None) -> str:
    """Signatures of images are checked by Nova itself."""
    wanted = trusted_certs or agent.CONF.glance.verify_glance_signatures
    return "Hostler checks no signatures of images" if wanted else ""


UNSERVED: dict[str, Function] = {
    "copy_image": unserved_copy,
    "create_image": unserved_creation,
    "fetch_image": unserved_fetch,
    "fetch_raw_image": unserved_fetch,
}
# What Nova has dropped since the old module, for callers that still use it.
DROPPED = (
    "chown",
    "create_cow_image",
    "execute",
    "file_delete",
    "get_iscsi_initiator",
    "path_exists",
    "pick_disk_driver_name",
    "update_mtime",
    "write_to_file",
)


def seams() -> Iterator[Seam]:
    """List what is put in place."""
    for name in libvirt_utils.__all__:
        yield Seam(UTILS, name, getattr(libvirt_utils, name), UNSERVED.get(name, serves_all))
    for name in DROPPED:
        yield Seam(UTILS, name, getattr(mitaka, name))


def replacement(seam: Seam, theirs: Function | None) -> Function:
    """Return the function that Nova gets: ours, or Nova's own for what ours does not serve."""

    @functools.wraps(theirs or seam.ours)
    def call(*args: Any, **kwargs: Any) -> Any:
        if theirs is not None:
            reason = seam.unserved(*args, **kwargs)
            if not reason and agent.CONF.hostler.fallback and not agent.answers():
                reason = f"hostlerd does not answer at {agent.CONF.hostler.address}"
            if reason:
                LOG.warning("%s: %s: Nova's own code is used", seam.name, reason)
                return theirs(*args, **kwargs)
        return seam.ours(*args, **kwargs)

    return call


_originals: dict[tuple[str, str], Any] = {}


def put_in_place() -> None:
    """Let Nova call Hostler from now on, in this process."""
    for seam in seams():
        key = (seam.module, seam.name)
        if key in _originals:
            continue
        module = importlib.import_module(seam.module)
        theirs = getattr(module, seam.name, None)
        _originals[key] = theirs
        setattr(module, seam.name, replacement(seam, theirs))


def take_away() -> None:
    """Let Nova call its own code again."""
    while _originals:
        (name, attribute), theirs = _originals.popitem()
        module = importlib.import_module(name)
        if theirs is None:
            delattr(module, attribute)
        else:
            setattr(module, attribute, theirs)
