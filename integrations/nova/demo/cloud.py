"""What the demo does with its cloud, over the services' own APIs."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import settings
from controller import Controller
from services import Failed, Services

MIB = 1024**2
FOUND = re.compile(r"guest: (vd.) bytes=(\d+) head=([0-9a-f]+) starts=(\d+)")
VERSION = {"X-OpenStack-Nova-API-Version": "2.93"}


class Cloud:
    """A client of Nova and Glance."""

    def __init__(self, controller: Controller, services: Services) -> None:
        self._session = controller.cloud
        self._services = services
        self.image = ""

    def nova(self, method: str, path: str, body: Any = None) -> Any:
        """Call Nova's API."""
        answer = self._session.request(
            f"{settings.NOVA}/{path}", method, json=body, headers=VERSION, raise_exc=False
        )
        if answer.status_code >= 400 and answer.status_code != 404:
            raise Failed(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json() if answer.content else None

    def upload(self, name: str, content: bytes, **properties: str) -> str:
        """Make an image in Glance; returns its id."""
        about = {"name": name, "disk_format": "raw", "container_format": "bare", **properties}
        image = self._session.post(f"{settings.GLANCE}/v2/images", json=about).json()["id"]
        headers = {"Content-Type": "application/octet-stream"}
        url = f"{settings.GLANCE}/v2/images/{image}/file"
        self._session.put(url, data=content, headers=headers)
        return str(image)

    def upload_guest(self, folder: Path) -> None:
        """Upload the kernel and the initrd of a guest, and a disk for it."""
        kernel, initrd = (
            self.upload(name, (folder / name).read_bytes()) for name in ("kernel", "initrd")
        )
        self._boots = {
            "kernel_id": kernel,
            "ramdisk_id": initrd,
            "os_command_line": "console=ttyS0 quiet no_timer_check",
        }
        self.image = self.disk_image(64)

    def disk_image(self, mib: int, data: int = 1) -> str:
        """Upload a disk for guests, of which so many MiB are data; returns its id."""
        content = os.urandom(data * MIB) + bytes((mib - data) * MIB)
        # Here guests write, and read what others have written.
        content = content[: 8 * MIB] + bytes(2 * MIB) + content[10 * MIB :]
        return self.upload("disk", content, **self._boots)

    def flavor(self, name: str, disk: int) -> str:
        """Make a flavor with a disk of so many GiB; returns its id."""
        about = {"name": name, "ram": 128, "vcpus": 1, "disk": disk}
        return str(self.nova("POST", "flavors", {"flavor": about})["flavor"]["id"])

    def create(self, flavor: str, image: str = "", host: str = "") -> str:
        """Ask for a server; returns its id."""
        about = {"name": "demo", "imageRef": image or self.image, "flavorRef": flavor}
        if host:
            about["hypervisor_hostname"] = host
        answer = self.nova("POST", "servers", {"server": {**about, "networks": "none"}})
        return str(answer["server"]["id"])

    def server(self, server: str) -> Any:
        """Describe a server; None: there is none."""
        return self.nova("GET", f"servers/{server}").get("server")

    def delete(self, server: str) -> None:
        """Delete a server, and wait until it has gone."""
        self.nova("DELETE", f"servers/{server}")
        self._services.wait("a server that is deleted", lambda: self.server(server) is None)

    def snapshot(self, server: str) -> tuple[str, int]:
        """Make an image of a server; returns its id and length when Glance has it."""
        image = self.act(server, "createImage", name="snapshot")["image_id"]

        def active() -> Any:
            found = self._session.get(f"{settings.GLANCE}/v2/images/{image}").json()
            return found if found["status"] == "active" else None

        size = self._services.wait("a snapshot", active)["size"]
        self.until(server, "ACTIVE")
        return image, size

    def enable(self, host: str, *, enabled: bool) -> None:
        """Let the scheduler use a compute, or not."""
        found = self.nova("GET", f"os-services?binary=nova-compute&host={host}")["services"]
        status = "enabled" if enabled else "disabled"
        self.nova("PUT", f"os-services/{found[0]['id']}", {"status": status})

    def act(self, server: str, action: str, **options: Any) -> Any:
        """Ask for an action."""
        return self.nova("POST", f"servers/{server}/action", {action: options or None})

    def until(self, server: str, status: str) -> Any:
        """Wait for a status without a task; raises Failed if the server gets a fault."""

        def reached() -> Any:
            found = self.server(server) or {}
            if found.get("status") == "ERROR" != status:
                raise Failed(f"the server has a fault: {found.get('fault')}")
            done = found.get("status") == status and not found["OS-EXT-STS:task_state"]
            return found if done else None

        return self._services.wait(f"a server that is {status}", reached)

    def guest(self, server: str) -> dict[str, tuple[int, int]]:
        """Wait until the guest is ready; returns size and number of starts of each of its disks."""

        def console() -> str:
            answer = self.act(server, "os-getConsoleOutput", length=None)
            output = str((answer or {}).get("output", ""))
            return output if "guest: ready" in output else ""

        output = self._services.wait("a guest that is ready", console)
        return {disk: (int(size), int(starts)) for disk, size, _, starts in FOUND.findall(output)}

    def computes(self) -> int:
        """Return how many compute services have reported themselves."""
        found = self.nova("GET", "os-services?binary=nova-compute")["services"]
        return sum(service["state"] == "up" for service in found)

    def hypervisors(self) -> int:
        """Return how many hypervisors can be scheduled on."""
        return len(self.nova("GET", "os-hypervisors")["hypervisors"])
