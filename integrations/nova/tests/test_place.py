"""Nova's own modules call Hostler, and no tool of this process, once the package is in place."""

from __future__ import annotations

import json
import logging
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from nova import exception
from nova.privsep import qemu
from nova.virt import images
from nova.virt.disk import api as disk_api
from nova.virt.image import model
from nova.virt.libvirt import driver, instancejobtracker
from nova.virt.libvirt import utils as libvirt_utils
from oslo_concurrency import processutils
from oslo_utils import imageutils

from hostler_nova import place

UUID = "4d2b8a6c-1f3e-4a5b-8c7d-9e0f1a2b3c4d"
MIB = 1024 * 1024


@pytest.fixture
def folder(daemon: Any, request: pytest.FixtureRequest) -> Path:
    path: Path = daemon.root / request.node.name.replace("[", "_").rstrip("]")
    path.mkdir()
    return path


@pytest.fixture
def in_place(conf: Any) -> Iterator[None]:
    place.put_in_place()
    yield
    place.take_away()


@pytest.fixture
def no_tools(in_place: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let this process find no program at all."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shutil.which("qemu-img") is None


def qemu_img(*args: str) -> str:
    tool = ["/usr/bin/qemu-img", *args]
    return subprocess.run(tool, check=True, capture_output=True, text=True).stdout


def test_nova_gets_its_own_code_back(conf: Any) -> None:
    seams = [(seam.module, seam.name) for seam in place.seams()]
    assert len(set(seams)) == len(seams)

    def now() -> list[object]:
        names = [getattr(libvirt_utils, name, None) for name in vars(libvirt_utils)]
        return [*names, images.fetch, qemu.convert_image, disk_api.processutils]

    before = now()
    place.put_in_place()
    place.put_in_place()
    assert hasattr(libvirt_utils, "write_to_file")
    assert disk_api.processutils is not processutils
    place.take_away()
    assert now() == before
    assert not hasattr(libvirt_utils, "write_to_file")


KINDS = {
    "raw": ["-f", "raw"],
    "qcow2": ["-f", "qcow2"],
    "small clusters": ["-f", "qcow2", "-o", "cluster_size=4096,lazy_refcounts=on"],
    "old": ["-f", "qcow2", "-o", "compat=0.10"],
    "zstd": ["-f", "qcow2", "-o", "compression_type=zstd,extended_l2=on"],
    "vmdk": ["-f", "vmdk"],
    "streamed": ["-f", "vmdk", "-o", "subformat=streamOptimized"],
    "vdi": ["-f", "vdi"],
    "vhdx": ["-f", "vhdx"],
}


@pytest.mark.parametrize("kind", KINDS)
def test_qemu_img_info(folder: Path, no_tools: None, kind: str) -> None:
    path = str(folder / "disk")
    qemu_img("create", "-q", *KINDS[kind], path, "10M")
    theirs = imageutils.QemuImgInfo(qemu_img("info", "--output=json", path), format="json")
    ours = images.qemu_img_info(path)
    names = ["image", "file_format", "virtual_size", "disk_size", "backing_file", "encrypted"]
    names += ["backing_file_format", "snapshots"]
    for name in names:
        assert getattr(ours, name) == getattr(theirs, name), name
    if kind in ("qcow2", "small clusters", "old", "zstd"):
        assert ours.cluster_size == theirs.cluster_size
        assert ours.format_specific == theirs.format_specific
    if "vmdk" in theirs.file_format:
        assert (
            ours.format_specific["data"]["create-type"]
            == (theirs.format_specific["data"]["create-type"])
        )
    assert images.privileged_qemu_img_info(path).virtual_size == 10 * MIB


def test_qemu_img_info_of_a_layer(folder: Path, no_tools: None) -> None:
    base, path = str(folder / "base"), str(folder / "disk")
    qemu_img("create", "-q", "-f", "qcow2", base, "10M")
    qemu_img("create", "-q", "-f", "qcow2", "-b", "base", "-F", "qcow2", path)
    qemu_img("snapshot", "-c", "one", path)
    ours = json.loads(qemu.unprivileged_qemu_img_info(path, format="qcow2"))
    theirs = json.loads(qemu_img("info", "--output=json", path))
    for name in ("backing-filename", "full-backing-filename", "backing-filename-format"):
        assert ours[name] == theirs[name], name
    assert ours["snapshots"][0]["name"] == "one"
    with pytest.raises(exception.DiskNotFound):
        images.qemu_img_info(str(folder / "none"))


def test_a_disk_from_its_base_to_a_snapshot(folder: Path, no_tools: None) -> None:
    base, path, out = (str(folder / name) for name in ("base", "disk", "out"))
    libvirt_utils.create_image(base, "raw", "8M")
    libvirt_utils.create_image(path, "qcow2", None, backing_file=base)
    assert libvirt_utils.get_disk_backing_file(path) == "base"
    disk_api.extend(model.LocalFileImage(path, "qcow2"), 16 * MIB)
    assert libvirt_utils.get_disk_size(path) == disk_api.get_disk_size(path) == 16 * MIB
    assert not disk_api.can_resize_image(path, 4 * MIB)
    libvirt_utils.extract_snapshot(path, "qcow2", out, "raw")
    images.convert_image(out, f"{out}.qcow2", "raw", "qcow2", run_as_root=True, compress=True)
    assert images.qemu_img_info(f"{out}.qcow2").virtual_size == 16 * MIB
    with pytest.raises(exception.ImageUnacceptable):
        images.convert_image(str(folder / "none"), out, "raw", "qcow2")
    with pytest.raises(processutils.ProcessExecutionError):
        disk_api.processutils.execute("qemu-img", "resize", "-f", "qcow2", path, MIB)


def test_encrypted_images(folder: Path, no_tools: None) -> None:
    plain, secret, again = (str(folder / name) for name in ("plain", "secret", "again"))
    Path(plain).write_bytes(b"guest" * 1000 + bytes(MIB - 5000))
    encryption = {"format": "luks", "secret": "passphrase"}
    qemu.convert_image(plain, secret, "raw", "luks", str(folder), False, dest_encryption=encryption)
    assert Path(secret).read_bytes()[:4] == b"LUKS"
    qemu.unprivileged_convert_image(
        secret, again, "luks", "raw", str(folder), False, src_encryption=encryption
    )
    assert Path(again).read_bytes() == Path(plain).read_bytes()
    libvirt_utils.create_image(again, "luks", "1M", encryption=encryption)
    assert Path(again).read_bytes()[:4] == b"LUKS"


def test_rebase(folder: Path, no_tools: None) -> None:
    (folder / "base").write_bytes(b"guest" * 1000 + bytes(MIB - 5000))
    for name, below in (("middle", "base"), ("top", "middle")):
        form = "raw" if below == "base" else "qcow2"
        qemu_img("create", "-q", "-f", "qcow2", "-b", below, "-F", form, str(folder / name))
    rebase = driver.LibvirtDriver._rebase_with_qemu_img
    rebase(str(folder / "top"), str(folder / "base"))
    assert libvirt_utils.get_disk_backing_file(str(folder / "top")) == "base"
    rebase(str(folder / "top"), None)
    assert libvirt_utils.get_disk_backing_file(str(folder / "top")) is None
    qemu_img("compare", "-F", "raw", str(folder / "top"), str(folder / "base"))


def test_outside_of_the_roots_nova_works_itself(
    in_place: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = str(tmp_path / "volume")
    qemu_img("create", "-q", "-f", "qcow2", path, "1M")
    with caplog.at_level(logging.WARNING):
        assert images.qemu_img_info(path).virtual_size == MIB
    assert "lies outside the configured roots: Nova's own code is used" in caplog.text


def test_folders_are_nova_s_own(folder: Path, in_place: None) -> None:
    (folder / "ploop").mkdir()
    (folder / "ploop" / "root.hds").write_bytes(b"x")
    libvirt_utils.copy_image(str(folder / "ploop"), str(folder / "copy"))
    assert (folder / "copy" / "root.hds").read_bytes() == b"x"


def test_fallback(
    daemon: Any, conf: Any, folder: Path, in_place: None, caplog: pytest.LogCaptureFixture
) -> None:
    path = str(folder / "disk")
    conf.set_override("fallback", True, group="hostler")
    daemon.order("stop")
    try:
        with caplog.at_level(logging.WARNING):
            libvirt_utils.create_image(path, "qcow2", "1M")
            assert libvirt_utils.get_disk_size(path) == MIB
            assert libvirt_utils.is_valid_hostname("hello.world.com")
    finally:
        daemon.order("start")
    assert "hostlerd does not answer" in caplog.text
    caplog.clear()
    assert libvirt_utils.get_disk_size(path) == MIB
    assert not caplog.records


def test_calls_wait_for_a_restart(daemon: Any, folder: Path, no_tools: None) -> None:
    path = str(folder / "disk")
    sizes: list[int] = []

    def work() -> None:
        libvirt_utils.create_image(path, "raw", "1M")
        sizes.append(libvirt_utils.get_disk_size(path))

    daemon.order("stop")
    thread = threading.Thread(target=work)
    thread.start()
    daemon.order("start")
    thread.join(60)
    assert sizes == [MIB]


def test_without_patience_a_call_fails(daemon: Any, conf: Any, in_place: None) -> None:
    conf.set_override("patience", 0, group="hostler")
    daemon.order("stop")
    try:
        with pytest.raises(exception.InvalidDiskInfo, match="no answer from unix://"):
            libvirt_utils.get_disk_size(str(daemon.root))
    finally:
        daemon.order("start")


def test_a_deletion_ends_a_copy(folder: Path, in_place: None) -> None:
    """The far host never says a word, so the copy runs until the deletion."""
    (folder / "disk").write_bytes(os.urandom(MIB))
    instance = SimpleNamespace(uuid=UUID)
    tracker = instancejobtracker.InstanceJobTracker()

    def begun(job: Any) -> None:
        tracker.add_job(instance, job.pid)
        tracker.terminate_jobs(instance)

    with socket.socket() as silent:
        try:
            silent.bind(("127.9.8.7", 22))
        except OSError as error:
            pytest.skip(f"no ssh server can be played here: {error}")
        silent.listen()
        with pytest.raises(processutils.ProcessExecutionError) as caught:
            libvirt_utils.copy_image(
                str(folder / "disk"),
                str(folder / "copy"),
                host="127.9.8.7",
                on_execute=begun,
                on_completion=lambda job: tracker.remove_job(instance, job.pid),
            )
    assert caught.value.description == "CANCELLED"
    assert UUID not in tracker.jobs
