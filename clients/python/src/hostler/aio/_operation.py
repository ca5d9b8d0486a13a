"""Long work, followed by a program on asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator
from typing import TYPE_CHECKING, Callable

from google.protobuf.message import Message

from hostler import v1
from hostler._operation import CANCEL
from hostler._retry import REQUEST_ID, Attempts, has_request_id, with_request_id
from hostler.errors import HostlerError, StatusError

if TYPE_CHECKING:
    from hostler.aio._calls import Calls, Stream


class Operation(AsyncIterator[v1.OperationEvent]):
    """One operation: iterate over its events, or wait for its result (`await operation`).

    The call begins when the object is made. When the connection or the daemon goes away, the same
    call is made again with the same request_id, so that the work is done once. An operation whose
    caller leaves is cancelled by the daemon, unless the request has `detach`.
    """

    def __init__(
        self, calls: Calls, method: str, request: Message, timeout: float | None = None
    ) -> None:
        self._calls = calls
        self._method = method
        self._request = with_request_id(request)
        self._repeatable = has_request_id(request)
        # A call without a request_id only follows an operation: what became of that is its result.
        self._attempts = Attempts(calls.retry, timeout=timeout)
        self._first: v1.OperationEvent | None = None
        self._first_lock = asyncio.Lock()
        self._pending: list[v1.OperationEvent] = []
        self._error: HostlerError | None = None
        self._closed = False
        #: The latest event, or None.
        self.last: v1.OperationEvent | None = None
        self._call = self._begin()

    @property
    def request_id(self) -> str:
        """The request_id under which the daemon knows the work; empty for a watch."""
        return str(getattr(self._request, REQUEST_ID, ""))

    async def start(self) -> str:
        """Wait until the daemon has registered the operation; returns its id."""
        async with self._first_lock:
            if self._first is None:
                self._first = await self._receive()
                if self._first is None:
                    raise HostlerError("the operation was left before it began")
                self._pending.append(self._first)
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
        if self.last is None or not self.last.HasField("result"):
            raise HostlerError("the events of the operation ended without a result")
        return self.last.result

    def __await__(self) -> Generator[object, None, v1.OperationResult]:
        """Wait for the result, as wait() does."""
        return self.wait().__await__()

    async def cancel(self) -> v1.CancelOperationResponse:
        """Cancel the operation, also from another task; its iteration ends as CANCELLED.

        Returns when nothing of it is left, and names the removed files.
        """
        operation_id = await self.start()
        if self.last is not None:  # A repeated call may be an operation of its own.
            operation_id = self.last.operation_id
        request = v1.CancelOperationRequest(operation_id=operation_id)
        return await self._calls.once(CANCEL, request, v1.CancelOperationResponse)

    def close(self) -> None:
        """Leave the operation."""
        self._closed = True
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
        while not self._closed:
            if self._error is not None:
                raise self._error
            try:
                event = await self._call.__anext__()
            except StopAsyncIteration:
                return None
            except HostlerError as error:
                await self._again(error)
                continue
            if event.HasField("error"):
                failed = StatusError.of(event.error)
                if self._repeatable and self._attempts.may_repeat(failed):
                    await self._again(failed)
                    continue
                self._error = failed
            else:
                self._attempts.answered()
            self.last = event
            return event
        return None

    async def _again(self, error: HostlerError) -> None:
        await asyncio.sleep(self._attempts.delay(error))
        self._call.close()
        if not self._closed:
            self._call = self._begin()
