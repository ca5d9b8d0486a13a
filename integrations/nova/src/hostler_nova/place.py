"""Puts Hostler's functions in the place of Nova's own, and Nova's back."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Callable

import hostler
from oslo_log import log as logging

from hostler_nova import (
    agent,
    disks,
    fetching,
    jobs,
    libvirt_utils,
    mitaka,
    privileged,
    processes,
    qemu_info,
    remote,
    unserved,
)

LOG = logging.getLogger(__name__)
UTILS = "nova.virt.libvirt.utils"
IMAGES = "nova.virt.images"
QEMU = "nova.privsep.qemu"
PATH = "nova.privsep.path"

Function = Callable[..., Any]


@dataclass(frozen=True)
class Seam:
    """A function of Nova, and what takes its place."""

    module: str
    #: A name in the module, or CLASS.METHOD.
    name: str
    ours: Function
    #: Gets the arguments of a call, and returns why Nova's own code has to do it; empty: it hasn't.
    unserved: Function = unserved.nothing


UNSERVED: dict[str, Function] = {
    "copy_image": unserved.copy,
    "create_image": unserved.creation,
    "fetch_image": unserved.fetch,
    "fetch_raw_image": unserved.fetch,
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
# Modules that start qemu-img by themselves.
PROCESSES = ("nova.virt.disk.api", "nova.virt.libvirt.driver")


def convert(
    source: str,
    dest: str,
    in_format: str,
    out_format: str,
    instances_path: str,
    compress: bool,
    src_encryption: disks.Encryption = None,
    dest_encryption: disks.Encryption = None,
) -> None:
    """Do what `nova.privsep.qemu.convert_image` does, also that of newer versions of Nova."""
    disks.convert_image(
        source,
        dest,
        in_format,
        out_format,
        compress=compress,
        source_encryption=src_encryption,
        target_encryption=dest_encryption,
    )


def fetch(context: Any, image_href: str, path: str, trusted_certs: Any = None) -> None:
    """Do what `nova.virt.images.fetch` does."""
    fetching.fetch_raw_image(context, path, image_href)


def fetch_to_raw(context: Any, image_href: str, path: str, trusted_certs: Any = None) -> None:
    """Do what `nova.virt.images.fetch_to_raw` does."""
    fetching.fetch_image(context, path, image_href)


def seams() -> Iterator[Seam]:
    """List what is put in place."""
    for name in libvirt_utils.__all__:
        check = UNSERVED.get(name, unserved.nothing)
        yield Seam(UTILS, name, getattr(libvirt_utils, name), check)
    for name in DROPPED:
        yield Seam(UTILS, name, getattr(mitaka, name))
    yield Seam(IMAGES, "fetch", fetch, unserved.fetch)
    yield Seam(IMAGES, "fetch_to_raw", fetch_to_raw, unserved.fetch)
    for name in ("unprivileged_qemu_img_info", "privileged_qemu_img_info"):
        yield Seam(QEMU, name, qemu_info.qemu_img_info)
    for name in ("unprivileged_convert_image", "convert_image"):
        yield Seam(QEMU, name, convert, unserved.conversion)
    yield Seam(PATH, "utime", privileged.utime)
    yield Seam(PATH, "chown", privileged.chown)


def guarded(name: str, ours: Callable[[], Any], theirs: Callable[[], Any]) -> Any:
    """Do a call, or Nova's own code where hostlerd does not answer or may not reach the path."""
    if agent.CONF.hostler.fallback and not agent.answers():
        reason = f"hostlerd does not answer at {agent.CONF.hostler.address}"
    else:
        try:
            return ours()
        except Exception as error:
            cause = error.__cause__
            if not isinstance(cause, hostler.StatusError) or cause.reason != "PATH_OUTSIDE_ROOTS":
                raise
            reason = cause.message
    LOG.warning("%s: %s: Nova's own code is used", name, reason)
    return theirs()


def replacement(seam: Seam, theirs: Function | None) -> Function:
    """Return the function that Nova gets: ours, or Nova's own for what ours does not serve."""

    @functools.wraps(theirs or seam.ours)
    def call(*args: Any, **kwargs: Any) -> Any:
        if theirs is None:
            return seam.ours(*args, **kwargs)
        reason = seam.unserved(*args, **kwargs)
        if reason:
            LOG.warning("%s: %s: Nova's own code is used", seam.name, reason)
            return theirs(*args, **kwargs)
        return guarded(
            seam.name, lambda: seam.ours(*args, **kwargs), lambda: theirs(*args, **kwargs)
        )

    return call


def terminating(theirs: Function) -> Function:
    """Let a deletion end the copies of hostlerd too, beside the processes of Nova's own code."""

    @functools.wraps(theirs)
    def terminate_jobs(self: Any, instance: Any) -> None:
        jobs.cancel_all(self.jobs.get(instance.uuid, ()))
        theirs(self, instance)

    return terminate_jobs


_originals: list[tuple[Any, str, Any]] = []


def put(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Replace an attribute by what is made of it."""
    theirs = getattr(owner, name, None)
    _originals.append((owner, name, theirs))
    setattr(owner, name, make(theirs))


def put_in_place() -> None:
    """Let Nova call Hostler from now on, in this process. A second time changes nothing."""
    if _originals:
        return
    for seam in seams():
        module = importlib.import_module(seam.module)
        put(module, seam.name, functools.partial(replacement, seam))
    for name in PROCESSES:
        module = importlib.import_module(name)
        put(module, "processutils", lambda theirs: processes.Door(theirs, guarded))
    cache = importlib.import_module("nova.virt.libvirt.imagecache")
    put(cache, "os", lambda theirs: privileged.Door(theirs, guarded))
    remotefs = importlib.import_module("nova.virt.libvirt.volume.remotefs")
    for ours in remote.FUNCTIONS:
        put(remotefs.RemoteFilesystem, ours.__name__, functools.partial(remote.method, ours))
    tracker = importlib.import_module("nova.virt.libvirt.instancejobtracker")
    put(tracker.InstanceJobTracker, "terminate_jobs", terminating)


def take_away() -> None:
    """Let Nova call its own code again."""
    while _originals:
        owner, name, theirs = _originals.pop()
        if theirs is None:
            delattr(owner, name)
        else:
            setattr(owner, name, theirs)
