"""All operations of a daemon, as they change, for a program that blocks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from hostler import v1
from hostler._following import LIST, WATCH, FollowedOperations, ended_early
from hostler._retry import Retry
from hostler.errors import HostlerError

if TYPE_CHECKING:
    from hostler._calls import Calls, Stream


class Watch(FollowedOperations, Iterator[v1.WatchOperationsResponse]):
    """Events of all operations that match, across lost connections and restarts; none is missed.

    Without a cursor the watch begins with the state of each unfinished operation. A cursor that the
    daemon's history does not reach raises StatusError with the reason CURSOR_TOO_OLD: list the
    operations, and watch from the cursor of that list.
    """

    def __init__(
        self, calls: Calls, retry: Retry, select: v1.OperationFilter | None, cursor: str
    ) -> None:
        super().__init__(retry, select, cursor)
        self._calls = calls
        self._closed = threading.Event()
        self._call: Stream[v1.WatchOperationsResponse] | None = None

    def __next__(self) -> v1.WatchOperationsResponse:
        """Wait for the next event; raises HostlerError when the watch cannot go on."""
        while not self._closed.is_set():
            try:
                if self._call is None:
                    self._call = self._open()
                    if self._closed.is_set():
                        self._call.close()
                answer = next(self._call, None)
                if answer is None:
                    raise ended_early(self._calls.settings.address)
            except HostlerError as error:
                self._call = None
                if not self._closed.is_set():
                    self._closed.wait(self._attempts.delay(error))
                continue
            if self._take(answer):
                return answer
        raise StopIteration

    def _open(self) -> Stream[v1.WatchOperationsResponse]:
        request = self._request()
        if not self.cursor:
            # What happens before the first event must not be lost with the connection.
            page = v1.ListOperationsRequest(page_size=1)
            self.cursor = self._calls.once(LIST, page, v1.ListOperationsResponse).cursor
        return self._calls.stream(WATCH, request, v1.WatchOperationsResponse, None)

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
