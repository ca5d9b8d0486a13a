"""Where the daemon is, and each way not to reach it, told apart."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import REPOSITORY, Daemon, other_daemon

import hostler
from hostler import v1
from hostler._settings import MAX_SOCKET_BYTES

ASK = v1.GetHostInfoRequest()


def problem_at(address: str, tls: hostler.Tls | None = None) -> hostler.Problem:
    """Call a daemon that does not answer, and return why."""
    with hostler.Client(address, tls=tls) as client:
        with pytest.raises(hostler.NoAnswer) as caught:
            client.host_info.get_host_info(ASK)
        assert caught.value.code.name == "UNAVAILABLE"
        assert caught.value.problem.value in str(caught.value)
        assert caught.value.advice
        return caught.value.problem


def free_port() -> int:
    """Find a port on which nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_unix_socket_and_mutual_tls(client: hostler.Client, daemon: Daemon) -> None:
    assert client.host_info.get_host_info(ASK).contract_version
    with hostler.Client(daemon.tls, tls=daemon.files()) as other:
        assert other.host_info.get_host_info(ASK).agent_id
    with hostler.Client(daemon.tls[len("tcp://") :], tls=daemon.files("viewer")) as viewer:
        assert viewer.host_info.get_host_info(ASK).agent_id


def test_nobody_listens(tmp_path: Path) -> None:
    assert problem_at(f"unix://{tmp_path}/s.sock") is hostler.Problem.NO_SUCH_SOCKET
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead.sock"))
    assert problem_at(f"unix://{tmp_path}/dead.sock") is hostler.Problem.NOBODY_LISTENS
    assert problem_at(f"tcp://127.0.0.1:{free_port()}") is hostler.Problem.NOBODY_LISTENS
    assert problem_at("tcp://nowhere.invalid:1") is hostler.Problem.UNKNOWN_HOST


def test_certificate_of_another_name(daemon: Daemon) -> None:
    assert problem_at(daemon.wrong_name, daemon.files()) is hostler.Problem.WRONG_NAME


def test_unknown_authority(daemon: Daemon) -> None:
    tls = daemon.files(ca="other/ca.pem")
    assert problem_at(daemon.tls, tls) is hostler.Problem.UNKNOWN_AUTHORITY


def test_plain_client_on_a_tls_port(daemon: Daemon) -> None:
    # The daemon says so itself.
    with hostler.Client(daemon.tls) as client:
        with pytest.raises(hostler.StatusError) as caught:
            client.host_info.get_host_info(ASK)
    assert caught.value.reason == "NOT_AUTHENTICATED"
    assert "does not use TLS" in caught.value.message


@pytest.fixture
def plain_port(daemon: Daemon, tmp_path: Path) -> Iterator[str]:
    """Run a daemon that speaks no TLS."""
    address = f"tcp://127.0.0.1:{free_port()}"
    with other_daemon(tmp_path, address):
        yield address


def test_tls_client_on_a_plain_port(daemon: Daemon, plain_port: str) -> None:
    assert problem_at(plain_port, daemon.files()) is hostler.Problem.NO_TLS


def test_web_server_is_no_daemon(daemon: Daemon) -> None:
    address = daemon.www.replace("http", "tcp")
    assert problem_at(address, daemon.files()) is hostler.Problem.NO_TLS
    assert problem_at(address) is hostler.Problem.NOT_HOSTLER


def test_certificate_without_a_role(daemon: Daemon) -> None:
    with hostler.Client(daemon.tls, tls=daemon.files("stranger")) as client:
        with pytest.raises(hostler.StatusError) as caught:
            client.host_info.get_host_info(ASK)
    assert caught.value.reason == "METHOD_NOT_ALLOWED"
    assert "stranger" in str(caught.value.facts)


def test_certificate_of_an_authority_that_the_daemon_does_not_know(
    daemon: Daemon, tmp_path: Path
) -> None:
    hostler_command = REPOSITORY / "bin/hostler"
    for words in (
        ["init", str(tmp_path / "pki")],
        [
            "issue",
            str(tmp_path / "pki"),
            "me",
            "--kind",
            "client",
            "--uri",
            "spiffe://example.org/me",
        ],
    ):
        subprocess.run([hostler_command, "cert", *words], check=True, capture_output=True)
    mine = tmp_path / "pki"
    tls = hostler.Tls(str(daemon.folder / "pki/ca.pem"), str(mine / "me.pem"), str(mine / "me.key"))
    with hostler.Client(daemon.tls, tls=tls) as client:
        with pytest.raises(hostler.HostlerError) as caught:
            client.host_info.get_host_info(ASK)
    assert isinstance(caught.value, hostler.StatusError)
    assert caught.value.reason == "NOT_AUTHENTICATED"
    assert "certificate" in caught.value.message


