"""A real daemon for all tests, and clients of it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import hostler
from hostler import v1

REPOSITORY = Path(__file__).resolve().parents[3]
#: Comes back soon, and gives up soon when it cannot.
QUICK = hostler.Retry(first_delay=0.1, longest_delay=1.0, patience=90.0, attempts=1000)


class Daemon:
    """The daemon that clients/testing/daemon.sh runs."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [REPOSITORY / "clients/testing/daemon.sh", folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the daemon has not started"
        facts = json.loads(line)
        self.folder = folder
        self.root = Path(facts["root"])
        self.socket: str = facts["socket"]
        self.tls = f"tcp://{facts['tls']}"
        self.wrong_name = f"tcp://{facts['wrong_name']}"
        self.www = f"http://127.0.0.1:{facts['www']}"

    def order(self, word: str) -> None:
        """Kill, stop or start the daemon, and wait until that is done."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "ok\n"

    def files(self, name: str = "client", ca: str = "ca.pem") -> hostler.Tls:
        """Return the TLS files of a caller."""
        pki = self.folder / "pki"
        return hostler.Tls(str(pki / ca), str(pki / f"{name}.pem"), str(pki / f"{name}.key"))

    def end(self) -> None:
        """End it and all that it started."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)


@contextlib.contextmanager
def other_daemon(folder: Path, address: str, limits: str = "") -> Iterator[None]:
    """Run a daemon without TLS in a folder, with limits of its own."""
    config = folder / "other.toml"
    (folder / "images").mkdir()
    config.write_text(
        f'state_dir = "{folder}/state"\ninstances_path = "{folder}/images"\n'
        f'[server]\nhttp = ""\nlisten = ["{address}"]\n'
        f'[limits]\n{limits}\n[[roots]]\npath = "{folder}/images"\n'
    )
    with (folder / "other.log").open("w") as log:
        process = subprocess.Popen(
            [REPOSITORY / "bin/hostlerd", "--config", config], stdout=log, stderr=log
        )
        try:
            # A watch waits for a daemon that is not there yet.
            with hostler.Client(address, retry=QUICK) as client:
                request = v1.WatchOperationRequest(operation_id="none")
                with pytest.raises(hostler.StatusError):
                    client.operation.watch_operation(request).wait()
            yield
        finally:
            process.terminate()
            process.wait(60)


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Run a daemon while the tests run."""
    one = Daemon(tmp_path_factory.mktemp("daemon"))
    try:
        yield one
    finally:
        one.end()


@pytest.fixture
def client(daemon: Daemon) -> Iterator[hostler.Client]:
    """Connect by the Unix socket, as an admin."""
    with hostler.Client(daemon.socket, retry=QUICK) as one:
        yield one


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the settings of the person who runs the tests."""
    for name in list(os.environ):
        if name.startswith("HOSTLER_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
