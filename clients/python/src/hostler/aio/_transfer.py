"""Uploads and downloads for asyncio, which resume after a lost connection.

Files are read, hashed and written in threads, so that the loop does not wait for a disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

from hostler import v1
from hostler._blocks import DownloadFile
from hostler._following import ended_early
from hostler._retry import Attempts
from hostler._transfer import DIGEST, DOWNLOAD, START, UPLOAD, OnBytes, Upload
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


async def upload(calls: Calls, up: Upload) -> v1.ImageInfo:
    """Send the file until the daemon has published it."""
    while True:
        try:
            begun = await calls.once(START, up.request, v1.StartUploadResponse)
            if begun.HasField("info"):
                return begun.info
            sender = up.sender(begun)
            try:
                messages = in_threads(iter(sender))
                answer = await calls.collect(UPLOAD, messages, v1.UploadImageResponse, None)
            finally:
                sender.check()
            if answer.HasField("info"):
                return answer.info
            raise ended_early(calls.settings.address)
        except HostlerError as error:
            await asyncio.sleep(up.attempts.delay(error))


async def download(
    calls: Calls, file: DownloadFile, request: v1.DownloadImageRequest, on_bytes: OnBytes
) -> int:
    """Receive the file until it is whole, and give it its name."""
    attempts = Attempts(calls.retry)
    while True:
        request.offset = file.begin()
        try:
            async with calls.stream(DOWNLOAD, request, v1.DownloadImageResponse, None) as answers:
                async for answer in answers:
                    await asyncio.to_thread(file.receive, answer)
                    attempts.answered()
                    if on_bytes is not None:
                        on_bytes(file.position)
            if file.confirmed:
                break
            raise ended_early(calls.settings.address)
        except HostlerError as error:
            await asyncio.sleep(attempts.delay(error))
    if file.resumed:
        # The image may have changed between two calls.
        digest = v1.DigestImageRequest(path=request.path)
        result = await calls.operation(DIGEST, digest, None)
        file.confirm(result.digest)
    await asyncio.to_thread(file.publish)
    return file.position
