"""Uploads and downloads for asyncio, which resume after a lost connection.

Files are read, hashed and written in threads, so that the loop does not wait for a disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

from hostler import v1
from hostler._blocks import DownloadFile, UploadFile
from hostler._retry import Attempts, with_request_id
from hostler._transfer import SERVICE, OnBytes, Sender
from hostler.errors import HostlerError

if TYPE_CHECKING:
    from hostler.aio._calls import Calls


async def in_threads(
    messages: Iterator[v1.UploadImageRequest],
) -> AsyncIterator[v1.UploadImageRequest]:
    """Yield what an iterator yields, each step in a thread."""
    while True:
        message = await asyncio.to_thread(next, messages, None)
        if message is None:
            return
        yield message


async def upload(
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
            begun = await calls.once(f"{SERVICE}/StartUpload", request, v1.StartUploadResponse)
            if begun.HasField("info"):
                return begun.info
            if begun.committed_bytes > committed:
                attempts.answered()
            committed = begun.committed_bytes
            sender = Sender(file.messages(begun.upload_id, committed, rate), committed, on_bytes)
            try:
                answer = await calls.collect(
                    f"{SERVICE}/UploadImage",
                    in_threads(iter(sender)),
                    v1.UploadImageResponse,
                    None,
                )
            finally:
                sender.check()
        except HostlerError as error:
            await asyncio.sleep(attempts.delay(error))
            continue
        if not answer.HasField("info"):
            raise HostlerError("the daemon ended the upload before its end")
        return answer.info


async def download(
    calls: Calls, file: DownloadFile, request: v1.DownloadImageRequest, on_bytes: OnBytes
) -> int:
    """Receive the file until it is whole, and give it its name."""
    attempts = Attempts(calls.retry)
    while True:
        request.offset = file.begin()
        try:
            async with calls.stream(
                f"{SERVICE}/DownloadImage", request, v1.DownloadImageResponse, None
            ) as answers:
                async for answer in answers:
                    await asyncio.to_thread(file.receive, answer)
                    attempts.answered()
                    if on_bytes is not None:
                        on_bytes(file.position)
            break
        except HostlerError as error:
            await asyncio.sleep(attempts.delay(error))
    if file.resumed:
        # The image may have changed between two calls.
        digest = v1.DigestImageRequest(path=request.path)
        result = await calls.operation(f"{SERVICE}/DigestImage", digest, None)
        file.confirm(result.digest)
    await asyncio.to_thread(file.publish)
    return file.position
