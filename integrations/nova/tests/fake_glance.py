"""The images of Nova's own fake of Glance, with a content, and as Glance gives them over HTTP.

Nova's fixture has descriptions of images, but no content: its tests need none, as they stub all
storage. Nova's own code gets the content from the fixture, and hostlerd over HTTP.
"""

from __future__ import annotations

import functools
import hashlib
import json
import random
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MIB = 1024 * 1024
#: What a guest finds on its disk: some data, and a hole.
GUEST = random.Random(1).randbytes(MIB // 4) + bytes(MIB)


class Contents(dict[str, bytes]):
    """The content of each image: what was uploaded, or that of a guest."""

    def __init__(self, first: bytes) -> None:
        super().__init__()
        self._first = first

    def get(self, key: str, default: Any = None) -> bytes:
        """Return the content of an image; the fixture reads nothing in another way."""
        return super().get(str(key), self._first)


class FakeGlance:
    """Serves the images of one test after the other."""

    def __init__(self) -> None:
        self._fixture: Any = None
        glance = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                glance.answer(self)

            def log_message(self, *_: Any) -> None:
                """Be silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def serve(self, fixture: Any, content: bytes = GUEST) -> None:
        """Serve the images of this fixture from now on, and let it keep what is uploaded."""
        fixture._imagedata = Contents(content)
        for image in fixture.images.values():
            image["disk_format"] = "raw"  # Whatever it was called: that is the content.
        fixture.create = functools.partial(create, fixture.create)
        fixture.update = functools.partial(keep, fixture, fixture.update)
        self._fixture = fixture

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer as Glance does, for `/v2/images/ID` and `/v2/images/ID/file`."""
        _, _, _, image_id, *file = request.path.split("/")
        image = self._fixture.images.get(image_id)
        if image is None:
            send(request, 404, b"", "text/plain")
            return
        content = self._fixture._imagedata.get(image_id)
        if file:
            send(request, 200, content, "application/octet-stream")
            return
        described = {
            "id": image_id,
            "status": image["status"],
            "size": len(content),
            "disk_format": image.get("disk_format"),
            # The fixture has some that Glance does not admit for the format.
            "container_format": "bare",
            "os_hash_algo": "sha512",
            "os_hash_value": hashlib.sha512(content).hexdigest(),
        }
        send(request, 200, json.dumps(described).encode(), "application/json")


def create(theirs: Any, context: Any, metadata: Any, data: Any = None) -> Any:
    """Make an image as the fixture does; without data its content is that of a guest."""
    image = theirs(context, metadata, data)
    if data is None and "disk_format" in image:
        image["disk_format"] = "raw"
    return image


def keep(fixture: Any, theirs: Any, context: Any, image_id: Any, *args: Any, **options: Any) -> Any:
    """Update an image as the fixture does, which forgets the data of the upload."""
    data = options.get("data", args[1] if len(args) > 1 else None)
    if data is not None:
        fixture._imagedata[str(image_id)] = data.read()
    image = theirs(context, image_id, *args, **options)
    # What Nova's own client of Glance makes of these.
    for name in ("min_disk", "min_ram"):
        image[name] = int(image.get(name) or 0)
    for name in ("kernel_id", "ramdisk_id"):
        if not image.get("properties", {}).get(name, "there"):
            del image["properties"][name]
    return image


def send(request: BaseHTTPRequestHandler, status: int, body: bytes, kind: str) -> None:
    """Send an answer."""
    request.send_response(status)
    request.send_header("Content-Type", kind)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)
