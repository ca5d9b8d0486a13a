"""Tools that a test of Nova's process uses, but that this process must not start.

A test that watches which programs Nova starts would find its own ones among them. So the process
that started this one runs them, and answers over a socket.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any

ADDRESS = "OUTSIDE_TOOLS"


def serve(address: str) -> Listener:
    """Run what processes below this one ask for, until the listener is closed."""
    listener = Listener(address, "AF_UNIX")

    def answer(connection: Connection) -> None:
        with connection:
            done = subprocess.run(connection.recv(), capture_output=True, check=False, text=True)
            connection.send((done.returncode, done.stdout, done.stderr))

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(listener.accept(),), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener


def run(*command: str) -> str:
    """Run a tool in the other process; returns its standard output."""
    with Client(os.environ[ADDRESS], "AF_UNIX") as connection:
        connection.send(command)
        code, output, errors = connection.recv()
    assert code == 0, f"{command} ended with {code}: {errors}"
    return str(output)


def info(path: Path) -> Any:
    """Return what qemu-img says of an image."""
    return json.loads(run("qemu-img", "info", "-U", "--output=json", str(path)))
