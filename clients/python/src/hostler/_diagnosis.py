"""Finds out why a daemon has not answered, by looking: gRPC's own words differ between versions."""

from __future__ import annotations

import errno
import socket
import ssl

from hostler._settings import Settings
from hostler.errors import NoAnswer, Problem

# How long each step of the look may take.
PATIENCE_SECONDS = 3.0
# Codes of OpenSSL's X509_verify_cert.
EXPIRED = (9, 10)
OTHER_NAME = (62, 63, 64)
# What a client of HTTP/2 says first: its preface and empty SETTINGS. A server begins with SETTINGS.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
SETTINGS = 4
# The records of TLS that a server may begin with: an alert or the handshake.
TLS_RECORDS = (0x15, 0x16)


def diagnose(settings: Settings, cause: str) -> NoAnswer:
    """Say why a call had no answer; cause is what gRPC said."""
    try:
        problem = look_at_socket(settings) if settings.socket_path else look_at_port(settings)
    except OSError as error:
        problem = problem_of(error)
        cause = cause or str(error)
    return NoAnswer(settings.address, problem, cause)


def problem_of(error: OSError) -> Problem:
    """Say what an error of connect(2) or of a name means."""
    if isinstance(error, socket.gaierror):
        return Problem.UNKNOWN_HOST
    if isinstance(error, FileNotFoundError):
        return Problem.NO_SUCH_SOCKET
    if isinstance(error, PermissionError):
        return Problem.SOCKET_FORBIDDEN
    if isinstance(error, ConnectionRefusedError):
        return Problem.NOBODY_LISTENS
    unreachable = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ETIMEDOUT)
    if isinstance(error, socket.timeout) or error.errno in unreachable:
        return Problem.UNREACHABLE
    return Problem.CONNECTION_LOST


def look_at_socket(settings: Settings) -> Problem:
    """Connect to a Unix socket, or raise what connect(2) says."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(PATIENCE_SECONDS)
        connection.connect(settings.socket_path or "")
    return Problem.CONNECTION_LOST


def look_at_port(settings: Settings) -> Problem:
    """Connect to a port and try the handshake, or raise what connect(2) says."""
    host, port = settings.host_and_port
    with socket.create_connection((host, port), PATIENCE_SECONDS) as connection:
        if settings.tls is None:
            return greet(connection) or look_for_tls(host, port)
        context = settings.ssl_context()
        context.set_alpn_protocols(["h2"])
        return handshake(context, connection, host)


def greet(connection: socket.socket) -> Problem | None:
    """Say what a client of gRPC says, and look at the answer; None: there is none."""
    try:
        connection.sendall(PREFACE)
        first = connection.recv(9)
    except OSError:
        return None
    if not first:
        return None
    if first[0] in TLS_RECORDS and first[1:2] == b"\x03":
        return Problem.TLS_REQUIRED
    return Problem.CONNECTION_LOST if first[3:4] == bytes([SETTINGS]) else Problem.NOT_HOSTLER


def look_for_tls(host: str, port: int) -> Problem:
    """Look for TLS on a port that has no answer to a client without TLS."""
    with socket.create_connection((host, port), PATIENCE_SECONDS) as connection:
        return speaks_tls(connection)


def speaks_tls(connection: socket.socket) -> Problem:
    """Try a handshake, whoever is on the other side."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    # Nothing is sent through this connection, so it does not matter who is on the other side.
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    try:
        context.wrap_socket(connection).close()
    except ssl.SSLError as error:
        return Problem.TLS_REQUIRED if "ALERT" in (error.reason or "") else Problem.CONNECTION_LOST
    except OSError:
        return Problem.CONNECTION_LOST
    return Problem.TLS_REQUIRED


def handshake(context: ssl.SSLContext, connection: socket.socket, host: str) -> Problem:
    """Do what gRPC did, and read what the daemon thinks of this client's certificate."""
    try:
        with context.wrap_socket(connection, server_hostname=host) as secured:
            # With TLS 1.3 the refusal comes after the handshake; who accepts sends a frame.
            return Problem.CONNECTION_LOST if secured.recv(1) else Problem.CLIENT_REFUSED
    except ssl.SSLCertVerificationError as error:
        if error.verify_code in OTHER_NAME:
            return Problem.WRONG_NAME
        expired = error.verify_code in EXPIRED
        return Problem.CERTIFICATE_EXPIRED if expired else Problem.UNKNOWN_AUTHORITY
    except ssl.SSLEOFError:
        return Problem.CONNECTION_LOST
    except ssl.SSLError as error:
        return Problem.CLIENT_REFUSED if "ALERT" in (error.reason or "") else Problem.NO_TLS
    except OSError:
        return Problem.CONNECTION_LOST
