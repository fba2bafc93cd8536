"""A page without a network: its site, stations that were heard, records, and a browser that is none."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import zmq
from starlette.testclient import TestClient
from support.records import enter, recorder, verdict, with_image

from edge.page.access.guard import Rules
from edge.page.access.users import Users
from edge.page.app import make_app
from edge.page.control import Control
from edge.page.history import History
from edge.page.live import Stations
from edge.page.site import Site
from edge.page.words import Languages
from edge.verdict import Heartbeat, Ledger, Outcome, State

PASSWORD = "a long password"
BROWSER = {"accept": "text/html", "accept-language": "en"}


def heartbeat(**changes: Any) -> Heartbeat:
    """A heartbeat of a station that runs."""
    now = time.monotonic_ns()
    fields: dict[str, Any] = {
        "station": "line1", "epoch": "ab12", "simulated": True, "sent": now, "state": State.EXECUTING, "ready": True,
        "valid_ms": 300, "valid_until": now + 300_000_000, "last_seq": 0, "ledger": Ledger(), "restarts": 0,
    }  # fmt: skip
    return Heartbeat(**(fields | changes))


def made_site(records: tuple[Path, ...] = (), users: Path | None = None, **rules: Any) -> Site:
    """A site whose station `line1` is running, without sockets."""
    stations = Stations()
    station = stations.heard("line1", "tcp://127.0.0.1:1")
    assert station is not None
    station.hear(heartbeat(), time.monotonic_ns())
    history = History(stations, records, (360, 840, 1320))
    rule = Rules("127.0.0.1", Users(users) if users else None, **rules)
    site = Site(stations, [], history, Languages(), rule, Control(zmq.Context.instance()))
    history.read()
    return site


@contextmanager
def browser(site: Site, **options: Any) -> Iterator[TestClient]:
    """A client that keeps cookies, follows no redirects, and accepts pages in English."""
    app, _ = make_app(site)
    with TestClient(app, "http://127.0.0.1", headers=BROWSER, follow_redirects=False, **options) as client:
        yield client


def token(client: TestClient, path: str = "/s/line1") -> str:
    """The token of this client's session, as its pages have it."""
    text = client.get(path).text
    return text.partition('name="token" value="')[2].partition('"')[0]


def record(folder: Path, rejects: int = 3) -> Path:
    """A record with a reject whose picture is kept, and a run with goods, rejects and an unknown."""
    with_image(folder)
    journal = recorder(folder, "cd34")
    journal_verdicts = [verdict(seq, Outcome.REJECT if seq <= rejects else Outcome.GOOD, "cd34") for seq in range(1, 9)]
    enter(journal, *journal_verdicts, verdict(9, Outcome.UNKNOWN, "cd34"))
    journal.close("told to stop", 9)
    return folder
