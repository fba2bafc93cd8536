"""CURVE keys as files in ZeroMQ's certificate format, which every binding of ZeroMQ can read.

A key is 32 bytes; in files it is in Z85, 40 printable characters. A controller imports this module, which needs only
the standard library and pyzmq.
"""

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import zmq
from zmq.utils import z85

from edge.errors import KeyFileError
from edge.security import key_file

_LINE = re.compile(r'^\s*([a-z-]+)\s*=\s*"?([^"\s]+)"?\s*$')


@dataclass(frozen=True)
class Pair:
    """Public and secret key, 32 bytes each."""

    public: bytes
    secret: bytes = field(repr=False)

    @classmethod
    def new(cls) -> Self:
        """A new pair from the system's source of randomness."""
        public, secret = zmq.curve_keypair()
        return cls(z85.decode(public), z85.decode(secret))


@dataclass(frozen=True)
class Certificate:
    """The content of a certificate file. `server` is the public key of the station that a controller trusts; `role` is
    the owner's role at the station.
    """

    public: bytes
    secret: bytes | None = field(default=None, repr=False)
    server: bytes | None = None
    name: str | None = None
    role: str | None = None

    def render(self) -> bytes:
        """The file's content, readable by `zmq.auth.load_certificate` and CZMQ's `zcert_load`."""
        keys = {"public-key": self.public, "secret-key": self.secret, "server-key": self.server}
        about = {"name": self.name, "role": self.role}
        lines = ["metadata", *(f'    {key} = "{value}"' for key, value in about.items() if value), "curve"]
        lines += [f'    {name} = "{to_z85(key)}"' for name, key in keys.items() if key is not None]
        return ("\n".join(lines) + "\n").encode()

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file. Raises KeyFileError if users other than its owner can access it, or if it is no certificate."""
        content, mode = key_file.read(path)
        key_file.refuse_shared(path, mode)
        lines = map(_LINE.match, content.decode("utf-8-sig", "replace").splitlines())
        found = {line[1]: line[2] for line in lines if line}
        try:
            keys = {n: from_z85(found[f"{n}-key"]) for n in ("public", "secret", "server") if f"{n}-key" in found}
            return cls(keys["public"], keys.get("secret"), keys.get("server"), found.get("name"), found.get("role"))
        except (KeyError, ValueError) as error:
            raise KeyFileError(f"{path}: no CURVE certificate, or damaged; edge-keys writes them") from error

    def pair(self, path: Path) -> Pair:
        """The key pair. Raises KeyFileError, naming `path`, if the secret key is missing or does not match."""
        if self.secret is None:
            raise KeyFileError(f"{path} holds no secret key; add the line secret-key of the pair to it")
        if zmq.curve_public(to_z85(self.secret).encode()) != to_z85(self.public).encode():
            raise KeyFileError(f"{path}: its public and its secret key are not one pair; write it anew with edge-keys")
        return Pair(self.public, self.secret)


def to_z85(key: bytes) -> str:
    """The 40 Z85 characters of a 32-byte key."""
    return z85.encode(key).decode()


def from_z85(text: str) -> bytes:
    """The 32 bytes of a key. Raises ValueError if `text` is not the Z85 of 32 bytes."""
    try:
        key = z85.decode(text)
    except Exception as error:  # KeyError, struct.error, UnicodeEncodeError: the text is not Z85
        raise ValueError("no Z85") from error
    if len(text) != 40 or z85.encode(key) != text.encode():
        raise ValueError("not the Z85 of 32 bytes")
    return key


def fingerprint(public: bytes) -> str:
    """SHA-256 of the 32 bytes of a public key, 64 hexadecimal digits."""
    return hashlib.sha256(public).hexdigest()


def spoken(digits: str) -> str:
    """A fingerprint in groups of four digits, to compare by telephone."""
    return " ".join(digits[i : i + 4] for i in range(0, len(digits), 4))
