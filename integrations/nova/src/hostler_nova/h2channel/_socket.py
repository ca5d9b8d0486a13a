"""The connection of one call: a socket with a deadline, which another thread may break."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import time

import grpc
from hostler import ConfigurationError, Settings

from hostler_nova.h2channel._status import CallError, unavailable

# A host that has vanished is noticed after about two minutes, as with gRPC's own library.
KEEPALIVE = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 20), (socket.TCP_KEEPCNT, 3))
# How long the system may take for a connection if the call has no deadline.
CONNECT_SECONDS = 20.0


class Deadline:
    """The end of a call's time; None: it has no end."""

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    def remaining(self) -> float | None:
        """Return the seconds that are left; raises CallError if there are none."""
        if self._end is None:
            return None
        left = self._end - time.monotonic()
        if left <= 0:
            raise exceeded()
        return left


def exceeded() -> CallError:
    """Make the error of a deadline that has passed."""
    return CallError(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")


class CallSocket:
    """A connected socket. All errors of the system are raised as a CallError."""

    def __init__(self, settings: Settings, deadline: Deadline) -> None:
        self._deadline = deadline
        self._broken = False
        limit = deadline.remaining()
        try:
            self._socket = connected(settings, CONNECT_SECONDS if limit is None else limit)
        except socket.timeout as error:
            raise self._failure(error) from None
        except (OSError, ConfigurationError) as error:
            raise unavailable(f"no connection: {error}") from None

    def receive(self) -> bytes:
        """Wait for bytes; none: the connection has ended."""
        self._socket.settimeout(self._deadline.remaining())
        try:
            data: bytes = self._socket.recv(65536)
        except OSError as error:
            raise self._failure(error) from None
        return b"" if self._broken else data

    def send(self, data: bytes) -> None:
        """Send all bytes."""
        self._socket.settimeout(self._deadline.remaining())
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise self._failure(error) from None

    def _failure(self, error: OSError) -> CallError:
        if isinstance(error, socket.timeout):
            with contextlib.suppress(CallError):
                if self._deadline.remaining() is None:
                    return unavailable(f"no answer: {error}")
            return exceeded()
        return unavailable(f"the connection broke: {error}")

    def break_off(self) -> None:
        """End what another thread waits for; that thread sees the end of the connection."""
        self._broken = True
        # The object belongs to the other thread, so the connection ends by a copy of its number.
        number = self._socket.fileno()
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(number)) as twin:
            twin.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


def connected(settings: Settings, seconds: float) -> socket.socket:
    """Connect within some seconds; raises OSError or ConfigurationError."""
    if settings.socket_path is not None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(seconds)
            connection.connect(settings.socket_path)
        except BaseException:
            connection.close()
            raise
        return connection
    host, port = settings.host_and_port
    connection = socket.create_connection((host, port), seconds)
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in KEEPALIVE:
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
        return connection if settings.tls is None else secured(settings, connection, host)
    except BaseException:
        connection.close()
        raise


def secured(settings: Settings, connection: socket.socket, host: str) -> ssl.SSLSocket:
    """Do the handshake of mutual TLS."""
    context = settings.ssl_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    return context.wrap_socket(connection, server_hostname=host)
