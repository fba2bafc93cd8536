"""A station of a group, as the group hears it."""

from collections import deque
from collections.abc import Callable

from edge.channel.control_messages import Fate, Trigger
from edge.gate.station_link import StationLink
from edge.gate.station_view import Speaker, StationView
from edge.group.encoder import EncoderPlaces
from edge.group.joining import LATEST_NS, JoinedPart, Joining, Said, Taken
from edge.verdict import Heartbeat, State, StateChange, Verdict

TRIGGER = Trigger.model_fields["type"].default

MOST_LISTED = 1_000
"""Numbers of a gap that are acknowledged one by one."""

FATE = {Taken.LATE: Fate.LATE_REJECT, Taken.FOREIGN: Fate.REJECTED}
"""What became of the parts of verdicts that come too late, or are of no part of the group: no gate let them pass."""


class View:
    """The machine that a link to a station feeds; `edge.gate.station_link.Machine` has the methods."""

    link: StationLink

    def __init__(
        self, name: str, joining: Joining, note: Callable[[str], None], places: EncoderPlaces | None = None
    ) -> None:
        """Nothing was heard yet. `note` is called with lines about runs of the station that begin. With `places` parts
        are joined by where they are on the belt, else by their id.
        """
        self.name, self._places = name, places
        self.heartbeat: Heartbeat | None = None
        self._station, self._joining, self._note = StationView(), joining, note
        self._unanswered: deque[JoinedPart] = deque(maxlen=MOST_LISTED)  # triggered, in order

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

    def trigger(self, part: JoinedPart, trigger: Trigger) -> None:
        """Tell the station that a part is in front of its camera."""
        if self.link.trigger(trigger):
            self._forget_decided()
            self._unanswered.append(part)
            return
        part.lost[self.name] = "its station did not hear the trigger"
        part.silent.add(self.name)

    def hear(self, message: Verdict | Heartbeat | StateChange, at_ns: int) -> None:
        """Take a message of the verdict channel, read at `at_ns`."""
        speaker = self._station.identify(message, at_ns)
        if speaker is Speaker.FOREIGN:
            self._joining.lose(self.name, str(self._station.fault))
            return
        if speaker is Speaker.NEW:
            self._begin(message, at_ns)
        if isinstance(message, Verdict):
            self._take(message, at_ns)
            return
        self._miss_up_to(message.last_seq)
        if self._station.tell(message, at_ns):
            if isinstance(message, Heartbeat):
                self.heartbeat = message
            if self._station.state is State.STOPPED:
                self._joining.lose(self.name, "its station has stopped", is_over=True)

    def _begin(self, message: Verdict | Heartbeat | StateChange, at_ns: int) -> None:
        if self._station.epoch is not None:
            self._joining.lose(self.name, "its station was started again", is_over=True)
            self._note(f"{self.name}: run {message.epoch} of its station begins")
        self._station.begin(message, at_ns)
        self._unanswered.clear()
        self.heartbeat = None

    def _take(self, verdict: Verdict, at_ns: int) -> None:
        """The first verdict of a sequence number stands."""
        if verdict.seq <= self._station.last_seq:
            return
        self._miss_up_to(verdict.seq - 1)
        self._station.last_seq = verdict.seq
        exposed_ns, against = self._station.exposed(verdict, at_ns), self._against(verdict, at_ns)
        names = [verdict.part]
        if self._places is not None:
            names = self._places.parts_of(self.name, verdict, lambda name: self._joining.is_known(name, at_ns))
        if len(names) == 1:
            said = Said(verdict.model_copy(update={"part": names[0]}), exposed_ns, against)
            taken = self._joining.take(self.name, said, self._station.exposed_by(verdict, at_ns), at_ns)
        else:
            taken = Taken.FOREIGN
            self._joining.confuse(names, f"{self.name}: its part {verdict.part} may be this one or another")
        if taken is not Taken.TAKEN:
            self.link.acknowledge(verdict.epoch, verdict.seq, FATE[taken])

    def _miss_up_to(self, seq: int) -> None:
        """The verdicts after the last one heard up to this one are lost: nothing that is in flight passes."""
        first, epoch = self._station.last_seq + 1, self._station.epoch
        if seq < first or epoch is None:
            return
        self._station.last_seq = seq
        self._joining.lose(self.name, "a verdict of its station was lost")
        for missing in range(max(first, seq - MOST_LISTED + 1), seq + 1):
            self.link.acknowledge(epoch, missing, Fate.MISSED)

    def _against(self, verdict: Verdict, at_ns: int) -> str | None:
        """Why a verdict that comes now cannot count."""
        if self._station.fault is not None:
            return self._station.fault
        if self._station.is_history(verdict, at_ns):
            return "its verdict was given before the group had joined this run of its station"
        exposed_ns = self._station.exposed(verdict, at_ns)
        if exposed_ns is None:
            return "the time at its station is not known"
        if at_ns - exposed_ns > int(verdict.budget_ms * 1e6) + LATEST_NS:
            return "its verdict is too old"
        return None if self._station.is_leased(at_ns) else "its station's heartbeats have stopped"

    def pong(self, epoch: str, now: int, sent_ns: int, received_ns: int) -> None:
        """Take the station's time."""
        if self._station.pong(epoch, now, sent_ns, received_ns):
            self._joining.lose(self.name, "a clock stood still")

    def snapshot(self, heartbeat: Heartbeat) -> None:
        """Join the run."""
        self._station.snapshot(heartbeat)

    def _forget_decided(self) -> None:
        """Drop triggers that were never answered, of parts that are decided."""
        in_flight = [one for one in self._unanswered if self._joining.part(one.name) is one]
        if len(in_flight) < len(self._unanswered):
            self._unanswered = deque(in_flight, MOST_LISTED)

    def number(self, part: str, epoch: str, seq: int) -> None:
        """The station has accepted a part, and given it this number: a verdict of another number is not of it."""
        self._forget_decided()
        answered = next((one for one in self._unanswered if one.name == part), None)
        if answered is not None and epoch == self._station.epoch:
            self._unanswered.remove(answered)
            answered.numbers[self.name] = epoch, seq
            said = answered.views.get(self.name)
            if said is not None and (said.verdict.epoch, said.verdict.seq) != (epoch, seq):
                answered.lost.setdefault(self.name, "its verdict was of another part")

    def refuse(self, request: str, why: str) -> None:
        """The station has refused something: of triggers the one that was sent first and is not answered yet."""
        self._forget_decided()
        if request == TRIGGER and self._unanswered:
            part = self._unanswered.popleft()
            part.lost.setdefault(self.name, f"its station refused the trigger: {why}")
            part.silent.add(self.name)

    def suspended(self) -> None:
        """This machine was suspended: its clock stood still."""
        self._station.suspended()
        self._joining.lose(self.name, "this machine was suspended")

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
