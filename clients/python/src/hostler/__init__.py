"""Client of Hostler, the service that looks after the disk images of one hypervisor host.

`Client` blocks, `hostler.aio.Client` is for asyncio. The messages of the contract are in
`hostler.v1`.
"""

from importlib.metadata import version as _version

from hostler._channel import Channel
from hostler._client import Client
from hostler._operation import Operation
from hostler._retry import Retry
from hostler._settings import Settings, Tls
from hostler._watch import Watch
from hostler.errors import (
    ConfigurationError,
    ContractError,
    DownloadError,
    FeatureMissing,
    FieldViolation,
    HostlerError,
    NoAnswer,
    Problem,
    StatusError,
)

__version__ = _version("hostler")

__all__ = [
    "Channel",
    "Client",
    "ConfigurationError",
    "ContractError",
    "DownloadError",
    "FeatureMissing",
    "FieldViolation",
    "HostlerError",
    "NoAnswer",
    "Operation",
    "Problem",
    "Retry",
    "Settings",
    "StatusError",
    "Tls",
    "Watch",
]
