"""The 27 functions of `nova.virt.libvirt.utils` of Nova 13.0 (Mitaka), served by Hostler.

They have the signatures, results and exceptions of the old module. Where Hostler is stricter,
docs/nova.md says so.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import IO, Any

from hostler_nova import commands, disks, fetching, files
from hostler_nova import host as facts
from hostler_nova.agent import CONF
from hostler_nova.disks import Callback, Size
from hostler_nova.files_as_objects import open_file


def execute(*args: object, **kwargs: Any) -> tuple[str, str]:
    """Run a command that hostlerd's configuration names."""
    return commands.execute(*args, **kwargs)


def get_iscsi_initiator() -> str | None:
    """Return the name of the host's iSCSI initiator; None: it has none."""
    return facts.iscsi_initiator()


def create_image(disk_format: str, path: str, size: Size) -> None:
    """Make an image; size: bytes, or a number with K, M, G or T."""
    disks.create_image(path, disk_format, size)


def create_cow_image(backing_file: str, path: str, size: Size = None) -> None:
    """Make a qcow2 overlay on a base; size: None for that of the base."""
    disks.create_overlay(path, backing_file, size)


def pick_disk_driver_name(hypervisor_version: int, is_block_dev: bool = False) -> str | None:
    """Return the name of the disk driver for libvirt's virt_type; None: it uses none."""
    return facts.disk_driver_name(
        CONF.libvirt.virt_type, hypervisor_version, is_block_device=is_block_dev
    )


def get_disk_size(path: str, format: str | None = None) -> int:  # noqa: A002
    """Return the virtual size of a disk in bytes."""
    return disks.get_info(path, format).virtual_size_bytes


def get_disk_backing_file(
    path: str,
    basename: bool = True,
    format: str | None = None,  # noqa: A002
) -> str | None:
    """Return the backing file of a disk, or its last component; None: it has none."""
    return disks.backing_file_of(path, format, basename=basename)


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
    disks.copy_image(
        src,
        dest,
        host,
        receive=receive,
        on_execute=on_execute,
        on_completion=on_completion,
        compression=compression,
    )


def write_to_file(path: str, contents: str | bytes, umask: int | None = None) -> None:
    """Replace the content of a file; umask: of the mode of a new one."""
    content = contents.encode() if isinstance(contents, str) else contents
    files.write(path, io.BytesIO(content), umask)


def chown(path: str, owner: str) -> None:
    """Change the owner of a file."""
    files.chown(path, owner)


def update_mtime(path: str) -> None:
    """Set the time of a file to now; a missing one is not made."""
    files.touch(path)


def chown_for_id_maps(path: str, id_maps: Iterable[Any]) -> None:
    """Shift all owners of a tree; id_maps: Nova's maps of users and groups."""
    from nova.virt.libvirt import config

    maps = list(id_maps)
    files.shift(
        path,
        [each for each in maps if isinstance(each, config.LibvirtConfigGuestUIDMap)],
        [each for each in maps if isinstance(each, config.LibvirtConfigGuestGIDMap)],
    )


def extract_snapshot(disk_path: str, source_fmt: str, out_path: str, dest_fmt: str) -> None:
    """Write the content of a disk into an image of its own."""
    disks.extract_snapshot(disk_path, source_fmt, out_path, dest_fmt)


def load_file(path: str) -> str:
    """Return the content of a text file."""
    return files.read(path).decode()


def file_open(*args: Any, **kwargs: Any) -> IO[Any]:
    """Open a file as open() does; modes r, w and a."""
    return open_file(*args, **kwargs)


def file_delete(path: str) -> None:
    """Remove a file."""
    files.delete(path)


def path_exists(path: str) -> bool:
    """Whether a path exists; links are followed."""
    return files.exists(path)


def find_disk(virt_dom: Any) -> tuple[str, str | None]:
    """Return path and format of the root disk of a domain of libvirt."""
    return disks.find_disk(virt_dom.XMLDesc(0))


def get_disk_type_from_path(path: str) -> str | None:
    """Return lvm, rbd or ploop; None: the path does not say."""
    return disks.disk_type_of(path)


def get_fs_info(path: str) -> dict[str, int]:
    """Return the bytes of a filesystem: total, free, used."""
    return facts.filesystem(path)


def fetch_image(
    context: Any, target: str, image_id: str, user_id: str, project_id: str, max_size: int = 0
) -> None:
    """Fetch an image from Glance and write it in the format of this host."""
    fetching.fetch_image(context, target, image_id, max_size)


def fetch_raw_image(
    context: Any, target: str, image_id: str, user_id: str, project_id: str, max_size: int = 0
) -> None:
    """Fetch a kernel or ramdisk from Glance."""
    fetching.fetch_raw_image(context, target, image_id, max_size)


def get_instance_path(instance: Any, forceold: bool = False, relative: bool = False) -> str:
    """Return the folder of an instance: the old one, by name, if it exists."""
    return facts.instance_path(instance.uuid, instance.name, force_old=forceold, relative=relative)


def get_instance_path_at_destination(instance: Any, migrate_data: Any = None) -> str:
    """Return the folder of an instance that migrates here."""
    return facts.instance_path_at_destination(
        instance.uuid, instance.name, migrate_data.instance_relative_path if migrate_data else None
    )


def get_arch(image_meta: Any) -> str:
    """Return the architecture that an image needs, or that of the host."""
    wanted = image_meta.properties.get("hw_architecture") if image_meta else None
    return facts.architecture(wanted)


def is_mounted(mount_path: str, source: str | None = None) -> bool:
    """Whether a path is a mount point, of that source if one is given."""
    return facts.is_mounted(mount_path, source)


def is_valid_hostname(hostname: str) -> bool:
    """Whether a word is a host name or an address."""
    return facts.is_valid_hostname(hostname)
