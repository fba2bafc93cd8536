"""A bundle runs under --trust only if a trusted key signed exactly its content."""

import hashlib
import os
import re
import shutil
import stat
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.line import DEMO_BUNDLE, command, free_endpoint, ran, refused, run, running_line, station_config

from edge.bundle import MANIFEST, MANIFEST_HASH, SIGNATURES, load_bundle, seal
from edge.bundle.signature import PURPOSE, Trust, sign_bundle
from edge.errors import BundleError, KeyFileError
from edge.security.signing_keys import fingerprint, new_signing_key, read_private_key, read_public_key
from edge.station.cell import Cell

MANY = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)


@dataclass(frozen=True)
class Pair:
    private: Path
    public: Path

    @property
    def key(self) -> Ed25519PrivateKey:
        return read_private_key(self.private, never_asked)

    @property
    def who(self) -> str:
        return fingerprint(read_public_key(self.public))


def never_asked() -> str:
    raise AssertionError("no passphrase was needed")


def pair(folder: Path, name: str) -> Pair:
    new_signing_key(name, folder)
    return Pair(folder / f"{name}.key", folder / f"{name}.pub")


def trust(*pairs: Pair) -> Trust:
    found = Trust.read([one.public for one in pairs])
    assert found is not None
    return found


@pytest.fixture
def lab(tmp_path: Path) -> Pair:
    return pair(tmp_path / "keys", "lab")


@pytest.fixture
def stranger(tmp_path: Path) -> Pair:
    return pair(tmp_path / "keys", "stranger")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DEMO_BUNDLE, tmp_path / "copy.edge"))


@pytest.fixture
def signed(bundle: Path, lab: Pair) -> Path:
    sign_bundle(bundle, lab.key)
    return bundle


def changed(content: bytes, data: st.DataObject) -> bytes:
    """`content` with one changed byte, often only a lower-case letter that becomes upper-case."""
    spoilt = bytearray(content)
    spoilt[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.just(ord(" ")) | st.integers(1, 255))
    return bytes(spoilt)


# ------------------------------------------------------------------------------------------------ accepted bundles


def test_a_bundle_signed_by_a_trusted_key_says_who_signed_it(signed: Path, lab: Pair, stranger: Pair) -> None:
    assert load_bundle(signed, trust(stranger, lab)).signed_by == lab.who
    assert [p.name for p in signed.parent.iterdir() if p.name.startswith(".")] == []


def test_without_trust_a_bundle_loads_signed_or_not(bundle: Path, lab: Pair) -> None:
    assert load_bundle(bundle).signed_by is None
    sign_bundle(bundle, lab.key)
    assert load_bundle(bundle).signed_by is None


def test_a_second_signature_leaves_the_first_and_either_is_enough(signed: Path, lab: Pair, stranger: Pair) -> None:
    sign_bundle(signed, stranger.key)
    sign_bundle(signed, stranger.key)
    assert len((signed / SIGNATURES).read_bytes().splitlines()) == 2
    for one in (lab, stranger):
        assert load_bundle(signed, trust(one)).signed_by == one.who


# ------------------------------------------------------------------------------------------------- refused bundles


def test_an_unsigned_bundle_is_refused(bundle: Path, lab: Pair) -> None:
    with pytest.raises(BundleError, match="not signed"):
        load_bundle(bundle, trust(lab))


def test_a_stranger_is_refused_by_fingerprint(signed: Path, lab: Pair, stranger: Pair) -> None:
    with pytest.raises(BundleError, match=f"signed by {lab.who}, whom no --trust names"):
        load_bundle(signed, trust(stranger))


def test_a_bundle_sealed_again_loses_its_signature(signed: Path, lab: Pair) -> None:
    seal(signed, load_bundle(signed).manifest)
    assert not (signed / SIGNATURES).exists()
    with pytest.raises(BundleError, match="not signed"):
        load_bundle(signed, trust(lab))


def test_a_changed_manifest_with_its_hash_made_again_is_refused(signed: Path, lab: Pair) -> None:
    signature = (signed / SIGNATURES).read_bytes()
    seal(signed, load_bundle(signed).manifest.model_copy(update={"description": "another one"}))
    (signed / SIGNATURES).write_bytes(signature)
    load_bundle(signed)
    with pytest.raises(BundleError, match=f"signature by {lab.who} does not match"):
        load_bundle(signed, trust(lab))


