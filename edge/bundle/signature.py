"""Signed bundles: signatures of a manifest, which cover every file whose hash it contains.

A valid signature proves that a holder of a trusted private key signed exactly this manifest, and so exactly these
files. It does not prove that the bundle is good, the newest, or meant for this line: an older signed bundle still
passes. Nor does it protect a machine on which an attacker can write programs or trusted key files. An attacker who can
write to the bundle can only prevent a station from starting: a child process accepts only the manifest whose signature
the station checked, and gives its runtime exactly the bytes that it hashed.

manifest.sig has one line per signing key:

    ed25519 FINGERPRINT SIGNATURE

FINGERPRINT is the SHA-256 of the public key (DER SubjectPublicKeyInfo), SIGNATURE the Ed25519 signature (RFC 8032) of
PURPOSE followed by the bytes of manifest.json, both in lower-case hexadecimal digits. A signature has only one valid
form, so no byte of the line can be changed.
"""

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge.bundle.folder import SIGNATURES, load_bundle, read_signatures
from edge.bundle.manifest import MANIFEST
from edge.errors import BundleError
from edge.security.signing_keys import fingerprint, read_public_key, require_extra

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PURPOSE = b"edge-inspect bundle manifest v1\0"
"""Prefix of the signed data, so that a signature made for another purpose is not valid for a bundle."""

_LINE = re.compile(rb"ed25519 ([0-9a-f]{64}) ([0-9a-f]{128})\n")


@dataclass(frozen=True)
class Trust:
    """The public keys whose bundles may run, by fingerprint."""

    keys: "dict[str, Ed25519PublicKey]"

    @classmethod
    def read(cls, files: Sequence[Path]) -> "Trust | None":
        """Read public key files; None without files, which means that no signature is required. Raises KeyFileError."""
        if not files:
            return None
        require_extra("--trust")
        keys = [read_public_key(file) for file in files]
        return cls({fingerprint(key): key for key in keys})

    def check(self, path: Path, manifest: bytes, signatures: bytes | None) -> str:
        """Fingerprint of the trusted key that signed `manifest`, the content of manifest.json of the bundle `path`.

        `signatures` is the content of manifest.sig, None if there is none. Raises BundleError if no trusted key signed,
        or if the signature of a trusted key does not match this manifest.
        """
        from cryptography.exceptions import InvalidSignature

        if signatures is None:
            raise BundleError(f"{path}: not signed, and --trust runs only signed ones; edge-keys sign-bundle signs it")
        signed = parse_signatures(path, signatures)
        known = [(who, signature) for who, signature in signed.items() if who in self.keys]
        if not known:
            who = ", ".join(signed)
            raise BundleError(
                f"{path}: signed by {who}, whom no --trust names; give that public key, or sign the bundle"
            )
        for who, signature in known:
            try:
                self.keys[who].verify(signature, PURPOSE + manifest)
            except InvalidSignature as error:
                remedy = "copy the bundle again, or sign it again"
                raise BundleError(f"{path}: the signature by {who} does not match {MANIFEST}; {remedy}") from error
        return known[0][0]


def parse_signatures(path: Path, content: bytes) -> dict[str, bytes]:
    """Signatures in manifest.sig by the fingerprint of their key. Raises BundleError if it does not have that form."""
    lines = content.splitlines(keepends=True)
    found = [match for line in lines if (match := _LINE.fullmatch(line))]
    signed = {match[1].decode(): bytes.fromhex(match[2].decode()) for match in found}
    if not lines or len(signed) != len(lines):
        remedy = "copy the bundle again, or remove that file and sign"
        raise BundleError(f"{path}: {SIGNATURES} holds no signatures, or is damaged; {remedy}")
    return signed


def sign_bundle(path: Path, key: "Ed25519PrivateKey") -> str:
    """Check the bundle's hashes, add the signature by `key`, and return the key's fingerprint.

    Other keys' signatures stay; an earlier one of this key is replaced. Raises BundleError.
    """
    bundle = load_bundle(path)
    file, before = bundle.folder / SIGNATURES, read_signatures(path, bundle.folder)
    signed = {} if before is None else parse_signatures(path, before)
    who = fingerprint(key.public_key())
    signed[who] = key.sign(PURPOSE + bundle.manifest_content)
    lines = (f"ed25519 {who} {signature.hex()}\n" for who, signature in signed.items())
    _replace(file, "".join(lines).encode())
    return who


def add_signatures(path: Path, content: bytes) -> None:
    """Add the signatures of another copy of the same bundle, `content` of its manifest.sig, to those that are there.

    Whether they hold is checked when the bundle is loaded. Raises BundleError.
    """
    before = read_signatures(path, path)
    signed = parse_signatures(path, content) | ({} if before is None else parse_signatures(path, before))
    lines = (f"ed25519 {who} {signature.hex()}\n" for who, signature in signed.items())
    _replace(path / SIGNATURES, "".join(lines).encode())


def _replace(file: Path, content: bytes) -> None:
    """Replace a file atomically. The temporary file lies beside the bundle, where a station finds no unknown file."""
    bundle = file.absolute().parent
    work = None
    try:
        with tempfile.NamedTemporaryFile(dir=bundle.parent, prefix=f".{bundle.name}-", delete=False) as new:
            work = Path(new.name)
            new.write(content)
        work.chmod(0o644)
        work.replace(file)
    except OSError as error:
        raise BundleError(f"{file}: cannot be written ({error.strerror})") from error
    finally:
        if work is not None:
            work.unlink(missing_ok=True)
