"""Calls of Nova that Hostler does not serve: each function returns the reason, or nothing."""

from __future__ import annotations

import os
from typing import Any

from hostler_nova.agent import CONF


def nothing(*_: Any, **__: Any) -> str:
    """Everything is served."""
    return ""


def copy(
    src: str, dest: str, host: str | None = None, receive: bool = False, *_: Any, **__: Any
) -> str:
    """Folders (of ploop disks and virtual TPMs) are not images."""
    return "Hostler copies no folders" if not receive and os.path.isdir(src) else ""


def creation(
    path: str,
    disk_format: str,
    disk_size: Any,
    backing_file: str | None = None,
    encryption: dict[str, Any] | None = None,
    safe: bool = False,
) -> str:
    """CreateOverlay makes qcow2 overlays without encryption."""
    if backing_file and encryption:
        return "Hostler makes no encrypted overlays"
    if backing_file and disk_format != "qcow2":
        return "Hostler makes overlays in qcow2 only"
    return ""


def fetch(*args: Any, **options: Any) -> str:
    """Signatures of images are checked by Nova itself; it has other ways to an image, too."""
    trusted_certs = options.get("trusted_certs", args[3] if len(args) > 3 else None)
    if trusted_certs or CONF.glance.verify_glance_signatures:
        return "Hostler checks no signatures of images"
    return "enable_rbd_download is set" if CONF.glance.enable_rbd_download else ""


def conversion(source: str, dest: str, in_format: str | None, *_: Any, **__: Any) -> str:
    """An image whose format nobody says is not converted."""
    return "" if in_format else "Hostler converts no image of an unknown format"
