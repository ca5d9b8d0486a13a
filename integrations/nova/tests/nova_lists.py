"""Lists of Nova's own tests, with what to do with each."""

from __future__ import annotations

import unittest
from collections.abc import Iterator
from pathlib import Path


def listed(file: Path) -> dict[str, str]:
    """Return what to do with each test of a list: `run`, or the reason why not."""
    lines = [line.split(maxsplit=1) for line in file.read_text().splitlines()]
    return {words[0]: words[1] for words in lines if words and words[0] != "#"}


def each(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    """Return the tests of a suite, without its groups."""
    for one in suite:
        if isinstance(one, unittest.TestSuite):
            yield from each(one)
        else:
            yield one
