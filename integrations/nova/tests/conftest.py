"""A real daemon for all tests, and Nova's configuration that names it.

With EVENTLET=1 everything runs under eventlet's monkey patching, as in nova-compute.
"""

from __future__ import annotations

import os

if os.environ.get("EVENTLET"):
    import eventlet

    eventlet.monkey_patch()

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hostler
import pytest
from real_daemon import Daemon

GREEN = bool(os.environ.get("EVENTLET"))
QUICK = hostler.Retry(first_delay=0.1, longest_delay=1.0, patience=90.0, attempts=1000)


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Run a daemon while the tests run."""
    one = Daemon(tmp_path_factory.mktemp("daemon"))
    try:
        yield one
    finally:
        one.end()


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the settings of the person who runs the tests."""
    for name in list(os.environ):
        if name.startswith("HOSTLER_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def conf(daemon: Any) -> Iterator[Any]:
    """Give nova.conf the daemon of the tests."""
    from hostler_nova.agent import CONF

    CONF([], project="nova", default_config_files=[])
    CONF.set_override("address", daemon.socket, group="hostler")
    CONF.set_override("patience", 60.0, group="hostler")
    CONF.set_override("instances_path", str(daemon.root))
    yield CONF
    CONF.reset()
    for name in ("address", "patience", "fallback", "transport"):
        CONF.clear_override(name, group="hostler")
    CONF.clear_override("instances_path")
