"""Images and disks: what Nova wants, as calls of ImageService."""

from __future__ import annotations

import os
from typing import Any, Callable, Optional, Union

import hostler
from hostler import v1
from nova import exception

from hostler_nova.agent import CONF, ask, client
from hostler_nova.errors import Work, as_nova
from hostler_nova.jobs import CopyJob

Size = Union[int, str, None]
#: As Nova writes it: `format` and `secret`.
Encryption = Optional[dict[str, Any]]
Callback = Optional[Callable[[Any], None]]

PLOOP_DISK = "root.hds"


def size_fields(size: Size) -> dict[str, Any]:
    """Return the size of a new image as fields of its request; None: that of its base.

    An int is bytes; a text is a number with an optional K, M, G or T.
    """
    if size is None:
        return {}
    return {"virtual_size_bytes": size} if isinstance(size, int) else {"size": str(size)}


def create_image(path: str, disk_format: str, size: Size, encryption: Encryption = None) -> None:
    """Make an image, and replace what has its name, as qemu-img does."""
    request = v1.CreateImageRequest(
        path=os.path.abspath(path), format=disk_format, overwrite=True, **size_fields(size)
    )
    if encryption:
        request.encryption.CopyFrom(encryption_of(encryption))
    with as_nova(Work.COMMAND, path):
        client().image.create_image(request).wait()


def create_overlay(path: str, backing_file: str, size: Size = None) -> None:
    """Make a qcow2 overlay. The base is inspected first, and must not have a base itself."""
    with as_nova(Work.INSPECT, backing_file):
        base = describe(backing_file)
    request = v1.CreateOverlayRequest(
        path=os.path.abspath(path),
        backing_file=os.path.abspath(backing_file),
        backing_format=base.format,
        overwrite=True,
        **size_fields(size),
    )
    with as_nova(Work.CREATE, path):
        client().image.create_overlay(request).wait()


def describe(path: str, disk_format: str | None = None) -> v1.ImageInfo:
    """Describe an image; without a format it is detected. Raises HostlerError.

    A folder of ploop stands for the disk in it.
    """
    address = address_of(path)
    if os.path.exists(os.path.join(address, "DiskDescriptor.xml")):
        address = os.path.join(address, PLOOP_DISK)
    request = v1.GetImageInfoRequest(path=address, format=disk_format)
    return ask(client().image.get_image_info, request).info


def get_info(path: str, disk_format: str | None = None) -> v1.ImageInfo:
    """Describe an image; raises DiskNotFound, InvalidDiskInfo."""
    with as_nova(Work.INSPECT, path):
        return describe(path, disk_format)


def backing_file_of(path: str, disk_format: str | None, *, basename: bool) -> str | None:
    """Return the backing file as the header names it, or its last component; None: no base."""
    info = get_info(path, disk_format)
    if not info.HasField("backing_file"):
        return None
    return info.backing_file_basename if basename else info.backing_file


def convert_image(
    source: str,
    target: str,
    source_format: str,
    target_format: str,
    *,
    compress: bool = False,
    source_encryption: Encryption = None,
    target_encryption: Encryption = None,
) -> None:
    """Write an image in another format; a failure is that of a command."""
    request = v1.ConvertImageRequest(
        source=address_of(source),
        source_format=source_format,
        target=address_of(target),
        target_format=target_format,
        compress=compress,
        overwrite=True,
    )
    if source_encryption:
        request.source_secret.passphrase = encryption_of(source_encryption).passphrase
    if target_encryption:
        request.encryption.CopyFrom(encryption_of(target_encryption))
    with as_nova(Work.COMMAND, source):
        client().image.convert_image(request).wait()


def encryption_of(encryption: dict[str, Any]) -> v1.ImageEncryption:
    """Return what Nova says of an encryption as the contract has it."""
    secret = encryption.get("secret") or ""
    return v1.ImageEncryption(
        format=encryption.get("format") or "",
        passphrase=secret.encode() if isinstance(secret, str) else secret,
    )


def extract_snapshot(disk_path: str, source_fmt: str, out_path: str, dest_fmt: str) -> None:
    """Write the content of a disk into an image of its own."""
    wanted = bool(CONF.libvirt.snapshot_compression)
    request = v1.ExtractSnapshotRequest(
        path=address_of(disk_path),
        source_format=source_fmt,
        target=address_of(out_path),
        target_format=dest_fmt,
        compress=wanted and dest_fmt == "qcow2",
        overwrite=True,
    )
    with as_nova(Work.CONVERT, disk_path):
        client().image.extract_snapshot(request).wait()


def copy_image(
    source: str,
    target: str,
    host: str | None = None,
    *,
    receive: bool = False,
    on_execute: Callback = None,
    on_completion: Callback = None,
    compression: bool = True,
) -> None:
    """Copy a file on this host, or to or from another one.

    The callbacks get a job while the copy runs: `job.pid` is a number that nobody else has, and
    `job.pid.cancel()` ends the copy.
    """
    request = v1.CopyImageRequest(
        source=address_of(source), target=address_of(target), overwrite=True
    )
    if host:
        request.remote.host = host.strip("[]")
        request.remote.agent = CONF.hostler.remote_agent
        request.remote_side = v1.REMOTE_SIDE_SOURCE if receive else v1.REMOTE_SIDE_TARGET
        request.compression = compression
    with as_nova(Work.COMMAND, source):
        operation = client().image.copy_image(request)
        job = CopyJob(operation)
        if on_execute is not None:
            on_execute(job)
        try:
            operation.wait()
        finally:
            operation.close()
            if on_completion is not None:
                on_completion(job)


def disk_type_of(path: str) -> str | None:
    """Return lvm, rbd or ploop; None where only the content could say what it is."""
    request = v1.DetectDiskTypeRequest(path=address_of(path))
    try:
        with as_nova(Work.INSPECT, path):
            found = ask(client().image.detect_disk_type, request)
    except (exception.DiskNotFound, exception.InvalidDiskInfo) as error:
        if isinstance(error.__cause__, hostler.StatusError):  # The content cannot be read.
            return None
        raise
    by_path = found.basis == v1.DETECTION_BASIS_PATH
    return found.disk_type if by_path and found.HasField("disk_type") else None


def find_disk(domain_xml: str) -> tuple[str, str | None]:
    """Return path and format of a domain's root disk; raises RuntimeError if it has none."""
    request = v1.FindRootDiskRequest(domain_xml=domain_xml)
    with as_nova(Work.DOMAIN, "the domain"):
        found = ask(client().image.find_root_disk, request)
    return found.path, found.format if found.HasField("format") else None


def address_of(path: str) -> str:
    """Return a path as calls need it: absolute, or the name of an image in a Ceph pool.

    Nova writes `rbd:POOL/IMAGE:id=…:conf=…`; hostlerd's own configuration has the rest.
    """
    if path.startswith("rbd:"):
        return ":".join(path.split(":")[:2])
    return os.path.abspath(path)
