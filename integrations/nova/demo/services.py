"""Programs that belong to the demo: they are started here, and end with it."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable

#: How many seconds something may take: guests have no KVM, and services share the processors.
PATIENCE = 600

Command = Sequence["str | Path"]


class Failed(Exception):
    """A step has failed; the text says why."""


class Services:
    """Starts programs, with their output in files of one folder, and ends them."""

    def __init__(self, folder: Path) -> None:
        self._logs = folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        folder.mkdir()

    def log(self, name: str) -> Path:
        """The file with the output of a program."""
        return self._logs / f"{name}.log"

    def start(self, name: str, command: Command, **environment: str) -> None:
        """Start a program that stays; its standard input is open until it is stopped."""
        with self.log(name).open("ab") as log:
            self._processes[name] = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**os.environ, **environment},
                start_new_session=True,
            )

    def run(self, name: str, command: Command, **environment: str) -> None:
        """Run a program to its end; raises Failed if its exit code is not 0."""
        with self.log(name).open("ab") as log:
            done = subprocess.run(
                command,
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **environment},
            )
        if done.returncode:
            raise Failed(f"{name} ended with {done.returncode}:\n{self.tail(name)}")

    def kill(self, name: str) -> None:
        """End a program by SIGKILL."""
        process = self._processes.pop(name)
        process.kill()
        process.wait()

    def stop(self) -> None:
        """End all, those that were started last first."""
        while self._processes:
            _, process = self._processes.popitem()
            if process.stdin:
                process.stdin.close()
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def tail(self, name: str) -> str:
        """The last lines of a program's output."""
        return "\n".join(self.log(name).read_text(errors="replace").splitlines()[-25:])

    def wait(self, what: str, condition: Callable[[], Any], seconds: float = PATIENCE) -> Any:
        """Wait until the condition has a value, and return it; raises Failed."""
        end = time.monotonic() + seconds
        while True:
            value = condition()
            if value:
                return value
            for name, process in list(self._processes.items()):
                if process.poll() is not None:
                    raise Failed(f"{name} ended with {process.returncode}:\n{self.tail(name)}")
            if time.monotonic() > end:
                raise Failed(f"{what}: not within {seconds:.0f} s")
            time.sleep(0.25)
