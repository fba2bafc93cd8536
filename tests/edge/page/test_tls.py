"""A page for the network: TLS, a login, and a cookie that goes nowhere else."""

import http.client
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from support.line import free_endpoint, ran
from support.page import PASSWORD

from edge.errors import ConfigError
from edge.page import tls
from edge.page.access.users import PageRole, Users
from edge.page.connections import MOST_CLOSING, MOST_CONNECTIONS
from edge.page.serving import PageServer, PageSettings


def certificate(folder: Path, lock: serialization.KeySerializationEncryption | None = None) -> tuple[Path, Path]:
    """A certificate of this machine's own, and its key, which `lock` may encrypt."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "line.factory")]), datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    paths = folder / "page.pem", folder / "page.key"
    paths[0].write_bytes(made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    pem = key.private_bytes(serialization.Encoding.PEM, form, lock or serialization.NoEncryption())
    paths[1].write_bytes(pem)
    paths[1].chmod(0o600)
    return paths


def served_over_tls(folder: Path, lock: serialization.KeySerializationEncryption | None = None) -> PageSettings:
    """Settings of a page for the network, with the user `ana`."""
    users = Users(folder / "users.json")
    users.add("ana", PASSWORD, PageRole.SEE)
    pem, key = certificate(folder, lock)
    return PageSettings((free_endpoint(),), (folder,), "0.0.0.0:0", users.path, pem, key, names=("line.factory",))


@contextmanager
def running(settings: PageSettings) -> Iterator[PageServer]:
    """A page, served until the end of the context."""
    server = PageServer(settings)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join(30)
    assert not thread.is_alive()


def port_of(server: PageServer) -> int:
    return int(server.endpoint.rpartition(":")[2])


def test_a_key_that_everybody_can_read_or_that_is_encrypted_is_refused_in_one_line(tmp_path: Path) -> None:
    settings = served_over_tls(tmp_path, serialization.BestAvailableEncryption(b"secret"))
    assert settings.key is not None
    options = ("--serve", settings.serve, "--tls-certificate", settings.certificate, "--tls-key", settings.key)
    done = ran("page", *options, "--users", settings.users)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert "is encrypted" in line
    for mode, is_allowed in ((0o604, False), (0o601, False), (0o640, True)):
        settings.key.chmod(mode)
        with pytest.raises(ConfigError) as refused:
            PageServer(settings)
        assert ("chmod o=" in str(refused.value)) is not is_allowed


def test_a_handshake_that_does_not_end_ends_the_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "HANDSHAKE_S", 0.5)
    with running(served_over_tls(tmp_path)) as server:
        for begun in (b"", b"\x16\x03\x01\x02\x00"):
            with socket.create_connection(("127.0.0.1", port_of(server)), 30) as silent:
                silent.sendall(begun)
                assert is_closed(silent)


def test_handshakes_that_do_not_end_leave_room_for_others(tmp_path: Path) -> None:
    settings = served_over_tls(tmp_path)
    with running(settings) as server, ExitStack() as stack:
        place = ("127.0.0.1", port_of(server))
        silent = [stack.enter_context(socket.create_connection(place, 30)) for _ in range(tls.MOST_HANDSHAKES + 3)]
        context = ssl.create_default_context(cafile=str(settings.certificate))
        context.check_hostname = False
        connection = http.client.HTTPSConnection(*place, timeout=60, context=context)
        connection.request("GET", "/healthz", headers={"Host": "line.factory"})
        assert connection.getresponse().status == 200
        connection.close()
        assert is_closed(silent[0]), "the oldest is closed"


def test_peers_that_do_not_say_that_they_have_the_end_are_cut(tmp_path: Path) -> None:
    settings = served_over_tls(tmp_path)
    context = ssl.create_default_context(cafile=str(settings.certificate))
    context.check_hostname = False
    most = MOST_CONNECTIONS + MOST_CLOSING
    with running(settings) as server, ExitStack() as stack:
        before = open_sockets()
        silent, kept = [], 0
        for number in range(most + 80):
            one = stack.enter_context(socket.create_connection(("127.0.0.1", port_of(server)), 60))
            silent.append(stack.enter_context(context.wrap_socket(one)))
            if number % 2:  # the page closes every other one after its answer
                silent[-1].sendall(b"GET /healthz HTTP/1.1\r\nHost: line.factory\r\nConnection: close\r\n\r\n")
                assert silent[-1].recv(15) == b"HTTP/1.1 200 OK"
            kept = max(kept, open_sockets() - before - len(silent))
        assert kept <= most + MARGIN


MARGIN = 16
"""Descriptors that the server needs beside its connections, and connections whose end has not been noticed."""


def open_sockets() -> int:
    """Open descriptors of this process."""
    return len(os.listdir("/proc/self/fd"))


def is_closed(connection: socket.socket) -> bool:
    """Whether the other side closes the connection before its timeout."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


def test_a_user_logs_in_over_tls_under_a_name_of_the_page(tmp_path: Path) -> None:
    settings = served_over_tls(tmp_path)
    with running(settings) as server:
        context = ssl.create_default_context(cafile=str(settings.certificate))
        context.check_hostname = False
        port = port_of(server)

        def asked(method: str, path: str, form: dict[str, str], **headers: str) -> http.client.HTTPResponse:
            connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=60, context=context)
            headers |= {"Host": f"line.factory:{port}", "Content-Type": "application/x-www-form-urlencoded"}
            connection.request(method, path, urlencode(form), headers)
            return connection.getresponse()

        first = asked("GET", "/login", {})
        cookie = first.headers["set-cookie"]
        assert cookie.startswith("__Host-edge-page=")
        assert cookie.endswith("; Path=/; HttpOnly; SameSite=Strict; Secure")
        assert "strict-transport-security" not in first.headers  # other services of the host may not speak TLS
        token = first.read().decode().partition('name="token" value="')[2].partition('"')[0]
        form = {"token": token, "name": "ana", "password": PASSWORD}
        done = asked("POST", "/login", form, Cookie=cookie.partition(";")[0], Origin=f"https://line.factory:{port}")
        assert (done.status, done.headers["location"]) == (303, "/")
        assert asked("GET", "/", {}, Cookie=done.headers["set-cookie"].partition(";")[0]).status == 200
        assert asked("GET", "/", {}, Accept="text/html").headers["location"] == "/login"
        plain = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            plain.request("GET", "/login")
            assert plain.getresponse().status >= 400
        except (OSError, http.client.HTTPException):
            pass  # without TLS nothing is answered
