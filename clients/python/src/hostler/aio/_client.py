"""The client for asyncio."""

from __future__ import annotations

from hostler import v1
from hostler._blocks import DownloadFile, PathLike, UploadFile
from hostler._contract import missing_of, unserved
from hostler._retry import Retry
from hostler._settings import Settings, Tls, resolve
from hostler._transfer import OnBytes, Upload
from hostler.aio._calls import Calls
from hostler.aio._services import Services
from hostler.aio._transfer import download, upload
from hostler.aio._watch import Watch
from hostler.errors import StatusError


class Client(Services):
    """As hostler.Client, for asyncio. A client belongs to the loop in which it is made."""

    def __init__(
        self,
        address: str | None = None,
        *,
        tls: Tls | None = None,
        context: str | None = None,
        retry: Retry | None = None,
    ) -> None:
        """Choose a daemon, by the arguments of hostler.Client."""
        settings = resolve(address, tls, context)
        self._calls = Calls(settings, retry or Retry())
        self._host: v1.GetHostInfoResponse | None = None
        super().__init__(self._calls)

    @property
    def settings(self) -> Settings:
        """The address, the TLS files and the root that were chosen."""
        return self._calls.settings

    async def require(self, *features: str) -> v1.GetHostInfoResponse:
        """Return the facts about the host if the agent has all these features.

        GetHostInfo lists what there is (`features`). Raises FeatureMissing; ContractError if the
        agent serves another major version of the contract.
        """
        if self._host is None:
            try:
                self._host = await self.host_info.get_host_info(v1.GetHostInfoRequest())
            except StatusError as error:
                raise unserved(error) from None
        missing_of(self._host, features)
        return self._host

    def watch(self, select: v1.OperationFilter | None = None, *, cursor: str = "") -> Watch:
        """Follow all operations that match, across restarts; cursor: where another watch ended."""
        return Watch(self._calls, self._calls.retry, select, cursor)

    async def upload(
        self,
        path: PathLike,
        target: str,
        *,
        format: str,  # noqa: A002
        overwrite: bool = False,
        attributes: v1.FileAttributes | None = None,
        request_id: str = "",
        bytes_per_second: int | None = None,
        on_bytes: OnBytes = None,
    ) -> v1.ImageInfo:
        """Send a local image file, and go on after lost connections and restarts of the daemon.

        The same call with the same request_id goes on where an earlier process ended. on_bytes is
        called with the offset that has been sent. Raises HostlerError, OSError.
        """
        request = v1.StartUploadRequest(
            target=target,
            format=format,
            overwrite=overwrite,
            attributes=attributes,
            request_id=request_id,
        )
        with UploadFile(path) as file:
            up = Upload(file, request, self._calls.retry, bytes_per_second, on_bytes)
            return await upload(self._calls, up)

    async def download(
        self,
        path: str,
        target: PathLike,
        *,
        overwrite: bool = False,
        allow_in_use: bool = False,
        bytes_per_second: int | None = None,
        on_bytes: OnBytes = None,
    ) -> int:
        """Receive an image file, and go on after lost connections; returns its length in bytes.

        The local file gets its name when it is complete, durable and has the digest that the daemon
        says. on_bytes is called with the offset that has arrived. Raises HostlerError, OSError.
        """
        request = v1.DownloadImageRequest(
            path=path, allow_in_use=allow_in_use, bandwidth_bytes_per_second=bytes_per_second
        )
        with DownloadFile(target, overwrite=overwrite) as file:
            return await download(self._calls, file, request, on_bytes)

    async def close(self) -> None:
        """End all calls and the connection."""
        await self._calls.close()

    async def __aenter__(self) -> Client:
        """Return itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the client."""
        await self.close()
