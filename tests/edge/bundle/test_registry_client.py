"""A registry that lies, leads elsewhere or asks for logins: a scripted one, which answers as no real one should."""

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from support.line import DEMO_BUNDLE
from support.other_bundle import other_bundle

from edge.bundle import load_bundle, registry
from edge.bundle.registry import TITLE, Reference, pull, push
from edge.bundle.registry_client import RegistryClient
from edge.errors import BundleError

Answer = tuple[int, dict[str, str], bytes]


class Scripted:
    """A server of HTTP whose answers a test scripts by method and path. `asked` has each request with its headers."""

    def __init__(self) -> None:
        scripted = self
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.answers: dict[tuple[str, str], Callable[[dict[str, str]], Answer]] = {}

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                scripted.asked.append((self.command, self.path, headers))
                found = scripted.answers.get((self.command, self.path.partition("?")[0]))
                status, more, content = (404, {}, b"") if found is None else found(headers)
                self.send_response(status)
                more = {"Content-Length": str(len(content))} | more
                for name, value in more.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)
                self.close_connection = True

            do_GET = do_HEAD = do_POST = do_PUT = _answer  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def says(self, method: str, path: str, status: int = 200, content: bytes = b"", **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers[method, path] = lambda asked: (status, named, content)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def has(self, bundle: Path, change: Callable[[dict[str, Any]], object] = lambda manifest: None) -> bytes:
        """Serve a bundle as lids/demo:1; returns its manifest, which `change` may have changed."""
        layers = []
        for file in sorted(file for file in bundle.rglob("*") if file.is_file()):
            content = file.read_bytes()
            digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
            layers.append(
                {"digest": digest, "size": len(content), "annotations": {TITLE: str(file.relative_to(bundle))}}
            )
            self.says("GET", f"/v2/lids/demo/blobs/{digest}", content=content)
        manifest: dict[str, Any] = {"layers": layers}
        change(manifest)
        content = json.dumps(manifest).encode()
        self.says("GET", "/v2/lids/demo/manifests/1", content=content)
        return content


@pytest.fixture
def there() -> Iterator[Scripted]:
    server = Scripted()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "nobody"))


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    folder = tmp_path / "shelf"
    folder.mkdir()
    return folder


def log_in(folder: Path, monkeypatch: pytest.MonkeyPatch, host: str) -> str:
    """A login of Ana's in docker's configuration; returns it as it is sent."""
    login = base64.b64encode(b"ana:secret").decode()
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"auths": {host: {"auth": login}}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    return f"Basic {login}"


def pulled(there: Scripted, shelf: Path, what: str = "lids/demo:1") -> Path:
    return pull(Reference.parse(f"{there.host}/{what}"), shelf)[0]


def why(there: Scripted, shelf: Path, what: str = "lids/demo:1") -> str:
    with pytest.raises(BundleError) as error:
        pulled(there, shelf, what)
    assert [path.name for path in shelf.iterdir()] == [".pull.lock"]
    assert [path.name for path in shelf.parent.iterdir() if path.name not in ("shelf", "ana", "other.edge")] == []
    return str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "demo", "host/demo", "host/demo@1", "host/../demo:1", "host/a/../b:1", "host//demo:1", "127.0.0.1:80@evil/x:1",
        "host:port/demo:1", "host/Demo:1", "host/demo:1 2", "/demo:1", "host/demo@sha256:12", "ho st/demo:1",
        "host/.a:1",
    ],
)  # fmt: skip
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(BundleError, match="give HOST"):
        Reference.parse(text)


@pytest.mark.parametrize("text", ["registry/lids:2", "[::1]:5000/a/b-c.d:x_1", "host.factory:443/a@sha256:" + "0" * 64])
def test_what_is_a_reference(text: str) -> None:
    assert Reference.parse(text).host in text


@pytest.mark.parametrize("title", ["../out", "/etc/out", "a/../../out", "", "a\\b", "a\nb"])
def test_a_file_never_leaves_the_folder(there: Scripted, shelf: Path, title: str) -> None:
    there.has(DEMO_BUNDLE, lambda manifest: manifest["layers"][0].update(annotations={TITLE: title}))
    assert "has a file called" in why(there, shelf)


