"""Calls for asyncio: one answer, a stream, an operation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Iterable
from functools import partial
from typing import Any, Callable, Generic, TypeVar

import grpc
from google.protobuf.message import Message

from hostler._channel import OPTIONS, credentials, serialize, status_error
from hostler._diagnosis import diagnose
from hostler._retry import NO_RETRY, Attempts, Retry, has_request_id, with_request_id
from hostler._settings import Settings
from hostler.aio._operation import Operation
from hostler.errors import HostlerError

Q = TypeVar("Q", bound=Message)
A = TypeVar("A", bound=Message)


class Calls:
    """A channel to one daemon, on which calls are made by the names of their methods."""

    def __init__(self, settings: Settings, retry: Retry) -> None:
        self.settings = settings
        self.retry = retry
        proof = credentials(settings)
        self._channel = (
            grpc.aio.insecure_channel(settings.target, OPTIONS)
            if proof is None
            else grpc.aio.secure_channel(settings.target, proof, OPTIONS)
        )

    async def close(self) -> None:
        """End all calls."""
        await self._channel.close(None)

    async def failure(self, method: str, error: grpc.aio.AioRpcError) -> HostlerError:
        """Say what the end of a call means."""
        text = error.details()
        metadata: Any = error.trailing_metadata()
        status = status_error(method, error.code(), text, metadata)
        if status is not None:
            return status
        return await asyncio.to_thread(diagnose, self.settings, text or "")

    async def unary(self, method: str, request: Q, answer: type[A], timeout: float | None) -> A:
        """Make a call with one answer; a change is made again after a lost connection."""
        request = with_request_id(request)
        attempts = Attempts(self.retry if has_request_id(request) else NO_RETRY, timeout=timeout)
        while True:
            try:
                return await self.once(method, request, answer, attempts.remaining())
            except HostlerError as error:
                await asyncio.sleep(attempts.delay(error))

    async def once(
        self, method: str, request: Message, answer: type[A], timeout: float | None = None
    ) -> A:
        """Make a call with one answer, once."""
        call = self._channel.unary_unary(method, serialize, answer.FromString)
        try:
            result: A = await call(request, timeout=timeout)
            return result
        except grpc.aio.AioRpcError as error:
            raise await self.failure(method, error) from None

    def stream(
        self, method: str, request: Message, answer: type[A], timeout: float | None
    ) -> Stream[A]:
        """Make a call whose answers stream in, once."""
        call = self._channel.unary_stream(method, serialize, answer.FromString)
        return Stream(call(request, timeout=timeout), partial(self.failure, method))

    async def collect(
        self,
        method: str,
        requests: AsyncIterable[Q] | Iterable[Q],
        answer: type[A],
        timeout: float | None,
    ) -> A:
        """Make a call whose requests stream out, once."""
        call: Any = self._channel.stream_unary(method, serialize, answer.FromString)
        try:
            result: A = await call(requests, timeout=timeout)
            return result
        except grpc.aio.AioRpcError as error:
            raise await self.failure(method, error) from None

    def exchange(
        self,
        method: str,
        requests: AsyncIterable[Q] | Iterable[Q],
        answer: type[A],
        timeout: float | None,
    ) -> Stream[A]:
        """Make a call with streams in both directions, once."""
        call: Any = self._channel.stream_stream(method, serialize, answer.FromString)
        return Stream(call(requests, timeout=timeout), partial(self.failure, method))

    def operation(self, method: str, request: Message, timeout: float | None) -> Operation:
        """Start an operation, or follow one."""
        return Operation(self, method, request, timeout)


class Stream(Generic[A], AsyncIterator[A]):
    """Answers as they come. Leaving an `async with` block, or close(), ends the call."""

    def __init__(
        self, call: Any, failure: Callable[[grpc.aio.AioRpcError], Awaitable[HostlerError]]
    ) -> None:
        self._call = call
        self._answers: AsyncIterator[A] = call.__aiter__()
        self._failure = failure
        self._closed = False

    async def __anext__(self) -> A:
        """Wait for the next answer; raises HostlerError when the call fails."""
        if self._closed:
            raise StopAsyncIteration
        try:
            return await self._answers.__anext__()
        except grpc.aio.AioRpcError as error:
            if self._closed:
                raise StopAsyncIteration from None
            raise await self._failure(error) from None
        except asyncio.CancelledError:
            # gRPC raises it for a call that was ended here, too.
            if self._closed:
                raise StopAsyncIteration from None
            raise

    def close(self) -> None:
        """End the call."""
        self._closed = True
        self._call.cancel()

    async def __aenter__(self) -> Stream[A]:
        """Return itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the call."""
        self.close()
