"""Runs Nova's own tests, unmodified, with Hostler in place of Nova's own code.

It starts a daemon whose root is the folder of temporary files, names it by the variables that
oslo.config reads, and puts the package in place. Of the tests of Nova's test_utils.py it runs those
that nova_own_tests.txt marks with `run`. The last line has the counts.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any
from unittest import mock

from nova_lists import each, listed
from real_daemon import Daemon

LIST = Path(__file__).with_suffix(".txt")
EXPECTED = {
    "CopyImage",
    "DetectDiskType",
    "FindRootDisk",
    "GetArchitecture",
    "GetInstancePathAtDestination",
    "ReadFile",
    "ValidateHostname",
}
TESTS = "nova.tests.unit.virt.libvirt.test_utils"


def name_of(test: unittest.TestCase) -> str:
    """Return the name of a test; ddt appends number and values of its data, which are left out."""
    return re.sub(r"_\d+(_.*)?$", "", test.id().rpartition(".")[2])


def main() -> int:
    """Run them; returns the exit code."""
    daemon = Daemon(Path(tempfile.mkdtemp()))
    try:
        tempfile.tempdir = str(daemon.root)
        os.environ["OS_HOSTLER__ADDRESS"] = daemon.socket
        os.environ["OS_DEFAULT__INSTANCES_PATH"] = str(daemon.root)
        tests = list(each(unittest.defaultTestLoader.loadTestsFromName(TESTS)))
        rows = listed(LIST)
        strange = set(rows) ^ {name_of(test) for test in tests}
        if strange:
            print(f"{LIST.name} and this Nova do not have the same tests: {sorted(strange)}")
            return 1

        from hostler_nova import agent, place
        from hostler_nova.h2channel import H2Channel

        methods: set[str] = set()

        class Seen(H2Channel):
            """Notes which RPCs are called."""

            def unary_unary(self, method: str, *functions: Any) -> Any:
                methods.add(method.rpartition("/")[2])
                return super().unary_unary(method, *functions)

            def unary_stream(self, method: str, *functions: Any) -> Any:
                methods.add(method.rpartition("/")[2])
                return super().unary_stream(method, *functions)

        place.put_in_place()
        assert agent.uses_h2(), "the tests of this Nova run under eventlet"
        chosen = unittest.TestSuite(test for test in tests if rows[name_of(test)] == "run")
        with mock.patch.object(agent, "H2Channel", Seen):
            result = unittest.TextTestRunner(verbosity=2).run(chosen)
        assert methods >= EXPECTED, f"these went past Hostler: {EXPECTED - methods}"
    finally:
        daemon.end()
    failed = len(result.failures) + len(result.errors)
    passed = result.testsRun - failed - len(result.skipped)
    print(f"{passed} passed, {failed} failed, {len(result.skipped)} skipped")
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
