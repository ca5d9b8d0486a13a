"""Runs the tests of libvirt_migration.py: two computes in network namespaces with a cable.

    two_computes.py GUEST

Each has a hostlerd, a libvirtd and a process with Nova. Both see their own images at the same path,
as on two hosts. Nova's processes are watched as in nova_functional.py. GUEST is a folder of
guests/guest.sh. The last line has the counts. Needs root.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from nova_functional import IN_NOVA, REPLACED, WATCH, Outcome, calls, libvirtd, programs
from real_daemon import REPOSITORY

#: A program that sees the folder $1 as $2.
SEEING = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'
HOSTLER = REPOSITORY / "bin/hostler"
#: Waits until the daemon at $2 answers.
ANSWERS = 'until "$1" --address "$2" host arch x86_64 >/dev/null 2>&1; do sleep 0.2; done'


def sh(*command: str | Path) -> None:
    """Run a command that must succeed."""
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


@dataclass(frozen=True)
class Compute:
    """One of the two."""

    #: What both have: the authority's folder, and the path of the images.
    shared: Path
    #: The process that holds its network namespace.
    space: int
    name: str
    address: str
    test: str

    @property
    def folder(self) -> Path:
        """The folder of this one."""
        return self.shared / self.name

    @property
    def within(self) -> list[str | Path]:
        """The words that run a program on it."""
        space = ["nsenter", f"--net=/proc/{self.space}/ns/net", "unshare", "--mount"]
        images = [self.folder / "images", self.shared / "images"]
        return [*space, "bash", "-c", SEEING, "bash", *images]

    def prepare(self, other: Compute) -> None:
        """Make its folder, its certificates and the configuration of its daemon."""
        (self.folder / "images").mkdir(parents=True)
        pki = self.shared / "pki"
        names = ["--dns", f"{self.name}.example", "--ip", self.address]
        sh(HOSTLER, "cert", "issue", pki, self.name, "--kind", "agent", *names)
        nova = ["--uri", f"spiffe://example.org/nova-{self.name}"]
        sh(HOSTLER, "cert", "issue", pki, f"nova-{self.name}", "--kind", "client", *nova)
        (self.folder / "hostler.toml").write_text(f"""
state_dir = "{self.folder}/state"
instances_path = "{self.shared}/images"
[server]
http = ""
listen = ["unix://{self.folder}/s.sock", "tcp://{self.address}:16520"]
[tls]
ca = "{pki}/ca.pem"
cert = "{pki}/{self.name}.pem"
key = "{pki}/{self.name}.key"
[[callers]]
name = "dns:{other.name}.example"
role = "agent"
read = ["{self.shared}/images"]
write = ["{self.shared}/images"]
[[callers]]
name = "uri:spiffe://example.org/nova-{other.name}"
role = "operator"
[[peers]]
host = "{other.address}"
[[peers]]
host = "{other.name}.example"
address = "{other.address}:16520"
trusted = true
[exports]
host = "{self.name}.example"
address = "{self.address}"
[[roots]]
path = "{self.shared}/images"
[audit]
file = "{self.folder}/audit.log"
""")

    @contextlib.contextmanager
    def daemon(self) -> Iterator[str]:
        """Run its hostlerd; the value is its address."""
        address = f"unix://{self.folder}/s.sock"
        with (self.folder / "hostlerd.log").open("w") as log:
            command: list[str | Path] = [
                REPOSITORY / "bin/hostlerd",
                "--config",
                self.folder / "hostler.toml",
            ]
            process = subprocess.Popen([*self.within, *command], stdout=log, stderr=log)
            try:
                sh("timeout", "60", "bash", "-c", ANSWERS, "bash", HOSTLER, address)
                yield address
            finally:
                process.terminate()
                process.wait(60)

    def run(self, other: Compute, guest: str) -> Outcome:
        """Run its test."""
        pki, started = self.shared / "pki", self.folder / "started"
        images, results = self.shared / "images", self.folder / "results"
        with contextlib.ExitStack() as stack:
            address = stack.enter_context(self.daemon())
            socket = stack.enter_context(libvirtd(self.folder / "libvirt", self.within))
            environment = {
                **os.environ,
                "COMPUTES_MEET": str(self.shared / "meeting"),
                "GUEST_FILES": guest,
                "INSTANCES": str(images),
                "LIBVIRT_SOCKET": socket,
                "OTHER_COMPUTE": other.address,
                "OS_DEFAULT__MY_IP": self.address,
                "OS_HOSTLER__ADDRESS": address,
                "OS_HOSTLER__REMOTE_ADDRESS": "tcp://{host}:16520",
                "OS_HOSTLER__REMOTE_AGENT": "true",
                "OS_HOSTLER__TLS_CA": str(pki / "ca.pem"),
                "OS_HOSTLER__TLS_CERT": str(pki / f"nova-{self.name}.pem"),
                "OS_HOSTLER__TLS_KEY": str(pki / f"nova-{self.name}.key"),
            }
            nova = [sys.executable, "-W", "ignore", str(IN_NOVA), str(images), str(results)]
            watched = [*self.within, *WATCH, "-o", started, *nova, "0", "1", self.test]
            subprocess.run(watched, env=environment, check=False)
        outcome = Outcome(json.loads(results.read_text()), programs(started))
        outcome.calls = calls(self.folder / "audit.log")
        return outcome


@contextlib.contextmanager
def namespace() -> Iterator[int]:
    """Make a network namespace; the value is a process that is in it until the end."""
    command = ["unshare", "--net", "bash", "-c", "ip link set lo up && echo && exec sleep infinity"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        assert process.stdout.readline(), "there is no network namespace"
        yield process.pid
    finally:
        process.kill()
        process.wait()


def connect(one: Compute, other: Compute) -> None:
    """Lay a cable between two computes."""
    peer = ["peer", "name", "cable", "netns", str(other.space)]
    sh("ip", "link", "add", "cable", "netns", str(one.space), "type", "veth", *peer)
    for compute in (one, other):
        words = ["nsenter", f"--net=/proc/{compute.space}/ns/net", "ip"]
        sh(*words, "addr", "add", f"{compute.address}/24", "dev", "cable")
        sh(*words, "link", "set", "cable", "up")


def main() -> int:
    """Run both; returns the exit code."""
    (guest,) = sys.argv[1:]
    with contextlib.ExitStack() as stack:
        shared = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (shared / "images").mkdir()
        sh(HOSTLER, "cert", "init", shared / "pki")
        left, right = (stack.enter_context(namespace()) for _ in range(2))
        one = Compute(shared, left, "a", "10.98.0.1", "libvirt_migration.Source")
        other = Compute(shared, right, "b", "10.98.0.2", "libvirt_migration.Target")
        one.prepare(other)
        other.prepare(one)
        connect(one, other)
        with ThreadPoolExecutor(2) as pool:
            outcomes = list(pool.map(Compute.run, (one, other), (other, one), (guest, guest)))
    passed = failed = 0
    for outcome in outcomes:
        print("Nova started:", dict(outcome.programs.most_common()))
        print("Hostler was called for:", dict(outcome.calls.most_common()))
        wrong = REPLACED & set(outcome.programs)
        assert not wrong, f"Nova started {wrong}"
        for name, result in outcome.tests.items():
            print(f"{name}: {result}")
            passed, failed = passed + (result == "passed"), failed + (result != "passed")
    assert {"CopyImage", "CreateDirectory"} <= set(outcomes[0].calls) | set(outcomes[1].calls)
    print(f"{passed} passed, {failed} failed, 0 skipped")
    return 1 if failed or passed != 2 else 0


if __name__ == "__main__":
    sys.exit(main())
