"""Nova's functional tests of libvirt, with real disks: what their base class stubs is put back.

Libvirt stays Nova's own fake. So do the numbers of the host's disk space, because they would make
the tests depend on the machine.
"""

from __future__ import annotations

import functools
import shutil
from pathlib import Path
from typing import Any

from fake_glance import FakeGlance
from nova.tests import fixtures as nova_fixtures
from nova.tests.functional import integrated_helpers
from nova.tests.functional.libvirt import base
from nova.virt.libvirt import driver, imagebackend, utils

STUBBED = [
    (utils, "fetch_image"),
    (utils, "fetch_raw_image"),
    (utils, "file_open"),
    (utils, "is_valid_hostname"),
    (driver.LibvirtDriver, "_create_ephemeral"),
    (driver.LibvirtDriver, "_create_image"),
    (driver.LibvirtDriver, "_create_swap"),
    (imagebackend.Backend, "backend"),
]


def use(instances: Path, glance: FakeGlance) -> None:
    """Let all tests of Nova's base class have their disks in this folder."""
    real = [(owner, name, vars(owner)[name]) for owner, name in STUBBED]
    theirs = base.ServersTestBase.setUp

    @functools.wraps(theirs)
    def set_up(self: Any) -> None:
        theirs(self)
        for owner, name, function in real:
            self.addCleanup(setattr, owner, name, vars(owner)[name])
            setattr(owner, name, function)
        # What Nova does as root happens in this process.
        self.useFixture(nova_fixtures.PrivsepFixture())
        empty(instances)
        glance.serve(self.glance)
        self.flags(instances_path=str(instances))
        # The fixture of libvirt has no image of another format than these, and no mkfs.vfat.
        self.flags(default_ephemeral_format="ext4")
        self.flags(api_servers=[glance.url], group="glance")

    base.ServersTestBase.setUp = set_up
    patient(integrated_helpers.InstanceHelperMixin, "_wait_for_server_parameter")


def patient(owner: Any, name: str) -> None:
    """Let a method that waits look more often: real disks take longer than stubs."""
    theirs = getattr(owner, name)

    @functools.wraps(theirs)
    def wait(
        self: Any, server: Any, expected: Any, max_retries: int = 10, *args: Any, **options: Any
    ) -> Any:
        return theirs(self, server, expected, 12 * max_retries, *args, **options)

    setattr(owner, name, wait)


def empty(folder: Path) -> None:
    """Remove what an earlier test has left."""
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
