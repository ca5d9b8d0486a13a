"""How a call of gRPC ends, read from the headers and trailers of HTTP/2."""

from __future__ import annotations

import base64
import binascii
from typing import Any
from urllib.parse import unquote

import grpc
from h2.errors import ErrorCodes

Headers = list[tuple[str, str]]

CODES = {code.value[0]: code for code in grpc.StatusCode}
# What an answer means that has no status of gRPC: the mapping of gRPC's own documentation
# (doc/http-grpc-status-mapping.md).
HTTP_CODES = {
    400: grpc.StatusCode.INTERNAL,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.UNIMPLEMENTED,
    429: grpc.StatusCode.UNAVAILABLE,
    502: grpc.StatusCode.UNAVAILABLE,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.UNAVAILABLE,
}
# The same for a stream that the server has reset (doc/PROTOCOL-HTTP2.md).
RESET_CODES = {
    ErrorCodes.REFUSED_STREAM: grpc.StatusCode.UNAVAILABLE,
    ErrorCodes.CANCEL: grpc.StatusCode.CANCELLED,
    ErrorCodes.ENHANCE_YOUR_CALM: grpc.StatusCode.RESOURCE_EXHAUSTED,
    ErrorCodes.INADEQUATE_SECURITY: grpc.StatusCode.PERMISSION_DENIED,
}


class CallError(grpc.RpcError):
    """A call that has failed; it has the methods that the errors of gRPC's own library have."""

    def __init__(self, code: grpc.StatusCode, details: str, trailers: Headers | None = None):
        self._code = code
        self._details = details
        self._trailers = trailers or []
        super().__init__(f"{code.name}: {details}")

    def code(self) -> grpc.StatusCode:
        """Return the code of gRPC."""
        return self._code

    def details(self) -> str:
        """Return the text for people."""
        return self._details

    def trailing_metadata(self) -> Any:
        """Return the metadata behind the answer; values of `-bin` keys are bytes."""
        return [(key, decoded(key, value)) for key, value in self._trailers]


def unavailable(details: str) -> CallError:
    """Make the error of a connection that does not work."""
    return CallError(grpc.StatusCode.UNAVAILABLE, details)


def decoded(key: str, value: str) -> str | bytes:
    """Decode a value of metadata. Servers may leave out the padding of base64."""
    if not key.endswith("-bin"):
        return value
    try:
        return base64.b64decode(value + "=" * (-len(value) % 4))
    except binascii.Error:
        return value.encode()


def error_of_head(headers: Headers) -> CallError | None:
    """Return the error of an answer that is not one of gRPC; None if it is."""
    fields = dict(headers)
    http = fields.get(":status", "")
    if "grpc-status" in fields:
        return None
    if http != "200":
        code = HTTP_CODES.get(int(http) if http.isdecimal() else 0, grpc.StatusCode.UNKNOWN)
        return CallError(code, f"the answer has the HTTP status {http}")
    kind = fields.get("content-type", "")
    if not kind.startswith("application/grpc"):
        return CallError(grpc.StatusCode.UNKNOWN, f"the answer is {kind or 'of no type'}, not gRPC")
    return None


def error_of_trailers(trailers: Headers) -> CallError | None:
    """Return the error with which a call has ended; None if it has succeeded."""
    fields = dict(trailers)
    status = fields.get("grpc-status")
    if status is None:
        return CallError(grpc.StatusCode.UNKNOWN, "the answer ended without a status")
    if status == "0":
        return None
    code = CODES.get(int(status) if status.isdecimal() else -1, grpc.StatusCode.UNKNOWN)
    return CallError(code, unquote(fields.get("grpc-message", "")), trailers)


def error_of_reset(code: int | ErrorCodes) -> CallError:
    """Return the error of a stream that the server has reset."""
    known = ErrorCodes(code) if code in set(ErrorCodes) else None
    status = RESET_CODES.get(known, grpc.StatusCode.INTERNAL) if known is not None else None
    return CallError(status or grpc.StatusCode.INTERNAL, f"RST_STREAM with error code {int(code)}")
