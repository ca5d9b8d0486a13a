"""The steps of the demo."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Callable

from cloud import MIB, Cloud
from hosts import Host
from services import Failed, Services

GIB = 1024**3
#: How much data an image has whose boot is interrupted: it must still be on its way.
LONG = 256
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
        self.snapshot_image = ""

    def needed(self) -> list[Step]:
        """Steps without which the others cannot be done."""
        return [
            ("upload the images", self.upload),
            ("boot, image not in the cache", lambda: self.boot(self.small)),
            ("  its guest", self.guest),
        ]

    def others(self) -> list[Step]:
        """Steps of which each is done even if one before it has failed."""
        return [
            ("boot and delete, image in the cache", self.boot_warm),
            ("snapshot of the running server", self.snapshot),
            ("boot from the snapshot, and delete", self.boot_snapshot),
            ("resize to 2 GiB, on the same host", self.resize),
            ("  its guest", self.guest),
            ("cold migration to the other host", self.migrate),
            ("  its guest", self.guest),
            ("delete", self.delete),
            ("boot with 20 GiB", lambda: self.boot(self.huge)),
            ("  its guest", self.guest),
            ("cold migration of a sparse 20 GiB", self.migrate),
            ("  its guest", self.guest),
            ("delete", self.delete),
        ]

    def ends(self) -> list[Step]:
        """Steps that interrupt something, and the look at what is left."""
        kill: list[Step] = [("kill hostlerd in mid-boot", lambda: "not done: there is none")]
        if not self.options.without_hostler:
            kill = [
                (f"kill hostlerd in mid-boot, {LONG} MiB", self.kill_in_boot),
                ("  its guest", self.guest),
                ("delete", self.delete),
            ]
        deletion: Step = (f"delete in mid-boot, {LONG} MiB", self.delete_in_boot)
        return [deletion, *kill, ("what is left", self.nothing_is_left)]

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

    def boot_warm(self) -> str:
        """Boot a second server on the same host."""
        second = self.cloud.create(self.small, host=self.host())
        self.cloud.until(second, "ACTIVE")
        self.cloud.delete(second)
        return "ACTIVE, and gone"

    def snapshot(self) -> str:
        """Make an image of the server."""
        self.snapshot_image, size = self.cloud.snapshot(self.server)
        return f"an image of {size / MIB:.1f} MiB"

    def boot_snapshot(self) -> str:
        """Boot from the snapshot: its guest finds what the first one wrote."""
        second = self.cloud.create(self.small, self.snapshot_image)
        self.cloud.until(second, "ACTIVE")
        expect({"vda": (GIB, self.starts)}, self.cloud.guest(second))
        self.cloud.delete(second)
        return f"its guest found the writes of {self.starts} starts"

    def resize(self) -> str:
        """Resize the server, while the other host takes none."""
        host = self.host()
        (other,) = self.hosts.keys() - {host}
        self.cloud.enable(other, enabled=False)
        self.cloud.act(self.server, "resize", flavorRef=self.large)
        self.size = 2
        self.cloud.until(self.server, "VERIFY_RESIZE")
        self.cloud.enable(other, enabled=True)
        return self.confirm(host)

    def migrate(self) -> str:
        """Move the server to the other host."""
        if self.options.without_hostler:
            return "not done: Nova's own code copies by ssh, and no sshd runs here"
        host = self.host()
        (other,) = self.hosts.keys() - {host}
        self.cloud.act(self.server, "migrate", host=other)
        self.cloud.until(self.server, "VERIFY_RESIZE")
        return self.confirm(other)

    def confirm(self, host: str) -> str:
        """Confirm a resize or a migration, after which the server is on this host."""
        self.cloud.act(self.server, "confirmResize")
        expect(host, self.host())
        disk = self.hosts[host].folder / "images" / self.server / "disk"
        return f"on {host}, its disk has {disk.stat().st_blocks // 2} KiB"

    def delete(self) -> None:
        """Delete the server."""
        self.cloud.delete(self.server)

    def begin_to_boot(self) -> Host:
        """Ask for a server, and return its host when the image begins to arrive there."""
        image = self.cloud.disk_image(LONG, LONG)
        before = {name: host.files() for name, host in self.hosts.items()}
        self.server, self.size, self.starts = self.cloud.create(self.small, image), 1, 0

        def arriving() -> Host | None:
            for name, host in self.hosts.items():
                if any("_base" in path.parts for path in host.files() - before[name]):
                    return host
            return None

        host: Host = self.services.wait("an image that arrives", arriving)
        return host

    def delete_in_boot(self) -> str:
        """Delete a server whose image is on its way."""
        self.begin_to_boot()
        status = self.cloud.server(self.server)["status"]
        self.cloud.delete(self.server)
        return f"it was in {status}, and is gone"

    def kill_in_boot(self) -> str:
        """Kill the hostlerd of a server's host, and start it again."""
        host = self.begin_to_boot()
        host.kill_hostlerd(self.services)
        status = self.cloud.server(self.server)["status"]
        host.start_hostlerd(self.services)
        return f"it was in {status}, and is ACTIVE on {self.host()}"

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
