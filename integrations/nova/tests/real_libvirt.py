"""A base class for tests of Nova with the libvirtd of guests/libvirtd.sh below it.

Nova's API, scheduler, conductor, compute manager and driver are its own. Databases, messages,
Placement, Neutron, and Glance are those of Nova's own functional tests.
"""

from __future__ import annotations

import builtins
import glob
import os
import re
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

import libvirt
import netifaces
import outside
import real_storage
from eventlet import patcher
from fake_glance import FakeGlance
from nova.tests import fixtures as nova_fixtures
from nova.tests.functional import integrated_helpers
from nova.virt.libvirt import host

MIB, GIB = 1024**2, 1024**3
#: The images of Nova's fixture that become the disk, the kernel and the initrd of a guest.
IMAGE = "155d900f-4e14-4e4c-a73d-069cbf4541e6"
KERNEL = "a2459075-d96c-40d5-893e-577ff92e721c"
INITRD = "cedef40a-ed67-4d10-800e-17455edce175"
#: How many seconds a guest may need to start: it has no KVM, and other programs run.
PATIENCE = 150
#: What Nova's own tests replace, to keep themselves away from the machine.
KEPT_AWAY = [
    (host.Host, "_init_events"),
    (netifaces, "interfaces"),
    (os, "uname"),
    (os, "listdir"),
    (os.path, "isdir"),
    (glob, "glob"),
    (glob, "iglob"),
    (builtins, "open"),
]
REAL = [(owner, name, getattr(owner, name)) for owner, name in KEPT_AWAY]
GLANCE = FakeGlance()
FOUND = re.compile(r"guest: (vd.) bytes=(\d+) head=([0-9a-f]+) starts=(\d+)")
_event_loop = patcher.original("threading").Lock()


def run_event_loop(_: Any) -> None:
    """Run libvirt's event loop: once in a process, which has a driver in each test."""
    if _event_loop.acquire(blocking=False):
        while True:
            libvirt.virEventRunDefaultImpl()


@dataclass(frozen=True)
class Found:
    """What a guest has found on a disk when it started."""

    size: int
    #: The SHA-256 of the first 256 KiB.
    head: str
    #: How often guests had started with this disk.
    starts: int


class Guests(integrated_helpers._IntegratedTestBase):  # type: ignore[misc]
    """Runs one compute service, and has what tests need to look at its guests."""

    ADMIN_API = True
    microversion = "2.93"

    def setUp(self) -> None:
        self.instances = Path(os.environ["INSTANCES"])
        self.flags(instances_path=str(self.instances), shutdown_timeout=0)
        self.addOnException(self.show_log)
        super().setUp()
        warnings.simplefilter("ignore")  # Nova's fixture shows those of all libraries.
        for owner, name, function in [*REAL, (host.Host, "_native_thread", run_event_loop)]:
            self.addCleanup(setattr, owner, name, vars(owner)[name])
            setattr(owner, name, function)
        self.useFixture(nova_fixtures.PrivsepFixture())
        self.useFixture(nova_fixtures.CGroupsFixture(version=0))
        self.useFixture(nova_fixtures.OSBrickFixture())
        self.flags(rpc_response_timeout=PATIENCE, force_config_drive=False)
        self.flags(api_servers=[GLANCE.url], group="glance")
        self.flags(enabled=False, group="vnc")
        uri = f"qemu+unix:///system?socket={os.environ['LIBVIRT_SOCKET']}"
        self.flags(virt_type="qemu", connection_uri=uri, sysinfo_serial="none", group="libvirt")
        self.flags(snapshot_image_format="qcow2", group="libvirt")
        self.flags(allow_resize_to_same_host=True)
        real_storage.empty(self.instances)
        GLANCE.serve(self.glance)
        for image, file in ((KERNEL, "kernel"), (INITRD, "initrd")):
            content = Path(os.environ["GUEST_FILES"], file).read_bytes()
            self.glance._imagedata[image] = content
        self.glance.images[IMAGE]["properties"] = {
            "kernel_id": KERNEL,
            "ramdisk_id": INITRD,
            # As in what Nova gives by itself: the check fails when qemu has too little time.
            "os_command_line": "console=ttyS0 quiet no_timer_check",
        }
        self.compute_service = self.start_service("compute", host="compute1")
        self.driver = self.compute_service.manager.driver
        self.flavor = self._create_flavor(disk=1, ephemeral=0, memory_mb=128, vcpu=1)

    def _setup_compute_service(self) -> None:
        """Wait with it until all is prepared."""
        self.flags(compute_driver="libvirt.LibvirtDriver")

    def show_log(self, _: Any) -> None:
        """Print the end of Nova's log when a test fails, without the calls of its API."""
        lines = self.stdlog.logger.output.splitlines()
        told = [line[:1000] for line in lines if "requestlog" not in line]
        sys.stderr.write("\n".join(told[-200:]) + "\n")

    def boot(self, image: str = IMAGE) -> Any:
        """Boot a server, and wait until its guest is ready."""
        server = self._create_server(image_uuid=image, flavor_id=self.flavor, networks="none")
        self.addCleanup(self.end_guest, server)
        return server

    def end_guest(self, server: Any) -> None:
        """End a guest that a test that failed has left."""
        for domain in self.domains():
            if domain.UUIDString() == server["id"] and domain.isActive():
                domain.destroy()

    def domains(self) -> list[Any]:
        """List the domains that libvirt has, running or not."""
        return list(self.driver._host.get_connection().listAllDomains())

    def assert_nothing_is_left(self) -> None:
        """Check that no server is left; images stay in the cache, and Nova has files to lock."""
        assert self.domains() == []
        left = {path.name for path in self.instances.iterdir()} - {"_base", "locks"}
        assert left == set(), left

    def folder(self, server: Any) -> Path:
        """Return the folder of a server."""
        return self.instances / str(server["id"])

    def disk(self, server: Any, name: str = "disk") -> Path:
        """Return the path of a server's disk."""
        return self.folder(server) / name

    def act(self, server: Any, action: str, status: str, **options: Any) -> Any:
        """Do an action on a server, wait for its state, and return the answer."""
        answer = self.api.post_server_action(server["id"], {action: options or None})
        self._wait_for_state_change(server, status)
        self._wait_for_server_parameter(server, {"OS-EXT-STS:task_state": None})
        return answer

    def found(self, server: Any) -> dict[str, Found]:
        """Wait until the guest is ready; returns what it has found, by the disk's name."""
        console = self.folder(server) / "console.log"
        self.wait_until(lambda: "guest: ready" in console.read_text(errors="replace"))
        return {
            name: Found(int(size), head, int(starts))
            for name, size, head, starts in FOUND.findall(console.read_text())
        }

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that a guest does."""
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, "the guest has not done it in time"
            time.sleep(0.2)

    def number(self, disk: Path) -> int:
        """Return the number that the guest counts up on its first disk."""
        return int(self.read(disk, 9))

    def read(self, disk: Path, mib: int) -> str:
        """Return the text that a guest has written at an offset of an image."""
        with tempfile.NamedTemporaryFile(dir=self.instances.parent) as file:
            block = f"driver=raw,offset={mib * MIB},size=4096"
            image = f"file.driver={outside.info(disk)['format']},file.file.filename={disk}"
            source = ["-U", "--image-opts", f"{block},{image},file.file.driver=file"]
            outside.run("qemu-img", "convert", *source, "-O", "raw", file.name)
            return Path(file.name).read_bytes().rstrip(b"\0").decode()
