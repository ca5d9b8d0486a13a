"""Servers whose guests run: Nova's driver of libvirt, a libvirtd, qemu, and Hostler below them."""

from __future__ import annotations

import hashlib

import outside
from fake_glance import GUEST
from nova import context
from nova.virt.libvirt import imagecache
from real_libvirt import GIB, IMAGE, MIB, Found, Guests

HEAD = hashlib.sha256(GUEST[: MIB // 4]).hexdigest()


class Life(Guests):
    """Disks are qcow2 overlays of a raw base."""

    def test_boot_reboot_and_delete(self) -> None:
        server = self.boot()
        assert self.found(server) == {"vda": Found(GIB, HEAD, 0)}
        self._reboot_server(server, hard=True)
        assert self.found(server) == {"vda": Found(GIB, HEAD, 1)}
        self.act(server, "os-stop", "SHUTOFF")
        assert self.read(self.disk(server), 8) == "2"
        assert self.number(self.disk(server)) > 0

        self._delete_server(server)
        assert not self.folder(server).exists()
        self.assert_nothing_is_left()

    def test_rescue_and_a_cold_snapshot(self) -> None:
        server = self.boot()
        assert self.found(server) == {"vda": Found(GIB, HEAD, 0)}
        self.act(server, "rescue", "RESCUE")
        rescue = Found(len(GUEST), HEAD, 0)
        assert self.found(server) == {"vda": rescue, "vdb": Found(GIB, HEAD, 1)}
        self.act(server, "unrescue", "ACTIVE")
        assert not self.disk(server, "disk.rescue").exists()
        assert self.found(server) == {"vda": Found(GIB, HEAD, 2)}

        self.act(server, "os-stop", "SHUTOFF")
        image = self.act(server, "createImage", "SHUTOFF", name="cold")["image_id"]
        self._delete_server(server)
        second = self.boot(image)
        assert self.found(second) == {"vda": Found(GIB, HEAD, 3)}

    def test_resize_and_the_image_cache(self) -> None:
        server = self.boot()
        self.found(server)
        large = self._create_flavor(disk=2, ephemeral=0, memory_mb=128, vcpu=1)
        self._resize_server(server, large)
        assert self.found(server) == {"vda": Found(2 * GIB, HEAD, 1)}
        self._confirm_resize(server)
        assert not self.folder(server).with_name(f"{server['id']}_resize").exists()

        self.flags(remove_unused_original_minimum_age_seconds=0, group="image_cache")
        base = self.instances / "_base" / imagecache.get_cache_fname(IMAGE)
        self.age_image_cache()
        assert base.read_bytes() == GUEST
        self._delete_server(server)
        self.age_image_cache()
        assert not base.exists()

    def age_image_cache(self) -> None:
        """Let Nova look for bases that no server uses."""
        self.compute_service.manager._run_image_cache_manager_pass(context.get_admin_context())

    def test_a_live_snapshot(self) -> None:
        server = self.boot()
        self.found(server)
        image = self.act(server, "createImage", "ACTIVE", name="live")["image_id"]
        assert [domain.isActive() for domain in self.domains()] == [1]
        assert not list((self.instances / "snapshots").iterdir())
        snapshot = self.instances.parent / "snapshot"
        snapshot.write_bytes(self.glance._imagedata[image])
        assert "backing-filename" not in outside.info(snapshot)
        assert self.read(snapshot, 8) == "1"
        assert self.number(snapshot) > 0
        self.wait_until(lambda: self.number(self.disk(server)) > self.number(snapshot))

        second = self.boot(image)
        assert self.found(second) == {"vda": Found(GIB, HEAD, 1)}
