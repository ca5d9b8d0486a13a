"""Operations: progress, results, cancel, and what a killed daemon does to them."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from conftest import QUICK, Daemon

import hostler
import hostler.aio
from hostler import v1

MIB = 1024 * 1024


def slow_fetch(daemon: Daemon, name: str, **fields: object) -> v1.FetchImageRequest:
    """Fetch 8 MiB at 4 MiB a second."""
    path = daemon.folder / "www" / f"{name}.raw"
    path.write_bytes(bytes([7]) * (8 * MIB))
    source = v1.ImageSource(http=v1.HttpSource(url=f"{daemon.www}/{name}.raw"))
    request = v1.FetchImageRequest(
        source=source,
        target=str(daemon.root / f"{name}.fetched"),
        source_format="raw",
        bandwidth_bytes_per_second=4 * MIB,
    )
    request.MergeFrom(v1.FetchImageRequest(**fields))  # type: ignore[arg-type]
    return request


def test_result_and_progress(client: hostler.Client, daemon: Daemon) -> None:
    request = v1.CreateImageRequest(
        path=str(daemon.root / "made.qcow2"), format="qcow2", virtual_size_bytes=64 * MIB
    )
    states: list[int] = []
    operation = client.image.create_image(request)
    result = operation.wait(lambda event: states.append(event.state))
    assert result.image.info.virtual_size_bytes == 64 * MIB
    assert not result.replayed
    assert states[-1] == v1.OPERATION_STATE_SUCCEEDED
    assert operation.request_id
    assert not request.request_id, "the caller's request is not changed"
    assert (daemon.root / "made.qcow2").exists()


def test_events_are_iterated(client: hostler.Client, daemon: Daemon) -> None:
    with client.image.fetch_image(slow_fetch(daemon, "iterated")) as operation:
        events = list(operation)
    assert operation.start() == events[0].operation_id
    assert events[-1].HasField("result")
    done = [event.progress.done_bytes for event in events if event.progress.done_bytes]
    assert done, "a fetch shows how far it is"


def test_same_request_id_replays(client: hostler.Client, daemon: Daemon) -> None:
    request = v1.CreateImageRequest(
        path=str(daemon.root / "twice.raw"),
        format="raw",
        virtual_size_bytes=MIB,
        request_id="twice-1",
    )
    first, second = (client.image.create_image(request) for _ in range(2))
    assert not first.wait().replayed or not second.wait().replayed
    assert client.image.create_image(request).wait().replayed
    with pytest.raises(hostler.StatusError) as caught:
        request.virtual_size_bytes = 2 * MIB
        client.image.create_image(request).wait()
    assert caught.value.reason == "REQUEST_ID_REUSED"


def test_cancel_from_another_thread(client: hostler.Client, daemon: Daemon) -> None:
    operation = client.image.fetch_image(slow_fetch(daemon, "cancelled"))
    answers: list[v1.CancelOperationResponse] = []
    thread = threading.Thread(target=lambda: answers.append(operation.cancel()))
    thread.start()
    with pytest.raises(hostler.StatusError) as caught:
        operation.wait()
    thread.join()
    assert caught.value.reason == "CANCELLED"
    assert operation.last is not None
    assert operation.last.state == v1.OPERATION_STATE_CANCELLED
    assert answers[0].operations[0].operation_id == operation.last.operation_id
    assert not (daemon.root / "cancelled.fetched").exists()


def test_watch_of_one_operation(client: hostler.Client, daemon: Daemon) -> None:
    started = client.image.fetch_image(slow_fetch(daemon, "detached", detach=True))
    operation_id = started.start()
    started.close()
    assert list(started)[1:] == []
    request = v1.WatchOperationRequest(operation_id=operation_id)
    assert client.operation.watch_operation(request).wait().HasField("fetch")
    # The watch of one that has failed ends as that one did.
    other = v1.Checksum(algorithm="sha256", digest="0" * 64)
    failed = client.image.fetch_image(slow_fetch(daemon, "mismatch", checksum=other))
    failed_id = failed.start()
    with pytest.raises(hostler.StatusError):
        failed.wait()
    request = v1.WatchOperationRequest(operation_id=failed_id)
    with pytest.raises(hostler.StatusError) as caught:
        client.operation.watch_operation(request).wait()
    assert caught.value.reason == "CHECKSUM_MISMATCH"


@pytest.mark.parametrize("orders", [("kill",), ("stop", "start")])
def test_daemon_ends_in_mid_operation(
    client: hostler.Client, daemon: Daemon, orders: tuple[str, ...]
) -> None:
    name = f"survivor-{orders[0]}"
    operation = client.image.fetch_image(slow_fetch(daemon, name))
    waiting = list(orders)

    def on_progress(event: v1.OperationEvent) -> None:
        while event.progress.done_bytes > 0 and waiting:
            daemon.order(waiting.pop(0))

    result = operation.wait(on_progress)
    assert not waiting, "the daemon ended while the operation ran"
    assert result.fetch.info.virtual_size_bytes == 8 * MIB
    assert Path(daemon.root / f"{name}.fetched").read_bytes() == bytes([7]) * (8 * MIB)
    # The whole work again is the first result again.
    again = slow_fetch(daemon, name, request_id=operation.request_id)
    assert client.image.fetch_image(again).wait().replayed


def test_a_change_with_one_answer_survives_too(daemon: Daemon) -> None:
    daemon.order("stop")
    thread = threading.Thread(target=daemon.order, args=("start",))
    thread.start()
    with hostler.Client(daemon.socket, retry=QUICK) as client:
        request = v1.StartUploadRequest(
            target=str(daemon.root / "later.raw"), format="raw", length_bytes=512
        )
        assert client.image.start_upload(request).upload_id
    thread.join()


def test_an_outage_is_given_up(daemon: Daemon) -> None:
    daemon.order("stop")
    try:
        patience = hostler.Retry(first_delay=0.01, longest_delay=0.02, patience=0.2)
        request = v1.CreateImageRequest(
            path=str(daemon.root / "x"), format="raw", virtual_size_bytes=1
        )
        with hostler.Client(daemon.socket, retry=patience) as client:
            with pytest.raises(hostler.NoAnswer) as caught:
                client.image.create_image(request).wait()
            assert caught.value.problem is hostler.Problem.NO_SUCH_SOCKET
    finally:
        daemon.order("start")


def test_a_deadline_ends_the_call(client: hostler.Client, daemon: Daemon) -> None:
    request = slow_fetch(daemon, "late")
    with pytest.raises(hostler.StatusError) as caught:
        client.image.fetch_image(request, timeout=0.5).wait()
    assert caught.value.code.name == "DEADLINE_EXCEEDED"


def test_asyncio(daemon: Daemon) -> None:
    async def work() -> None:
        async with hostler.aio.Client(daemon.socket, retry=QUICK) as client:
            path = str(daemon.root / "made-by-asyncio.qcow2")
            create = v1.CreateImageRequest(path=path, format="qcow2", virtual_size_bytes=64 * MIB)
            result = await client.image.create_image(create)
            assert result.image.info.virtual_size_bytes == 64 * MIB
            info = await client.image.get_image_info(
                v1.GetImageInfoRequest(path=path, format="qcow2")
            )
            assert info.info.format == "qcow2"
            mapped = client.image.map_image(v1.MapImageRequest(path=path, format="qcow2"))
            assert [answer async for answer in mapped]
            operation = client.image.fetch_image(slow_fetch(daemon, "cancelled-by-asyncio"))
            cancel = asyncio.ensure_future(operation.cancel())
            with pytest.raises(hostler.StatusError) as caught:
                async for _ in operation:
                    pass
            assert caught.value.reason == "CANCELLED"
            assert (await cancel).operations

    asyncio.run(work())


def test_asyncio_survives_a_kill(daemon: Daemon) -> None:
    async def work() -> None:
        async with hostler.aio.Client(daemon.socket, retry=QUICK) as client:
            operation = client.image.fetch_image(slow_fetch(daemon, "asyncio-survivor"))
            waiting = ["kill"]
            async for event in operation:
                if event.progress.done_bytes > 0 and waiting:
                    await asyncio.to_thread(daemon.order, waiting.pop())
            assert not waiting, "the daemon was killed while the operation ran"
            assert operation.last is not None
            assert operation.last.result.fetch.info.virtual_size_bytes == 8 * MIB
            with pytest.raises(hostler.NoAnswer):
                async with hostler.aio.Client("unix:///nowhere/s.sock") as nobody:
                    await nobody.host_info.get_host_info(v1.GetHostInfoRequest())

    asyncio.run(work())
