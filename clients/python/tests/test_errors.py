"""Errors as types, and what an agent lacks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from conftest import REPOSITORY, Daemon
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo

import hostler
import hostler.aio
from hostler import _contract, v1


def test_reason_and_facts(client: hostler.Client, daemon: Daemon) -> None:
    path = str(daemon.root / "missing.raw")
    with pytest.raises(hostler.StatusError) as caught:
        client.image.get_image_info(v1.GetImageInfoRequest(path=path))
    error = caught.value
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "IMAGE_NOT_FOUND")
    assert error.facts["path"] == path
    assert path in error.message
    assert str(error).endswith("[IMAGE_NOT_FOUND]")


def test_field_violations(client: hostler.Client) -> None:
    with pytest.raises(hostler.StatusError) as caught:
        client.image.create_image(v1.CreateImageRequest(path="relative")).wait()
    assert caught.value.reason == "INVALID_FIELD"
    fields = {violation.field for violation in caught.value.field_violations}
    assert "path" in fields
    assert all(violation.description for violation in caught.value.field_violations)


def test_errors_inside_messages(client: hostler.Client, daemon: Daemon) -> None:
    request = v1.BatchGetImageInfoRequest(paths=[str(daemon.root / "missing.raw")])
    with client.image.batch_get_image_info(request) as answers:
        results = [result for answer in answers for result in answer.results]
    assert hostler.StatusError.of(results[0].error).reason == "IMAGE_NOT_FOUND"


def status_with_unknown_details() -> v1.Status:
    """Make what a later daemon may send."""
    known, retry, unknown, broken = Any(), Any(), Any(), Any()
    known.Pack(ErrorInfo(reason="NEW_REASON", domain="hostler", metadata={"path": "/a"}))
    retry.Pack(RetryInfo(retry_delay=Duration(seconds=1, nanos=500_000_000)))
    unknown = Any(type_url="type.googleapis.com/hostler.v2.Horoscope", value=b"\xff\xff")
    broken = Any(type_url="type.googleapis.com/google.rpc.BadRequest", value=b"\xff\xff")
    return v1.Status(code=9, message="no", details=[unknown, broken, known, retry])


@pytest.fixture
def later_server() -> Iterator[str]:
    """Serve GetHostInfo as a later daemon might: with details that nobody knows yet."""

    def answer(_request: bytes, context: grpc.ServicerContext) -> bytes:
        packed = status_with_unknown_details().SerializeToString()
        context.set_trailing_metadata((("grpc-status-details-bin", packed),))
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "no")
        return b""

    server = grpc.server(ThreadPoolExecutor(1))
    handler = grpc.unary_unary_rpc_method_handler(answer)
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(
                "hostler.v1.HostInfoService", {"GetHostInfo": handler}
            ),
        )
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"tcp://127.0.0.1:{port}"
    server.stop(None).wait()


def test_details_of_an_unknown_type(later_server: str) -> None:
    with hostler.Client(later_server) as client, pytest.raises(hostler.StatusError) as caught:
        client.require()
    error = caught.value
    assert (error.reason, error.facts["path"], error.retry_delay) == ("NEW_REASON", "/a", 1.5)
    assert [detail.type_url.rpartition(".")[2] for detail in error.details] == [
        "Horoscope",
        "BadRequest",
        "ErrorInfo",
        "RetryInfo",
    ]
    assert error.details[0].value == b"\xff\xff"


def test_features(client: hostler.Client) -> None:
    assert "cursors" in client.require("cursors", "inventory").features
    with pytest.raises(hostler.FeatureMissing, match="time-travel") as caught:
        client.require("cursors", "time-travel")
    assert caught.value.missing == ("time-travel",)


def test_the_daemon_lacks_a_feature(client: hostler.Client, daemon: Daemon) -> None:
    # No command and no pool is configured.
    with pytest.raises(hostler.FeatureMissing, match="does not have: commands, pools;") as caught:
        client.require("folders", "commands", "pools")
    assert caught.value.missing == ("commands", "pools")

    async def by_asyncio() -> None:
        async with hostler.aio.Client(daemon.socket) as other:
            await other.require("folders")
            with pytest.raises(hostler.FeatureMissing, match="does not have: commands;"):
                await other.require("commands")

    asyncio.run(by_asyncio())


def test_the_daemon_lacks_an_rpc(client: hostler.Client, daemon: Daemon) -> None:
    # As a client of a later contract would call it.
    method = "/hostler.v1.ImageService/FoldImage"
    request = v1.ResizeImageRequest(path="/x")
    words = "the agent does not serve hostler.v1.ImageService/FoldImage: it is of another version"

    async def by_asyncio() -> None:
        async with hostler.aio.Client(daemon.socket) as other:
            await other._calls.operation(method, request, None)

    for call in (
        lambda: client._calls.unary(method, request, v1.OperationEvent, None),
        lambda: client._calls.operation(method, request, None).wait(),
        lambda: asyncio.run(by_asyncio()),
    ):
        with pytest.raises(hostler.StatusError, match=words) as caught:
            call()
        assert caught.value.code is grpc.StatusCode.UNIMPLEMENTED


def test_another_contract(client: hostler.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    # A client of the next major version, and one of the version before the daemon's.
    monkeypatch.setattr(_contract, "CONTRACT_MAJOR", 2)
    with pytest.raises(hostler.ContractError, match="serves version 1.*speaks version 2"):
        client.require()


def test_an_agent_that_serves_no_contract_of_this_version() -> None:
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    address = f"tcp://127.0.0.1:{port}"

    async def by_asyncio() -> None:
        async with hostler.aio.Client(address) as other:
            await other.require("folders")

    try:
        with hostler.Client(address) as other:
            for call in (other.require, lambda: asyncio.run(by_asyncio())):
                with pytest.raises(hostler.ContractError, match="does not serve version 1 of the"):
                    call()
    finally:
        server.stop(None).wait()


def test_one_version_with_the_daemon() -> None:
    package = json.loads((REPOSITORY / "package.json").read_text())
    assert hostler.__version__ == package["version"]


def test_every_rpc_has_a_method(client: hostler.Client) -> None:
    assert callable(client.command.execute)
    assert "Changes the virtual size" in (client.image.resize_image.__doc__ or "")
    assert client.file.__class__.__doc__
