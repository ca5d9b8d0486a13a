"""Files that Nova touches, removes or makes without a tool, on this host and on another one."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nova import exception
from nova.privsep import path as privsep_path
from nova.virt.libvirt import imagecache
from nova.virt.libvirt import utils as libvirt_utils
from nova.virt.libvirt.volume import remotefs
from oslo_concurrency import processutils

from hostler_nova import place

LONG_AGO = 1_000_000_000


@pytest.fixture
def folder(daemon: Any, request: pytest.FixtureRequest) -> Path:
    path: Path = daemon.root / request.node.name
    path.mkdir()
    return path


@pytest.fixture(autouse=True)
def _in_place(conf: Any) -> Iterator[None]:
    place.put_in_place()
    yield
    place.take_away()


def old_file(path: Path) -> Path:
    path.write_bytes(b"guest" * 1000)
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


def test_utime(folder: Path) -> None:
    base = old_file(folder / "base")
    privsep_path.utime(str(base))
    assert base.stat().st_mtime > LONG_AGO
    with pytest.raises(exception.FileNotFound):
        privsep_path.utime(str(folder / "none"))


def test_utime_of_a_base_that_is_being_copied(folder: Path) -> None:
    """The far host never says a word, so the copy runs until it is cancelled."""
    base = old_file(folder / "base")

    def begun(job: Any) -> None:
        privsep_path.utime(str(base))
        job.pid.cancel()

    with socket.socket() as silent:
        try:
            silent.bind(("127.9.8.6", 22))
        except OSError as error:
            pytest.skip(f"no ssh server can be played here: {error}")
        silent.listen()
        with pytest.raises(processutils.ProcessExecutionError) as caught:
            libvirt_utils.copy_image(
                str(base), str(folder / "copy"), host="127.9.8.6", on_execute=begun
            )
    assert caught.value.description == "CANCELLED"
    assert base.stat().st_mtime == LONG_AGO


def test_chown_of_a_privileged_file(folder: Path) -> None:
    user, group = os.getuid(), os.getgid()
    (folder / "tree" / "below").mkdir(parents=True)
    privsep_path.chown(str(folder / "tree"), uid=user, gid=group, recursive=True)
    privsep_path.chown(str(folder / "tree"), gid=group)
    privsep_path.chown(str(folder / "tree"))
    with pytest.raises(exception.FileNotFound):
        privsep_path.chown(str(folder / "none"), uid=user)


def test_the_owner_is_changed(folder: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can give a file away")
    file = old_file(folder / "delta")
    privsep_path.chown(str(file), uid=12345)
    assert (file.stat().st_uid, file.stat().st_gid) == (12345, 0)


def test_the_image_cache_keeps_a_base_that_has_overlays(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    base, disk = old_file(folder / "base"), folder / "disk"
    command = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", "base", "-F", "raw", str(disk)]
    subprocess.run(command, check=True)
    cache = imagecache.ImageCacheManager()
    with caplog.at_level(logging.ERROR):
        cache._remove_old_enough_file(str(base), 0)
    assert base.exists()
    assert "IMAGE_HAS_DEPENDANTS" in caplog.text
    disk.unlink()
    cache._remove_old_enough_file(str(base), 0)
    assert not base.exists()


def test_another_host(daemon: Any, conf: Any, folder: Path) -> None:
    files = daemon.files()
    options = {"remote_address": daemon.tls.replace("127.0.0.1", "{host}")}
    options.update(tls_ca=files.ca, tls_cert=files.cert, tls_key=files.key)
    for name, value in options.items():
        conf.set_override(name, value, group="hostler")
    far = remotefs.RemoteFilesystem()
    try:
        made = folder / "one" / "two"
        far.create_dir("127.0.0.1", str(made))
        far.create_dir("127.0.0.1", str(made))
        far.create_file("127.0.0.1", str(made / "file"))
        assert (made / "file").read_bytes() == b""
        old_file(made / "file")
        far.create_file("127.0.0.1", str(made / "file"))
        assert (made / "file").read_bytes() != b""
        assert (made / "file").stat().st_mtime > LONG_AGO
        far.remove_file("127.0.0.1", str(made / "file"))
        assert list(made.iterdir()) == []
        far.remove_dir("127.0.0.1", str(folder / "one"))
        assert list(folder.iterdir()) == []
        with pytest.raises(processutils.ProcessExecutionError) as caught:
            far.create_dir("127.0.0.1", "/elsewhere")
        assert caught.value.description == "PATH_OUTSIDE_ROOTS"
    finally:
        for name in options:
            conf.clear_override(name, group="hostler")


def test_another_host_is_nova_s_own_affair_by_default(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(OSError, match="ssh"):
        remotefs.RemoteFilesystem().create_dir("127.0.0.1", str(folder / "one"))
