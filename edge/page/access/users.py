"""The users of a page: a JSON file of names, roles and salted scrypt hashes, readable by its owner only."""

import hashlib
import hmac
import json
import os
import secrets
import stat
from base64 import b64decode, b64encode
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge.errors import ConfigError
from edge.validation import problem

N, R, P = 2**15, 8, 1
"""Cost of scrypt (RFC 7914): 32 MiB and about a tenth of a second of one core for each attempt."""

SHORTEST_PASSWORD = 10
MOST_FILE_BYTES = 1 << 20
MOST_PASSWORD_BYTES = 1024

UserName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.@-]{1,64}$")]


class PageRole(StrEnum):
    """What a user may do: `see` everything; `review` also judges parts; `run` also suspends and resumes a station, and
    says which product and which bundle it judges.
    """

    SEE = "see"
    REVIEW = "review"
    RUN = "run"

    def covers(self, needed: "PageRole") -> bool:
        """Whether this role includes the other one."""
        order = list(PageRole)
        return order.index(self) >= order.index(needed)


class User(BaseModel):
    """Role, salt and hash of a user."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: PageRole
    salt: str = Field(pattern=r"^[A-Za-z0-9+/=]{22,64}$")
    scrypt: str = Field(pattern=r"^[A-Za-z0-9+/=]{44,128}$")


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    users: dict[UserName, User]


class Users:
    """The users in a file. `add` and `remove` write it; a running page reads it again when it has changed."""

    def __init__(self, path: Path) -> None:
        """Nothing is read yet."""
        self.path = path
        self._stamp: tuple[int, int, int] | None = None
        self._users: dict[str, User] = {}
        self._dummy = _hashed(secrets.token_hex(16), secrets.token_bytes(16))

    def read(self) -> dict[str, User]:
        """The users by name. Raises ConfigError, in one line, if the file is missing, invalid, or open to others."""
        try:
            status = self.path.stat()
        except OSError as error:
            raise ConfigError(f"{self.path}: {error.strerror}; edge-page user add NAME makes it") from error
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        if stamp == self._stamp:
            return self._users
        if not stat.S_ISREG(status.st_mode) or status.st_size > MOST_FILE_BYTES:
            raise ConfigError(f"{self.path} is no file of users; edge-page user add NAME makes one")
        if status.st_mode & 0o077:
            raise ConfigError(f"{self.path} can be read by other users: chmod 600 {self.path}")
        try:
            users = _File.model_validate_json(self.path.read_bytes()).users
        except ValidationError as error:
            raise ConfigError(f"{self.path} is no file of users: {problem(error.errors()[0])}") from error
        except OSError as error:
            raise ConfigError(f"{self.path}: {error.strerror}") from error
        self._stamp, self._users = stamp, users
        return users

    def check(self, name: str, password: str) -> User | None:
        """The user, if the password is right. Takes as long for an unknown name as for a wrong password."""
        user = self.read().get(name)
        if len(password.encode()) > MOST_PASSWORD_BYTES:
            return None
        salt = b64decode(user.salt) if user else b"0" * 16
        found = _hashed(password, salt)
        is_right = hmac.compare_digest(found, b64decode(user.scrypt) if user else self._dummy)
        return user if user is not None and is_right else None

    def add(self, name: str, password: str, role: PageRole) -> bool:
        """Add a user, or change password and role of one; true if the user is new. Raises ConfigError."""
        if len(password) < SHORTEST_PASSWORD:
            raise ConfigError(f"the password has {len(password)} characters; {SHORTEST_PASSWORD} are the least")
        salt = secrets.token_bytes(16)
        user = User(role=role, salt=b64encode(salt).decode(), scrypt=b64encode(_hashed(password, salt)).decode())
        users = dict(self.read()) if self.path.exists() else {}
        try:
            _File(users={name: user})
        except ValidationError:
            raise ConfigError(f"user name {name!r}: use up to 64 letters, digits, and _ . @ -") from None
        is_new = name not in users
        self._write(users | {name: user})
        return is_new

    def remove(self, name: str) -> None:
        """Remove a user. Raises ConfigError if there is none of this name."""
        users = dict(self.read())
        if name not in users:
            raise ConfigError(f"{self.path} has no user {name!r}; edge-page user list shows them")
        del users[name]
        self._write(users)

    def _write(self, users: dict[str, User]) -> None:
        text = json.dumps({"users": {name: user.model_dump(mode="json") for name, user in users.items()}}, indent=1)
        new = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(text + "\n")
                file.flush()
                os.fsync(file.fileno())
            new.replace(self.path)
        except OSError as error:
            raise ConfigError(f"{self.path} cannot be written: {error.strerror}") from error
        self._stamp = None


def _hashed(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=N, r=R, p=P, maxmem=64 * 2**20, dklen=32)