def test_a_trusted_signature_that_does_not_match_is_refused_beside_one_that_does(
    signed: Path, lab: Pair, stranger: Pair
) -> None:
    line = (signed / SIGNATURES).read_text()
    (signed / SIGNATURES).write_text(line + line.replace(lab.who, stranger.who))
    load_bundle(signed, trust(lab))
    with pytest.raises(BundleError, match=f"signature by {stranger.who} does not match"):
        load_bundle(signed, trust(lab, stranger))


@MANY
@given(data=st.data())
def test_one_changed_byte_of_the_manifest_is_refused_though_its_hash_fits(
    signed: Path, lab: Pair, data: st.DataObject
) -> None:
    original = [(signed / name).read_bytes() for name in (MANIFEST, MANIFEST_HASH)]
    spoilt = changed(original[0], data)
    (signed / MANIFEST).write_bytes(spoilt)
    (signed / MANIFEST_HASH).write_bytes(f"{hashlib.sha256(spoilt).hexdigest()}  {MANIFEST}\n".encode())
    try:
        with pytest.raises(BundleError, match="does not match"):
            load_bundle(signed, trust(lab))
    finally:
        (signed / MANIFEST).write_bytes(original[0])
        (signed / MANIFEST_HASH).write_bytes(original[1])


@MANY
@given(data=st.data())
def test_one_changed_byte_of_the_signature_is_refused(signed: Path, lab: Pair, data: st.DataObject) -> None:
    original = (signed / SIGNATURES).read_bytes()
    (signed / SIGNATURES).write_bytes(changed(original, data))
    try:
        with pytest.raises(BundleError) as caught:
            load_bundle(signed, trust(lab))
        assert "\n" not in str(caught.value)
    finally:
        (signed / SIGNATURES).write_bytes(original)


@MANY
@given(data=st.data())
def test_one_changed_byte_of_the_public_key_is_refused_or_leaves_the_same_key(
    signed: Path, lab: Pair, data: st.DataObject
) -> None:
    other = lab.public.with_name("changed.pub")
    other.write_bytes(changed(lab.public.read_bytes(), data))
    with suppress(KeyFileError, BundleError):
        said = load_bundle(signed, Trust.read([other])).signed_by
        assert said == fingerprint(read_public_key(other)) == lab.who


@MANY
@given(length=st.integers(0, 112))
def test_a_truncated_public_key_is_refused(lab: Pair, length: int) -> None:
    content = lab.public.read_bytes()
    other = lab.public.with_name("short.pub")
    other.write_bytes(content[: min(length, len(content.rstrip()) - 1)])
    with pytest.raises(KeyFileError, match=r"short\.pub: no public key"):
        read_public_key(other)


@pytest.mark.parametrize("content", [b"", b"\n", b"ed25519\n", b"\xff\xfe", b"{}", b"ed25519 " + b"0" * 64 + b"\n"])
def test_a_signature_file_that_is_none_is_refused_and_never_signed_over(
    signed: Path, lab: Pair, content: bytes
) -> None:
    (signed / SIGNATURES).write_bytes(content)
    for attempt in (lambda: load_bundle(signed, trust(lab)), lambda: sign_bundle(signed, lab.key)):
        with pytest.raises(BundleError, match=r"manifest\.sig holds no signatures"):
            attempt()
    assert (signed / SIGNATURES).read_bytes() == content


def test_a_signature_for_another_purpose_is_none_of_a_bundle(signed: Path, lab: Pair) -> None:
    for message in (b"", b"edge-inspect bundle manifest v2\0", b"edge-inspect bundle manifest v1"):
        signature = lab.key.sign(message + (signed / MANIFEST).read_bytes()).hex()
        (signed / SIGNATURES).write_text(f"ed25519 {lab.who} {signature}\n")
        with pytest.raises(BundleError, match="does not match"):
            load_bundle(signed, trust(lab))


def test_a_damaged_bundle_is_not_signed(bundle: Path, lab: Pair) -> None:
    with (bundle / "model.onnx").open("r+b") as file:
        file.write(b"!")
    with pytest.raises(BundleError, match=r"model\.onnx does not match"):
        sign_bundle(bundle, lab.key)
    assert not (bundle / SIGNATURES).exists()


