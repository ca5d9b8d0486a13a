"""The watch of all operations, across a restart."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest
from conftest import QUICK, Daemon, other_daemon

import hostler
import hostler.aio
from hostler import v1


def create(client: hostler.Client, daemon: Daemon, name: str, labels: dict[str, str]) -> str:
    """Make an image; returns the id of the operation."""
    request = v1.CreateImageRequest(
        path=str(daemon.root / f"{name}.raw"), format="raw", virtual_size_bytes=512, labels=labels
    )
    operation = client.image.create_image(request)
    operation.wait()
    return operation.start()


def collect(watch: hostler.Watch, seen: list[v1.WatchOperationsResponse], last: str) -> None:
    """Read a watch until the operation with that label has ended."""
    for answer in watch:
        seen.append(answer)
        ended = answer.event.state == v1.OPERATION_STATE_SUCCEEDED
        if ended and answer.labels.get("name") == last:
            watch.close()


def test_watch_survives_a_restart_and_misses_nothing(
    client: hostler.Client, daemon: Daemon
) -> None:
    select = v1.OperationFilter(labels={"test": "restart"})
    seen: list[v1.WatchOperationsResponse] = []
    watch = client.watch(select)
    thread = threading.Thread(target=collect, args=(watch, seen, "last"))
    thread.start()
    ids = []
    for number in range(2):
        name = f"watched-{number}"
        ids.append(create(client, daemon, name, {"test": "restart", "name": name}))
        for order in (["kill"], ["stop", "start"])[number]:
            daemon.order(order)
    ids.append(create(client, daemon, "last", {"test": "restart", "name": "last"}))
    thread.join(60)
    assert not thread.is_alive()
    ended = [
        answer.event.operation_id
        for answer in seen
        if answer.event.state == v1.OPERATION_STATE_SUCCEEDED
    ]
    assert sorted(set(ended)) == sorted(ids)
    assert len(ended) == len(set(ended)), "no change comes twice"
    # Another process goes on where this one ended.
    after = create(client, daemon, "after", {"test": "restart", "name": "after"})
    later: list[v1.WatchOperationsResponse] = []
    collect(client.watch(select, cursor=watch.cursor), later, "after")
    assert {answer.event.operation_id for answer in later} == {after}


def test_cursor_too_old_is_handed_on(tmp_path: Path) -> None:
    address = f"unix://{tmp_path}/s.sock"
    few = other_daemon(tmp_path, address, "history_operations = 3")
    with few, hostler.Client(address, retry=QUICK) as client:
        old = client.operation.list_operations(v1.ListOperationsRequest()).cursor
        for number in range(8):
            request = v1.CreateImageRequest(
                path=f"{tmp_path}/images/{number}.raw", format="raw", virtual_size_bytes=512
            )
            client.image.create_image(request).wait()
        everything = v1.ListOperationsRequest()
        while len(client.operation.list_operations(everything).operations) > 3:
            time.sleep(0.05)
        with pytest.raises(hostler.StatusError) as caught:
            next(client.watch(cursor=old))
        assert caught.value.reason == "CURSOR_TOO_OLD"
        # What the reason asks for: list, and watch from there.
        new = client.operation.list_operations(v1.ListOperationsRequest()).cursor
        watch = client.watch(cursor=new)
        request = v1.CreateImageRequest(
            path=f"{tmp_path}/images/new.raw", format="raw", virtual_size_bytes=512
        )
        client.image.create_image(request).wait()
        assert next(watch).method == "CreateImage"
        watch.close()


def test_wrong_cursor_is_handed_on(client: hostler.Client) -> None:
    with pytest.raises(hostler.StatusError) as caught:
        next(client.watch(cursor="none of yours"))
    assert caught.value.reason == "INVALID_FIELD"


def test_asyncio_watch(client: hostler.Client, daemon: Daemon) -> None:
    async def work() -> str:
        async with hostler.aio.Client(daemon.socket, retry=QUICK) as other:
            watch = other.watch(v1.OperationFilter(labels={"test": "asyncio"}))
            first = asyncio.ensure_future(watch.__anext__())
            await other.operation.list_operations(v1.ListOperationsRequest())
            await asyncio.to_thread(daemon.order, "kill")
            labels = {"test": "asyncio"}
            expected = await asyncio.to_thread(create, client, daemon, "by-asyncio", labels)
            answer = await first
            while answer.event.state != v1.OPERATION_STATE_SUCCEEDED:
                answer = await watch.__anext__()
            watch.close()
            assert [event async for event in watch] == []
            assert answer.event.operation_id == expected
            return answer.cursor

    assert asyncio.run(work())
