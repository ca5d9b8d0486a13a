"""The command hostler-nova-compute, with the real `nova.cmd.compute`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from nova import version

ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "EVENTLET"}


def write_config(folder: Path, **options: str) -> None:
    """Write a nova.conf; `hostler__NAME` is an option of its section `[hostler]`."""
    plain = {"state_path": str(folder), "transport_url": "fake:///", "my_ip": "127.0.0.1"}
    plain.update({key: value for key, value in options.items() if "__" not in key})
    lines = ["[DEFAULT]", *(f"{key} = {value}" for key, value in plain.items()), "[hostler]"]
    lines += [f"{key[9:]} = {value}" for key, value in options.items() if "__" in key]
    (folder / "nova.conf").write_text("\n".join(lines))


def command(folder: Path, *args: str) -> list[str]:
    """Return the command with that nova.conf."""
    program = str(Path(sys.executable).with_name("hostler-nova-compute"))
    return [program, "--config-file", str(folder / "nova.conf"), *args]


def compute(folder: Path, *args: str, **options: str) -> subprocess.CompletedProcess[str]:
    """Run the command until it ends."""
    write_config(folder, **options)
    return subprocess.run(
        command(folder, *args),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=ENVIRONMENT,
    )


def test_it_is_nova_s_compute(tmp_path: Path) -> None:
    done = compute(tmp_path, "--version")
    assert done.stdout.strip() == version.version_string()
    assert done.returncode == 0


def test_another_instances_path_is_refused(daemon: Any, tmp_path: Path) -> None:
    done = compute(tmp_path, instances_path=str(tmp_path), hostler__address=daemon.socket)
    assert done.returncode == 1
    assert f"instances_path of hostlerd is {daemon.root}" in done.stderr


def test_it_starts(daemon: Any, tmp_path: Path) -> None:
    """Nova's service comes to the point at which it looks for its conductor."""
    write_config(
        tmp_path,
        instances_path=str(daemon.root),
        compute_driver="fake.FakeDriver",
        hostler__address=daemon.socket,
    )
    process = subprocess.Popen(
        command(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=ENVIRONMENT,
    )
    assert process.stdout is not None
    seen = ""
    try:
        for line in process.stdout:
            seen += line
            if "nova-conductor" in line:
                break
        else:
            pytest.fail(f"it has ended: {seen}")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert "hostler" not in seen


@pytest.mark.parametrize("address", ["nonsense", "unix://relative"])
def test_a_wrong_address_is_refused(tmp_path: Path, address: str) -> None:
    done = compute(tmp_path, hostler__address=address)
    assert done.returncode == 1
    assert address in done.stderr


def test_a_wrong_role_is_refused(daemon: Any, tmp_path: Path) -> None:
    files = daemon.files("stranger")
    done = compute(
        tmp_path,
        instances_path=str(daemon.root),
        hostler__address=daemon.tls,
        hostler__tls_ca=files.ca,
        hostler__tls_cert=files.cert,
        hostler__tls_key=files.key,
    )
    assert done.returncode == 1
    assert "METHOD_NOT_ALLOWED" in done.stderr
