"""One call of gRPC on a connection of its own."""

from __future__ import annotations

import struct
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, Callable

import grpc
import h2.config
import h2.connection
import h2.events
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes
from hostler import Settings

from hostler_nova.h2channel._socket import CallSocket, Deadline
from hostler_nova.h2channel._status import (
    CallError,
    Headers,
    error_of_head,
    error_of_reset,
    error_of_trailers,
    unavailable,
)

# gRPC's own limit of a message that comes in.
LONGEST_MESSAGE = 4 * 1024 * 1024
# How much the daemon may send before it is read: one piece of a file, and room for the next.
WINDOW = 1024 * 1024
# compressed or not, and the length
PREFIX = struct.Struct(">BI")


class Call(Iterator[Any]):
    """A call whose answers come one after the other.

    One thread iterates; any thread may cancel. The connection is closed at the end of the call,
    also when the thread that waits is killed: the daemon takes that for a cancel.
    """

    def __init__(
        self,
        settings: Settings,
        method: str,
        parse: Callable[[bytes], Any],
        timeout: float | None,
    ) -> None:
        self._settings = settings
        self._method = method
        self._parse = parse
        self._timeout = timeout
        self._deadline = Deadline(timeout)
        self._http = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        )
        self._lock = threading.Lock()
        self._socket: CallSocket | None = None
        self._stream = 1
        self._busy = False
        self._cancelled = False
        self._bytes = bytearray()
        self._answers: deque[bytes] = deque()
        self._complete = False
        self._error: CallError | None = None

    def begin(self, requests: Iterable[bytes]) -> None:
        """Connect and send the requests. What fails is raised by the iteration."""
        try:
            self._work(lambda: self._send_all(requests))
        except CallError as error:
            self._error = error

    def __next__(self) -> Any:
        """Wait for the next answer; raises CallError, StopIteration."""
        self._work(self._until_answer)
        if self._answers:
            return self._parse(self._answers.popleft())
        if self._error is not None:
            raise self._error
        raise StopIteration

    def only(self) -> Any:
        """Wait for the one answer of a call that has one; raises CallError."""
        answer = next(self, None)
        for _ in self:  # The status comes behind it.
            pass
        if answer is None:
            raise CallError(grpc.StatusCode.INTERNAL, "the call has succeeded without an answer")
        return answer

    def cancel(self) -> None:
        """End the call, also from another thread; the iteration then raises CANCELLED."""
        with self._lock:
            if self._complete or self._cancelled:
                return
            self._cancelled = True
            if self._busy and self._socket is not None:
                self._socket.break_off()
                return
        if not self._busy:
            self._end(CallError(grpc.StatusCode.CANCELLED, "Locally cancelled by application!"))

    def _work(self, work: Callable[[], None]) -> None:
        """Do a part of the call; whatever ends it early closes the connection."""
        with self._lock:
            if self._complete or self._cancelled:
                return
            self._busy = True
        try:
            work()
        except ProtocolError as error:
            self._end(unavailable(f"what answers there does not speak HTTP/2: {error}"))
        except CallError as error:
            self._end(error)
        except BaseException:
            self._end(CallError(grpc.StatusCode.CANCELLED, "the caller was ended"))
            raise
        finally:
            with self._lock:
                self._busy = False
        if self._cancelled:
            self._end(CallError(grpc.StatusCode.CANCELLED, "Locally cancelled by application!"))

    def _end(self, error: CallError | None) -> None:
        """Close the connection, with the error that the iteration ends with."""
        with self._lock:
            self._complete = True
            self._error = error
            connection, self._socket = self._socket, None
        if connection is not None:
            connection.close()

    def _send_all(self, requests: Iterable[bytes]) -> None:
        connection = CallSocket(self._settings, self._deadline)
        with self._lock:
            self._socket = connection
            if self._cancelled:
                return
        self._http.initiate_connection()
        self._http.update_settings(
            {SettingCodes.ENABLE_PUSH: 0, SettingCodes.INITIAL_WINDOW_SIZE: WINDOW}
        )
        self._http.increment_flow_control_window(WINDOW)
        self._http.send_headers(self._stream, self._headers())
        for request in requests:
            self._send(PREFIX.pack(0, len(request)) + request)
            if self._complete:
                return
        self._http.end_stream(self._stream)
        self._flush()

    def _headers(self) -> Headers:
        settings = self._settings
        headers = [
            (":method", "POST"),
            (":scheme", "http" if settings.tls is None else "https"),
            (":path", self._method),
            (":authority", "localhost" if settings.socket_path else settings.target),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("user-agent", "hostler-nova"),
        ]
        if self._timeout is not None:
            # At most eight digits: whole milliseconds are enough for a day.
            milliseconds = min(max(1, round(self._timeout * 1000)), 99_999_999)
            headers.append(("grpc-timeout", f"{milliseconds}m"))
        return headers

    def _send(self, data: bytes) -> None:
        """Send a message in pieces, as fast as the daemon takes them."""
        left = memoryview(data)
        while left and not self._complete:
            room = min(
                self._http.local_flow_control_window(self._stream),
                self._http.max_outbound_frame_size,
                len(left),
            )
            if room > 0:
                self._http.send_data(self._stream, bytes(left[:room]))
                self._flush()
                left = left[room:]
            else:
                self._read()

    def _flush(self) -> None:
        data = self._http.data_to_send()
        if data and self._socket is not None:
            self._socket.send(data)

    def _until_answer(self) -> None:
        while not self._answers and not self._complete:
            self._read()

    def _read(self) -> None:
        """Wait for what the daemon sends, and take it."""
        if self._socket is None:
            return
        self._flush()
        data = self._socket.receive()
        if not data:
            raise unavailable("the connection ended before the answer")
        for event in self._http.receive_data(data):
            self._take(event)
        if not self._complete:
            self._flush()

    def _take(self, event: h2.events.Event) -> None:
        if self._complete:
            return
        if isinstance(event, h2.events.ResponseReceived):
            self._take_head(as_headers(event.headers), ended=event.stream_ended is not None)
        elif isinstance(event, h2.events.DataReceived):
            self._take_data(event)
        elif isinstance(event, h2.events.TrailersReceived):
            self._end(error_of_trailers(as_headers(event.headers)))
        elif isinstance(event, h2.events.StreamEnded):
            self._end(error_of_trailers([]))
        elif isinstance(event, h2.events.StreamReset):
            self._end(error_of_reset(event.error_code or ErrorCodes.NO_ERROR))
        elif isinstance(event, h2.events.ConnectionTerminated) and self._unseen(event):
            self._end(unavailable(f"GOAWAY with error code {int(event.error_code or 0)}"))

    def _unseen(self, event: h2.events.ConnectionTerminated) -> bool:
        """Whether the daemon says that it will not answer this call."""
        return event.error_code != ErrorCodes.NO_ERROR or (event.last_stream_id or 0) < self._stream

    def _take_head(self, headers: Headers, *, ended: bool) -> None:
        failed = error_of_head(headers)
        if failed is not None:
            self._end(failed)
        elif ended:
            self._end(error_of_trailers(headers))

    def _take_data(self, event: h2.events.DataReceived) -> None:
        self._http.acknowledge_received_data(event.flow_controlled_length or 0, self._stream)
        self._bytes += event.data or b""
        while len(self._bytes) >= PREFIX.size:
            compressed, length = PREFIX.unpack_from(self._bytes)
            if compressed:
                self._end(CallError(grpc.StatusCode.INTERNAL, "the answer is compressed"))
                return
            if length > LONGEST_MESSAGE:
                text = f"the answer has {length} bytes, and at most {LONGEST_MESSAGE} are read"
                self._end(CallError(grpc.StatusCode.RESOURCE_EXHAUSTED, text))
                return
            if len(self._bytes) < PREFIX.size + length:
                return
            self._answers.append(bytes(self._bytes[PREFIX.size : PREFIX.size + length]))
            del self._bytes[: PREFIX.size + length]


def as_headers(headers: Any) -> Headers:
    """Return the headers as text."""
    return [(str(key), str(value)) for key, value in headers or ()]
