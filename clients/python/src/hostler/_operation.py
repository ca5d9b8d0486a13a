"""Long work, followed by a program that blocks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Callable

from google.protobuf.message import Message

from hostler import v1
from hostler._retry import REQUEST_ID, Attempts, has_request_id, with_request_id
from hostler.errors import HostlerError, StatusError

if TYPE_CHECKING:
    from hostler._calls import Calls, Stream

CANCEL = "/hostler.v1.OperationService/CancelOperation"


class Operation(Iterator[v1.OperationEvent]):
    """One operation: iterate over its events, or wait for its result.

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
        self._first_lock = threading.Lock()
        self._pending: list[v1.OperationEvent] = []
        self._error: HostlerError | None = None
        self._closed = threading.Event()
        #: The latest event, or None.
        self.last: v1.OperationEvent | None = None
        self._call = self._begin()

    @property
    def request_id(self) -> str:
        """The request_id under which the daemon knows the work; empty for a watch."""
        return str(getattr(self._request, REQUEST_ID, ""))

    def start(self) -> str:
        """Wait until the daemon has registered the operation; returns its id."""
        with self._first_lock:
            if self._first is None:
                self._first = self._receive()
                if self._first is None:
                    raise HostlerError("the operation was left before it began")
                self._pending.append(self._first)
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
        if self.last is None or not self.last.HasField("result"):
            raise HostlerError("the events of the operation ended without a result")
        return self.last.result

    def cancel(self) -> v1.CancelOperationResponse:
        """Cancel the operation, also from another thread; its iteration ends as CANCELLED.

        Returns when nothing of it is left, and names the removed files.
        """
        operation_id = self.start()
        if self.last is not None:  # A repeated call may be an operation of its own.
            operation_id = self.last.operation_id
        request = v1.CancelOperationRequest(operation_id=operation_id)
        return self._calls.unary(CANCEL, request, v1.CancelOperationResponse, None)

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
            try:
                event = next(self._call)
            except StopIteration:
                return None
            except HostlerError as error:
                self._again(error)
                continue
            if event.HasField("error"):
                failed = StatusError.of(event.error)
                if self._repeatable and self._attempts.may_repeat(failed):
                    self._again(failed)
                    continue
                self._error = failed
            else:
                self._attempts.answered()
            self.last = event
            return event
        return None

    def _again(self, error: HostlerError) -> None:
        self._closed.wait(self._attempts.delay(error))
        self._call.close()
        self._call = self._begin()
        if self._closed.is_set():
            self._call.close()
