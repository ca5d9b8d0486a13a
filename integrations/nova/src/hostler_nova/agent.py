"""The daemon of this host: one client for the whole process, and calls that survive its restart."""

from __future__ import annotations

import contextlib
import random
import sys
import threading
import time
from typing import Any, Callable, TypeVar

import hostler
import nova.conf
from google.protobuf.message import Message
from hostler import v1
from oslo_log import log as logging

from hostler_nova import config
from hostler_nova.h2channel import H2Channel

LOG = logging.getLogger(__name__)
CONF = nova.conf.CONF
config.register(CONF)

Q = TypeVar("Q", bound=Message)
A = TypeVar("A")
#: How long a daemon may take to say that it is there, when there is another way than to wait.
PROBE_SECONDS = 2.0
LONGEST_WAIT = 10.0

_lock = threading.Lock()
_clients: dict[tuple[Any, ...], hostler.Client] = {}


def eventlet_is_in_force() -> bool:
    """Whether sockets of this process are eventlet's."""
    patcher = sys.modules.get("eventlet.patcher")
    return patcher is not None and bool(patcher.is_monkey_patched("socket"))


def uses_h2() -> bool:
    """Whether calls go over the transport of this package instead of gRPC's own library."""
    chosen: str = CONF.hostler.transport
    return chosen == "h2" or (chosen == "auto" and eventlet_is_in_force())


def client(*, h2: bool | None = None, address: str = "") -> hostler.Client:
    """Return the client for what nova.conf says now; h2 and address win over it."""
    h2 = uses_h2() if h2 is None else h2
    options = CONF.hostler
    address = address or options.address
    key = (
        address,
        options.tls_ca,
        options.tls_cert,
        options.tls_key,
        options.patience,
        h2,
    )
    with _lock:
        if key not in _clients:
            _clients[key] = connect(address, h2=h2)
        return _clients[key]


def client_of(host: str) -> hostler.Client:
    """Return a client for the daemon of another compute host."""
    host = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return client(address=CONF.hostler.remote_address.replace("{host}", host))


def connect(address: str, *, h2: bool) -> hostler.Client:
    """Make a client; raises ConfigurationError for mistakes in nova.conf."""
    options = CONF.hostler
    files = (options.tls_ca, options.tls_cert, options.tls_key)
    if any(files) and not all(files):
        raise hostler.ConfigurationError(
            "[hostler]: tls_ca, tls_cert and tls_key go together, and one is missing"
        )
    more: dict[str, Any] = {"channel": H2Channel} if h2 else {}
    return hostler.Client(
        address,
        # With a Unix socket for this host they are for the other ones.
        tls=hostler.Tls(*files) if any(files) and not address.startswith("unix:") else None,
        retry=hostler.Retry(first_delay=0.5, longest_delay=LONGEST_WAIT, patience=options.patience),
        **more,
    )


def ask(call: Callable[[Q], A], request: Q) -> A:
    """Make a call that only reads, again and again while the daemon is away.

    Calls that change something are made again by the client itself. Raises HostlerError.
    """
    end = time.monotonic() + CONF.hostler.patience
    wait = 0.5
    while True:
        try:
            return call(request)
        except hostler.HostlerError as error:
            pause = wait * random.uniform(0.5, 1.0)  # noqa: S311
            if not is_passing(error) or time.monotonic() + pause > end:
                raise
        time.sleep(pause)
        wait = min(2 * wait, LONGEST_WAIT)


def is_passing(error: hostler.HostlerError) -> bool:
    """Whether the daemon is away, and may come back by itself."""
    if isinstance(error, hostler.NoAnswer):
        return error.passing
    return isinstance(error, hostler.StatusError) and error.reason == "SHUTTING_DOWN"


def answers() -> bool:
    """Whether the daemon answers within two seconds.

    gRPC's own library does not look for a daemon that has just come back, so it is not asked.
    """
    request = v1.GetArchitectureRequest(image_architecture="x86_64")
    with contextlib.suppress(hostler.HostlerError):
        client(h2=True).host_info.get_architecture(request, timeout=PROBE_SECONDS)
        return True
    return False
