"""The process of nova_functional.py that has Nova in it.

    in_nova.py INSTANCES RESULTS PART PARTS [NAME…]

It runs a part of the tests of nova_functional.txt and of server_life.py, with their disks in the
folder INSTANCES, and writes the outcome of each into the file RESULTS. With names, which may be
those of modules and classes, it runs these. Hostler is in place if oslo.config's variable
OS_HOSTLER__ADDRESS says where it is.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any

import nova.monkey_patch  # noqa: F401  # It comes before all that uses sockets.
from nova_lists import each, listed

LIST = Path(__file__).with_name("nova_functional.txt")
THEIRS = "nova.tests.functional.libvirt"
OURS = "server_life"


def short(test: unittest.TestCase) -> str:
    """Return the name of a test as the list has it: MODULE.CLASS.METHOD."""
    return test.id().removeprefix(f"{THEIRS}.")


def chosen(names: list[str], part: int, parts: int) -> list[unittest.TestCase]:
    """Return the tests to run; fails if the list and this Nova do not have the same."""
    if names:
        return list(each(unittest.defaultTestLoader.loadTestsFromNames(names)))[part::parts]
    rows = listed(LIST)
    modules = sorted({f"{THEIRS}.{name.partition('.')[0]}" for name in rows})
    tests = list(each(unittest.defaultTestLoader.loadTestsFromNames(modules)))
    strange = set(rows) ^ {short(test) for test in tests}
    assert not strange, f"{LIST.name} and this Nova do not have the same tests: {sorted(strange)}"
    tests = [test for test in tests if rows[short(test)] == "run"]
    tests += each(unittest.defaultTestLoader.loadTestsFromNames([OURS]))
    return tests[part::parts]


class Outcomes(unittest.TextTestResult):
    """Notes how each test has ended."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.outcomes: dict[str, str] = {}

    def addSuccess(self, test: Any) -> None:  # noqa: N802
        self.outcomes[short(test)] = "passed"
        super().addSuccess(test)

    def stopTest(self, test: Any) -> None:  # noqa: N802
        for outcome, tests in (("failed", self.failures), ("failed", self.errors)):
            if tests and tests[-1][0] is test:
                self.outcomes[short(test)] = outcome
                self.stream.writeln(tests[-1][1][-3000:])
        if self.skipped and self.skipped[-1][0] is test:
            self.outcomes[short(test)] = f"skipped: {self.skipped[-1][1]}"
        super().stopTest(test)


def main() -> int:
    """Run them; returns the exit code."""
    folder, results, part, parts, *names = sys.argv[1:]
    instances = Path(folder)
    tempfile.tempdir = str(instances.parent)
    if "OS_HOSTLER__ADDRESS" in os.environ:
        from hostler_nova import agent, place

        place.put_in_place()
        assert agent.uses_h2(), "this Nova runs under eventlet"
    # From here on functions are kept to be put back: Hostler's, if it is in place.
    import real_storage
    from fake_glance import FakeGlance

    real_storage.use(instances, FakeGlance())
    tests = chosen(names, int(part), int(parts))
    runner = unittest.TextTestRunner(verbosity=2, resultclass=Outcomes)
    result = runner.run(unittest.TestSuite(tests))
    Path(results).write_text(json.dumps(result.outcomes))  # type: ignore[attr-defined]
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
