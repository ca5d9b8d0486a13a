"""Where the daemon is: from arguments, the environment, or the file of contexts."""

from __future__ import annotations

import json
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hostler.errors import ConfigurationError

DEFAULT_ADDRESS = "unix:///run/hostler/hostler.sock"
# The kernel's limit for the name of a Unix socket, without the byte that ends it.
MAX_SOCKET_BYTES = 107
MAX_PORT = 65535
TLS_VARIABLES = {"ca": "HOSTLER_TLS_CA", "cert": "HOSTLER_TLS_CERT", "key": "HOSTLER_TLS_KEY"}


@dataclass(frozen=True)
class Tls:
    """The three PEM files of mutual TLS.

    ca has the authorities that may sign the daemon's certificate; cert and key are of this caller.
    """

    ca: str
    cert: str
    key: str


@dataclass(frozen=True)
class Settings:
    """An address, with TLS or without, and for contexts that name one the root of their images."""

    address: str
    tls: Tls | None = None
    root: str | None = None

    @property
    def socket_path(self) -> str | None:
        """The path of a Unix socket, or None for TCP."""
        return self.address[len("unix://") :] if self.address.startswith("unix://") else None

    @property
    def host_and_port(self) -> tuple[str, int]:
        """Host, without the brackets of IPv6, and port of a TCP address."""
        host, _, port = self.target.rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def target(self) -> str:
        """The address as gRPC writes it."""
        return self.address[len("tcp://") :] if self.address.startswith("tcp://") else self.address

    def ssl_context(self) -> ssl.SSLContext:
        """Read the TLS files as OpenSSL does; raises ConfigurationError if it cannot use them."""
        if self.tls is None:
            raise ConfigurationError(f"{self.address} has no TLS files")
        for path in (self.tls.ca, self.tls.cert, self.tls.key):
            try:
                Path(path).read_bytes()
            except OSError as error:
                raise ConfigurationError(f"the TLS file {path} cannot be read: {error}") from error
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(self.tls.ca)
        except ssl.SSLError as error:
            raise ConfigurationError(f"{self.tls.ca} has no certificates in PEM form") from error
        try:
            # Without a password OpenSSL would ask on the terminal for that of a key.
            context.load_cert_chain(self.tls.cert, self.tls.key, password="")
        except ssl.SSLError as error:
            raise ConfigurationError(
                f"{self.tls.cert} and {self.tls.key} are no certificate and its key: {error}"
            ) from error
        return context


def resolve(
    address: str | None = None,
    tls: Tls | None = None,
    context: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """Find the daemon: arguments win over the environment, and that over the file of contexts.

    Raises ConfigurationError.
    """
    variables = os.environ if environment is None else environment
    if address is not None and context is not None:
        raise ConfigurationError("give an address or a context, not both")
    if address is not None:
        # The variables may be meant for another address: a Unix socket has no use for them.
        if tls is None and not address.startswith("unix:"):
            tls = tls_of(variables)
        return checked(Settings(address, tls), "address")
    if context is not None:
        chosen = read_context(variables, context)
        return checked(
            Settings(chosen.address, tls or chosen.tls, chosen.root), f"context {context}"
        )
    tls = tls or tls_of(variables)
    if variables.get("HOSTLER_ADDRESS"):
        return checked(Settings(variables["HOSTLER_ADDRESS"], tls), "HOSTLER_ADDRESS")
    found = read_context(variables, variables.get("HOSTLER_CONTEXT") or None)
    return checked(Settings(found.address, tls or found.tls, found.root), "the context")


def checked(settings: Settings, source: str) -> Settings:
    """Return the settings if their address can be one; source says who gave it."""
    path, address = settings.socket_path, settings.address
    if path is not None:
        if not path.startswith("/") or path == "/":
            raise ConfigurationError(f"{source}: {address} must be unix:///PATH")
        if len(os.fsencode(path)) > MAX_SOCKET_BYTES:
            raise ConfigurationError(f"{source}: {path} is longer than {MAX_SOCKET_BYTES} bytes")
        if settings.tls is not None:
            raise ConfigurationError(
                f"{source}: Unix sockets do not speak TLS, but TLS files are set"
            )
        return settings
    match = re.fullmatch(r"(?:tcp://)?(?:\[[^\]/]+\]|[^:/]+):(\d{1,5})", address)
    if match is None or not 0 < int(match[1]) <= MAX_PORT:
        raise ConfigurationError(f"{source}: {address} must be unix:///PATH or tcp://HOST:PORT")
    return settings


def tls_of(variables: Mapping[str, str]) -> Tls | None:
    """Read the TLS files that the environment names: all three or none."""
    given = {part: variables.get(name) or None for part, name in TLS_VARIABLES.items()}
    return all_or_none(given, dict(TLS_VARIABLES.items()))


def all_or_none(given: Mapping[str, str | None], names: Mapping[str, str]) -> Tls | None:
    """Make Tls of its three parts; names says what each is called where it comes from."""
    missing = [names[part] for part, value in given.items() if value is None]
    if len(missing) == len(given):
        return None
    if missing:
        raise ConfigurationError(
            f"{', '.join(names.values())} go together: {' and '.join(missing)} is missing"
        )
    return Tls(**{part: value for part, value in given.items() if value is not None})


def contexts_file(variables: Mapping[str, str]) -> Path:
    """Say where the contexts of this user are."""
    home = variables.get("XDG_CONFIG_HOME") or Path(variables.get("HOME") or Path.home(), ".config")
    return Path(home, "hostler", "contexts.json")


def read_context(variables: Mapping[str, str], name: str | None) -> Settings:
    """Read the context of that name, or the current one; without a file the default address."""
    file = contexts_file(variables)
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if name is not None:
            raise ConfigurationError(f"there is no context {name}: {file} does not exist") from None
        return Settings(DEFAULT_ADDRESS)
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error}") from error
    except ValueError as error:
        raise ConfigurationError(f"{file} is not JSON: {error}") from error
    contexts = content.get("contexts", {}) if isinstance(content, dict) else None
    if not isinstance(contexts, dict):
        raise ConfigurationError(f"{file}: it must be an object, with an object `contexts`")
    chosen = name if name is not None else content.get("current")
    if chosen is None:
        return Settings(DEFAULT_ADDRESS)
    if not isinstance(chosen, str) or chosen not in contexts:
        known = ", ".join(sorted(contexts)) or "none"
        raise ConfigurationError(f"{file} has no context {chosen}; it has: {known}")
    return parse_context(contexts[chosen], f"{file}: context {chosen}")


def parse_context(context: Any, place: str) -> Settings:
    """Read one context; fields that are not known here are for others."""
    if not isinstance(context, dict):
        raise ConfigurationError(f"{place} must be an object")
    values: dict[str, str | None] = {}
    for field in ("address", "tls_ca", "tls_cert", "tls_key", "root"):
        value = context.get(field)
        if value is not None and (not isinstance(value, str) or not value):
            raise ConfigurationError(f"{place}: {field} must be a text")
        values[field] = value
    if values["address"] is None:
        raise ConfigurationError(f"{place}: address is missing")
    parts = {part: values[f"tls_{part}"] for part in TLS_VARIABLES}
    try:
        tls = all_or_none(parts, {part: f"tls_{part}" for part in TLS_VARIABLES})
        return checked(Settings(values["address"], tls, values["root"]), "address")
    except ConfigurationError as error:
        raise ConfigurationError(f"{place}: {error}") from None
