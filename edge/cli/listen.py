"""edge-listen: prints a station's messages as a live table or as JSON lines, and reports every gap."""

import json
import logging
import signal
import sys
from collections import deque
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.channel.endpoints import STATION, VERDICTS
from edge.cli import new_app, run_app
from edge.cli.log_options import with_log_options
from edge.text import counted, printable

if TYPE_CHECKING:
    from rich.table import Table

    from edge.channel.subscriber import Received, Subscriber
    from edge.station.part_counts import Books
    from edge.verdict import Verdict

app = new_app()

log = logging.getLogger("edge.listen")

ROWS = 20
REFRESHES_PER_S = 8
POLL_S = 0.1
COLUMNS = (f"{'seq':>6}", f"{'verdict':7}", f"{'score':>8}", f"{'age':>10}", "part  box, or reason of an unknown")
"""Headings of the columns that `_line` returns; docs/guide/channel.md explains them."""

SILENCE_S = 1.0
"""A station without messages for this long is silent. Heartbeats come every 0.1 s, and their lease is 0.3 s."""


@app.command()
@with_log_options
def listen(
    connect: Annotated[str, typer.Option(help="Verdict endpoint of the station.")] = VERDICTS,
    station: Annotated[str, typer.Option(help="Name of the station.")] = STATION,
    once: Annotated[bool, typer.Option("--once", help="Leave when the station's run ends.")] = False,
    wait_s: Annotated[
        float | None, typer.Option(help="Leave after so many seconds without any message.", min=0.1, max=86_400)
    ] = None,
    keys: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Key file for this station, from edge-keys export.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print each verdict as a line of JSON.")] = False,
) -> None:
    """Print verdicts as they come, and a summary when the run ends or a signal comes.

    Exit code 1 if there was a gap or a silence, 2 if nothing was heard at all.
    """
    from edge.channel.client_security import read_client_keys
    from edge.channel.subscriber import Subscriber
    from edge.cli.summary import describe, summary
    from edge.errors import ChannelError
    from edge.station.part_counts import Books
    from edge.station.signals import ENDING_SIGNALS
    from edge.verdict import State, StateChange, Verdict

    own = None if keys is None else read_client_keys(keys)
    about = {"station": station}
    subscriber = Subscriber(connect, station, own, partial(log.warning, "%s", extra=about))
    books = Books()
    show = _Json(about) if as_json else _Table(f"{station} at {connect}") if sys.stdout.isatty() else _Lines()
    watch = _Watch(about)
    try:
        for number in ENDING_SIGNALS:
            signal.signal(number, signal.default_int_handler)
        while not (once and watch.is_over) and (wait_s is None or watch.silent_s < wait_s):
            for received in subscriber.messages(POLL_S):
                watch.hear(isinstance(received.message, StateChange) and received.message.state is State.STOPPED)
                if isinstance(received.message, Verdict):
                    books.accept()
                    books.enter(received.message)
                show.show(received, books)
                if once and watch.is_over:
                    break
            else:
                watch.wait()
    except KeyboardInterrupt:
        pass  # one of the signals ends the command; the summary follows
    finally:
        show.close()
        subscriber.close()
    if not watch.has_heard:
        silent = f"{watch.silent_s:.3g} s"
        raise ChannelError(f"nothing heard from {station!r} at {connect} for {silent}; is edge-run running?")
    if as_json:
        counts = {"missed": subscriber.missed, "repeated": subscriber.repeated, "malformed": subscriber.malformed}
        print(json.dumps({**counts, "first_seq": subscriber.first_seq, **summary(books)}), file=sys.stderr)
    else:
        print("\n".join(f"received: {line}" for line in [*describe(books), *_sequence(subscriber, books)]))
    sys.exit(1 if subscriber.missed or watch.silences else 0)


class _Watch:
    """Detects the silence of a station from which messages came and that has not announced its end."""

    def __init__(self, about: dict[str, str]) -> None:
        self._about = about
        self.has_heard = self.is_over = False
        self.silent_s = 0.0
        self.silences = 0

    def hear(self, is_goodbye: bool) -> None:
        if self.silent_s >= SILENCE_S and self.has_heard and not self.is_over:
            log.info("heard again after %.1f s", self.silent_s, extra=self._about)
        self.has_heard, self.is_over, self.silent_s = True, is_goodbye, 0.0

    def wait(self) -> None:
        before = self.silent_s
        self.silent_s += POLL_S
        if self.has_heard and not self.is_over and before < SILENCE_S <= self.silent_s:
            self.silences += 1
            log.warning("SILENT: no heartbeat; a controller rejects every part until it hears one", extra=self._about)


