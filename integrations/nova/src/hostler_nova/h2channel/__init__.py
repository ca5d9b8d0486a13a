"""A transport of gRPC in Python alone, for programs in which gRPC's own library cannot work.

Under eventlet's monkey patching sockets, locks and sleeps are green, and so is this transport,
because it uses nothing else: no thread, no C library. It works with plain threads, too. Each call
has a connection of its own, so calls share nothing, and a caller that is killed closes it.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, Callable

from hostler import Settings

from hostler_nova.h2channel._call import Call
from hostler_nova.h2channel._status import CallError

__all__ = ["CallError", "H2Channel"]

Serialize = Callable[[Any], bytes]
Parse = Callable[[bytes], Any]


class H2Channel:
    """Calls to one daemon; give it to `hostler.Client(channel=H2Channel)`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._calls: weakref.WeakSet[Call] = weakref.WeakSet()
        self._lock = threading.Lock()
        if settings.tls is not None:
            settings.ssl_context()  # Mistakes in the files are found now.

    def unary_unary(self, method: str, serialize: Serialize, parse: Parse, /) -> Callable[..., Any]:
        """One request, one answer."""
        return partial(self._one, method, parse, lambda request: [serialize(request)])

    def unary_stream(
        self, method: str, serialize: Serialize, parse: Parse, /
    ) -> Callable[..., Iterator[Any]]:
        """One request, many answers."""
        return partial(self._many, method, parse, lambda request: [serialize(request)])

    def stream_unary(
        self, method: str, serialize: Serialize, parse: Parse, /
    ) -> Callable[..., Any]:
        """Many requests, one answer."""
        return partial(self._one, method, parse, partial(map, serialize))

    def stream_stream(
        self, method: str, serialize: Serialize, parse: Parse, /
    ) -> Callable[..., Any]:
        """Refuse: no call of the contract has streams in both directions."""
        raise NotImplementedError(f"{method}: this transport has no streams in both directions")

    def close(self) -> None:
        """End all calls."""
        with self._lock:
            calls = list(self._calls)
        for call in calls:
            call.cancel()

    def _one(
        self,
        method: str,
        parse: Parse,
        pack: Callable[[Any], Iterable[bytes]],
        request: Any,
        timeout: float | None = None,
    ) -> Any:
        return self._many(method, parse, pack, request, timeout).only()

    def _many(
        self,
        method: str,
        parse: Parse,
        pack: Callable[[Any], Iterable[bytes]],
        request: Any,
        timeout: float | None = None,
    ) -> Call:
        call = Call(self._settings, method, parse, timeout)
        with self._lock:
            self._calls.add(call)
        call.begin(pack(request))
        return call
