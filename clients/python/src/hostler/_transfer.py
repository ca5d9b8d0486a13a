"""Uploads and downloads, which resume after a lost connection; those that block."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Callable, Optional

from hostler import v1
from hostler._blocks import DownloadFile, UploadFile
from hostler._following import ended_early
from hostler._retry import Attempts, Retry, with_request_id
from hostler.errors import HostlerError

if TYPE_CHECKING:
    from hostler._calls import Calls

START = "/hostler.v1.ImageService/StartUpload"
UPLOAD = "/hostler.v1.ImageService/UploadImage"
DOWNLOAD = "/hostler.v1.ImageService/DownloadImage"
DIGEST = "/hostler.v1.ImageService/DigestImage"
OnBytes = Optional[Callable[[int], None]]


class Sender:
    """The messages of one UploadImage call, with what gRPC does not hand on: errors of the file."""

    def __init__(
        self, messages: Iterator[v1.UploadImageRequest], offset: int, on_bytes: OnBytes
    ) -> None:
        self._messages = messages
        self._position = offset
        self._on_bytes = on_bytes
        self.error: Exception | None = None

    def __iter__(self) -> Iterator[v1.UploadImageRequest]:
        """Yield the messages; after an error the stream ends early and the upload stays open."""
        try:
            for message in self._messages:
                yield message
                self._position += len(message.data) + message.zero_bytes
                if self._on_bytes is not None and not message.HasField("header"):
                    self._on_bytes(self._position)
        except Exception as error:  # check() raises it.
            self.error = error

    def check(self) -> None:
        """Raise what went wrong while the file was read."""
        if self.error is not None:
            raise self.error


class Upload:
    """A file on its way to the daemon, over as many calls as it takes."""

    def __init__(
        self,
        file: UploadFile,
        request: v1.StartUploadRequest,
        retry: Retry,
        rate: int | None,
        on_bytes: OnBytes,
    ) -> None:
        self.request = with_request_id(request)
        self.request.length_bytes = file.length
        self.request.data_bytes = file.data_bytes
        self.attempts = Attempts(retry)
        self._file = file
        self._rate = rate
        self._on_bytes = on_bytes
        self._committed = -1

    def sender(self, begun: v1.StartUploadResponse) -> Sender:
        """Make the messages of the next UploadImage call."""
        if begun.committed_bytes > self._committed:
            self.attempts.answered()
        self._committed = begun.committed_bytes
        messages = self._file.messages(begun.upload_id, self._committed, self._rate)
        return Sender(messages, self._committed, self._on_bytes)


def upload(calls: Calls, up: Upload) -> v1.ImageInfo:
    """Send the file until the daemon has published it."""
    while True:
        try:
            begun = calls.once(START, up.request, v1.StartUploadResponse)
            if begun.HasField("info"):
                return begun.info
            sender = up.sender(begun)
            try:
                answer = calls.collect(UPLOAD, sender, v1.UploadImageResponse, None)
            finally:
                sender.check()
            if answer.HasField("info"):
                return answer.info
            # The daemon took the end of the stream for the end of the connection.
            raise ended_early(calls.settings.address)
        except HostlerError as error:
            time.sleep(up.attempts.delay(error))


def download(
    calls: Calls, file: DownloadFile, request: v1.DownloadImageRequest, on_bytes: OnBytes
) -> int:
    """Receive the file until it is whole, and give it its name."""
    attempts = Attempts(calls.retry)
    while True:
        request.offset = file.begin()
        try:
            with calls.stream(DOWNLOAD, request, v1.DownloadImageResponse, None) as answers:
                for answer in answers:
                    file.receive(answer)
                    attempts.answered()
                    if on_bytes is not None:
                        on_bytes(file.position)
            if file.confirmed:
                break
            raise ended_early(calls.settings.address)
        except HostlerError as error:
            time.sleep(attempts.delay(error))
    if file.resumed:
        # The image may have changed between two calls.
        digest = v1.DigestImageRequest(path=request.path)
        file.confirm(calls.operation(DIGEST, digest, None).wait().digest)
    file.publish()
    return file.position
