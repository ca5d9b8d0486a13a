"""The example, with a daemon that is killed while it fetches."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from conftest import Daemon

EXAMPLE = Path(__file__).parents[1] / "example" / "scheduler.py"
MIB = 1024 * 1024


def test_scheduler(daemon: Daemon) -> None:
    content = os.urandom(8 * MIB)
    (daemon.folder / "www" / "base.raw").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    words = [f"{daemon.www}/base.raw", digest, "--folder", str(daemon.root), "--slow", str(4 * MIB)]
    with subprocess.Popen(
        [sys.executable, EXAMPLE, *words],
        env={**os.environ, "HOSTLER_ADDRESS": daemon.socket},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        lines: list[str] = []
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="")
            if line.startswith("fetching") and not any("fetching" in each for each in lines):
                daemon.order("kill")
                lines.append("killed")
            lines.append(line.rstrip())
    assert process.returncode == 0
    assert "killed" in lines
    assert f"fetched {8 * MIB} bytes, sha256:{digest}" in lines
    assert lines.index("killed") < lines.index(f"fetched {8 * MIB} bytes, sha256:{digest}")
    assert f"the disk has {2 * 1024**3} bytes" in lines
    assert any(line.startswith("refused as TARGET_EXISTS: /") for line in lines)
    assert "cancelled 1 operation" in lines
    assert "the fetch ended as CANCELLED" in lines
    assert "removed both images" in lines
    watched = {line for line in lines if line.startswith("  watch: ")}
    assert {"  watch: FetchImage SUCCEEDED", "  watch: FetchImage CANCELLED"} <= watched
    assert "  watch: ResizeImage SUCCEEDED" in watched
    assert list(daemon.root.glob("guest-*")) == []