# ------------------------------------------------------------------------------------------------------- key files


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_a_private_key_is_its_owners_from_the_moment_it_is_there(
    tmp_path: Path, umask: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    first_modes, real = {}, os.open

    def watched(path: Path, flags: int, mode: int = 0o777) -> int:
        descriptor = real(path, flags, mode)
        first_modes[Path(path).name] = stat.S_IMODE(os.fstat(descriptor).st_mode), bool(flags & os.O_EXCL)
        return descriptor

    monkeypatch.setattr(os, "open", watched)
    before = os.umask(umask)
    try:
        new_signing_key("lab", tmp_path)
    finally:
        os.umask(before)
    assert first_modes["lab.key"] == (0o600, True)
    assert stat.S_IMODE((tmp_path / "lab.key").stat().st_mode) == 0o600


@pytest.mark.parametrize("there", ["lab.key", "lab.pub"])
def test_a_key_is_never_overwritten_nor_half_a_pair_made(tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_text("precious")
    with pytest.raises(KeyFileError, match=f"{there} exists"):
        new_signing_key("lab", tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "precious"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644, 0o660])
def test_a_private_key_that_others_may_use_is_refused_with_the_remedy(lab: Pair, mode: int) -> None:
    lab.private.chmod(mode)
    with pytest.raises(KeyFileError, match=rf"mode {mode:04o}\); chmod 600 .*lab\.key"):
        read_private_key(lab.private, never_asked)
    lab.private.chmod(0o400)
    read_private_key(lab.private, never_asked)


def private_pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | X25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


FOREIGN = {
    "RSA": rsa.generate_private_key(65537, 2048),
    "EC": ec.generate_private_key(ec.SECP256R1()),
    "X25519": X25519PrivateKey.generate(),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_key_of_another_kind_is_named(tmp_path: Path, kind: str) -> None:
    key, path = FOREIGN[kind], tmp_path / "foreign"
    path.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    with pytest.raises(KeyFileError, match=rf"foreign is a key of another kind \(.*{kind}"):
        read_public_key(path)
    path.write_bytes(private_pem(key))
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match=rf"foreign is a key of another kind \(.*{kind}"):
        read_private_key(path, never_asked)


def test_the_two_halves_of_a_pair_are_told_apart(lab: Pair) -> None:
    with pytest.raises(KeyFileError, match="is a private key; give the public one"):
        read_public_key(lab.private)
    with pytest.raises(KeyFileError, match="is a public key; give the private one"):
        read_private_key(lab.public, never_asked)


@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 100, b"not a key\n", b"-----BEGIN PRIVATE KEY-----\nAAAA\n", b"-" * 2**20]
)
def test_what_is_no_key_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "thing"
    path.write_bytes(content)
    path.chmod(0o600)
    for read in (read_public_key, lambda p: read_private_key(p, never_asked)):
        with pytest.raises(KeyFileError, match="thing") as caught:
            read(path)
        assert "\n" not in str(caught.value)


def test_two_keys_in_one_file_are_refused_so_that_none_is_overlooked(lab: Pair, stranger: Pair) -> None:
    both = lab.public.with_name("both.pub")
    both.write_bytes(lab.public.read_bytes() + stranger.public.read_bytes())
    with pytest.raises(KeyFileError, match="holds several keys"):
        read_public_key(both)


def test_a_locked_key_opens_with_its_passphrase_only(tmp_path: Path, bundle: Path) -> None:
    key = new_signing_key("locked", tmp_path, "correct horse")
    path = tmp_path / "locked.key"
    assert read_private_key(path, lambda: "correct horse").public_key() == key
    with pytest.raises(KeyFileError, match="wrong passphrase"):
        read_private_key(path, lambda: "wrong horse")


def test_openssl_finds_the_same_fingerprint_and_accepts_the_signature(signed: Path, lab: Pair) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    der = subprocess.run([openssl, "pkey", "-pubin", "-in", lab.public, "-outform", "DER"], capture_output=True)
    assert fingerprint(read_public_key(lab.public)) == hashlib.sha256(der.stdout).hexdigest()
    *_, signature = (signed / SIGNATURES).read_text().split()
    message, raw = signed.with_name("message"), signed.with_name("raw")
    message.write_bytes(PURPOSE + (signed / MANIFEST).read_bytes())
    raw.write_bytes(bytes.fromhex(signature))
    verify = [openssl, "pkeyutl", "-verify", "-pubin", "-inkey", lab.public, "-rawin", "-in", message, "-sigfile", raw]
    assert subprocess.run(verify, capture_output=True).returncode == 0


# ------------------------------------------------------------------------------------------- stations and commands


def test_a_line_runs_a_bundle_that_a_trusted_key_signed(signed: Path, lab: Pair, stranger: Pair) -> None:
    options = ["--source", "demo", "--size", "320x180", "--limit", 3, "--trust", stranger.public, "--trust", lab.public]
    with running_line(*options, bundle=signed) as line:
        assert line.to_the_end() == 0, line.stderr
    assert [v.seq for v in line.verdicts] == [1, 2, 3]
    assert not [v for v in line.verdicts if v.score is None]


