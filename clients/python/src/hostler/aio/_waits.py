"""Waits that asyncio of Python 3.9 does not have."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TypeVar

T = TypeVar("T")


async def anext_or_none(iterator: AsyncIterator[T]) -> T | None:
    """Wait for the next item; None at the end."""
    try:
        return await iterator.__anext__()
    except StopAsyncIteration:
        return None


async def wait_unless(event: asyncio.Event, seconds: float) -> None:
    """Wait so long, or until the event."""
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
