"""Signing keys: Ed25519 pairs in PEM formats that openssl reads, PKCS8 and SubjectPublicKeyInfo.

Needs the extra `keys`, but only when a key is used: commands can import this module without it.
"""

import hashlib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from edge.errors import KeyFileError
from edge.security import key_file

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PRIVATE, PUBLIC = ".key", ".pub"


def require_extra(what: str) -> None:
    """Raise KeyFileError, naming the extra and what needs it, if cryptography is not installed."""
    try:
        import_module("cryptography.hazmat.primitives.asymmetric.ed25519")
    except ImportError as error:
        remedy = "pip install 'edge-inspect[keys]'"
        raise KeyFileError(f"{what} needs cryptography, which is not installed: {remedy}") from error


def fingerprint(key: "Ed25519PublicKey") -> str:
    """SHA-256 of the public key as DER SubjectPublicKeyInfo, 64 hexadecimal digits."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def new_signing_key(name: str, folder: Path, passphrase: str | None = None) -> "Ed25519PublicKey":
    """Write the pair NAME.key (mode 0600) and NAME.pub into `folder`, which is created if it is missing.

    Raises KeyFileError, and writes nothing, if one of the files exists.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    if not name or Path(name).name != name:
        raise KeyFileError(f"{name!r} is no name for a key; give the folder with --out")
    key = Ed25519PrivateKey.generate()
    cipher = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, cipher)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    write_pair(folder / (name + PRIVATE), private, folder / (name + PUBLIC), public)
    return key.public_key()


def write_pair(private_path: Path, private: bytes, public_path: Path, public: bytes) -> None:
    """Write two new files, both or none, the private one with mode 0600. Raises KeyFileError if one exists."""
    try:
        private_path.parent.mkdir(parents=True, exist_ok=True)
        key_file.create(public_path, public, 0o644)
        try:
            key_file.create(private_path, private, 0o600)
        except BaseException:
            public_path.unlink()
            raise
    except FileExistsError as error:
        remedy = "a key is never overwritten, choose another name"
        raise KeyFileError(f"{error.filename} exists; {remedy}") from error
    except OSError as error:
        raise KeyFileError(f"{error.filename or private_path}: cannot be written ({error.strerror})") from error


def read_private_key(path: Path, passphrase: Callable[[], str]) -> "Ed25519PrivateKey":
    """The Ed25519 key of a PKCS8 file that only its owner can read; `passphrase` is called if it is encrypted.

    Raises KeyFileError if it is not such a key.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    content, mode = key_file.read(path)
    if b"PUBLIC KEY-----" in content:
        raise KeyFileError(f"{path} is a public key; give the private one, NAME{PRIVATE}")
    key_file.refuse_shared(path, mode)
    locked = passphrase().encode() if b"ENCRYPTED PRIVATE KEY" in content else None
    try:
        key = load_pem_private_key(content, locked)
    except Exception as error:  # ValueError, TypeError, UnsupportedAlgorithm, and OpenSSL's own errors
        why = "no private key in PEM format, or damaged; edge-keys new-signing-key makes one"
        raise KeyFileError(f"{path}: {'wrong passphrase, or damaged' if locked else why}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError(_other_kind(path, key))
    return key


def read_public_key(path: Path) -> "Ed25519PublicKey":
    """The Ed25519 key of a SubjectPublicKeyInfo file with one key. Raises KeyFileError if it is another file."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    content, _ = key_file.read(path)
    if b"PRIVATE KEY-----" in content:
        raise KeyFileError(
            f"{path} is a private key; give the public one, NAME{PUBLIC}, and keep this one off stations"
        )
    if content.count(b"-----BEGIN") > 1:
        raise KeyFileError(f"{path} holds several keys; give each in a file of its own")
    try:
        key = load_pem_public_key(content)
    except Exception as error:  # ValueError, UnsupportedAlgorithm, and OpenSSL's own errors
        remedy = f"give the file NAME{PUBLIC} that edge-keys new-signing-key wrote"
        raise KeyFileError(f"{path}: no public key in PEM format, or damaged; {remedy}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise KeyFileError(_other_kind(path, key))
    return key


def _other_kind(path: Path, key: object) -> str:
    kind = type(key).__name__.strip("_").removesuffix("PrivateKey").removesuffix("PublicKey")
    return f"{path} is a key of another kind ({kind}); bundles are signed with Ed25519: edge-keys new-signing-key"
