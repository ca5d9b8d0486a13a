"""All operations of a daemon, as they change, for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from hostler import v1
from hostler._following import LIST, WATCH, FollowedOperations, ended_early
from hostler._retry import Retry
from hostler.aio._waits import anext_or_none, wait_unless
from hostler.errors import HostlerError

if TYPE_CHECKING:
    from hostler.aio._calls import Calls, Stream


class Watch(FollowedOperations, AsyncIterator[v1.WatchOperationsResponse]):
    """As hostler.Watch, for asyncio."""

    def __init__(
        self, calls: Calls, retry: Retry, select: v1.OperationFilter | None, cursor: str
    ) -> None:
        super().__init__(retry, select, cursor)
        self._calls = calls
        self._closed = asyncio.Event()
        self._call: Stream[v1.WatchOperationsResponse] | None = None

    async def __anext__(self) -> v1.WatchOperationsResponse:
        """Wait for the next event; raises HostlerError when the watch cannot go on."""
        while not self._closed.is_set():
            try:
                if self._call is None:
                    self._call = await self._open()
                answer = await anext_or_none(self._call)
                if answer is None:
                    raise ended_early(self._calls.settings.address)
            except HostlerError as error:
                self._call = None
                if not self._closed.is_set():
                    await wait_unless(self._closed, self._attempts.delay(error))
                continue
            if self._take(answer):
                return answer
        raise StopAsyncIteration

    async def _open(self) -> Stream[v1.WatchOperationsResponse]:
        request = self._request()
        if not self.cursor:
            # What happens before the first event must not be lost with the connection.
            page = v1.ListOperationsRequest(page_size=1)
            self.cursor = (await self._calls.once(LIST, page, v1.ListOperationsResponse)).cursor
        return self._calls.stream(WATCH, request, v1.WatchOperationsResponse, None)

    def close(self) -> None:
        """End the watch."""
        self._closed.set()
        if self._call is not None:
            self._call.close()

    async def __aenter__(self) -> Watch:
        """Return itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the watch."""
        self.close()
