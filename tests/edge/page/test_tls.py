"""A page for the network: TLS, a login, and a cookie that goes nowhere else."""

import http.client
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from support.line import free_endpoint
from support.page import PASSWORD

from edge.page.access.users import PageRole, Users
from edge.page.serving import PageServer, PageSettings


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of this machine's own, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "line.factory")]), datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    paths = folder / "page.pem", folder / "page.key"
    paths[0].write_bytes(made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    no_lock = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, form, no_lock))
    return paths


def test_a_user_logs_in_over_tls_under_a_name_of_the_page(tmp_path: Path) -> None:
    users = Users(tmp_path / "users.json")
    users.add("ana", PASSWORD, PageRole.SEE)
    pem, key = certificate(tmp_path)
    settings = PageSettings((free_endpoint(),), (tmp_path,), "0.0.0.0:0", users.path, pem, key, names=("line.factory",))
    server = PageServer(settings)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        context = ssl.create_default_context(cafile=str(pem))
        context.check_hostname = False
        port = int(server.endpoint.rpartition(":")[2])

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
    finally:
        server.stop()
        thread.join(30)
