"""Facts about the host, as calls of HostInfoService, and configured commands."""

from __future__ import annotations

import os

from hostler import v1

from hostler_nova.agent import ask, client
from hostler_nova.errors import Work, as_nova


def architecture(of_image: str | None) -> str:
    """Return the canonical name of an image's architecture, or of the host's."""
    request = v1.GetArchitectureRequest(image_architecture=of_image)
    with as_nova(Work.ARCHITECTURE, of_image or "the host"):
        return ask(client().host_info.get_architecture, request).architecture


def filesystem(path: str) -> dict[str, int]:
    """Return total, free and used bytes of the filesystem of a path."""
    request = v1.GetFilesystemInfoRequest(path=os.path.abspath(path))
    with as_nova(Work.FILE, path):
        found = ask(client().host_info.get_filesystem_info, request).filesystem
    return {"total": found.total_bytes, "free": found.free_bytes, "used": found.used_bytes}


def iscsi_initiator() -> str | None:
    """Return the name of the host's iSCSI initiator; None: it has none."""
    with as_nova(Work.FILE, "initiatorname.iscsi"):
        found = ask(client().host_info.get_iscsi_initiator, v1.GetIscsiInitiatorRequest())
    return found.initiator_name if found.configured else None


def is_mounted(mount_path: str, source: str | None = None) -> bool:
    """Whether a path is a mount point, of that source if one is given."""
    request = v1.IsMountedRequest(mount_path=os.path.abspath(mount_path), source=source)
    with as_nova(Work.FILE, mount_path):
        return ask(client().host_info.is_mounted, request).mounted


def is_valid_hostname(hostname: str) -> bool:
    """Whether a word is a host name or an address."""
    request = v1.ValidateHostnameRequest(hostname=hostname)
    with as_nova(Work.COMMAND, "ValidateHostname"):
        return ask(client().host_info.validate_hostname, request).valid


def disk_driver_name(virt_type: str, version: int | None, *, is_block_device: bool) -> str | None:
    """Return the name of the disk driver; None: the hypervisor uses none."""
    request = v1.PickDiskDriverNameRequest(
        virt_type=virt_type, hypervisor_version=version, is_block_device=is_block_device
    )
    with as_nova(Work.COMMAND, "PickDiskDriverName"):
        found = ask(client().host_info.pick_disk_driver_name, request)
    return found.driver_name if found.HasField("driver_name") else None


def instance_path(
    uuid: str, name: str | None = None, *, force_old: bool = False, relative: bool = False
) -> str:
    """Return the folder of an instance; with a name the folder of the old layout counts."""
    request = v1.GetInstancePathRequest(
        instance=v1.Instance(uuid=uuid, name=name or ""), force_old=force_old, relative=relative
    )
    with as_nova(Work.COMMAND, "GetInstancePath"):
        return ask(client().host_info.get_instance_path, request).path


def instance_path_at_destination(uuid: str, name: str | None, relative_path: str | None) -> str:
    """Return the folder of an instance that is being migrated here."""
    request = v1.GetInstancePathAtDestinationRequest(
        instance=v1.Instance(uuid=uuid, name=name or ""),
        migrate_data=v1.MigrateData(instance_relative_path=relative_path),
    )
    with as_nova(Work.COMMAND, "GetInstancePathAtDestination"):
        return ask(client().host_info.get_instance_path_at_destination, request).path
