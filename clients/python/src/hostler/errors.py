"""What can go wrong, as types. All of them are a HostlerError."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo

if TYPE_CHECKING:
    from hostler import v1

CODES: Mapping[int, grpc.StatusCode] = MappingProxyType(
    {code.value[0]: code for code in grpc.StatusCode}
)


class HostlerError(Exception):
    """Every error of this package."""


class ConfigurationError(HostlerError):
    """An argument, a variable of the environment or the file of contexts is wrong."""


class ContractError(HostlerError):
    """The agent serves another major version of the contract than this client speaks."""


class FeatureMissing(HostlerError):
    """The agent does not have a feature that was required."""

    def __init__(self, missing: tuple[str, ...], agent_version: str) -> None:
        self.missing = missing
        super().__init__(
            f"the agent (version {agent_version}) does not have: {', '.join(missing)}; "
            "update it, or configure what is missing"
        )


class DownloadError(HostlerError):
    """The bytes of a download do not have the digest that the daemon gave for them."""


@dataclass(frozen=True)
class FieldViolation:
    """A wrong field of a request."""

    field: str
    description: str


class StatusError(HostlerError):
    """The daemon's answer is an error.

    Read `reason`, a word of docs/errors.md; a reason that a program does not know it treats by its
    `code`. The text is for people. `reason` is empty if the answer has no details, as that of a
    proxy or of a deadline that passed on this side.
    """

    def __init__(self, code: grpc.StatusCode, message: str, details: tuple[Any, ...] = ()) -> None:
        self.code = code
        self.message = message
        #: All details as they came, also those of types that this client does not know.
        self.details = details
        self.reason = ""
        #: Facts by name: path, holders, needed, free, stderr and others.
        self.facts: Mapping[str, str] = MappingProxyType({})
        self.field_violations: tuple[FieldViolation, ...] = ()
        #: Seconds to wait before the same call, or None.
        self.retry_delay: float | None = None
        for detail in details:
            try:
                self._read(detail)
            except DecodeError:
                continue  # It stays in details.
        super().__init__(f"{message} [{self.reason or code.name}]")

    def _read(self, detail: Any) -> None:
        info, request, retry = ErrorInfo(), BadRequest(), RetryInfo()
        if detail.Unpack(info):
            self.reason = info.reason
            self.facts = MappingProxyType(dict(info.metadata))
        elif detail.Unpack(request):
            self.field_violations = tuple(
                FieldViolation(each.field, each.description) for each in request.field_violations
            )
        elif detail.Unpack(retry):
            delay = retry.retry_delay
            self.retry_delay = delay.seconds + delay.nanos / 1e9

    @classmethod
    def of(cls, status: v1.Status) -> StatusError:
        """Make an error of a status inside a message: of an event, a retry, an image of a batch."""
        code = CODES.get(status.code, grpc.StatusCode.UNKNOWN)
        return cls(code, status.message, tuple(status.details))


class Problem(enum.Enum):
    """Why the daemon has not answered; the value is what happened, in words."""

    NO_SUCH_SOCKET = "there is no such socket"
    NOBODY_LISTENS = "nothing listens there"
    SOCKET_FORBIDDEN = "this user may not write to the socket"
    UNKNOWN_HOST = "the name of the host is not known"
    UNREACHABLE = "the host cannot be reached"
    WRONG_NAME = "the certificate of the daemon is for another name"
    UNKNOWN_AUTHORITY = (
        "the certificate of the daemon is from another authority than the CA file has"
    )
    CERTIFICATE_EXPIRED = "the certificate of the daemon has expired or is not valid yet"
    TLS_REQUIRED = "the daemon speaks TLS on this address, and no TLS files are set"
    NO_TLS = "the daemon does not speak TLS on this address"
    CLIENT_REFUSED = "the daemon does not accept the certificate of this client"
    NOT_HOSTLER = "something else than hostlerd answers there"
    CONNECTION_LOST = "the connection was lost before the daemon answered"


ADVICE: Mapping[Problem, str] = MappingProxyType(
    {
        Problem.NO_SUCH_SOCKET: "Start hostlerd, or name another address.",
        Problem.NOBODY_LISTENS: "Start hostlerd, or name another address.",
        Problem.SOCKET_FORBIDDEN: "Run the program as a user or group that owns the socket.",
        Problem.UNKNOWN_HOST: "Check the name in the address.",
        Problem.UNREACHABLE: "Check the network between the two hosts.",
        Problem.WRONG_NAME: "Use a name of the certificate in the address.",
        Problem.UNKNOWN_AUTHORITY: "Name the authority of the daemon as the CA file.",
        Problem.CERTIFICATE_EXPIRED: "Renew the certificate, or compare the clocks of both hosts.",
        Problem.TLS_REQUIRED: "Set the CA, the certificate and the key.",
        Problem.NO_TLS: "Leave out the TLS files, or name the address that has TLS.",
        Problem.CLIENT_REFUSED: "Use a valid certificate of the authority that the daemon knows.",
        Problem.NOT_HOSTLER: "Use the address of the daemon.",
        Problem.CONNECTION_LOST: "Make the same call again, with the same request_id.",
    }
)
#: What a restart of the daemon explains, so that the same call can succeed.
PASSING = frozenset(
    {
        Problem.NO_SUCH_SOCKET,
        Problem.NOBODY_LISTENS,
        Problem.UNKNOWN_HOST,
        Problem.UNREACHABLE,
        Problem.CONNECTION_LOST,
    }
)


class NoAnswer(HostlerError):
    """No daemon has answered. A change may be made, be under way, or never have begun."""

    def __init__(self, address: str, problem: Problem, cause: str = "") -> None:
        self.code = grpc.StatusCode.UNAVAILABLE
        self.address = address
        self.problem = problem
        #: What to do about it.
        self.advice = ADVICE[problem]
        #: What gRPC or the system said.
        self.cause = cause
        said = f" ({cause})" if cause and problem is Problem.CONNECTION_LOST else ""
        super().__init__(f"no answer from {address}: {problem.value}{said}. {self.advice}")

    @property
    def passing(self) -> bool:
        """Whether the same call can succeed later although nobody changes the settings."""
        return self.problem in PASSING
