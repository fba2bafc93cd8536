"""A station's folder of CURVE keys: its own pair, the clients that may connect, the revoked keys.

    station.key                 the station's pair
    station.DATE.key            a pair from before `edge-keys rotate`
    clients/NAME.key            a client's key, with its secret if the pair was made here
    revoked/NAME.SHA256.key     a revoked public key; only the name of the file counts

Files have mode 0600, folders 0700. A file is written once and never changed.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from stat import S_IMODE

from edge.errors import KeyFileError
from edge.machine import user_folder
from edge.security import key_file
from edge.security.certificate import Certificate, Pair, fingerprint, from_z85
from edge.security.roles import OF_A_NEW_KEY, OF_AN_OLD_KEY, Guest, Role

SUFFIX = ".key"
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}")
_REVOKED = re.compile(rf"({_NAME.pattern})\.([0-9a-f]{{64}})\.key")


def default_folder() -> Path:
    """`$EDGE_KEYS`, else `edge-inspect/keys` in the user's configuration folder. Raises ConfigError without one."""
    if given := os.environ.get("EDGE_KEYS"):
        return Path(given)
    return user_folder("XDG_CONFIG_HOME", ".config") / "edge-inspect" / "keys"


@dataclass(frozen=True)
class Client:
    """A client's key, as shown by `edge-keys list`. `has_secret`: the pair was made here and can be exported. A revoked
    key has no role.
    """

    name: str
    fingerprint: str
    has_secret: bool
    is_revoked: bool
    role: Role | None


@dataclass(frozen=True)
class Admission:
    """The clients that may connect, by public key (32 bytes), and the names of revoked keys by fingerprint."""

    admitted: dict[bytes, Guest]
    revoked: dict[str, str]


