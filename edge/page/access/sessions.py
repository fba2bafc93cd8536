"""Sessions of browsers: random ids with a signature, kept on the server and lost when the page ends."""

import hmac
import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field

from edge.page.access.users import PageRole

LIVES_S = 12 * 3600.0
"""A session ends after this time, whatever happens."""

IDLE_S = 3600.0
"""A session in which nothing is asked for this long ends. A first screen that is open asks all the time."""

MOST_SESSIONS = 1_000
"""Sessions at a time with a user, and as many without one; a further one ends that of its kind that was idle longest.
Requests without a login therefore end no session with one."""


@dataclass
class Session:
    """A browser. `user` is None before a login, and on loopback without users; then `name` is what the person typed."""

    user: str | None
    role: PageRole | None
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    """What a form of this session must send with it, against posts from other sites."""
    name: str = ""
    proof: str = ""
    """Hash of the password with which the user logged in: another password ends the session."""
    began: float = field(default_factory=time.monotonic)
    seen: float = field(default_factory=time.monotonic)

    @property
    def by(self) -> str:
        """The name that stands in records; empty if the person has not said one."""
        return self.user or self.name


class Sessions:
    """The sessions by id. Safe for several threads."""

    def __init__(self) -> None:
        """There are none."""
        self._key = secrets.token_bytes(32)
        self._of_users: OrderedDict[str, Session] = OrderedDict()
        self._of_visitors: OrderedDict[str, Session] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, user: str | None, role: PageRole | None, proof: str = "") -> tuple[str, Session]:
        """A new session and its cookie."""
        number, session = secrets.token_urlsafe(24), Session(user, role, proof=proof)
        with self._lock:
            pool = self._of_visitors if user is None else self._of_users
            pool[number] = session
            while len(pool) > MOST_SESSIONS:
                pool.popitem(last=False)
        return f"{number}.{self._sign(number)}", session

    def find(self, cookie: str) -> Session | None:
        """The session of a cookie; None if it is forged, unknown or over."""
        number, _, signature = cookie.partition(".")
        if not signature or not hmac.compare_digest(self._sign(number).encode(), signature.encode()):
            return None
        now = time.monotonic()
        with self._lock:
            pool = self._of_users if number in self._of_users else self._of_visitors
            session = pool.get(number)
            if session is None:
                return None
            if now - session.began > LIVES_S or now - session.seen > IDLE_S:
                del pool[number]
                return None
            session.seen = now
            pool.move_to_end(number)
            return session

    def end(self, cookie: str) -> None:
        """End the session of a cookie."""
        with self._lock:
            for pool in (self._of_users, self._of_visitors):
                pool.pop(cookie.partition(".")[0], None)

    def end_of(self, user: str) -> None:
        """End all sessions of a user."""
        with self._lock:
            for number in [number for number, session in self._of_users.items() if session.user == user]:
                del self._of_users[number]

    def _sign(self, number: str) -> str:
        return hmac.new(self._key, number.encode(errors="replace"), "sha256").hexdigest()