@pytest.fixture
def strict_port(daemon: Daemon) -> Iterator[str]:
    """Serve TLS that ends the handshake of every caller of the daemon's authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pki = daemon.folder / "pki"
    context.load_cert_chain(pki / "server.pem", pki / "server.key")
    context.load_verify_locations(pki / "other/ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["h2"])
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                context.wrap_socket(connection, server_side=True)

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def test_certificate_is_refused_in_the_handshake(daemon: Daemon, strict_port: str) -> None:
    assert problem_at(strict_port, daemon.files()) is hostler.Problem.CLIENT_REFUSED


def test_plain_client_on_a_tls_port_that_says_nothing(strict_port: str) -> None:
    assert problem_at(strict_port) is hostler.Problem.TLS_REQUIRED


def test_a_wrong_certificate_is_not_waited_for(daemon: Daemon) -> None:
    request = v1.CreateImageRequest(path=str(daemon.root / "x"), format="raw", virtual_size_bytes=1)
    forever = hostler.Retry(patience=1e9, attempts=1000)
    tls = daemon.files(ca="other/ca.pem")
    with hostler.Client(daemon.tls, tls=tls, retry=forever) as client:
        with pytest.raises(hostler.NoAnswer) as caught:
            client.image.create_image(request).wait()
    assert not caught.value.passing


def test_environment(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    tls = daemon.files()
    monkeypatch.setenv("HOSTLER_ADDRESS", daemon.tls)
    monkeypatch.setenv("HOSTLER_TLS_CA", tls.ca)
    monkeypatch.setenv("HOSTLER_TLS_CERT", tls.cert)
    with pytest.raises(hostler.ConfigurationError, match="HOSTLER_TLS_KEY is missing"):
        hostler.Client()
    monkeypatch.setenv("HOSTLER_TLS_KEY", tls.key)
    with hostler.Client() as client:
        assert client.require().agent_id
    # An argument wins, and a socket has no use for the TLS files.
    with hostler.Client(daemon.socket) as client:
        assert client.settings == hostler.Settings(daemon.socket)
    monkeypatch.setenv("HOSTLER_ADDRESS", daemon.socket)
    with pytest.raises(hostler.ConfigurationError, match="Unix sockets do not speak TLS"):
        hostler.Client()
    monkeypatch.setenv("HOSTLER_ADDRESS", "tcp://nohost")
    with pytest.raises(hostler.ConfigurationError, match="HOSTLER_ADDRESS: tcp://nohost must be"):
        hostler.Client()


def write_contexts(tmp_path: Path, content: object) -> None:
    """Write the file of contexts."""
    folder = tmp_path / "config" / "hostler"
    folder.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / "contexts.json").write_text(text)


def test_contexts(daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert hostler.Client().settings.address == "unix:///run/hostler/hostler.sock"
    tls = daemon.files()
    far = {"address": daemon.tls, "tls_ca": tls.ca, "tls_cert": tls.cert, "tls_key": tls.key}
    near = {"address": daemon.socket, "root": str(daemon.root)}
    write_contexts(tmp_path, {"current": "far", "contexts": {"far": far, "near": near}})
    with hostler.Client() as client:
        assert client.settings == hostler.Settings(daemon.tls, tls)
        assert client.require().agent_id
    monkeypatch.setenv("HOSTLER_CONTEXT", "near")
    with hostler.Client() as client:
        assert client.settings.root == str(daemon.root)
        assert client.require().agent_id
    with hostler.Client(context="far") as client:
        assert client.settings.address == daemon.tls
    monkeypatch.setenv("HOSTLER_ADDRESS", "unix:///other.sock")
    assert hostler.Client().settings.address == "unix:///other.sock"
    with hostler.Client(context="near") as client:
        assert client.settings.address == daemon.socket


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "is not JSON"),
        ([], "must be an object"),
        ({"contexts": []}, "an object `contexts`"),
        ({"current": "b", "contexts": {"a": {}}}, "has no context b; it has: a"),
        ({"current": "a", "contexts": {"a": {}}}, "context a: address is missing"),
        ({"current": "a", "contexts": {"a": {"address": 1}}}, "address must be a text"),
        ({"current": "a", "contexts": {"a": {"address": "x"}}}, "must be unix:///PATH or tcp"),
        (
            {"current": "a", "contexts": {"a": {"address": "tcp://h:1", "tls_ca": "/ca"}}},
            "tls_cert and tls_key is missing",
        ),
    ],
)
def test_mistakes_in_contexts(tmp_path: Path, content: object, complaint: str) -> None:
    write_contexts(tmp_path, content)
    with pytest.raises(hostler.ConfigurationError, match=complaint):
        hostler.Client()


def test_mistakes_in_arguments(daemon: Daemon, tmp_path: Path) -> None:
    with pytest.raises(hostler.ConfigurationError, match="not both"):
        hostler.Client("tcp://host:1", context="a")
    with pytest.raises(hostler.ConfigurationError, match="there is no context a"):
        hostler.Client(context="a")
    with pytest.raises(hostler.ConfigurationError, match="longer than"):
        hostler.Client("unix:///" + "x" * MAX_SOCKET_BYTES)
    good = daemon.files()
    with pytest.raises(hostler.ConfigurationError, match="/nowhere cannot be read"):
        hostler.Client(daemon.tls, tls=hostler.Tls("/nowhere", good.cert, good.key))
    with pytest.raises(hostler.ConfigurationError, match="no certificate and its key"):
        hostler.Client(daemon.tls, tls=hostler.Tls(good.ca, good.cert, daemon.files("viewer").key))
    (tmp_path / "text").write_text("no certificate")
    with pytest.raises(hostler.ConfigurationError, match="no certificates in PEM form"):
        hostler.Client(daemon.tls, tls=hostler.Tls(str(tmp_path / "text"), good.cert, good.key))
