"""Servers from boot to deletion through Nova's API, with the content of their disks.

It builds on the base class of Nova's functional tests. The tools that it compares with do not run
below Nova's process: see outside.py.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import outside
from fake_glance import GUEST
from nova import context
from nova.tests.functional.libvirt import base
from nova.virt.libvirt import imagecache

MIB, GIB = 1024**2, 1024**3
IMAGE = "155d900f-4e14-4e4c-a73d-069cbf4541e6"
OTHER_IMAGE = "76fa36fc-c930-4bf3-8c8a-ea2a2420deb6"
OTHER_GUEST = GUEST[::-1]
#: What the guest writes: an offset behind the image's data, a length, and a byte.
WRITTEN = (MIB, 64 * 1024, 0x5A)


class Life(base.ServersTestBase):  # type: ignore[misc]
    """Disks are qcow2 overlays of a raw base, as Nova makes them by default."""

    ADMIN_API = True
    microversion = "2.93"
    images_type = "default"

    def setUp(self) -> None:
        super().setUp()
        self.flags(images_type=self.images_type, snapshot_image_format="qcow2", group="libvirt")
        self.flags(use_cow_images=self.images_type != "raw")
        self.flags(allow_resize_to_same_host=True)
        self.start_compute("compute1")
        self.instances = Path(base.CONF.instances_path)
        self.small = self._create_flavor(disk=1, ephemeral=0, memory_mb=64, vcpu=1)
        self.large = self._create_flavor(disk=2, ephemeral=0, memory_mb=64, vcpu=1)

    def boot(self, image: str = IMAGE, flavor: str = "", status: str = "ACTIVE") -> Any:
        """Boot a server."""
        return self._create_server(
            image_uuid=image,
            flavor_id=flavor or self.small,
            networks="none",
            expected_state=status,
        )

    def disk(self, server: Any, name: str = "disk") -> Path:
        """Return the path of a disk."""
        return Path(self.instances, server["id"], name)

    def cached(self, image: str) -> Path:
        """Return the base that Nova's cache has of an image."""
        return Path(self.instances, "_base", imagecache.get_cache_fname(image))

    def write(self, server: Any) -> None:
        """Write as the guest would."""
        offset, length, byte = WRITTEN
        disk = self.disk(server)
        command = f"write -P {byte} {offset} {length}"
        outside.run("qemu-io", "-f", outside.info(disk)["format"], "-c", command, str(disk))

    def assert_disk(
        self, path: Path, gib: int, guest: bytes = GUEST, *, written: bool = False
    ) -> None:
        """The guest finds the image's content, what it wrote, and nothing behind it.

        gib: the size of the disk; 0: that of the image.
        """
        info = outside.info(path)
        size = gib * GIB or len(guest)
        assert info["virtual-size"] == size
        assert info["format"] == ("qcow2" if self.images_type == "default" else "raw")
        with tempfile.NamedTemporaryFile(dir=self.instances.parent) as file:
            file.write(guest)
            if written:
                offset, length, byte = WRITTEN
                file.seek(offset)
                file.write(bytes([byte]) * length)
            file.truncate(size)
            file.flush()
            images = ["-f", info["format"], "-F", "raw", str(path), file.name]
            outside.run("qemu-img", "compare", *images)

    def act(self, server: Any, action: str, status: str, **options: Any) -> Any:
        """Do an action on a server, wait for its state, and return the answer."""
        answer = self.api.post_server_action(server["id"], {action: options or None})
        self._wait_for_state_change(server, status)
        return answer

    def test_boot_rescue_resize_and_delete(self) -> None:
        server = self.boot()
        assert self.cached(IMAGE).read_bytes() == GUEST
        self.assert_disk(self.disk(server), 1)
        self.write(server)
        self.assert_disk(self.disk(server), 1, written=True)

        self.act(server, "rescue", "RESCUE")
        self.assert_disk(self.disk(server, "disk.rescue"), 0)
        self.act(server, "unrescue", "ACTIVE")
        assert not self.disk(server, "disk.rescue").exists()

        self._reboot_server(server, hard=True)
        self._resize_server(server, self.large)
        kept = self.instances / f"{server['id']}_resize" / "disk"
        self.assert_disk(self.disk(server), 2, written=True)
        self.assert_disk(kept, 1, written=True)
        self._confirm_resize(server)
        assert not kept.exists()
        self.assert_disk(self.disk(server), 2, written=True)

        self._delete_server(server)
        assert not self.disk(server).parent.exists()
        assert self.cached(IMAGE).read_bytes() == GUEST

    def test_a_resize_is_taken_back(self) -> None:
        server = self.boot()
        self.write(server)
        self._resize_server(server, self.large)
        self.assert_disk(self.disk(server), 2, written=True)
        self._revert_resize(server)
        self.assert_disk(self.disk(server), 1, written=True)

    def test_a_snapshot_boots(self) -> None:
        server = self.boot()
        self.write(server)
        self.act(server, "os-stop", "SHUTOFF")
        image = self.act(server, "createImage", "SHUTOFF", name="snapshot")["image_id"]
        self._wait_for_server_parameter(server, {"OS-EXT-STS:task_state": None})
        assert not list((self.instances / "snapshots").iterdir())
        self._delete_server(server)
        second = self.boot(image)
        self.assert_disk(self.disk(second), 1, written=True)

    def test_rebuild(self) -> None:
        self.glance._imagedata[OTHER_IMAGE] = OTHER_GUEST
        server = self.boot()
        self.write(server)
        self._rebuild_server(server, OTHER_IMAGE)
        self.assert_disk(self.disk(server), 1, OTHER_GUEST)

    def test_swap_and_ephemeral_disks(self) -> None:
        flavor = self._create_flavor(disk=1, ephemeral=1, swap=16, memory_mb=64, vcpu=1)
        server = self.boot(flavor=flavor)
        sizes = {"disk": GIB, "disk.swap": 16 * MIB, "disk.eph0": GIB}
        for name, size in sizes.items():
            assert outside.info(self.disk(server, name))["virtual-size"] == size

    def test_the_image_cache_ages(self) -> None:
        self.flags(remove_unused_original_minimum_age_seconds=0, group="image_cache")
        manager = self.computes["compute1"].manager
        server = self.boot()
        manager._run_image_cache_manager_pass(context.get_admin_context())
        assert self.cached(IMAGE).exists()
        self._delete_server(server)
        manager._run_image_cache_manager_pass(context.get_admin_context())
        assert not self.cached(IMAGE).exists()

    def test_an_image_that_names_a_file_of_the_host(self) -> None:
        hostile = self.instances.parent / "hostile"
        command = ["create", "-q", "-f", "qcow2", "-u", "-b", "/etc/passwd", "-F", "raw"]
        outside.run("qemu-img", *command, str(hostile), "1M")
        self.glance.images[IMAGE]["disk_format"] = "qcow2"
        self.glance._imagedata[IMAGE] = hostile.read_bytes()
        server = self.boot(status="ERROR")
        assert not self.disk(server).exists()
        assert list((self.instances / "_base").iterdir()) == []


class FlatLife(Life):
    """Disks are raw files without a base."""

    images_type = "raw"