class KeyStore:
    """A station's folder of keys. Every method raises KeyFileError, in one line, if it fails or distrusts a file."""

    def __init__(self, folder: Path) -> None:
        """The folder is not read yet."""
        self.folder = folder
        self._station = folder / f"station{SUFFIX}"
        self._clients, self._revoked = folder / "clients", folder / "revoked"

    # ------------------------------------------------------------------------------------------------- reading

    def station(self) -> Pair:
        """The station's own pair."""
        self._check_folders()
        return Certificate.read(self._station).pair(self._station)

    def clients(self) -> list[Client]:
        """All clients by name, then the revoked ones."""
        self._check_folders()
        gone = [Client(name, digits, False, True, None) for digits, name in self._revocations().items()]
        held = ((path, Certificate.read(path)) for path in _files(self._clients))
        live = [
            Client(path.stem, fingerprint(c.public), c.secret is not None, False, _role(path, c)) for path, c in held
        ]
        return [c for c in live if c.fingerprint not in {g.fingerprint for g in gone}] + gone

    def admission(self, complain: Callable[[KeyFileError], None]) -> Admission:
        """The clients that may connect now. An untrusted file is skipped, and `complain` is called with its error."""
        self._check_folders()
        revoked, admitted = self._revocations(), {}
        for path in _files(self._clients):
            try:
                certificate = Certificate.read(path)
                guest = Guest(path.stem, _role(path, certificate))
            except KeyFileError as error:
                complain(error)
                continue
            if fingerprint(certificate.public) not in revoked:
                admitted[certificate.public] = guest
        return Admission(admitted, revoked)

    def stamp(self) -> object:
        """A value that changes with the folder: names, inodes, times, sizes and modes of its files."""
        try:
            paths = [self.folder, self._clients, self._revoked, self._station]
            stats = [(p.name, p.stat()) for p in [*paths, *_files(self._clients), *_files(self._revoked)]]
        except (OSError, KeyFileError) as error:
            return str(error)
        return [(name, s.st_ino, s.st_mtime_ns, s.st_size, s.st_mode) for name, s in stats]

    # ------------------------------------------------------------------------------------------------- changing

    def init(self) -> Pair:
        """Create the folder and the station's pair."""
        with _one_line_errors(self.folder):
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            for folder in (self.folder, self._clients, self._revoked):
                folder.mkdir(mode=0o700, exist_ok=True)
        self._check_folders()
        if self._station.exists():
            raise KeyFileError(f"{self._station} exists; edge-keys rotate gives the station a new key")
        pair = Pair.new()
        _create(self._station, Certificate(pair.public, pair.secret, name="station"))
        return pair

    def add(self, name: str, public: str | None = None, role: Role = OF_A_NEW_KEY) -> Client:
        """Admit a client: with a new pair, or with the public key, in Z85, of the client's own pair."""
        if not _NAME.fullmatch(name):
            raise KeyFileError(f"{name!r} is no name of a client: use up to 64 letters, digits, dots, dashes and _")
        certificate = _certificate(name, public, role)
        digits = fingerprint(certificate.public)
        for client in self.clients():
            if client.fingerprint == digits:
                why = "is revoked, which is for ever" if client.is_revoked else "is there already"
                raise KeyFileError(f"this key, of {client.name}, {why}; give another one")
        _create(self._clients / (name + SUFFIX), certificate)
        return Client(name, digits, certificate.secret is not None, False, role)

    def revoke(self, name: str) -> Client:
        """Revoke a client's key permanently. Its name may be given to a new key."""
        path, certificate = self._named(name)
        digits = fingerprint(certificate.public)
        mark = self._revoked / f"{name}.{digits}{SUFFIX}"
        with _one_line_errors(mark):
            if not mark.exists():  # it exists if an earlier revocation was interrupted here
                key_file.create(mark, Certificate(certificate.public, name=name).render(), 0o600)
            path.unlink()
        return Client(name, digits, False, True, None)

    def rotate(self) -> tuple[Pair, Path]:
        """Give the station a new pair. Returns the new pair, and the file with the old pair."""
        self.station()
        pair, date = Pair.new(), datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        new, old = (self.folder / f"station.{date}{suffix}" for suffix in (".new", SUFFIX))
        _create(new, Certificate(pair.public, pair.secret, name="station"))
        with _one_line_errors(old):
            os.link(self._station, old)
            new.replace(self._station)  # atomic: the station has a key at every moment
        return pair, old

    def export(self, name: str, out: Path) -> Client:
        """Write the single file that a controller needs: its pair and the station's public key."""
        path, held = self._named(name)
        role = _role(path, held)
        if fingerprint(held.public) in self._revocations():
            raise KeyFileError(f"the key of {name} is revoked; edge-keys add gives the name a new one")
        _create(out, Certificate(held.public, held.secret, self.station().public, name))
        return Client(name, fingerprint(held.public), held.secret is not None, False, role)

    # ------------------------------------------------------------------------------------------------- parts

    def _check_folders(self) -> None:
        for folder in (self.folder, self._clients, self._revoked):
            try:
                mode = S_IMODE(folder.stat().st_mode)
            except OSError as error:
                raise KeyFileError(
                    f"{folder}: no folder of keys ({error.strerror}); edge-keys init makes one"
                ) from error
            key_file.refuse_shared(folder, mode)

    def _named(self, name: str) -> tuple[Path, Certificate]:
        """A client's file and its content."""
        self._check_folders()
        path = self._clients / (name + SUFFIX)
        if not _NAME.fullmatch(name) or not path.exists():
            raise KeyFileError(f"no client {name!r} in {self.folder}; edge-keys list shows them")
        return path, Certificate.read(path)

    def _revocations(self) -> dict[str, str]:
        """Names of the revoked keys, by fingerprint."""
        found = (_REVOKED.fullmatch(path.name) for path in _files(self._revoked))
        return {match[2]: match[1] for match in found if match}


def _role(path: Path, certificate: Certificate) -> Role:
    """The role of a client's key. Raises KeyFileError if the file contains an unknown role."""
    if certificate.role is None:
        return OF_AN_OLD_KEY
    try:
        return Role(certificate.role)
    except ValueError as error:
        raise KeyFileError(f"{path}: {certificate.role!r} is no role; write one of {', '.join(Role)}") from error


def _certificate(name: str, public: str | None, role: Role) -> Certificate:
    if public is None:
        pair = Pair.new()
        return Certificate(pair.public, pair.secret, name=name, role=role)
    try:
        return Certificate(from_z85(public), name=name, role=role)
    except ValueError as error:
        raise KeyFileError(f"{public!r} is no public key: it has 40 characters of Z85") from error


def _files(folder: Path) -> list[Path]:
    with _one_line_errors(folder):
        return sorted(path for path in folder.iterdir() if path.suffix == SUFFIX)


def _create(path: Path, certificate: Certificate) -> None:
    with _one_line_errors(path):
        key_file.create(path, certificate.render(), 0o600)


@contextmanager
def _one_line_errors(path: Path) -> Iterator[None]:
    """Converts errors of the file system to KeyFileError with a one-line message."""
    try:
        yield
    except FileExistsError as error:
        raise KeyFileError(
            f"{error.filename or path} exists; a key is never overwritten, choose another name"
        ) from error
    except OSError as error:
        raise KeyFileError(f"{error.filename or path}: {error.strerror}") from error
