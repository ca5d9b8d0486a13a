"""The steps of the demo."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Callable

from cloud import Cloud
from hosts import Host
from services import Failed, Services

GIB = 1024**3
Step = tuple[str, Callable[[], "str | None"]]


def expect(wanted: object, found: object) -> None:
    """Compare; raises Failed."""
    if wanted != found:
        raise Failed(f"expected {wanted}, found {found}")


class Steps:
    """What is done, one after the other, with one cloud."""

    def __init__(
        self,
        cloud: Cloud,
        services: Services,
        hosts: Sequence[Host],
        options: argparse.Namespace,
    ) -> None:
        self.cloud = cloud
        self.services = services
        self.hosts = {f"compute-{host.name}": host for host in hosts}
        self.options = options
        self.server = ""
        #: How often guests have started with the disk of the server.
        self.starts = 0
        self.size = 1

    def needed(self) -> list[Step]:
        """Steps without which the others cannot be done."""
        return [
            ("upload the images", self.upload),
            ("boot, image not in the cache", lambda: self.boot(self.small)),
            ("  its guest", self.guest),
        ]

    def others(self) -> list[Step]:
        """Steps of which each is done even if one before it has failed."""
        return [("delete", self.delete)]

    def ends(self) -> list[Step]:
        """The look at what is left."""
        return [("what is left", self.nothing_is_left)]

    def upload(self) -> None:
        """Upload a guest, and make the flavors."""
        self.cloud.upload_guest(self.options.guest)
        self.small, self.large, self.huge = (
            self.cloud.flavor(f"disk{size}", size) for size in (1, 2, 20)
        )

    def boot(self, flavor: str) -> str:
        """Boot the server that the next steps are done with."""
        self.server, self.starts = self.cloud.create(flavor), 0
        self.size = 20 if flavor == self.huge else 1
        return f"ACTIVE on {self.host()}"

    def host(self) -> str:
        """Wait until the server is active, and name its host."""
        return str(self.cloud.until(self.server, "ACTIVE")["OS-EXT-SRV-ATTR:host"])

    def guest(self) -> str:
        """Compare what the guest has found on its disk."""
        expect({"vda": (self.size * GIB, self.starts)}, self.cloud.guest(self.server))
        self.starts += 1
        return f"finds {self.size} GiB and its own writes of {self.starts - 1} starts"

    def delete(self) -> None:
        """Delete the server."""
        self.cloud.delete(self.server)

    def nothing_is_left(self) -> str:
        """Look into the folders of both computes."""
        left = {
            f"{name}: {path.relative_to(host.folder / 'images')}"
            for name, host in self.hosts.items()
            for path in host.files()
            if is_of_a_server(path, host.folder / "images")
        }
        expect(set(), left)
        return "no file of a server on either compute"


def is_of_a_server(path: Path, images: Path) -> bool:
    """Whether a file belongs to a server, or to unfinished work of Hostler."""
    top = path.relative_to(images).parts[0]
    kept = ("_base", "locks", "compute_nodes", "snapshots")
    return top not in kept or path.name.startswith(".hostler-")
