"""Images come from a real Glance, with the token of Nova's caller."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from nova import exception
from nova.virt.libvirt import utils as libvirt_utils
from real_daemon import REPOSITORY

from hostler_nova import mitaka, place

MIB = 1024 * 1024
CONTEXT = SimpleNamespace(auth_token="token")


class Glance:
    """A Glance API server of the tests."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.url = self._script("start").strip()

    def _script(self, verb: str) -> str:
        command = [str(REPOSITORY / "scripts/glance.sh"), verb, str(self._folder)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def stop(self) -> None:
        """End it."""
        self._script("stop")

    def curl(self, path: str, *args: str) -> str:
        """Make a request as an administrator."""
        command = ["curl", "-sSf", "-H", "X-Roles: admin", *args, f"{self.url}/v2/images{path}"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def upload(self, path: Path, disk_format: str) -> str:
        """Store a file as an image; returns its id."""
        wanted = {
            "name": "test",
            "disk_format": disk_format,
            "container_format": "bare",
            "visibility": "community",
        }
        kind = "Content-Type: application/json"
        image: str = json.loads(self.curl("", "-H", kind, "-d", json.dumps(wanted)))["id"]
        kind = "Content-Type: application/octet-stream"
        self.curl(f"/{image}/file", "-X", "PUT", "-H", kind, "-T", str(path))
        return image


@pytest.fixture(scope="module")
def glance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Glance]:
    if not all(map(shutil.which, ("glance-api", "glance-manage", "curl"))):
        pytest.skip("Glance is not installed: make test-glance installs it")
    one = Glance(tmp_path_factory.mktemp("glance"))
    yield one
    one.stop()


@pytest.fixture
def target(
    daemon: Any, conf: Any, glance: Glance, request: pytest.FixtureRequest
) -> Iterator[Path]:
    conf.set_override("api_servers", [glance.url], group="glance")
    folder: Path = daemon.root / request.node.name.replace("[", "_").rstrip("]")
    folder.mkdir()
    place.put_in_place()
    yield folder / "base"
    place.take_away()
    conf.clear_override("api_servers", group="glance")


def qemu_img(*args: str) -> None:
    subprocess.run(["qemu-img", *args], check=True, capture_output=True)


def test_fetch_image(glance: Glance, target: Path, tmp_path: Path, conf: Any) -> None:
    (tmp_path / "plain").write_bytes(b"guest" * 1000 + bytes(MIB - 5000))
    qemu_img("convert", "-O", "qcow2", str(tmp_path / "plain"), str(tmp_path / "image"))
    image = glance.upload(tmp_path / "image", "qcow2")
    libvirt_utils.fetch_image(context=CONTEXT, target=str(target), image_id=image)
    assert target.read_bytes() == (tmp_path / "plain").read_bytes()
    conf.set_override("force_raw_images", False)
    try:
        libvirt_utils.fetch_image(CONTEXT, str(target), image)
    finally:
        conf.clear_override("force_raw_images")
    assert libvirt_utils.get_disk_size(str(target), "qcow2") == MIB
    libvirt_utils.fetch_raw_image(CONTEXT, str(target), image)
    assert target.read_bytes() == (tmp_path / "image").read_bytes()
    with pytest.raises(exception.FlavorDiskSmallerThanImage) as caught:
        mitaka.fetch_image(CONTEXT, str(target) + "2", image, "user", "project", max_size=MIB - 1)
    assert str(MIB) in str(caught.value)
    assert [path.name for path in target.parent.iterdir()] == ["base"]


def test_missing_image(target: Path) -> None:
    with pytest.raises(exception.ImageNotFound):
        libvirt_utils.fetch_image(CONTEXT, str(target), "4d2b8a6c-1f3e-4a5b-8c7d-9e0f1a2b3c4d")


def test_glance_does_not_answer(target: Path, conf: Any) -> None:
    conf.set_override("api_servers", ["http://127.0.0.1:1"], group="glance")
    with pytest.raises(exception.GlanceConnectionFailed):
        libvirt_utils.fetch_image(CONTEXT, str(target), "4d2b8a6c-1f3e-4a5b-8c7d-9e0f1a2b3c4d")


def hostile(kind: str, folder: Path) -> tuple[Path, str]:
    """Make an image that leads to files of the host, or is not what it says."""
    image = folder / "image"
    if kind == "backing file":
        command = ["create", "-q", "-f", "qcow2", "-b", "/etc/passwd", "-F", "raw", "-u"]
        qemu_img(*command, str(image), "1M")
        return image, "qcow2"
    if kind == "data file":
        option = f"data_file={folder}/data"
        qemu_img("create", "-q", "-f", "qcow2", "-o", option, str(image), "1M")
        return image, "qcow2"
    if kind == "vmdk":
        text = "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\n"
        text += 'createType="monolithicFlat"\nRW 4 FLAT "/etc/passwd" 0\n'
        image.write_text(text)
        return image, "vmdk"
    qemu_img("create", "-q", "-f", "qcow2", str(image), "1M")
    return image, "raw" if kind == "called raw" else "vmdk"


@pytest.mark.parametrize("kind", ["backing file", "data file", "vmdk", "called raw", "called vmdk"])
def test_hostile_images(glance: Glance, target: Path, tmp_path: Path, kind: str) -> None:
    image = glance.upload(*hostile(kind, tmp_path))
    with pytest.raises(exception.ImageUnacceptable) as caught:
        libvirt_utils.fetch_image(CONTEXT, str(target), image)
    assert image in str(caught.value)
    assert list(target.parent.iterdir()) == []
