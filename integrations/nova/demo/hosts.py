"""The compute hosts: each has a name, an address, a hostlerd, a libvirtd and a nova-compute."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import settings
from services import Services
from two_computes import HOSTLER, SEEING, Compute

HERE = Path(__file__).resolve().parent
LIBVIRTD = HERE.parent / "guests/libvirtd.sh"
NOVA = Path(sys.executable).with_name("hostler-nova-compute")


@dataclass(frozen=True)
class Host(Compute):
    """One of them. Both see their own images at the same path, as on two machines."""

    @property
    def within(self) -> list[str | Path]:
        """The words that run a program on it: its own images, and its own host name."""
        images = [self.folder / "images", self.shared / "images"]
        named = f'hostname "$0" && {SEEING}'
        return ["unshare", "--mount", "--uts", "bash", "-c", named, f"compute-{self.name}", *images]

    def start(self, services: Services, *, without_hostler: bool) -> None:
        """Start its three services."""
        if not without_hostler:
            self.start_hostlerd(services)
        services.start(f"libvirtd-{self.name}", [*self.within, LIBVIRTD, self.folder / "libvirt"])
        log = services.log(f"libvirtd-{self.name}")
        services.wait("libvirtd", lambda: "ready" in log.read_text())
        configuration = self.folder / "nova-compute.conf"
        files = f"--config-file {self.shared}/nova.conf --config-file {configuration}"
        images = self.shared / "images"
        text = settings.nova_compute(self.folder, images, files)
        configuration.write_text(text + self.options())
        command: list[str | Path] = [NOVA]
        if without_hostler:
            main = "import sys; from nova.cmd.compute import main; sys.exit(main())"
            command = [sys.executable, "-c", main]
        services.start(f"nova-compute-{self.name}", [*self.within, *command, *files.split()])

    def start_hostlerd(self, services: Services) -> None:
        """Start its hostlerd, and wait until it answers."""
        daemon = HERE.parents[2] / "bin/hostlerd"
        name = f"hostlerd-{self.name}"
        services.start(name, [*self.within, daemon, "--config", self.folder / "hostler.toml"])
        services.wait(name, self.hostlerd_answers)

    def kill_hostlerd(self, services: Services) -> None:
        """End its hostlerd by SIGKILL."""
        services.kill(f"hostlerd-{self.name}")

    def files(self) -> set[Path]:
        """What is in its folder of images, at any depth."""
        return set((self.folder / "images").rglob("*"))

    def hostlerd_answers(self) -> bool:
        """Whether its hostlerd answers."""
        address = f"unix://{self.folder}/s.sock"
        call: list[str | Path] = [HOSTLER, "--address", address, "host", "arch", "x86_64"]
        return subprocess.run(call, capture_output=True, check=False).returncode == 0

    def options(self) -> str:
        """What differs between the hosts in nova.conf."""
        pki = self.shared / "pki"
        return f"""
[DEFAULT]
host = compute-{self.name}
my_ip = {self.address}
[hostler]
address = unix://{self.folder}/s.sock
remote_agent = true
remote_address = tcp://{{host}}:16520
tls_ca = {pki}/ca.pem
tls_cert = {pki}/nova-{self.name}.pem
tls_key = {pki}/nova-{self.name}.key
"""


def make(folder: Path) -> list[Host]:
    """Prepare two hosts in a folder."""
    (folder / "images").mkdir()
    subprocess.run([HOSTLER, "cert", "init", folder / "pki"], check=True, capture_output=True)
    one, other = (
        Host(folder, os.getpid(), name, f"127.0.0.{number}", "")
        for number, name in enumerate("ab", 1)
    )
    one.prepare(other)
    other.prepare(one)
    return [one, other]
