"""A scheduler that prepares the disk of a guest, and survives a daemon that is killed meanwhile.

    python scheduler.py URL SHA256 [--folder /srv/images] [--slow BYTES_PER_SECOND]

The daemon is that of the environment or of the current context, as for every client. While the
image is fetched, kill the daemon with SIGKILL and start it again: the work goes on.
"""

from __future__ import annotations

import argparse
import threading
import uuid

import hostler
from hostler import v1

GIB = 1024**3


def main() -> None:
    """Do what a scheduler does for one guest."""
    parser = argparse.ArgumentParser(description="prepare the disk of a guest")
    parser.add_argument("url", help="a raw image at a web server")
    parser.add_argument("sha256", help="its checksum")
    parser.add_argument("--folder", help="where the images go; default: the root of the context")
    parser.add_argument("--slow", type=int, help="bytes that are fetched in a second")
    arguments = parser.parse_args()
    with hostler.Client() as client:
        host = client.require("cursors")
        say(f"agent {host.agent_version} on {host.architecture}, contract {host.contract_version}")
        folder = arguments.folder or client.settings.root or host.roots[0].path
        guest = Guest(client, folder)
        watcher = Watcher(guest.labels, last=guest.base)
        guest.fetch(arguments.url, arguments.sha256, arguments.slow)
        guest.make_disk()
        guest.make_disk_again()
        guest.cancel_by_label(arguments.url)
        guest.remove()
        watcher.end()


class Guest:
    """A guest and its two images: a base, and an overlay on it."""

    def __init__(self, client: hostler.Client, folder: str) -> None:
        self.client = client
        self.name = f"guest-{uuid.uuid4().hex[:8]}"
        # Every operation of this guest can be found, watched and cancelled by this label.
        self.labels = {"guest": self.name}
        self.base = f"{folder}/{self.name}-base.raw"
        self.disk = f"{folder}/{self.name}.qcow2"

    def fetch(self, url: str, sha256: str, slow: int | None) -> None:
        """Fetch the base through the cache of the host, checked by its checksum."""
        request = v1.FetchImageRequest(
            source=v1.ImageSource(http=v1.HttpSource(url=url)),
            source_format="raw",
            target=self.base,
            checksum=v1.Checksum(algorithm="sha256", digest=sha256),
            use_cache=True,
            bandwidth_bytes_per_second=slow,
            labels=self.labels,
        )
        result = self.client.image.fetch_image(request).wait(show).fetch
        say(f"fetched {result.length_bytes} bytes, {result.checksum}")

    def make_disk(self) -> None:
        """Make an overlay on the base and let it grow."""
        overlay = v1.CreateOverlayRequest(
            path=self.disk, backing_file=self.base, backing_format="raw", labels=self.labels
        )
        self.client.image.create_overlay(overlay).wait()
        resize = v1.ResizeImageRequest(
            path=self.disk, format="qcow2", virtual_size_bytes=2 * GIB, labels=self.labels
        )
        info = self.client.image.resize_image(resize).wait().image.info
        say(f"the disk has {info.virtual_size_bytes} bytes")

    def make_disk_again(self) -> None:
        """Show an error: programs read its reason and facts, people its message."""
        overlay = v1.CreateOverlayRequest(
            path=self.disk, backing_file=self.base, backing_format="raw", labels=self.labels
        )
        try:
            self.client.image.create_overlay(overlay).wait()
        except hostler.StatusError as error:
            if error.reason != "TARGET_EXISTS":
                raise
            say(f"refused as {error.reason}: {error.facts.get('path', self.disk)}")

    def cancel_by_label(self, url: str) -> None:
        """Begin slow work, and cancel all work of the guest as somebody who knows no ids."""
        request = v1.FetchImageRequest(
            source=v1.ImageSource(http=v1.HttpSource(url=url)),
            source_format="raw",
            target=f"{self.base}.slow",
            bandwidth_bytes_per_second=65536,
            labels=self.labels,
        )
        operation = self.client.image.fetch_image(request)
        operation.start()
        answer = self.client.operation.cancel_operation(
            v1.CancelOperationRequest(labels=self.labels)
        )
        say(f"cancelled {len(answer.operations)} operation")
        try:
            operation.wait()
        except hostler.StatusError as error:
            say(f"the fetch ended as {error.reason}")

    def remove(self) -> None:
        """Remove both images, the overlay first."""
        for path in (self.disk, self.base):
            request = v1.DeleteImageRequest(path=path, labels=self.labels)
            self.client.image.delete_image(request).wait()
        say("removed both images")


class Watcher:
    """Watches the operations of a guest on a connection of its own."""

    def __init__(self, labels: dict[str, str], last: str) -> None:
        self._last = last
        self._client = hostler.Client()
        self._watch = self._client.watch(v1.OperationFilter(labels=labels))
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        states: dict[str, int] = {}
        for answer in self._watch:
            event = answer.event
            if states.get(event.operation_id) != event.state:
                states[event.operation_id] = event.state
                say(f"  watch: {answer.method} {v1.OperationState.Name(event.state)[16:]}")
            ended = event.state == v1.OPERATION_STATE_SUCCEEDED
            if ended and answer.method == "DeleteImage" and self._last in answer.addresses:
                return

    def end(self) -> None:
        """Wait until the watch has seen the last image go."""
        self._thread.join()
        self._watch.close()
        self._client.close()


def show(event: v1.OperationEvent) -> None:
    """Print how far a fetch is."""
    if event.progress.done_bytes:
        say(f"fetching: {event.progress.done_bytes} of {event.progress.total_bytes} bytes")


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


if __name__ == "__main__":
    main()
