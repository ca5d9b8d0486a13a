"""Uploads and downloads, also with a daemon that is killed in the middle."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import QUICK, Daemon

import hostler
import hostler.aio
from hostler import v1
from hostler._blocks import BLOCK_BYTES, BlockDigest

MIB = 1024 * 1024


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Make a raw image with data, zeros, holes, and a length that is no multiple of a block."""
    path = tmp_path / "local.raw"
    with path.open("wb") as file:
        file.write(os.urandom(5 * MIB))
        file.write(bytes(MIB))
        file.seek(24 * MIB)
        file.write(os.urandom(3 * MIB))
        file.truncate(32 * MIB + 512)
    return path


def restarter(daemon: Daemon, offset: int) -> tuple[list[int], Callable[[int], None]]:
    """Return offsets that were seen, and a callback that kills the daemon at an offset."""
    seen: list[int] = []
    killed: list[int] = []

    def on_bytes(position: int) -> None:
        seen.append(position)
        if position >= offset and not killed:
            killed.append(position)
            daemon.order("kill")

    return seen, on_bytes


def begins_again(seen: list[int]) -> bool:
    """Whether the offsets went back, as those of a transfer that has broken."""
    return any(later < earlier for earlier, later in zip(seen, seen[1:]))


def test_upload_and_download(client: hostler.Client, daemon: Daemon, image: Path) -> None:
    target = daemon.root / "uploaded.raw"
    offsets: list[int] = []
    info = client.upload(image, str(target), format="raw", on_bytes=offsets.append)
    assert info.virtual_size_bytes == image.stat().st_size
    assert target.read_bytes() == image.read_bytes()
    assert offsets[-1] == image.stat().st_size
    assert target.stat().st_blocks * 512 < 16 * MIB, "holes stay holes"

    local = image.parent / "back.raw"
    assert client.download(str(target), local) == image.stat().st_size
    assert local.read_bytes() == image.read_bytes()
    assert local.stat().st_blocks * 512 < 16 * MIB
    with pytest.raises(FileExistsError):
        client.download(str(target), local)
    assert client.download(str(target), local, overwrite=True) == image.stat().st_size
    assert [path.name for path in image.parent.iterdir() if "hostler-download" in path.name] == []


def test_killed_daemon_in_an_upload(client: hostler.Client, daemon: Daemon, image: Path) -> None:
    target = daemon.root / "upload-survivor.raw"
    seen, on_bytes = restarter(daemon, 3 * MIB)
    client.upload(image, str(target), format="raw", bytes_per_second=4 * MIB, on_bytes=on_bytes)
    assert target.read_bytes() == image.read_bytes()
    assert begins_again(seen)


def test_another_process_goes_on(client: hostler.Client, daemon: Daemon, image: Path) -> None:
    class Died(Exception):
        pass

    def die(position: int) -> None:
        if position >= 4 * MIB:
            raise Died

    target = str(daemon.root / "two-processes.raw")
    with pytest.raises(Died):
        client.upload(image, target, format="raw", request_id="two-processes", on_bytes=die)
    seen: list[int] = []
    with hostler.Client(daemon.socket, retry=QUICK) as other:
        other.upload(image, target, format="raw", request_id="two-processes", on_bytes=seen.append)
        assert seen[0] > 4 * MIB - 256 * 1024, "nothing is sent twice"
        # The same upload again: it is there.
        other.upload(image, target, format="raw", request_id="two-processes")
    assert Path(target).read_bytes() == image.read_bytes()


def test_killed_daemon_in_a_download(client: hostler.Client, daemon: Daemon, image: Path) -> None:
    source = daemon.root / "download-survivor.raw"
    source.write_bytes(image.read_bytes())
    seen, on_bytes = restarter(daemon, 2 * MIB)
    local = image.parent / "back.raw"
    client.download(str(source), local, bytes_per_second=4 * MIB, on_bytes=on_bytes)
    assert any(position >= 2 * MIB for position in seen)
    assert local.read_bytes() == image.read_bytes()


def test_image_changes_while_a_download_is_broken(
    client: hostler.Client, daemon: Daemon, image: Path
) -> None:
    source = daemon.root / "changing.raw"
    source.write_bytes(image.read_bytes())

    changed: list[int] = []

    def change(position: int) -> None:
        if position >= 2 * MIB and not changed:
            changed.append(position)
            daemon.order("stop")
            with source.open("r+b") as file:
                file.write(b"other")
            daemon.order("start")

    local = image.parent / "back.raw"
    with pytest.raises(hostler.DownloadError):
        client.download(str(source), local, bytes_per_second=4 * MIB, on_bytes=change)
    assert list(image.parent.glob("*back*")) == []


def test_errors_of_files(client: hostler.Client, daemon: Daemon, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        client.upload(tmp_path / "none", str(daemon.root / "none"), format="raw")
    with pytest.raises(hostler.StatusError) as caught:
        client.download(str(daemon.root / "none"), tmp_path / "none")
    assert caught.value.reason == "FILE_NOT_FOUND"
    assert list(tmp_path.iterdir()) == []


def test_asyncio(daemon: Daemon, image: Path) -> None:
    async def work() -> None:
        async with hostler.aio.Client(daemon.socket, retry=QUICK) as client:
            target = daemon.root / "asyncio.raw"
            seen, on_bytes = restarter(daemon, 3 * MIB)
            await client.upload(
                image, str(target), format="raw", bytes_per_second=4 * MIB, on_bytes=on_bytes
            )
            assert target.read_bytes() == image.read_bytes()
            assert begins_again(seen)
            local = image.parent / "back.raw"
            _, on_bytes = restarter(daemon, 2 * MIB)
            await client.download(str(target), local, bytes_per_second=4 * MIB, on_bytes=on_bytes)
            assert local.read_bytes() == image.read_bytes()

    asyncio.run(work())


@pytest.mark.parametrize("length", [0, 1, BLOCK_BYTES, 3 * BLOCK_BYTES + 7])
def test_digest_is_that_of_the_daemon(client: hostler.Client, daemon: Daemon, length: int) -> None:
    path = daemon.root / f"digested-{length}.raw"
    path.write_bytes(os.urandom(length))
    digest = BlockDigest()
    digest.data(path.read_bytes()[: length // 2])
    digest.data(path.read_bytes()[length // 2 :])
    result = client.image.digest_image(v1.DigestImageRequest(path=str(path))).wait().digest
    assert v1.Checksum(algorithm=result.algorithm, digest=result.digest) == digest.checksum()
    holes, path = BlockDigest(), daemon.root / f"holes-{length}.raw"
    holes.zeros(length)
    with path.open("wb") as file:
        file.truncate(length)
    result = client.image.digest_image(v1.DigestImageRequest(path=str(path))).wait().digest
    assert result.digest == holes.checksum().digest
