"""Descriptions of images in the form of `qemu-img info --output=json`."""

from __future__ import annotations

import json
from typing import Any

from hostler import v1

from hostler_nova.disks import get_info

# Fields of ImageInfo, by the names that qemu-img gives them.
TOP_LEVEL = {
    "filename": "path",
    "format": "format",
    "virtual-size": "virtual_size_bytes",
    "actual-size": "allocated_bytes",
    "cluster-size": "cluster_size_bytes",
    "backing-filename": "backing_file",
    "full-backing-filename": "full_backing_file",
    "backing-filename-format": "backing_format",
}
OF_FORMAT = {
    "compat": "compat",
    "compression-type": "compression_type",
    "lazy-refcounts": "lazy_refcounts",
    "refcount-bits": "refcount_bits",
    "extended-l2": "extended_l2",
    "data-file": "data_file",
}


def qemu_img_info(path: str, format: str | None = None) -> str:  # noqa: A002
    """Describe an image as qemu-img does; raises DiskNotFound, InvalidDiskInfo."""
    return json.dumps(as_qemu(get_info(path, format)))


def as_qemu(info: v1.ImageInfo) -> dict[str, Any]:
    """Return what qemu-img would say."""
    described = {**present(info, TOP_LEVEL), "dirty-flag": info.dirty}
    if info.encrypted:
        described["encrypted"] = True
    if info.snapshots:
        described["snapshots"] = [
            {
                "id": each.id,
                "name": each.name,
                "vm-state-size": each.vm_state_bytes,
                "date-sec": each.create_time.seconds,
                "date-nsec": each.create_time.nanos,
            }
            for each in info.snapshots
        ]
    details = present(info, OF_FORMAT)
    if info.compat == "1.1":
        details["corrupt"] = info.corrupt
    if info.format == "vmdk" and info.HasField("subformat"):
        details["create-type"] = info.subformat
    if details:
        described["format-specific"] = {"type": info.format, "data": details}
    return described


def present(info: v1.ImageInfo, names: dict[str, str]) -> dict[str, Any]:
    """Return the fields that are set."""
    fields = info.DESCRIPTOR.fields_by_name
    return {
        theirs: getattr(info, ours)
        for theirs, ours in names.items()
        if not fields[ours].has_presence or info.HasField(ours)  # type: ignore[arg-type]
    }
