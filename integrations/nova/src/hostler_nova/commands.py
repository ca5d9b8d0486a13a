"""Configured commands of the host, called as oslo's processutils are."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Union

import hostler
from hostler import v1
from oslo_concurrency import processutils

from hostler_nova.agent import client
from hostler_nova.errors import Work, as_nova

Input = Union[str, bytes, None]


@dataclass
class Output:
    """What a command has written, and how it has ended."""

    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)
    exit_code: int | None = None

    def take(self, answer: v1.ExecuteResponse) -> None:
        """Add a piece."""
        self.stdout += answer.stdout
        self.stderr += answer.stderr
        if answer.HasField("exit_code"):
            self.exit_code = answer.exit_code


def run(name: str, args: Sequence[str], stdin: bytes) -> Output:
    """Run a command once; raises HostlerError if it has no exit code."""
    output = Output()
    request = v1.ExecuteRequest(name=name, args=args, stdin=stdin)
    try:
        with client().command.execute(request) as answers:
            for answer in answers:
                output.take(answer)
    except hostler.StatusError as error:
        # The exit code came before: whether it is accepted is for the caller.
        if error.reason != "TOOL_FAILED" or output.exit_code is None:
            raise
    return output


def execute(
    *command: object,
    process_input: Input = None,
    check_exit_code: bool | int | Sequence[int] = True,
    attempts: int = 1,
    delay_on_retry: bool = True,
    run_as_root: bool = False,
) -> tuple[str, str]:
    """Run a command that hostlerd's configuration names; returns standard output and error.

    The first argument is its name there. Raises ProcessExecutionError if the exit code is none of
    check_exit_code, and OSError (ENOENT) for a command that is not configured or not installed.
    The configuration says as which user it runs.
    """
    name, *args = map(str, command)
    stdin = process_input.encode() if isinstance(process_input, str) else process_input or b""
    while True:
        attempts -= 1
        with as_nova(Work.COMMAND, name):
            output = run(name, args, stdin)
        stdout, stderr = (
            bytes(each).decode(errors="surrogateescape") for each in (output.stdout, output.stderr)
        )
        if accepted(output.exit_code, check_exit_code):
            return stdout, stderr
        if attempts <= 0:
            raise processutils.ProcessExecutionError(
                exit_code=output.exit_code,
                stdout=stdout,
                stderr=stderr,
                cmd=" ".join([name, *args]),
            )
        if delay_on_retry:
            time.sleep(random.uniform(0.2, 2.0))  # noqa: S311


def accepted(code: int | None, check: bool | int | Sequence[int]) -> bool:
    """Whether an exit code is one that the caller takes for a success; False: all are."""
    if isinstance(check, bool):
        return not check or code == 0
    return code == check if isinstance(check, int) else code in check
