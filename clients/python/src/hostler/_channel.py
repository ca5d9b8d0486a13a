"""What both clients do with gRPC: credentials, options, and the errors of calls."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Callable, Protocol

import grpc
from google.protobuf.message import DecodeError, Message

from hostler import v1
from hostler._settings import Settings
from hostler.errors import StatusError

DETAILS_KEY = "grpc-status-details-bin"
# What gRPC says of a stream that broke off, beside UNAVAILABLE.
BROKEN_CODES = (grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)
BROKEN_WORDS = ("RST_STREAM", "Stream removed", "GOAWAY")

# A daemon that starts again is found soon: gRPC itself would wait up to two minutes. Keepalive
# notices a host that has vanished.
OPTIONS: tuple[tuple[str, int | str], ...] = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.use_local_subchannel_pool", 1),
)


class Channel(Protocol):
    """A transport of calls: the part of grpc.Channel that the client uses.

    Each method returns a function that takes a request, or an iterator of requests, and `timeout`.
    It returns the answer or an iterator of answers, which has `cancel()`. What fails raises a
    grpc.RpcError that has `code()`, `details()` and `trailing_metadata()`.
    """

    def unary_unary(self, method: str, serialize: Any, parse: Any, /) -> Callable[..., Any]:
        """One request, one answer."""

    def unary_stream(self, method: str, serialize: Any, parse: Any, /) -> Callable[..., Any]:
        """One request, many answers."""

    def stream_unary(self, method: str, serialize: Any, parse: Any, /) -> Callable[..., Any]:
        """Many requests, one answer."""

    def stream_stream(self, method: str, serialize: Any, parse: Any, /) -> Callable[..., Any]:
        """Many requests, many answers."""

    def close(self) -> None:
        """End all calls."""


def grpc_channel(settings: Settings) -> Channel:
    """Make a channel of gRPC's own library, which connects with its first call."""
    proof = credentials(settings)
    if proof is None:
        return grpc.insecure_channel(settings.target, OPTIONS)
    return grpc.secure_channel(settings.target, proof, OPTIONS)


def credentials(settings: Settings) -> grpc.ChannelCredentials | None:
    """Read the TLS files; None for a daemon without TLS. Raises ConfigurationError."""
    if settings.tls is None:
        return None
    settings.ssl_context()
    ca, cert, key = (
        Path(path).read_bytes() for path in (settings.tls.ca, settings.tls.cert, settings.tls.key)
    )
    return grpc.ssl_channel_credentials(ca, key, cert)


def serialize(message: Message) -> bytes:
    """Encode a request."""
    return message.SerializeToString()


def status_error(
    method: str,
    code: grpc.StatusCode,
    message: str | None,
    metadata: Iterable[Any] | None,
) -> StatusError | None:
    """Make an error of how a call ended; None if it was no answer of a daemon."""
    for key, value in metadata or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            try:
                return StatusError.of(v1.Status.FromString(value))
            except DecodeError:
                break  # Somebody else's details: what gRPC says remains.
    message = message or code.name
    broken = code in BROKEN_CODES and any(words in message for words in BROKEN_WORDS)
    if broken or code is grpc.StatusCode.UNAVAILABLE:
        return None
    if code is grpc.StatusCode.UNIMPLEMENTED:
        message = (
            f"the agent does not serve {method.lstrip('/')}: it is of another version than this "
            f"client, and GetHostInfo says of which ({message})"
        )
    return StatusError(code, message)
