"""What both clients know of long work and of watches. Nothing here waits."""

from __future__ import annotations

from google.protobuf.message import Message

from hostler import v1
from hostler._retry import REQUEST_ID, Attempts, Retry, has_request_id, with_request_id
from hostler.errors import HostlerError, NoAnswer, Problem, StatusError

CANCEL = "/hostler.v1.OperationService/CancelOperation"
LIST = "/hostler.v1.OperationService/ListOperations"
WATCH = "/hostler.v1.OperationService/WatchOperations"


def ended_early(address: str) -> NoAnswer:
    """Make the error of a stream that ended well, but before its last message."""
    return NoAnswer(address, Problem.CONNECTION_LOST, "the stream ended early")


class FollowedOperation:
    """One operation over as many calls as it takes: its request, its attempts, its events."""

    def __init__(self, address: str, retry: Retry, request: Message, timeout: float | None) -> None:
        self._address = address
        self._request = with_request_id(request)
        self._repeatable = has_request_id(request)
        # A call without a request_id only follows an operation: what became of that is its result.
        self._attempts = Attempts(retry, timeout=timeout)
        self._first: v1.OperationEvent | None = None
        self._pending: list[v1.OperationEvent] = []
        self._error: HostlerError | None = None
        self._cancelled = False
        #: The latest event, or None.
        self.last: v1.OperationEvent | None = None

    @property
    def request_id(self) -> str:
        """The request_id under which the daemon knows the work; empty for a watch."""
        return str(getattr(self._request, REQUEST_ID, ""))

    def _begun(self, first: v1.OperationEvent | None) -> None:
        """Keep the first event for the iteration."""
        if first is None:
            raise HostlerError("the operation was left before it began")
        self._first = first
        self._pending.append(first)

    def _take(self, event: v1.OperationEvent | None) -> HostlerError | None:
        """Note an event, or None at the end of a call; returns why the call is made again."""
        if event is None:
            return self._unless_over(ended_early(self._address))
        if event.HasField("error"):
            failed = StatusError.of(event.error)
            again = self._repeatable and not self._cancelled
            if again and self._attempts.may_repeat(failed):
                return failed
            self._error = failed
        else:
            self._attempts.answered()
        self.last = event
        return None

    def _unless_over(self, error: HostlerError) -> HostlerError | None:
        """Return the error of a call, unless it came behind the result."""
        return None if self.last is not None and self.last.HasField("result") else error

    def _delay(self, error: HostlerError) -> float:
        """Return the seconds until the call is made again; raises the error if it is not."""
        if self._cancelled:  # The same call would begin the work again.
            raise error
        return self._attempts.delay(error)

    def _result(self) -> v1.OperationResult:
        if self.last is None or not self.last.HasField("result"):
            raise HostlerError("the operation was left before it had a result")
        return self.last.result

    def _cancel(self) -> v1.CancelOperationRequest:
        """Ask for the end of the work that is followed now."""
        self._cancelled = True
        # A repeated call may be an operation of its own.
        latest = self.last or self._first
        return v1.CancelOperationRequest(operation_id=latest.operation_id if latest else "")


class FollowedOperations:
    """A watch over as many calls as it takes: its filter, its attempts, its cursor."""

    def __init__(self, retry: Retry, select: v1.OperationFilter | None, cursor: str) -> None:
        self._filter = select
        self._attempts = Attempts(
            Retry(
                reasons=retry.reasons | {"WATCHER_TOO_SLOW"},
                first_delay=retry.first_delay,
                longest_delay=retry.longest_delay,
                patience=retry.patience,
                # It is opened again as often as its stream ends.
                attempts=2**31,
            )
        )
        #: Where another watch goes on that has all events until now. Store it to survive yourself.
        self.cursor = cursor

    def _request(self) -> v1.WatchOperationsRequest:
        return v1.WatchOperationsRequest(filter=self._filter, cursor=self.cursor)

    def _take(self, answer: v1.WatchOperationsResponse) -> bool:
        """Note an answer; whether it has an event: while nothing matches, cursors come alone."""
        self._attempts.answered()
        self.cursor = answer.cursor
        return answer.HasField("event")
