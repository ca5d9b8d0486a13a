"""The daemon that the tests of the Python client start, too."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[3]


def of_python_client() -> Any:
    """Load what the tests of the Python client share."""
    path = REPOSITORY / "clients/python/tests/conftest.py"
    spec = importlib.util.spec_from_file_location("python_client_conftest", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


_shared = of_python_client()
Daemon = _shared.Daemon
other_daemon = _shared.other_daemon