def _sequence(subscriber: "Subscriber", books: "Books") -> list[str]:
    lines = []
    if subscriber.missed:
        lines.append(f"{counted(subscriber.missed, 'verdict')} MISSED; a controller rejects those parts")
    elif not books.accepted:
        lines.append("no verdict came")
    else:
        since = "" if subscriber.first_seq == 1 else f", from seq {subscriber.first_seq} on"
        lines.append(f"the sequence has no gap over {counted(books.accepted, 'verdict')}{since}")
    if subscriber.repeated:
        lines.append(f"{counted(subscriber.repeated, 'repeated verdict')} ignored")
    if subscriber.malformed:
        lines.append(counted(subscriber.malformed, "malformed message"))
    return lines


class _Json:
    """Prints each verdict as a line of JSON, and logs gaps."""

    def __init__(self, about: dict[str, str]) -> None:
        from edge.verdict import Verdict

        self._about = about
        self._verdict = Verdict

    def show(self, received: "Received", books: "Books") -> None:
        if received.missed:
            log.warning("gap: %s missed", counted(received.missed, "verdict"), extra=self._about)
        if isinstance(received.message, self._verdict):
            print(json.dumps(received.message.model_dump(mode="json"), separators=(",", ":")), flush=True)

    def close(self) -> None:
        pass


class _Lines:
    """Output for a pipe or a log: a line of headings, then a plain line for each verdict and each change of state."""

    def __init__(self) -> None:
        self._has_begun = False

    def show(self, received: "Received", books: "Books") -> None:
        if received.missed:
            self._print(f"GAP: {counted(received.missed, 'verdict')} missed")
        if (line := _line(received)) is not None:
            self._print("  ".join(filter(None, line)).rstrip())

    def _print(self, line: str) -> None:
        if not self._has_begun:
            print("  ".join(COLUMNS))
            self._has_begun = True
        print(line, flush=True)

    def close(self) -> None:
        pass


class _Table:
    """Output for a terminal: a table of the last verdicts, refreshed a few times a second."""

    def __init__(self, title: str) -> None:
        from rich.live import Live

        from edge.terminal.console import Console

        self._title, self._rows = title, deque[list[str]](maxlen=ROWS)
        self._foot = ""
        self._live = Live(console=Console(), get_renderable=self._table, refresh_per_second=REFRESHES_PER_S)
        self._live.start()

    def show(self, received: "Received", books: "Books") -> None:
        if received.missed:
            self._rows.append(["", "GAP", "", "", f"{counted(received.missed, 'verdict')} missed"])
        if (line := _line(received)) is not None:
            self._rows.append(line)
        ledger = books.ledger()
        self._foot = f"{ledger.good} good, {ledger.reject} reject, {ledger.unknown} unknown"

    def _table(self) -> "Table":
        from rich.markup import escape
        from rich.table import Table

        table = Table(title=escape(self._title), caption=self._foot, expand=True)
        for name in map(str.strip, COLUMNS):
            table.add_column(name, justify="right" if name in ("seq", "score", "age") else "left", no_wrap=True)
        colours = {"good": "green", "reject": "red"}
        for row in list(self._rows):
            table.add_row(*map(escape, row), style=colours.get(row[1].strip(), "yellow"))
        return table

    def close(self) -> None:
        self._live.stop()


def _line(received: "Received") -> list[str] | None:
    """The columns of a message, all printable: seq, verdict, score, age, part and reason; None for heartbeats."""
    from edge.verdict import StateChange, Verdict

    message = received.message
    if isinstance(message, StateChange):
        return [" " * 6, f"{message.state:7}", "", "", printable(message.cause or "")]
    if not isinstance(message, Verdict):
        return None
    score = "" if message.score is None else f"{message.score:.4f}"
    why = _where(message) if message.score is not None else f"  {message.reason}: {message.detail}"
    told = printable(message.part + why)
    return [f"{message.seq:6}", f"{message.verdict:7}", f"{score:>8}", f"{message.age_ms:7.2f} ms", told]


def _where(verdict: "Verdict") -> str:
    """Kind of a reject's defect, and box of the first one, which has the largest peak; empty without both."""
    kind = "" if verdict.kind is None else f"  {verdict.kind}"
    if not verdict.defects:
        return kind
    box = verdict.defects[0].box
    return f"{kind}  {box.width}×{box.height} at ({box.x}, {box.y})"


def main() -> None:
    """Entry point."""
    run_app(app)


if __name__ == "__main__":
    main()