def test_a_line_refuses_in_one_line_what_no_trusted_key_signed(signed: Path, lab: Pair, stranger: Pair) -> None:
    line = ["--source", "demo", "--bundle", signed, "--trust"]
    assert lab.who in refused(*line, stranger.public)
    assert "lab.key is a private key" in refused(*line, lab.private)
    assert "nosuch.pub: cannot be read" in refused(*line, signed / "nosuch.pub")
    assert "demo.edge: not signed" in refused("--source", "demo", "--trust", lab.public)


def station(bundle: Path, one: Pair) -> Cell:
    config = station_config("demo", bundle, bind=free_endpoint(), limit=1, trust=(one.public,), backend="onnxruntime")
    return Cell([config], lambda _: None)


@pytest.mark.parametrize("other_is_signed", [False, True])
def test_a_bundle_swapped_after_its_signature_was_checked_never_runs(
    signed: Path, lab: Pair, other_is_signed: bool
) -> None:
    cell = station(signed, lab)
    (line,) = cell.stations
    assert line.bundle.signed_by == lab.who
    seal(signed, line.bundle.manifest.model_copy(update={"description": "another one"}))
    if other_is_signed:
        sign_bundle(signed, lab.key)
    with pytest.raises(BundleError, match="another bundle lies there"):
        cell.run()
    assert line.books.accepted == 0


def test_a_station_checks_the_signature_before_it_binds(bundle: Path, lab: Pair) -> None:
    with pytest.raises(BundleError, match="not signed"):
        station(bundle, lab)


def test_the_commands_make_a_key_sign_and_verify(tmp_path: Path, bundle: Path) -> None:
    made = ran("keys", "new-signing-key", "lab", "--out", tmp_path / "keys")
    who = made.stdout.strip()
    assert (made.returncode, bool(re.fullmatch("[0-9a-f]{64}", who))) == (0, True)
    signing = ran("keys", "sign-bundle", bundle, "--key", tmp_path / "keys" / "lab.key")
    assert signing.returncode == 0, signing.stderr
    verifying = ("keys", "verify-bundle", bundle, "--trust", tmp_path / "keys" / "lab.pub")
    done = ran(*verifying)
    assert (done.returncode, done.stdout.split()[-1]) == (0, who)
    (bundle / SIGNATURES).unlink()
    done = ran(*verifying)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {bundle}: not signed")
    assert len(done.stderr.splitlines()) == 1


def test_a_locked_key_without_a_terminal_says_where_its_passphrase_is_looked_for(
    tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_signing_key("locked", tmp_path, "correct horse")
    sign = ("keys", "sign-bundle", bundle, "--key", tmp_path / "locked.key")
    done = ran(*sign)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "EDGE_KEY_PASSPHRASE" in done.stderr
    monkeypatch.setenv("EDGE_KEY_PASSPHRASE", "correct horse")
    assert ran(*sign).returncode == 0


def test_verify_fails_an_unsigned_bundle_and_passes_a_signed_one(bundle: Path, lab: Pair) -> None:
    verify = ("verify", bundle, "--backend", "onnxruntime", "--threads", 1, "--trust", lab.public)
    done = ran(*verify)
    assert done.returncode == 1
    assert done.stderr.startswith(f"FAILED: {bundle}: not signed")
    sign_bundle(bundle, lab.key)
    assert ran(*verify).returncode == 0


@pytest.fixture
def without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the package cryptography unavailable in all processes started from now on."""
    package = tmp_path / "nothing" / "cryptography"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('not installed')")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(package.parent), os.environ.get("PYTHONPATH", "")]))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("run", ["--source", "demo", "--trust", "lab.pub"]),
        ("verify", ["demo", "--trust", "lab.pub"]),
        ("keys", ["new-signing-key", "lab"]),
        ("keys", ["sign-bundle", "demo", "--key", "lab.key"]),
        ("keys", ["verify-bundle", "demo", "--trust", "lab.pub"]),
    ],
)
@pytest.mark.usefixtures("without_the_extra")
def test_without_the_extra_one_line_names_it(name: str, arguments: list[str]) -> None:
    done = run(*command(name, *arguments))
    assert (done.returncode, done.stdout) == (2, "")
    assert "needs cryptography, which is not installed: pip install 'edge-inspect[keys]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.usefixtures("without_the_extra")
def test_without_the_extra_a_signed_bundle_runs_where_no_trust_is_asked_for(signed: Path) -> None:
    with running_line("--source", "demo", "--size", "320x180", "--limit", 2, bundle=signed) as line:
        assert line.to_the_end() == 0, line.stderr
    assert not [v for v in line.verdicts if v.score is None]
