"""All operations of a daemon, as they change, for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from hostler import v1
from hostler._retry import Attempts, Retry
from hostler._watch import SERVICE, watching
from hostler.errors import HostlerError

if TYPE_CHECKING:
    from hostler.aio._calls import Calls, Stream


class Watch(AsyncIterator[v1.WatchOperationsResponse]):
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
        self._closed = False
        self._call: Stream[v1.WatchOperationsResponse] | None = None
        #: Where another watch goes on that has all events until now. Store it to survive yourself.
        self.cursor = cursor

    async def __anext__(self) -> v1.WatchOperationsResponse:
        """Wait for the next event; raises HostlerError when the watch cannot go on."""
        while not self._closed:
            try:
                if self._call is None:
                    self._call = await self._open()
                answer = await self._call.__anext__()
            except HostlerError as error:
                self._call = None
                await asyncio.sleep(self._attempts.delay(error))
                continue
            self._attempts.answered()
            self.cursor = answer.cursor
            # While nothing matches, the daemon sends cursors alone.
            if answer.HasField("event"):
                return answer
        raise StopAsyncIteration

    async def _open(self) -> Stream[v1.WatchOperationsResponse]:
        request = v1.WatchOperationsRequest(filter=self._filter, cursor=self.cursor)
        if not self.cursor:
            # What happens before the first event must not be lost with the connection.
            now = await self._calls.once(
                f"{SERVICE}/ListOperations",
                v1.ListOperationsRequest(page_size=1),
                v1.ListOperationsResponse,
            )
            self.cursor = now.cursor
        return self._calls.stream(
            f"{SERVICE}/WatchOperations", request, v1.WatchOperationsResponse, None
        )

    def close(self) -> None:
        """End the watch."""
        self._closed = True
        if self._call is not None:
            self._call.close()

    async def __aenter__(self) -> Watch:
        """Return itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the watch."""
        self.close()
