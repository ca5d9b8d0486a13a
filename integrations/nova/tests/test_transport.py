"""Both transports do the same: each test runs on gRPC's own library and on that of this package."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import hostler
import pytest
from conftest import GREEN, QUICK
from hostler import v1

from hostler_nova.h2channel import H2Channel

MIB = 1024 * 1024
# gRPC's own library does not work under eventlet: that is why there is another.
CHANNELS = {"h2": {"channel": H2Channel}} if GREEN else {"h2": {"channel": H2Channel}, "grpc": {}}


@pytest.fixture(params=CHANNELS)
def options(request: pytest.FixtureRequest) -> dict[str, Any]:
    return CHANNELS[request.param]


@pytest.fixture
def client(daemon: Any, options: dict[str, Any]) -> Iterator[hostler.Client]:
    with hostler.Client(daemon.socket, retry=QUICK, **options) as one:
        yield one


def slow_fetch(daemon: Any, name: str, mebibytes: int = 8) -> v1.FetchImageRequest:
    """Fetch at 4 MiB a second."""
    path = daemon.folder / "www" / f"{name}.raw"
    path.write_bytes(bytes([7]) * (mebibytes * MIB))
    return v1.FetchImageRequest(
        source=v1.ImageSource(http=v1.HttpSource(url=f"{daemon.www}/{name}.raw")),
        target=str(daemon.root / f"{name}.fetched"),
        source_format="raw",
        bandwidth_bytes_per_second=4 * MIB,
        overwrite=True,
    )


def test_one_answer(client: hostler.Client) -> None:
    request = v1.GetArchitectureRequest(image_architecture="amd64")
    assert client.host_info.get_architecture(request).architecture == "x86_64"


def test_over_tls(daemon: Any, options: dict[str, Any]) -> None:
    with hostler.Client(daemon.tls, tls=daemon.files(), retry=QUICK, **options) as client:
        path = str(daemon.root / "tls.raw")
        create = v1.CreateImageRequest(path=path, format="raw", size="3M", overwrite=True)
        assert client.image.create_image(create).wait().image.info.virtual_size_bytes == 3 * MIB


def test_error_with_details(client: hostler.Client, daemon: Any) -> None:
    path = str(daemon.root / "ünïcode missing.raw")
    with pytest.raises(hostler.StatusError) as caught:
        client.image.get_image_info(v1.GetImageInfoRequest(path=path))
    assert caught.value.reason == "IMAGE_NOT_FOUND"
    assert caught.value.facts["path"] == path
    with pytest.raises(hostler.StatusError) as caught:
        client.image.get_image_info(v1.GetImageInfoRequest(path="relative"))
    assert caught.value.field_violations[0].field == "path"


@pytest.mark.parametrize("length", [0, 1, 65536, 3 * MIB + 7])
def test_streams_in_both_directions(client: hostler.Client, daemon: Any, length: int) -> None:
    path = daemon.root / "streamed"
    content = bytes(each % 251 for each in range(length))

    def messages() -> Iterator[v1.WriteFileRequest]:
        yield v1.WriteFileRequest(header=v1.WriteFileHeader(path=str(path)))
        for start in range(0, length, 400_000):
            yield v1.WriteFileRequest(data=content[start : start + 400_000])

    assert client.file.write_file(messages()).written_bytes == length
    assert path.read_bytes() == content
    with client.file.read_file(v1.ReadFileRequest(path=str(path))) as answers:
        assert b"".join(answer.data for answer in answers) == content


def test_a_refused_stream_of_requests_ends(client: hostler.Client) -> None:
    def messages() -> Iterator[v1.WriteFileRequest]:
        yield v1.WriteFileRequest(header=v1.WriteFileHeader(path="/proc/forbidden"))
        for _ in range(64):
            yield v1.WriteFileRequest(data=bytes(MIB))

    with pytest.raises(hostler.StatusError) as caught:
        client.file.write_file(messages())
    assert caught.value.reason == "PATH_OUTSIDE_ROOTS"


def test_deadline_of_a_stream(client: hostler.Client, daemon: Any) -> None:
    request = v1.WatchFilesystemRequest(path=str(daemon.root), threshold_bytes=2**60)
    with pytest.raises(hostler.StatusError) as caught:
        for _ in client.host_info.watch_filesystem(request, timeout=0.5):
            pass
    assert caught.value.code.name == "DEADLINE_EXCEEDED"


def test_progress_and_result(client: hostler.Client, daemon: Any) -> None:
    done: list[int] = []
    operation = client.image.fetch_image(slow_fetch(daemon, "progress"))
    result = operation.wait(lambda event: done.append(event.progress.done_bytes))
    assert result.fetch.length_bytes == 8 * MIB
    assert any(0 < each < 8 * MIB for each in done), done


def test_cancel_from_another_thread(client: hostler.Client, daemon: Any) -> None:
    operation = client.image.fetch_image(slow_fetch(daemon, "cancelled", 64))
    operation.start()
    thread = threading.Thread(target=operation.cancel)
    thread.start()
    with pytest.raises(hostler.StatusError) as caught:
        operation.wait()
    thread.join(60)
    assert caught.value.reason == "CANCELLED"


def test_a_caller_who_leaves_cancels(client: hostler.Client, daemon: Any) -> None:
    with client.image.fetch_image(slow_fetch(daemon, "left", 64)) as operation:
        left = operation.start()
    watch = client.operation.watch_operation(v1.WatchOperationRequest(operation_id=left))
    with pytest.raises(hostler.StatusError) as caught:
        watch.wait()
    assert caught.value.reason == "CANCELLED"
    assert not (daemon.root / "left.fetched").exists()


def test_close_wakes_who_waits(client: hostler.Client, daemon: Any) -> None:
    request = v1.WatchFilesystemRequest(path=str(daemon.root), threshold_bytes=2**60)
    stream = client.host_info.watch_filesystem(request)
    next(stream)
    threading.Timer(0.2, stream.close).start()
    assert list(stream) == []


def test_many_calls_at_once(client: hostler.Client, daemon: Any) -> None:
    """A caller who waits for a stream that says nothing holds up nobody."""
    request = v1.WatchFilesystemRequest(path=str(daemon.root), threshold_bytes=2**60)
    stream = client.host_info.watch_filesystem(request)
    next(stream)
    rest: list[object] = []
    waiter = threading.Thread(target=lambda: rest.extend(stream))
    waiter.start()
    right: list[bool] = []

    def ask(number: int) -> None:
        one = v1.ValidateHostnameRequest(hostname=f"host-{number}")
        right.extend(client.host_info.validate_hostname(one).valid for _ in range(5))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert right == [True] * 60
    assert waiter.is_alive()
    stream.close()
    waiter.join(60)
    assert rest == []


def test_a_killed_daemon_is_survived(client: hostler.Client, daemon: Any) -> None:
    operation = client.image.fetch_image(slow_fetch(daemon, "killed"))
    operation.start()
    daemon.order("kill")
    assert operation.wait().fetch.length_bytes == 8 * MIB


def test_nobody_answers(options: dict[str, Any], tmp_path: Any) -> None:
    retry = hostler.Retry(attempts=1)
    with hostler.Client(f"unix://{tmp_path}/none.sock", retry=retry, **options) as client:
        with pytest.raises(hostler.NoAnswer) as caught:
            client.host_info.get_host_info(v1.GetHostInfoRequest())
    assert caught.value.problem is hostler.Problem.NO_SUCH_SOCKET


def test_a_stopped_server_runs_into_the_deadline(options: dict[str, Any], tmp_path: Any) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "silent.sock"))
        listener.listen()
        address = f"unix://{tmp_path}/silent.sock"
        with hostler.Client(address, retry=hostler.Retry(attempts=1), **options) as client:
            began = time.monotonic()
            with pytest.raises(hostler.HostlerError) as caught:
                client.host_info.get_host_info(v1.GetHostInfoRequest(), timeout=0.5)
            assert time.monotonic() - began >= 0.5
    assert isinstance(caught.value, (hostler.StatusError, hostler.NoAnswer))
