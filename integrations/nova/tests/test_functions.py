"""The 27 functions of the old module against a real daemon: results and exceptions."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from nova import exception
from nova.virt.libvirt import config as vconfig
from oslo_concurrency import processutils
from real_daemon import other_daemon

from hostler_nova import mitaka
from hostler_nova.errors import TABLE, Work

UUID = "4d2b8a6c-1f3e-4a5b-8c7d-9e0f1a2b3c4d"
MIB = 1024 * 1024
pytestmark = pytest.mark.usefixtures("conf")


@pytest.fixture
def folder(daemon: Any, request: pytest.FixtureRequest) -> Path:
    path: Path = daemon.root / request.node.name.replace("/", "_").replace("[", "_").rstrip("]")
    path.mkdir()
    return path


def qemu_img(*args: str) -> str:
    return subprocess.run(["qemu-img", *args], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    ("size", "length"),
    [(MIB, MIB), ("1048576", MIB), ("1536K", 1536 * 1024), ("1.5M", 1536 * 1024), ("2G", 2**31)],
)
@pytest.mark.parametrize("disk_format", ["raw", "qcow2"])
def test_create_image(folder: Path, disk_format: str, size: Any, length: int) -> None:
    path = str(folder / "disk")
    mitaka.create_image(disk_format, path, size)
    assert mitaka.get_disk_size(path) == length
    assert mitaka.get_disk_size(path, disk_format) == length
    assert f'"format": "{disk_format}"' in qemu_img("info", "--output=json", path)


def test_create_image_replaces(folder: Path) -> None:
    path = folder / "disk"
    path.write_bytes(b"old")
    mitaka.create_image("raw", str(path), 4096)
    assert path.read_bytes() == bytes(4096)


@pytest.mark.parametrize("size", ["10GB", "-1", ""])
def test_create_image_of_no_size(folder: Path, size: str) -> None:
    with pytest.raises(processutils.ProcessExecutionError) as caught:
        mitaka.create_image("raw", str(folder / "disk"), size)
    assert caught.value.exit_code == 1
    assert "INVALID_FIELD" in caught.value.stderr
    assert not (folder / "disk").exists()


def test_create_cow_image(folder: Path) -> None:
    base, path = str(folder / "base"), str(folder / "disk")
    qemu_img("create", "-q", "-f", "qcow2", "-o", "cluster_size=131072", base, "8M")
    mitaka.create_cow_image(base, path)
    assert mitaka.get_disk_backing_file(path) == "base"
    assert mitaka.get_disk_backing_file(path, basename=False) == base
    assert mitaka.get_disk_size(path) == 8 * MIB
    assert '"cluster-size": 131072' in qemu_img("info", "--output=json", path)
    mitaka.create_cow_image(base, path, "16M")
    assert mitaka.get_disk_size(path) == 16 * MIB


def test_create_cow_image_on_an_unsafe_base(folder: Path) -> None:
    (folder / "data").write_bytes(bytes(MIB))
    base = str(folder / "base")
    qemu_img("create", "-q", "-f", "qcow2", "-o", f"data_file={folder}/data", base, "1M")
    with pytest.raises(exception.InvalidDiskInfo):
        mitaka.create_cow_image(base, str(folder / "disk"))
    middle = str(folder / "middle")
    (folder / "plain").write_bytes(bytes(MIB))
    qemu_img("create", "-q", "-f", "qcow2", "-b", str(folder / "plain"), "-F", "raw", middle)
    with pytest.raises(exception.InvalidDiskInfo):
        mitaka.create_cow_image(middle, str(folder / "disk"))
    with pytest.raises(exception.DiskNotFound):
        mitaka.create_cow_image(str(folder / "none"), str(folder / "disk"))


def test_disk_size_and_backing_file(folder: Path) -> None:
    path = str(folder / "disk")
    qemu_img("create", "-q", "-f", "qcow2", path, "10M")
    assert mitaka.get_disk_backing_file(path) is None
    # A guest that writes a header into its raw disk changes nothing (CVE-2015-7548).
    length = -(-os.stat(path).st_size // 512) * 512
    assert mitaka.get_disk_size(path, format="raw") == length
    with pytest.raises(exception.DiskNotFound) as caught:
        mitaka.get_disk_size(str(folder / "none"))
    assert str(folder / "none") in str(caught.value)
    (folder / "broken").write_bytes(b"QFI\xfb" + bytes(60))
    with pytest.raises(exception.InvalidDiskInfo):
        mitaka.get_disk_size(str(folder / "broken"), "qcow2")


def test_copy_image(folder: Path) -> None:
    (folder / "source").write_bytes(b"canary")
    (folder / "target").write_bytes(b"something longer")
    pids: list[tuple[str, int]] = []
    mitaka.copy_image(
        str(folder / "source"),
        str(folder / "target"),
        on_execute=lambda job: pids.append(("execute", job.pid)),
        on_completion=lambda job: pids.append(("completion", job.pid)),
    )
    assert (folder / "target").read_bytes() == b"canary"
    assert [what for what, _ in pids] == ["execute", "completion"]
    assert pids[0][1] == pids[1][1]
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0][1], 0)
    with pytest.raises(processutils.ProcessExecutionError):
        mitaka.copy_image(str(folder / "none"), str(folder / "target"))


def test_copy_image_can_be_ended(folder: Path) -> None:
    (folder / "source").write_bytes(os.urandom(MIB))
    with pytest.raises(processutils.ProcessExecutionError) as caught:
        mitaka.copy_image(
            str(folder / "source"),
            str(folder / "target"),
            host="192.0.2.1",
            on_execute=lambda job: job.pid.cancel(),
        )
    assert caught.value.description in ("CANCELLED", "REMOTE_UNREACHABLE", "TOOL_MISSING")
    with pytest.raises(processutils.ProcessExecutionError) as caught:
        mitaka.copy_image(str(folder / "source"), str(folder / "target"), host="-oProxyCommand=x")
    assert caught.value.description == "INVALID_FIELD"


@pytest.mark.parametrize(
    ("source", "target", "found"),
    [
        ("qcow2", "raw", "raw"),
        ("qcow2", "iso", "raw"),
        ("qcow2", "qcow2", "qcow2"),
        ("raw", "ploop", "parallels"),
    ],
)
def test_extract_snapshot(folder: Path, source: str, target: str, found: str) -> None:
    (folder / "plain").write_bytes(b"guest" * 1000 + bytes(MIB - 5000))
    qemu_img("convert", "-O", source, str(folder / "plain"), str(folder / "disk"))
    mitaka.extract_snapshot(str(folder / "disk"), source, str(folder / "out"), target)
    qemu_img("compare", "-f", "raw", "-F", found, str(folder / "plain"), str(folder / "out"))


def test_extract_snapshot_compressed(folder: Path, conf: Any) -> None:
    (folder / "disk").write_bytes(b"guest" * 100_000 + bytes(24288))
    conf.set_override("snapshot_compression", True, group="libvirt")
    try:
        mitaka.extract_snapshot(str(folder / "disk"), "raw", str(folder / "out"), "qcow2")
    finally:
        conf.clear_override("snapshot_compression", group="libvirt")
    assert "compressed-clusters" in qemu_img("check", "--output=json", str(folder / "out"))
    with pytest.raises(exception.ImageUnacceptable):
        mitaka.extract_snapshot(str(folder / "disk"), "qcow2", str(folder / "out"), "raw")


def test_files(folder: Path) -> None:
    path = folder / "libvirt.xml"
    assert not mitaka.path_exists(str(path))
    mitaka.write_to_file(str(path), "<domain>ü</domain>", umask=0o277)
    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    assert mitaka.path_exists(str(path))
    assert mitaka.load_file(str(path)) == "<domain>ü</domain>"
    os.utime(path, (1, 1))
    mitaka.update_mtime(str(path))
    assert path.stat().st_mtime > 1_000_000
    mitaka.update_mtime(str(folder / "none"))
    assert not (folder / "none").exists()
    mitaka.file_delete(str(path))
    assert not path.exists()
    with pytest.raises(FileNotFoundError) as caught:
        mitaka.file_delete(str(path))
    assert caught.value.filename == str(path)
    with pytest.raises(FileNotFoundError):
        mitaka.load_file(str(path))
    with pytest.raises(PermissionError):
        mitaka.load_file("/etc/passwd")
    with pytest.raises(IsADirectoryError):
        mitaka.file_delete(str(folder))


def test_file_open(folder: Path) -> None:
    path = folder / "console.log"
    mitaka.file_open(str(path), "a").close()
    assert path.read_bytes() == b""
    with mitaka.file_open(path, "a") as file:
        file.write("first\n")
        file.write("second\n")
    with mitaka.file_open(str(path), "ab") as file:
        file.write(b"\xff" * 600_000)
    assert path.read_bytes() == b"first\nsecond\n" + b"\xff" * 600_000
    with mitaka.file_open(str(path), "rb") as file:
        assert file.readline() == b"first\n"
        assert file.seek(-2, os.SEEK_END) == 600_011
        assert file.read() == b"\xff\xff"
        assert file.seek(6) == 6
        assert file.read(6) == b"second"
    with mitaka.file_open(str(path), "w", encoding="utf-8") as file:
        file.write("ü" * 5)
        assert path.stat().st_size == 600_013, "the old content is there until the file is closed"
    assert path.read_text() == "üüüüü"
    assert list(mitaka.file_open(str(path))) == ["üüüüü"]
    with pytest.raises(ValueError, match="r\\+"):
        mitaka.file_open(str(path), "r+")
    with pytest.raises(FileNotFoundError):
        mitaka.file_open(str(folder / "none"))
    with pytest.raises(PermissionError):
        mitaka.file_open("/etc/hostler-nova", "a")


def test_a_long_file_is_read_with_few_calls(daemon: Any, folder: Path) -> None:
    path = folder / "snapshot"
    content = os.urandom(3_000_000)
    path.write_bytes(content)
    log = daemon.folder / "audit.log"
    before = log.stat().st_size
    with mitaka.file_open(str(path), "rb") as file:
        pieces = [file.read(65_536)]
        for piece in iter(lambda: file.read(65_536), b""):
            pieces.append(piece)
        assert b"".join(pieces) == content
        with path.open("ab") as more:
            more.write(b"more")
        assert file.read() == b"more"
        file.seek(1_000_000)
        assert file.read() == content[1_000_000:] + b"more"
    with log.open() as lines:
        lines.seek(before)
        assert len([line for line in lines if "ReadFile" in line]) < 10


def test_a_long_file_is_read_over_a_restart(daemon: Any, folder: Path) -> None:
    path = folder / "snapshot"
    content = os.urandom(8_000_000)
    path.write_bytes(content)
    with mitaka.file_open(str(path), "rb") as file:
        first = file.read(1_000_000)
        daemon.order("kill")
        assert first + file.read() == content


def test_chown(folder: Path) -> None:
    (folder / "file").write_bytes(b"")
    if os.geteuid() != 0:
        pytest.skip("only root may give files away")
    mitaka.chown(str(folder / "file"), "1234:4321")
    assert (folder / "file").stat()[4:6] == (1234, 4321)
    with pytest.raises(processutils.ProcessExecutionError):
        mitaka.chown(str(folder / "file"), "nobody-of-that-name")


def test_chown_for_id_maps(folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may give files away")
    expected = {0: 10000, 9: 10009, 10: 20000, 100: 20090, 1009: 20999, 1010: 65534}
    for owner in expected:
        (folder / str(owner)).write_bytes(b"")
        os.chown(folder / str(owner), owner, owner)
    maps = []
    for kind in (vconfig.LibvirtConfigGuestUIDMap, vconfig.LibvirtConfigGuestGIDMap):
        for start, target, count in ((0, 10000, 10), (10, 20000, 1000)):
            one = kind()
            one.start, one.target, one.count = start, target, count
            maps.append(one)
    mitaka.chown_for_id_maps(str(folder), maps)
    found = {int(path.name): path.stat()[4:6] for path in folder.iterdir()}
    assert found == {owner: (shifted, shifted) for owner, shifted in expected.items()}


def test_host(folder: Path, daemon: Any, conf: Any) -> None:
    facts = mitaka.get_fs_info(str(folder))
    system = os.statvfs(folder)
    assert facts["total"] == system.f_frsize * system.f_blocks
    assert 0 < facts["free"] <= facts["total"]
    assert set(facts) == {"total", "free", "used"}
    with pytest.raises(FileNotFoundError):
        mitaka.get_fs_info(str(folder / "none"))
    assert mitaka.is_mounted("/proc")
    assert mitaka.is_mounted("/proc", "proc")
    assert not mitaka.is_mounted("/proc", "192.0.2.1:/export")
    assert not mitaka.is_mounted(str(folder))
    assert mitaka.get_iscsi_initiator() is None or "iqn" in str(mitaka.get_iscsi_initiator())
    assert mitaka.is_valid_hostname("host_name")
    assert mitaka.is_valid_hostname("240:2ac3::2")
    assert not mitaka.is_valid_hostname("foo/?com=/bin/sh")
    assert not mitaka.is_valid_hostname("")
    for virt_type, name in (("kvm", "qemu"), ("lxc", None)):
        conf.set_override("virt_type", virt_type, group="libvirt")
        assert mitaka.pick_disk_driver_name(4002000) == name
    conf.clear_override("virt_type", group="libvirt")


def test_architecture() -> None:
    image = SimpleNamespace(properties={"hw_architecture": "AMD64"})
    assert mitaka.get_arch(image) == "x86_64"
    machine = os.uname().machine
    assert mitaka.get_arch(SimpleNamespace(properties={})) == machine
    assert mitaka.get_arch(None) == machine
    image.properties["hw_architecture"] = "pdp11"
    with pytest.raises(exception.InvalidArchitectureName):
        mitaka.get_arch(image)


def test_instance_paths(daemon: Any) -> None:
    instance = SimpleNamespace(uuid=UUID, name="instance-00000001")
    root = daemon.root
    assert mitaka.get_instance_path(instance) == str(root / UUID)
    assert mitaka.get_instance_path(instance, relative=True) == UUID
    assert mitaka.get_instance_path(instance, forceold=True) == str(root / instance.name)
    (root / instance.name).mkdir()
    assert mitaka.get_instance_path(instance) == str(root / instance.name)
    (root / instance.name).rmdir()
    assert mitaka.get_instance_path_at_destination(instance) == str(root / UUID)
    data = SimpleNamespace(instance_relative_path="moved")
    assert mitaka.get_instance_path_at_destination(instance, data) == str(root / "moved")
    data.instance_relative_path = "../outside"
    with pytest.raises(processutils.ProcessExecutionError):
        mitaka.get_instance_path_at_destination(instance, data)


def test_disk_types(folder: Path) -> None:
    (folder / "plain.qcow2").write_bytes(b"")
    (folder / "ploop").mkdir()
    (folder / "ploop" / "DiskDescriptor.xml").write_text("<x/>")
    assert mitaka.get_disk_type_from_path("/dev/nova-vg/hello") == "lvm"
    assert mitaka.get_disk_type_from_path("rbd:pool/image") == "rbd"
    assert mitaka.get_disk_type_from_path(str(folder / "ploop")) == "ploop"
    assert mitaka.get_disk_type_from_path(str(folder / "plain.qcow2")) is None
    assert mitaka.get_disk_type_from_path("/myhome/disk.config") is None


def test_find_disk() -> None:
    xml = """<domain type='kvm'><os><type>hvm</type></os><devices>
      <disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
      <source file='/tmp/hello'/></disk></devices></domain>"""
    assert mitaka.find_disk(SimpleNamespace(XMLDesc=lambda _: xml)) == ("/tmp/hello", "qcow2")
    with pytest.raises(RuntimeError):
        mitaka.find_disk(SimpleNamespace(XMLDesc=lambda _: "<domain type='kvm'/>"))


def test_execute_without_commands() -> None:
    with pytest.raises(FileNotFoundError) as caught:
        mitaka.execute("mkfs", "-t", "ext4")
    assert caught.value.errno == errno.ENOENT


def test_the_table_knows_every_kind_of_work() -> None:
    assert set(TABLE) == set(Work)
    assert all("*" in row for row in TABLE.values())


def test_execute(conf: Any, tmp_path: Path) -> None:
    commands = (
        '[[commands]]\nname = "sort"\nexecutable = "/usr/bin/sort"\narguments = ["-r", "--.*"]\n'
    )
    address = f"unix://{tmp_path}/other.sock"
    with other_daemon(tmp_path, address, commands):
        conf.set_override("address", address, group="hostler")
        assert mitaka.execute("sort", "-r", process_input="a\nb\n") == ("b\na\n", "")
        with pytest.raises(processutils.ProcessExecutionError) as caught:
            mitaka.execute("sort", "--nonsense")
        assert caught.value.exit_code == 2
        assert "nonsense" in caught.value.stderr
        assert mitaka.execute("sort", "--nonsense", check_exit_code=[0, 2])[0] == ""
        with pytest.raises(processutils.ProcessExecutionError) as caught:
            mitaka.execute("sort", "-o", "/etc/passwd")
        assert caught.value.description == "ARGUMENT_NOT_ALLOWED"
