"""Two computes, each in a process of its own, between which a server's disks are moved.

Nova's driver is called as its compute manager calls it, because a process of Nova's tests has one
database and one configuration. two_computes.py starts both.
"""

from __future__ import annotations

import hashlib
import os
import signal
from multiprocessing.connection import Client, Listener
from pathlib import Path
from typing import Any

from fake_glance import GUEST
from nova import context, objects
from nova.network.model import NetworkInfo
from real_libvirt import GIB, MIB, PATIENCE, Found, Guests

HEAD = hashlib.sha256(GUEST[: MIB // 4]).hexdigest()
#: Where the two meet.
MEETING = os.environ["COMPUTES_MEET"]
NETWORK = NetworkInfo()
#: What a driver reads of an instance; the target's database does not have it.
LOADED = [
    "device_metadata",
    "flavor",
    "info_cache",
    "metadata",
    "migration_context",
    "numa_topology",
    "pci_devices",
    "pci_requests",
    "resources",
    "security_groups",
    "system_metadata",
    "trusted_certs",
    "vcpu_model",
]


class Source(Guests):
    """The compute on which the server starts."""

    def test_a_server_goes(self) -> None:
        # If the other compute fails early, nobody comes.
        signal.alarm(4 * PATIENCE)
        with Listener(MEETING, "AF_UNIX") as listener:
            server = self.boot()
            assert self.found(server) == {"vda": Found(GIB, HEAD, 0)}
            admin = context.get_admin_context()
            instance = objects.Instance.get_by_uuid(admin, server["id"], expected_attrs=LOADED)
            # As the compute manager prepares it.
            instance.old_flavor = instance.new_flavor = instance.flavor
            moved = self.driver.migrate_disk_and_power_off(
                admin, instance, os.environ["OTHER_COMPUTE"], instance.flavor, NETWORK
            )
            with listener.accept() as target:
                target.send((instance.obj_to_primitive(), moved))
                assert target.recv() == "arrived"
        assert not self.folder(server).exists()
        kept = self.folder(server).with_name(f"{server['id']}_resize")
        assert (kept / "disk").exists()
        migration = objects.Migration(source_compute="compute1", dest_compute="compute2")
        instance.host = migration.dest_compute
        self.driver.confirm_migration(admin, migration, instance, NETWORK)
        self.assert_nothing_is_left()


class Target(Guests):
    """The compute to which it goes."""

    def test_a_server_comes(self) -> None:
        self.wait_until(Path(MEETING).exists)
        with Client(MEETING, "AF_UNIX") as source:
            primitive, moved = source.recv()
            admin = context.get_admin_context()
            instance: Any = objects.Instance.obj_from_primitive(primitive, admin)
            server = {"id": instance.uuid}
            assert not (self.instances / "_base").exists()
            migration = objects.Migration(source_compute="compute1", dest_compute="compute2")
            self.driver.finish_migration(
                admin, migration, instance, moved, NETWORK, instance.image_meta, False, {}
            )
            assert self.found(server) == {"vda": Found(GIB, HEAD, 1)}
            source.send("arrived")
        self.driver.destroy(admin, instance, NETWORK)
        self.assert_nothing_is_left()
