"""Long work, followed by a program on asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator
from typing import TYPE_CHECKING, Callable

from google.protobuf.message import Message

from hostler import v1
from hostler._following import CANCEL, FollowedOperation
from hostler.aio._waits import anext_or_none, wait_unless
from hostler.errors import HostlerError

if TYPE_CHECKING:
    from hostler.aio._calls import Calls, Stream


class Operation(FollowedOperation, AsyncIterator[v1.OperationEvent]):
    """As hostler.Operation, for asyncio: `await operation` waits for its result."""

    def __init__(
        self, calls: Calls, method: str, request: Message, timeout: float | None = None
    ) -> None:
        super().__init__(calls.settings.address, calls.retry, request, timeout)
        self._calls = calls
        self._method = method
        self._first_lock = asyncio.Lock()
        self._closed = asyncio.Event()
        self._call = self._begin()

    async def start(self) -> str:
        """Wait until the daemon has registered the operation; returns its id."""
        async with self._first_lock:
            if self._first is None:
                self._begun(await self._receive())
        assert self._first is not None  # noqa: S101
        return self._first.operation_id

    async def __anext__(self) -> v1.OperationEvent:
        """Wait for the next event; raises HostlerError after the last one of a failure."""
        if self._first is None:
            await self.start()
        event = self._pending.pop() if self._pending else await self._receive()
        if event is None:
            raise StopAsyncIteration
        return event

    async def wait(
        self, on_progress: Callable[[v1.OperationEvent], None] | None = None
    ) -> v1.OperationResult:
        """Wait for the result. Each event is given to on_progress. Raises HostlerError."""
        async for event in self:
            if on_progress is not None:
                on_progress(event)
        return self._result()

    def __await__(self) -> Generator[object, None, v1.OperationResult]:
        """Wait for the result, as wait() does."""
        return self.wait().__await__()

    async def cancel(self) -> v1.CancelOperationResponse:
        """Cancel the operation, also from another task; its iteration ends as CANCELLED.

        Returns when nothing of it is left, and names the removed files.
        """
        await self.start()
        return await self._calls.unary(CANCEL, self._cancel(), v1.CancelOperationResponse, None)

    def close(self) -> None:
        """Leave the operation."""
        self._closed.set()
        self._call.close()

    async def __aenter__(self) -> Operation:
        """Return itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Leave the operation."""
        self.close()

    def _begin(self) -> Stream[v1.OperationEvent]:
        return self._calls.stream(
            self._method, self._request, v1.OperationEvent, self._attempts.remaining()
        )

    async def _receive(self) -> v1.OperationEvent | None:
        while not self._closed.is_set():
            if self._error is not None:
                raise self._error
            event = None
            try:
                event = await anext_or_none(self._call)
                failed = self._take(event)
            except HostlerError as error:
                failed = self._unless_over(error)
            if failed is None:
                return event
            if not self._closed.is_set():
                await self._again(failed)
        return None

    async def _again(self, error: HostlerError) -> None:
        await wait_unless(self._closed, self._delay(error))
        self._call.close()
        if not self._closed.is_set():
            self._call = self._begin()
