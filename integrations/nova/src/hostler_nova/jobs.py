"""Copies that a deletion of their instance can end."""

from __future__ import annotations

import contextlib
import itertools
from typing import Any

import hostler

#: Above all numbers that Linux gives to processes: killing one finds nobody.
_numbers = itertools.count(2**22 + 1)


class OperationPid(int):
    """Stands for an operation of hostlerd where Nova keeps the number of a process."""

    operation: hostler.Operation

    def cancel(self) -> None:
        """End the operation. One that has ended, or whose daemon is away, is no error."""
        with contextlib.suppress(hostler.HostlerError):
            self.operation.cancel()


class CopyJob:
    """What the callbacks of a copy get instead of a process."""

    def __init__(self, operation: hostler.Operation) -> None:
        self.pid = OperationPid(next(_numbers))
        self.pid.operation = operation


def cancel_all(pids: Any) -> None:
    """End the operations among the numbers of processes."""
    for pid in list(pids):
        if isinstance(pid, OperationPid):
            pid.cancel()
