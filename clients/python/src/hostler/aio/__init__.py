"""The client for asyncio. Errors, settings and messages are those of `hostler`."""

from hostler.aio._client import Client
from hostler.aio._operation import Operation
from hostler.aio._watch import Watch

__all__ = ["Client", "Operation", "Watch"]
