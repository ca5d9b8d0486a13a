"""When a call is made again, and after how long."""

from __future__ import annotations

import random
import time
import uuid
from dataclasses import dataclass
from typing import TypeVar

from google.protobuf.message import Message

from hostler.errors import HostlerError, NoAnswer, StatusError

M = TypeVar("M", bound=Message)
REQUEST_ID = "request_id"
# Reasons that a daemon gives because it ends; the next one can take the call.
RESTART_REASONS = frozenset({"SHUTTING_DOWN", "AGENT_RESTARTED"})


@dataclass(frozen=True)
class Retry:
    """How a call is repeated that has a request_id: after a lost connection or a restart.

    reasons: errors after which the call is made again besides; docs/errors.md marks those that can
    be repeated with `later`.
    first_delay, longest_delay: seconds to wait; each wait is twice the one before, with a random
    part. A delay that the daemon asks for is kept.
    patience: seconds after which an outage is given up. Each event of the daemon ends an outage.
    attempts: how often the call is made at most.
    """

    reasons: frozenset[str] = RESTART_REASONS
    first_delay: float = 1.0
    longest_delay: float = 60.0
    patience: float = 300.0
    attempts: int = 20


#: Each call is made once.
NO_RETRY = Retry(attempts=1)


class Attempts:
    """Counts the attempts of one call."""

    def __init__(self, retry: Retry, *, timeout: float | None = None) -> None:
        self._retry = retry
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._made = 1
        self._outage_began: float | None = None
        self._waits = 0

    def remaining(self) -> float | None:
        """Seconds until the deadline of the whole call, for the next attempt."""
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def answered(self) -> None:
        """Note that the daemon has sent something: an outage is over."""
        self._outage_began = None
        self._waits = 0

    def may_repeat(self, error: HostlerError) -> bool:
        """Whether the same call can succeed after this error."""
        if isinstance(error, NoAnswer):
            return error.passing
        return isinstance(error, StatusError) and error.reason in self._retry.reasons

    def delay(self, error: HostlerError) -> float:
        """Count a failure and return the seconds to wait; raises the error if it is the last."""
        now = time.monotonic()
        if self._outage_began is None:
            self._outage_began = now
        if not self.may_repeat(error) or self._made >= self._retry.attempts:
            raise error
        longest = min(self._retry.longest_delay, self._retry.first_delay * 2.0**self._waits)
        # The random part keeps many callers from coming back at once.
        wait = longest * random.uniform(0.5, 1.0)  # noqa: S311
        if isinstance(error, StatusError) and error.retry_delay is not None:
            wait = max(wait, error.retry_delay)
        end = self._outage_began + self._retry.patience
        if now + wait > (end if self._deadline is None else min(end, self._deadline)):
            raise error
        self._made += 1
        self._waits += 1
        return wait


def has_request_id(request: Message) -> bool:
    """Whether requests of this type can be repeated by their request_id."""
    return REQUEST_ID in request.DESCRIPTOR.fields_by_name


def with_request_id(request: M) -> M:
    """Return a copy of the request that has a request_id, if its type can have one."""
    copy = type(request)()
    copy.CopyFrom(request)
    if has_request_id(copy) and not getattr(copy, REQUEST_ID):
        setattr(copy, REQUEST_ID, str(uuid.uuid4()))
    return copy