@pytest.mark.parametrize("name", ["../out", "/tmp/out", ".hidden", "a" * 150, "a b"])
def test_a_bundle_of_that_name_is_not_kept(there: Scripted, shelf: Path, tmp_path: Path, name: str) -> None:
    there.has(other_bundle(tmp_path / "other.edge", change=lambda manifest: manifest.model_copy(update={"name": name})))
    assert "which is no name of a file here" in why(there, shelf)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m["layers"].append(m["layers"][0]), "two files called"),
        (lambda m: m["layers"].pop(0), "^lids/demo:1: golden.npz is missing"),
        (lambda m: m["layers"][0].update(size=m["layers"][0]["size"] - 1), "is not what its digest says"),
        (lambda m: m["layers"][0].update(size=m["layers"][0]["size"] + 1), "is not what its digest says"),
        (lambda m: m["layers"][0].update(digest="md5:0"), "is no bundle"),
        (lambda m: m["layers"][0].update(size=5 << 30), "is no bundle"),
        (lambda m: [layer.update(size=3 << 30) for layer in m["layers"]], "is larger than 4 GiB"),
        (lambda m: m["layers"].extend(m["layers"] * 60), "is no bundle"),
        (lambda m: m.clear(), "is no bundle"),
        (lambda m: m.update(more="x" * (1 << 20)), "is larger than"),
    ],
)
def test_a_manifest_that_lies_is_refused(
    there: Scripted, shelf: Path, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    import re

    there.has(DEMO_BUNDLE, change)
    assert re.search(said, why(there, shelf))


def test_another_artifact_than_the_digest_that_was_asked_for_is_refused(there: Scripted, shelf: Path) -> None:
    wrong = f"sha256:{'0' * 64}"
    there.says("GET", f"/v2/lids/demo/manifests/{wrong}", content=there.has(DEMO_BUNDLE))
    assert f"gave another artifact than {wrong}" in why(there, shelf, f"lids/demo@{wrong}")


def test_a_place_with_another_bundle_is_left_as_it_is(there: Scripted, shelf: Path, tmp_path: Path) -> None:
    demo = load_bundle(DEMO_BUNDLE)
    place = shelf / f"demo-{demo.digest[:12]}.edge"
    other_bundle(place, threshold=0.111)
    there.has(DEMO_BUNDLE)
    with pytest.raises(BundleError, match="is another bundle; remove it"):
        pulled(there, shelf)
    (place / "golden.npz").write_bytes(b"")
    with pytest.raises(BundleError, match="does not match its SHA-256"):
        pulled(there, shelf)


def moved(there: Scripted, elsewhere: str) -> None:
    """All blobs are at another place."""
    for method, path in [key for key in there.answers if "/blobs/" in key[1]]:
        there.says(method, path, 307, Location=f"{elsewhere}{path}")


def test_a_redirect_is_followed_without_the_login(
    there: Scripted, shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Scripted()
    try:
        login = log_in(tmp_path / "ana", monkeypatch, there.host)
        there.has(DEMO_BUNDLE)
        store.answers = {key: answer for key, answer in there.answers.items() if "/blobs/" in key[1]}
        moved(there, f"http://{store.host}")
        for key, answer in list(there.answers.items()):
            there.answers[key] = lambda asked, answer=answer: (
                answer(asked) if asked.get("authorization") == login else (401, {"WWW-Authenticate": "Basic"}, b"")
            )
        assert pulled(there, shelf).exists()
        assert len(store.asked) == 8
        assert not any("authorization" in headers for _, _, headers in store.asked)
        store.answers = {key: lambda asked: (401, {"WWW-Authenticate": "Basic"}, b"") for key in store.answers}
        with pytest.raises(BundleError, match="wants a login for a file"):
            pull(Reference.parse(f"{there.host}/lids/demo:1"), tmp_path / "ana")
        assert not any("authorization" in headers for _, _, headers in store.asked)
    finally:
        store.close()


def test_a_registry_that_leads_in_a_circle_or_out_of_tls_is_left(there: Scripted, shelf: Path) -> None:
    there.says("GET", "/v2/lids/demo/manifests/1", 302, Location="/v2/lids/demo/manifests/1")
    assert "leads from one address to the next" in why(there, shelf)
    there.says("GET", "/v2/lids/demo/manifests/1", 302, Location="file:///etc/passwd")
    assert "leads to 'file:///etc/passwd'" in why(there, shelf)
    client = RegistryClient("registry.factory", "lids", "pull")
    for url in ("http://registry.factory/token", "file:///token"):
        with pytest.raises(BundleError, match="without TLS"):
            client._check_scheme(url)
        with pytest.raises(BundleError, match="without TLS"):
            client._authorized(f'Bearer realm="{url}"')
    assert client._base == "https://registry.factory/v2/lids/"
    assert RegistryClient("registry.factory", "lids", "pull", plain_http=True)._base.startswith("http://")


def test_a_token_is_asked_for_and_asked_for_again_when_it_is_over(
    there: Scripted, shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    login = log_in(tmp_path / "ana", monkeypatch, there.host)
    tokens: list[str] = []

    def token(asked: dict[str, str]) -> Answer:
        assert asked["authorization"] == login
        tokens.append(f"token-{len(tokens)}")
        return 200, {}, json.dumps({"token": tokens[-1]}).encode()

    def guarded(answer: Callable[[dict[str, str]], Answer]) -> Callable[[dict[str, str]], Answer]:
        left = [0]

        def guard(asked: dict[str, str]) -> Answer:
            said = asked.get("authorization", "")
            uses[said] = uses.get(said, 0) + 1
            if tokens and said == f"Bearer {tokens[-1]}" and uses[said] <= 3:  # it holds for three requests
                return answer(asked)
            left[0] += 1
            realm = f'Bearer realm="http://{there.host}/token",service="registry"'
            return 401, {"WWW-Authenticate": realm}, b""

        return guard

    uses: dict[str, int] = {}
    there.has(DEMO_BUNDLE)
    there.answers = {key: guarded(answer) for key, answer in there.answers.items()}
    there.answers["GET", "/token"] = token
    assert pulled(there, shelf).exists()
    assert len(tokens) == 3
    asked = [parse_qs(urlsplit(path).query) for _, path, _ in there.asked if path.startswith("/token")]
    assert asked[0] == {"scope": ["repository:lids/demo:pull"], "service": ["registry"]}


@pytest.mark.parametrize(
    ("challenge", "token", "said"),
    [
        ("Basic", b"", "it wants a login"),
        ("Negotiate", b"", "a login of an unknown kind"),
        ("Bearer", b"", "a login of an unknown kind"),
        ("", b"", "a login of an unknown kind"),
        ('Bearer realm="TOKEN"', b"no json", "gives no token"),
        ('Bearer realm="TOKEN"', b"[]", "gives no token"),
        ('Bearer realm="TOKEN"', b'{"token": "a\\nb"}', "gives no token"),
        ('Bearer realm="TOKEN"', b'{"token": "x"}', "it wants a login"),
        ('Bearer realm="TOKEN/none"', b"", "it is not there"),
    ],
)
def test_a_login_that_does_not_come_about_is_one_line(
    there: Scripted, shelf: Path, challenge: str, token: bytes, said: str
) -> None:
    header = challenge.replace("TOKEN", f"http://{there.host}/token")
    there.says("GET", "/v2/lids/demo/manifests/1", 401, WWW_Authenticate=header)
    there.says("GET", "/token", content=token)
    assert said in why(there, shelf)


def test_an_upload_goes_nowhere_else(there: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log_in(tmp_path / "ana", monkeypatch, there.host)
    there.says("POST", "/v2/lids/demo/blobs/uploads/", 202, Location="http://127.0.0.1:9/steal")
    with pytest.raises(BundleError, match=r"wants the upload at 127\.0\.0\.1:9, which is another place"):
        push(load_bundle(DEMO_BUNDLE), Reference.parse(f"{there.host}/lids/demo:1"))
    monkeypatch.setattr(registry, "MOST_FILES", 3)
    with pytest.raises(BundleError, match="more than 3 files"):
        push(load_bundle(DEMO_BUNDLE), Reference.parse(f"{there.host}/lids/demo:1"))
    assert not any(method == "PUT" for method, _, _ in there.asked)


def test_a_connection_that_breaks_is_one_line(there: Scripted, shelf: Path) -> None:
    there.has(DEMO_BUNDLE)
    path = next(path for _, path in there.answers if "/blobs/" in path)
    there.says("GET", path, content=b"short", Content_Length="100000")
    assert "cannot be reached" in why(there, shelf) or "digest" in why(there, shelf)
