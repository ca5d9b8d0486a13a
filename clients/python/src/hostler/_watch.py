"""All operations of a daemon, as they change, for a program that blocks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from hostler import v1
from hostler._retry import Attempts, Retry
from hostler.errors import HostlerError

if TYPE_CHECKING:
    from hostler._calls import Calls, Stream

SERVICE = "/hostler.v1.OperationService"


class Watch(Iterator[v1.WatchOperationsResponse]):
    """Events of all operations that match, across lost connections and restarts; none is missed.

    Without a cursor the watch begins with the state of each unfinished operation. A cursor that the
    daemon's history does not reach raises StatusError with the reason CURSOR_TOO_OLD: list the
    operations, and watch from the cursor of that list.
    """

    def __init__(
        self, calls: Calls, retry: Retry, select: v1.OperationFilter | None, cursor: str
    ) -> None:
        self._calls = calls
        self._filter = select
        self._attempts = Attempts(watching(retry))
        self._closed = threading.Event()
        self._call: Stream[v1.WatchOperationsResponse] | None = None
        #: Where another watch goes on that has all events until now. Store it to survive yourself.
        self.cursor = cursor

    def __next__(self) -> v1.WatchOperationsResponse:
        """Wait for the next event; raises HostlerError when the watch cannot go on."""
        while not self._closed.is_set():
            try:
                if self._call is None:
                    self._call = self._open()
                answer = next(self._call)
            except HostlerError as error:
                self._call = None
                self._closed.wait(self._attempts.delay(error))
                continue
            self._attempts.answered()
            self.cursor = answer.cursor
            # While nothing matches, the daemon sends cursors alone.
            if answer.HasField("event"):
                return answer
        raise StopIteration

    def _open(self) -> Stream[v1.WatchOperationsResponse]:
        request = v1.WatchOperationsRequest(filter=self._filter, cursor=self.cursor)
        if not self.cursor:
            # What happens before the first event must not be lost with the connection.
            now = self._calls.once(
                f"{SERVICE}/ListOperations",
                v1.ListOperationsRequest(page_size=1),
                v1.ListOperationsResponse,
            )
            self.cursor = now.cursor
        return self._calls.stream(
            f"{SERVICE}/WatchOperations", request, v1.WatchOperationsResponse, None
        )

    def close(self) -> None:
        """End the watch, also from another thread."""
        self._closed.set()
        call = self._call
        if call is not None:
            call.close()

    def __enter__(self) -> Watch:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the watch."""
        self.close()


def watching(retry: Retry) -> Retry:
    """Make the rules of a watch: it is opened again as often as its stream ends."""
    return Retry(
        reasons=retry.reasons | {"WATCHER_TOO_SLOW"},
        first_delay=retry.first_delay,
        longest_delay=retry.longest_delay,
        patience=retry.patience,
        attempts=2**31,
    )
