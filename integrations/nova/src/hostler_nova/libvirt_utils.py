"""The functions of `nova.virt.libvirt.utils` that do work on the host, as Nova calls them today.

They are those of the old module that are still there, with the signatures of today.
What else is in Nova's module starts nothing and stays Nova's own.
"""

from __future__ import annotations

from typing import Any

from hostler_nova import disks, fetching, mitaka
from hostler_nova import host as facts
from hostler_nova.disks import Callback, Size
from hostler_nova.mitaka import (
    chown_for_id_maps,
    extract_snapshot,
    file_open,
    get_arch,
    get_disk_backing_file,
    get_disk_size,
    get_disk_type_from_path,
    get_fs_info,
    is_mounted,
    is_valid_hostname,
    load_file,
)

__all__ = [
    "chown_for_id_maps",
    "copy_image",
    "create_image",
    "extract_snapshot",
    "fetch_image",
    "fetch_raw_image",
    "file_open",
    "find_disk",
    "get_arch",
    "get_disk_backing_file",
    "get_disk_size",
    "get_disk_type_from_path",
    "get_fs_info",
    "get_instance_path",
    "get_instance_path_at_destination",
    "is_mounted",
    "is_valid_hostname",
    "load_file",
]


def create_image(
    path: str,
    disk_format: str,
    disk_size: Size,
    backing_file: str | None = None,
    encryption: disks.Encryption = None,
    safe: bool = False,
) -> None:
    """Make an image, or with backing_file a qcow2 overlay; disk_size: None for that of the base.

    A base is always inspected; newer versions of Nova say with `safe` that it need not be.
    """
    if backing_file is None:
        disks.create_image(path, disk_format, disk_size, encryption)
    else:
        disks.create_overlay(path, backing_file, disk_size)


def copy_image(
    src: str,
    dest: str,
    host: str | None = None,
    receive: bool = False,
    on_execute: Callback = None,
    on_completion: Callback = None,
    compression: bool = True,
) -> None:
    """Copy a disk on this host, to another host, or with receive from there."""
    mitaka.copy_image(src, dest, host, receive, on_execute, on_completion, compression)


def find_disk(guest: Any) -> tuple[str, str | None]:
    """Return path and format of the root disk of a guest."""
    return disks.find_disk(guest.get_xml_desc())


def fetch_image(context: Any, target: str, image_id: str, trusted_certs: Any = None) -> None:
    """Fetch an image from Glance and write it in the format of this host."""
    fetching.fetch_image(context, target, image_id)


def fetch_raw_image(context: Any, target: str, image_id: str, trusted_certs: Any = None) -> None:
    """Fetch a kernel or ramdisk from Glance."""
    fetching.fetch_raw_image(context, target, image_id)


def get_instance_path(instance: Any, relative: bool = False) -> str:
    """Return the folder of an instance."""
    return facts.instance_path(instance.uuid, relative=relative)


def get_instance_path_at_destination(instance: Any, migrate_data: Any = None) -> str:
    """Return the folder of an instance that migrates here."""
    relative = migrate_data.instance_relative_path if migrate_data else None
    return facts.instance_path_at_destination(instance.uuid, None, relative)
