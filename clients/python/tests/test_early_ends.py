"""Streams that end well, but before their last message: what some proxies make of a lost daemon."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from conftest import QUICK, Daemon

import hostler
import hostler.aio
from hostler import v1

MIB = 1024 * 1024


class Shortener(grpc.GenericRpcHandler):  # type: ignore[type-arg]
    """Hands calls on to the daemon. The first stream of each method ends after one message."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel
        self.calls: Counter[str] = Counter()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        """Find the kind of the method in the contract."""
        method = details.method
        service, _, name = method.lstrip("/").rpartition("/")
        pool = v1.Operation.DESCRIPTOR.file.pool
        streams = pool.FindServiceByName(service).methods_by_name[name].server_streaming

        def stream(request: bytes, _context: grpc.ServicerContext) -> Iterator[bytes]:
            self.calls[name] += 1
            answers: Any = self._channel.unary_stream(method, None, None)(request)
            for answer in answers:
                yield answer
                if self.calls[name] == 1:
                    answers.cancel()
                    return

        def unary(request: bytes, _context: grpc.ServicerContext) -> bytes:
            answer: bytes = self._channel.unary_unary(method, None, None)(request)
            return answer

        if streams:
            return grpc.unary_stream_rpc_method_handler(stream)
        return grpc.unary_unary_rpc_method_handler(unary)


@pytest.fixture
def shortener(daemon: Daemon) -> Iterator[tuple[str, Shortener]]:
    """Run it on a port."""
    with grpc.insecure_channel(daemon.socket) as channel:
        server = grpc.server(ThreadPoolExecutor(8))
        handler = Shortener(channel)
        server.add_generic_rpc_handlers((handler,))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield f"tcp://127.0.0.1:{port}", handler
        server.stop(None).wait()


def creation(daemon: Daemon, name: str) -> v1.CreateImageRequest:
    """Make an image that a watch of these tests sees."""
    return v1.CreateImageRequest(
        path=str(daemon.root / name),
        format="raw",
        virtual_size_bytes=MIB,
        labels={"test": "early"},
    )


def test_an_operation_is_called_again(
    daemon: Daemon, shortener: tuple[str, Shortener], client: hostler.Client
) -> None:
    address, handler = shortener
    with hostler.Client(address, retry=QUICK) as other:
        operation = other.image.create_image(creation(daemon, "early.raw"))
        assert operation.wait().image.info.virtual_size_bytes == MIB
    assert handler.calls["CreateImage"] == 2
    once = hostler.Retry(attempts=1)
    handler.calls.clear()
    with hostler.Client(address, retry=once) as other:
        with pytest.raises(hostler.NoAnswer, match="the stream ended early"):
            other.image.create_image(creation(daemon, "once.raw")).wait()


def test_a_watch_goes_on(daemon: Daemon, shortener: tuple[str, Shortener]) -> None:
    address, handler = shortener
    with hostler.Client(address, retry=QUICK) as other:
        start = other.operation.list_operations(v1.ListOperationsRequest()).cursor
        with hostler.Client(daemon.socket, retry=QUICK) as maker:
            for name in ("early-1.raw", "early-2.raw"):
                maker.image.create_image(creation(daemon, name)).wait()
        ended = []
        with other.watch(v1.OperationFilter(labels={"test": "early"}), cursor=start) as watch:
            for answer in watch:
                if answer.event.state == v1.OPERATION_STATE_SUCCEEDED:
                    ended.append(Path(answer.addresses[0]).name)
                if "early-2.raw" in ended:
                    break
    assert handler.calls["WatchOperations"] == 2
    assert ended == ["early-1.raw", "early-2.raw"], "none is missed, and none comes twice"


def test_a_download_goes_on(
    daemon: Daemon, shortener: tuple[str, Shortener], tmp_path: Path
) -> None:
    address, handler = shortener
    path = daemon.root / "whole.raw"
    path.write_bytes(bytes(range(256)) * (MIB // 64))
    with hostler.Client(address, retry=QUICK) as other:
        assert other.download(str(path), tmp_path / "copy.raw") == path.stat().st_size
    assert handler.calls["DownloadImage"] == 2
    assert (tmp_path / "copy.raw").read_bytes() == path.read_bytes()


def test_asyncio_goes_on(daemon: Daemon, shortener: tuple[str, Shortener], tmp_path: Path) -> None:
    address, handler = shortener
    path = daemon.root / "whole-by-asyncio.raw"
    path.write_bytes(bytes(range(256)) * (MIB // 64))

    async def work() -> None:
        async with hostler.aio.Client(address, retry=QUICK) as other:
            start = (await other.operation.list_operations(v1.ListOperationsRequest())).cursor
            for name in ("by-asyncio-1.raw", "by-asyncio-2.raw"):
                result = await other.image.create_image(creation(daemon, name))
                assert result.image.info.virtual_size_bytes == MIB
            ended = 0
            async with other.watch(cursor=start) as watch:
                async for answer in watch:
                    ended += answer.event.state == v1.OPERATION_STATE_SUCCEEDED
                    if ended == 2:
                        break
            assert await other.download(str(path), tmp_path / "copy.raw") == path.stat().st_size

    asyncio.run(work())
    methods = ("CreateImage", "WatchOperations", "DownloadImage")
    assert [handler.calls[method] for method in methods] == [3, 2, 2]
    assert (tmp_path / "copy.raw").read_bytes() == path.read_bytes()
