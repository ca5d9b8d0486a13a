"""Uploads and downloads that block, and resume after a lost connection."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Callable, Optional

from hostler import v1
from hostler._blocks import DownloadFile, UploadFile
from hostler._retry import Attempts, with_request_id
from hostler.errors import HostlerError

if TYPE_CHECKING:
    from hostler._calls import Calls

SERVICE = "/hostler.v1.ImageService"
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


def upload(
    calls: Calls,
    file: UploadFile,
    request: v1.StartUploadRequest,
    rate: int | None,
    on_bytes: OnBytes,
) -> v1.ImageInfo:
    """Send the file until the daemon has published it."""
    request = with_request_id(request)
    attempts = Attempts(calls.retry)
    committed = -1
    while True:
        try:
            begun = calls.once(f"{SERVICE}/StartUpload", request, v1.StartUploadResponse)
            if begun.HasField("info"):
                return begun.info
            if begun.committed_bytes > committed:
                attempts.answered()
            committed = begun.committed_bytes
            sender = Sender(file.messages(begun.upload_id, committed, rate), committed, on_bytes)
            try:
                answer = calls.collect(
                    f"{SERVICE}/UploadImage", sender, v1.UploadImageResponse, None
                )
            finally:
                sender.check()
        except HostlerError as error:
            time.sleep(attempts.delay(error))
            continue
        if not answer.HasField("info"):
            raise HostlerError("the daemon ended the upload before its end")
        return answer.info


def download(
    calls: Calls, file: DownloadFile, request: v1.DownloadImageRequest, on_bytes: OnBytes
) -> int:
    """Receive the file until it is whole, and give it its name."""
    attempts = Attempts(calls.retry)
    while True:
        request.offset = file.begin()
        try:
            with calls.stream(
                f"{SERVICE}/DownloadImage", request, v1.DownloadImageResponse, None
            ) as answers:
                for answer in answers:
                    file.receive(answer)
                    attempts.answered()
                    if on_bytes is not None:
                        on_bytes(file.position)
            break
        except HostlerError as error:
            time.sleep(attempts.delay(error))
    if file.resumed:
        # The image may have changed between two calls.
        digest = v1.DigestImageRequest(path=request.path)
        file.confirm(calls.operation(f"{SERVICE}/DigestImage", digest, None).wait().digest)
    file.publish()
    return file.position
