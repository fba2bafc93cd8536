"""Bundles in a real OCI registry: pushed, pulled by digest, signed, damaged there, behind a login."""

import base64
import fcntl
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.line import DEMO_BUNDLE, ran
from support.other_bundle import other_bundle
from support.registry import ANA, Registry, needs_registry, running_registry

from edge.bundle import load_bundle
from edge.bundle.registry import Reference, pull, push
from edge.bundle.signature import Trust, sign_bundle
from edge.errors import BundleError
from edge.security.signing_keys import new_signing_key, read_private_key

pytestmark = needs_registry


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with running_registry(tmp_path_factory.mktemp("registry") / "data") as running:
        yield running


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    folder = tmp_path / "shelf"
    folder.mkdir()
    return folder


def there_are(shelf: Path) -> list[str]:
    """Names in the folder, without that of the lock."""
    return sorted(path.name for path in shelf.iterdir() if path.name != ".pull.lock")


def at(there: Registry, what: str = "lids/demo:1") -> Reference:
    return Reference.parse(f"{there.host}/{what}")


def test_a_bundle_comes_back_as_it_was_by_tag_and_by_digest(there: Registry, shelf: Path) -> None:
    demo = load_bundle(DEMO_BUNDLE)
    digest = push(demo, at(there))
    place, found = pull(at(there), shelf)
    assert (found, place.name) == (digest, f"{demo.manifest.name}-{demo.digest[:12]}.edge")
    files = {file.relative_to(place) for file in place.rglob("*") if file.is_file()}
    assert files == {file.relative_to(DEMO_BUNDLE) for file in DEMO_BUNDLE.rglob("*") if file.is_file()}
    assert load_bundle(place).digest == demo.digest
    assert pull(at(there, f"lids/demo@{digest}"), shelf) == (place, digest)
    assert there_are(shelf) == [place.name]


def test_a_signed_bundle_is_kept_only_with_the_right_key(there: Registry, tmp_path: Path, shelf: Path) -> None:
    bundle = other_bundle(tmp_path / "signed.edge")
    for who in ("lab", "other"):
        new_signing_key(who, tmp_path)
    push(load_bundle(bundle), at(there, "lids/unsigned:1"))
    sign_bundle(bundle, read_private_key(tmp_path / "lab.key", lambda: ""))
    push(load_bundle(bundle), at(there, "lids/signed:1"))
    own, other = (Trust.read([tmp_path / f"{who}.pub"]) for who in ("lab", "other"))
    for what, trust, why in (("unsigned", own, "not signed"), ("signed", other, "whom no --trust names")):
        with pytest.raises(BundleError, match=why):
            pull(at(there, f"lids/{what}:1"), shelf, trust)
        assert there_are(shelf) == []
    place, _ = pull(at(there, "lids/unsigned:1"), shelf)
    assert pull(at(there, "lids/signed:1"), shelf)[0] == place
    assert not (place / "manifest.sig").exists(), "nobody has said whom to trust"
    assert pull(at(there, "lids/signed:1"), shelf, own)[0] == place
    assert load_bundle(place, own).digest == load_bundle(bundle).digest
    new_signing_key("second", tmp_path)
    sign_bundle(place, read_private_key(tmp_path / "second.key", lambda: ""))
    pull(at(there, "lids/signed:1"), shelf, own)
    assert load_bundle(place, Trust.read([tmp_path / "second.pub"])).digest == load_bundle(bundle).digest


def test_what_is_damaged_or_exchanged_in_the_registry_is_refused(there: Registry, tmp_path: Path, shelf: Path) -> None:
    bundle = load_bundle(other_bundle(tmp_path / "damaged.edge", threshold=0.123))
    digest = push(bundle, at(there, "lids/damaged:1"))
    manifest = json.loads(there.blob(digest).read_bytes())
    blob = there.blob(next(one["digest"] for one in manifest["layers"] if "manifest.json" in str(one["annotations"])))
    sound = blob.read_bytes()
    for content in (sound[:-1], sound[:-1] + b" ", sound + b" "):
        blob.write_bytes(content)
        with pytest.raises(
            BundleError, match=r"manifest.json is not what its digest says|cannot be reached|HTTP status"
        ):
            pull(at(there, f"lids/damaged@{digest}"), shelf)
        assert there_are(shelf) == []
    blob.write_bytes(sound)
    there.blob(digest).write_bytes(json.dumps(manifest, indent=1).encode())
    with pytest.raises(
        BundleError, match=r"another artifact than sha256|HTTP status|is not there"
    ):  # the registry's own
        pull(at(there, f"lids/damaged@{digest}"), shelf)


def test_the_commands_print_the_digest_and_where_the_bundle_is(there: Registry, shelf: Path) -> None:
    pushed = ran("ctl", "push", DEMO_BUNDLE, f"{there.host}/lids/cli:7", "--json")
    digest = json.loads(pushed.stdout)["digest"]
    pulled = ran("ctl", "pull", f"{there.host}/lids/cli:7", "--into", shelf, "--json")
    name = f"demo-{load_bundle(DEMO_BUNDLE).digest[:12]}.edge"
    assert json.loads(pulled.stdout) == {"bundle": name, "folder": str(shelf / name), "digest": digest}
    again = ran("ctl", "pull", f"{there.host}/lids/cli@{digest}", "--into", shelf)
    assert again.stdout == f"{name}  {there.host}/lids/cli@{digest}\n"
    assert ran("ctl", "push", DEMO_BUNDLE, f"{there.host}/lids/cli:7").stdout == f"{there.host}/lids/cli@{digest}\n"


def test_an_artifact_that_is_no_bundle_or_not_there_is_one_line(there: Registry, shelf: Path) -> None:
    def said(*arguments: object) -> str:
        done = ran("ctl", *arguments)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        return str(done.stderr)

    assert "it is not there" in said("pull", f"{there.host}/lids/nothing:1", "--into", shelf)
    assert "give HOST[:PORT]/NAME:TAG" in said("pull", "demo", "--into", shelf)
    assert "give HOST[:PORT]/NAME:TAG" in said("pull", f"{there.host}/lids/demo", "--into", shelf)
    assert "no such folder" in said("pull", f"{there.host}/lids/demo:1", "--into", shelf / "none")
    assert "cannot be reached" in said("pull", "127.0.0.1:1/lids/demo:1", "--into", shelf)
    assert "cannot be reached" in said("push", DEMO_BUNDLE, "127.0.0.1:1/lids/demo:1")
    (shelf / ".pull-left-behind").mkdir()
    with (shelf / ".pull.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "another edge-ctl pull works there" in said("pull", f"{there.host}/lids/demo:1", "--into", shelf)
    assert there_are(shelf) == [".pull-left-behind"]
    assert "not a bundle" in said("push", shelf, f"{there.host}/lids/demo:1")
    assert "pushed under a tag" in said("push", DEMO_BUNDLE, f"{there.host}/lids/demo@sha256:{'0' * 64}")


def test_a_registry_that_wants_a_login_gets_that_of_docker(
    tmp_path: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_registry(tmp_path / "data", ANA) as there:
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "nobody"))
        with pytest.raises(BundleError, match="it wants a login"):
            push(load_bundle(DEMO_BUNDLE), at(there))
        (tmp_path / "ana").mkdir()
        login = {"auths": {there.host: {"auth": base64.b64encode(b"ana:secret").decode()}}}
        (tmp_path / "ana" / "config.json").write_text(json.dumps(login))
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "ana"))
        digest = push(load_bundle(DEMO_BUNDLE), at(there))
        assert pull(at(there), shelf)[1] == digest
