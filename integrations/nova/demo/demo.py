"""Runs a small cloud on this machine, and prints what its servers did: see docs/nova.md.

    demo.py GUEST [--without-hostler] [--keep-logs FOLDER]

GUEST is a folder of guests/guest.sh. It expects a network of its own: scripts/contained.sh.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Callable

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import hosts
from cloud import Cloud
from controller import Controller, together
from services import Failed, Services
from steps import Steps


class Table:
    """The steps, with their results and times."""

    def __init__(self) -> None:
        self.failed = 0

    def step(self, name: str, work: Callable[[], str | None]) -> bool:
        """Do a step and print its line; returns whether it succeeded."""
        start = time.monotonic()
        try:
            result = work() or "done"
        except Failed as error:
            self.failed += 1
            result = f"FAILED: {error}"
        print(f"{name:44} {time.monotonic() - start:7.1f} s  {result}", flush=True)
        return not result.startswith("FAILED")


def run(folder: Path, services: Services, options: argparse.Namespace) -> int:
    """Start the cloud and do the steps; returns the number of those that failed."""
    table = Table()
    controller = Controller(folder, services)
    computes = hosts.make(folder)

    def start_computes() -> None:
        start = {"services": services, "without_hostler": options.without_hostler}
        together(*(partial(each.start, **start) for each in computes))
        cloud = Cloud(controller, services)
        services.wait("the computes", lambda: cloud.computes() == len(computes))
        controller.manage("cell_v2", "discover_hosts")
        services.wait("the hypervisors", lambda: cloud.hypervisors() == len(computes))

    print("Nova's own code" if options.without_hostler else "Hostler", "does the disk work")
    steps = Steps(Cloud(controller, services), services, computes, options)
    for name, work in [
        ("start Keystone, Glance, Placement and Nova", controller.start),
        ("start two computes", start_computes),
        *steps.needed(),
    ]:
        if not table.step(name, work):
            return table.failed
    for name, work in [*steps.others(), *steps.ends()]:
        table.step(name, work)
    return table.failed


def main() -> int:
    """Run the demo; returns the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("guest", type=Path)
    parser.add_argument("--without-hostler", action="store_true")
    parser.add_argument("--keep-logs", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        services = Services(folder / "logs")
        try:
            failed = run(folder, services, options)
        finally:
            services.stop()
            if options.keep_logs:
                shutil.copytree(folder / "logs", options.keep_logs, dirs_exist_ok=True)
    print("DEMO FAILED" if failed else "DEMO OK")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
