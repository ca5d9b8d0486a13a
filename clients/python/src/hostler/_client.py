"""The client that blocks."""

from __future__ import annotations

from typing import Callable

from hostler import v1
from hostler._blocks import DownloadFile, PathLike, UploadFile
from hostler._calls import Calls
from hostler._channel import Channel, grpc_channel
from hostler._contract import missing_of, unserved
from hostler._retry import Retry
from hostler._services import Services
from hostler._settings import Settings, Tls, resolve
from hostler._transfer import OnBytes, Upload, download, upload
from hostler._watch import Watch
from hostler.errors import StatusError


class Client(Services):
    """The services of one daemon, for programs that block. Threads may share a client.

    Without arguments the daemon is that of the environment (HOSTLER_ADDRESS, HOSTLER_TLS_CA,
    HOSTLER_TLS_CERT and HOSTLER_TLS_KEY), else that of HOSTLER_CONTEXT or the current context in
    `~/.config/hostler/contexts.json`, else the one of this host. Arguments win over all of them.
    Raises ConfigurationError. The connection is made by the first call.

    Each service of the contract is an attribute with a method for each RPC:
    `client.image.resize_image(request)`. An RPC that is an operation returns an Operation.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        tls: Tls | None = None,
        context: str | None = None,
        retry: Retry | None = None,
        channel: Callable[[Settings], Channel] = grpc_channel,
    ) -> None:
        """Choose a daemon.

        address: `unix:///PATH` or `tcp://HOST:PORT`.
        tls: the files of mutual TLS, for TCP.
        context: the name of a context in the file of contexts.
        retry: how calls with a request_id are made again.
        channel: makes the transport, for programs in which gRPC's own library cannot work.
        """
        settings = resolve(address, tls, context)
        self._calls = Calls(settings, retry or Retry(), channel)
        self._host: v1.GetHostInfoResponse | None = None
        super().__init__(self._calls)

    @property
    def settings(self) -> Settings:
        """The address, the TLS files and the root that were chosen."""
        return self._calls.settings

    def require(self, *features: str) -> v1.GetHostInfoResponse:
        """Return the facts about the host if the agent has all these features.

        GetHostInfo lists what there is (`features`). Raises FeatureMissing; ContractError if the
        agent serves another major version of the contract.
        """
        if self._host is None:
            try:
                self._host = self.host_info.get_host_info(v1.GetHostInfoRequest())
            except StatusError as error:
                raise unserved(error) from None
        missing_of(self._host, features)
        return self._host

    def watch(self, select: v1.OperationFilter | None = None, *, cursor: str = "") -> Watch:
        """Follow all operations that match, across restarts; cursor: where another watch ended."""
        return Watch(self._calls, self._calls.retry, select, cursor)

    def upload(
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
            return upload(self._calls, up)

    def download(
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
            return download(self._calls, file, request, on_bytes)

    def close(self) -> None:
        """End all calls and the connection."""
        self._calls.close()

    def __enter__(self) -> Client:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the client."""
        self.close()
