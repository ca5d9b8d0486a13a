"""Long work, followed by a program that blocks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Callable

from google.protobuf.message import Message

from hostler import v1
from hostler._following import CANCEL, FollowedOperation
from hostler.errors import HostlerError

if TYPE_CHECKING:
    from hostler._calls import Calls, Stream


class Operation(FollowedOperation, Iterator[v1.OperationEvent]):
    """One operation: iterate over its events, or wait for its result.

    The call begins when the object is made. When the connection or the daemon goes away, the same
    call is made again with the same request_id, so that the work is done once. An operation whose
    caller leaves is cancelled by the daemon, unless the request has `detach`.
    """

    def __init__(
        self, calls: Calls, method: str, request: Message, timeout: float | None = None
    ) -> None:
        super().__init__(calls.settings.address, calls.retry, request, timeout)
        self._calls = calls
        self._method = method
        self._first_lock = threading.Lock()
        self._closed = threading.Event()
        self._call = self._begin()

    def start(self) -> str:
        """Wait until the daemon has registered the operation; returns its id."""
        with self._first_lock:
            if self._first is None:
                self._begun(self._receive())
        assert self._first is not None  # noqa: S101
        return self._first.operation_id

    def __next__(self) -> v1.OperationEvent:
        """Wait for the next event; raises HostlerError after the last one of a failure."""
        if self._first is None:
            self.start()
        event = self._pending.pop() if self._pending else self._receive()
        if event is None:
            raise StopIteration
        return event

    def wait(
        self, on_progress: Callable[[v1.OperationEvent], None] | None = None
    ) -> v1.OperationResult:
        """Wait for the result. Each event is given to on_progress. Raises HostlerError."""
        for event in self:
            if on_progress is not None:
                on_progress(event)
        return self._result()

    def cancel(self) -> v1.CancelOperationResponse:
        """Cancel the operation, also from another thread; its iteration ends as CANCELLED.

        Returns when nothing of it is left, and names the removed files.
        """
        self.start()
        return self._calls.unary(CANCEL, self._cancel(), v1.CancelOperationResponse, None)

    def close(self) -> None:
        """Leave the operation, also from another thread."""
        self._closed.set()
        self._call.close()

    def __enter__(self) -> Operation:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the operation."""
        self.close()

    def _begin(self) -> Stream[v1.OperationEvent]:
        return self._calls.stream(
            self._method, self._request, v1.OperationEvent, self._attempts.remaining()
        )

    def _receive(self) -> v1.OperationEvent | None:
        while not self._closed.is_set():
            if self._error is not None:
                raise self._error
            event = None
            try:
                event = next(self._call, None)
                failed = self._take(event)
            except HostlerError as error:
                failed = self._unless_over(error)
            if failed is None:
                return event
            if not self._closed.is_set():
                self._again(failed)
        return None

    def _again(self, error: HostlerError) -> None:
        self._closed.wait(self._delay(error))
        self._call.close()
        self._call = self._begin()
        if self._closed.is_set():
            self._call.close()
