"""A station of a group, as the group hears it."""

from collections.abc import Callable

from edge.gate.station_link import StationLink
from edge.gate.station_view import Speaker, StationView
from edge.group.joining import Joining, Said
from edge.verdict import Heartbeat, State, StateChange, Verdict


class View:
    """The machine that a link to a station feeds; `edge.gate.station_link.Machine` has the methods."""

    link: StationLink

    def __init__(self, name: str, joining: Joining, note: Callable[[str], None]) -> None:
        """Nothing was heard yet. `note` is called with lines about runs of the station that begin."""
        self.name = name
        self.heartbeat: Heartbeat | None = None
        self._station, self._joining, self._note = StationView(), joining, note

    @property
    def epoch(self) -> str | None:
        """The run of the station that is followed."""
        return self._station.epoch

    @property
    def state(self) -> State:
        """The station's state, as it said last."""
        return self._station.state

    @property
    def wants_snapshot(self) -> bool:
        """Whether the run is still to be joined."""
        return self._station.wants_snapshot

    def hear(self, message: Verdict | Heartbeat | StateChange, at_ns: int) -> None:
        """Take a message of the verdict channel, read at `at_ns`."""
        speaker = self._station.identify(message, at_ns)
        if speaker is Speaker.FOREIGN:
            self._joining.lose(self.name, str(self._station.fault))
            return
        if speaker is Speaker.NEW:
            if self._station.epoch is not None:
                self._joining.lose(self.name, "its station was started again")
                self._note(f"{self.name}: run {message.epoch} of its station begins")
            self._station.begin(message, at_ns)
            self.heartbeat = None
        if isinstance(message, Verdict):
            self._take(message, at_ns)
            return
        self._station.last_seq = max(self._station.last_seq, message.last_seq)
        if self._station.tell(message, at_ns):
            if isinstance(message, Heartbeat):
                self.heartbeat = message
            if self._station.state is State.STOPPED:
                self._joining.lose(self.name, "its station has stopped")

    def _take(self, verdict: Verdict, at_ns: int) -> None:
        if verdict.seq <= self._station.last_seq:
            return
        self._station.last_seq = verdict.seq
        said = Said(verdict, self._station.exposed(verdict, at_ns), self._against(verdict, at_ns))
        self._joining.take(self.name, said, self._station.exposed_by(verdict, at_ns), at_ns)

    def _against(self, verdict: Verdict, at_ns: int) -> str | None:
        """Why a verdict that comes now cannot count."""
        if self._station.fault is not None:
            return self._station.fault
        if self._station.is_history(verdict, at_ns):
            return "its verdict was given before the group had joined this run of its station"
        if self._station.exposed(verdict, at_ns) is None:
            return "the time at its station is not known"
        return None if self._station.is_leased(at_ns) else "its station's heartbeats have stopped"

    def pong(self, epoch: str, now: int, sent_ns: int, received_ns: int) -> None:
        """Take the station's time."""
        if self._station.pong(epoch, now, sent_ns, received_ns):
            self._joining.lose(self.name, "a clock stood still")

    def snapshot(self, heartbeat: Heartbeat) -> None:
        """Join the run."""
        self._station.snapshot(heartbeat)

    def number(self, part: str, epoch: str, seq: int) -> None:
        """The station has accepted a part; its verdict is recognised by the part's id."""

    def suspended(self) -> None:
        """This machine was suspended: its clock stood still."""
        self._station.suspended()

    def lost(self, now_ns: int) -> str | None:
        """Why goods of this view do not count now; None if they do."""
        if self._station.fault is not None:
            return self._station.fault
        if self._station.epoch is None:
            return "nothing was heard from its station"
        if self._station.state is State.STOPPED:
            return f"its station has stopped: {self._station.end_cause}"
        return None if self._station.is_leased(now_ns) else "its station's heartbeats have stopped"

    def trouble(self, now_ns: int) -> str | None:
        """Why parts that come now are not judged by it; None if they are."""
        if (lost := self.lost(now_ns)) is not None or self._station.is_ready:
            return lost
        if self._station.wants_snapshot:
            return "the group has not joined its station's run yet"
        state, beat = self._station.state, self.heartbeat
        return f"{state}: {beat.cause}" if beat is not None and beat.cause else str(state)
