"""Runs Nova's functional tests of libvirt with real disks, and server_life.py.

    nova_functional.py [--old] [--libvirt GUEST] [--parts N] [NAME…]

It starts a daemon and a process with Nova, in which Hostler is in place, and watches which programs
that process and all below it start: none of those that Hostler replaces. --parts does that N times
at once, with a part of the tests each. With --old Nova uses its own code. Names, which may be those
of modules and classes, are run instead of those of nova_functional.txt. With --libvirt there is a
libvirtd too, and those of libvirt_life.py are run; GUEST is a folder of guests/guest.sh. The last
line has the counts.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import outside
from real_daemon import Daemon

IN_NOVA = Path(__file__).with_name("in_nova.py")
LIBVIRTD = Path(__file__).parents[1] / "guests/libvirtd.sh"
#: What no process of Nova may start.
REPLACED = {"qemu-img", "qemu-io", "qemu-nbd", "rsync", "cp", "dd", "ssh", "scp", "touch", "rm"}
#: What Hostler must have done.
EXPECTED = {"ConvertImage", "CopyImage", "CreateOverlay", "FetchImage", "ResizeImage", "TouchFile"}
WITH_LIBVIRT = {"CreateOverlay", "FetchImage", "FetchRawImage"}
WATCH = ["strace", "-f", "--seccomp-bpf", "-qq", "-e", "trace=execve,execveat", "-e", "signal=none"]
STARTED = re.compile(r'^\d+ +execve(?:at)?\((?:AT_FDCWD, )?"([^"]+)"(.*)')
Counts = collections.Counter[str]


@dataclass
class Outcome:
    """What a process with Nova has done."""

    tests: dict[str, str] = field(default_factory=dict)
    #: How often each program was started.
    programs: Counts = field(default_factory=collections.Counter)
    #: How often each call was made, by the audit log.
    calls: Counts = field(default_factory=collections.Counter)


def programs(log: Path) -> Counts:
    """Count the programs in the log of strace; the first one is Nova's process itself.

    What was not found does not count.
    """
    found: Counts = collections.Counter()
    for line in log.read_text(errors="replace").splitlines()[1:]:
        match = STARTED.match(line)
        if match and " = -1 " not in match[2]:
            found[Path(match[1]).name] += 1
    return found


def calls(log: Path) -> Counts:
    """Count the calls that changed something."""
    lines = map(json.loads, log.read_text().splitlines())
    return collections.Counter(
        line["rpc"].rpartition("/")[2] for line in lines if line["event"] == "call"
    )


@contextlib.contextmanager
def libvirtd(folder: Path, within: Sequence[str | Path] = ()) -> Iterator[str]:
    """Run a libvirtd with its files in a folder; the value is its socket.

    within: the words before it.
    """
    command = [*within, LIBVIRTD, folder]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline(), "libvirtd has not started"
        yield str(folder / "run/libvirt-sock")
    finally:
        process.stdin.close()
        process.wait(60)


def run(part: int, options: argparse.Namespace) -> Outcome:
    """Run a part of the tests, in a process and with a daemon of their own."""
    with contextlib.ExitStack() as stack:
        folder = Path(tempfile.mkdtemp())
        stack.callback(shutil.rmtree, folder)
        started, results, instances = folder / "started", folder / "results", folder / "images"
        environment = {**os.environ, outside.ADDRESS: str(folder / "outside.sock")}
        stack.callback(outside.serve(environment[outside.ADDRESS]).close)
        if options.old:
            instances.mkdir()
        else:
            daemon = Daemon(folder)
            stack.callback(daemon.end)
            environment["OS_HOSTLER__ADDRESS"] = daemon.socket
        if options.libvirt:
            socket = stack.enter_context(libvirtd(folder / "libvirt"))
            environment.update(LIBVIRT_SOCKET=socket, GUEST_FILES=options.libvirt)
            environment["INSTANCES"] = str(instances)
        watched = [*WATCH, "-o", str(started), sys.executable, "-W", "ignore", str(IN_NOVA)]
        watched += [str(instances), str(results), str(part), str(options.parts), *options.names]
        subprocess.run(watched, env=environment, check=False)
        outcome = Outcome(json.loads(results.read_text()), programs(started))
        if not options.old:
            outcome.calls = calls(folder / "audit.log")
    return outcome


def main() -> int:
    """Run them all; returns the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--old", action="store_true")
    parser.add_argument("--libvirt", metavar="GUEST")
    parser.add_argument("--parts", type=int, default=1)
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    expected = WITH_LIBVIRT if options.libvirt else EXPECTED
    if options.names:
        expected = set()
    elif options.libvirt:
        options.names = ["libvirt_life"]
    whole = Outcome()
    with ThreadPoolExecutor(options.parts) as pool:
        for one in pool.map(lambda part: run(part, options), range(options.parts)):
            whole.tests.update(one.tests)
            whole.programs += one.programs
            whole.calls += one.calls
    for name, outcome in sorted(whole.tests.items()):
        print(f"{name}: {outcome}")
    print("Nova started:", dict(whole.programs.most_common()))
    print("Hostler was called for:", dict(whole.calls.most_common()))
    if not options.old:
        wrong = REPLACED & set(whole.programs)
        assert not wrong, f"Nova started {wrong}"
        assert set(whole.calls) >= expected, expected - set(whole.calls)
    counts = collections.Counter(outcome.partition(":")[0] for outcome in whole.tests.values())
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return 1 if counts["failed"] or not counts["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
