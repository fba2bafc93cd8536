"""The handshake with a PLC: from verdicts, heartbeats and writes of the PLC to the registers that the PLC reads.

The pass bit is 1 only for the part whose number stands beside it, on an in-time final good of the current epoch, while
the station's heartbeats hold, until the PLC acknowledges that number or the part's time is over. The class has no
socket and reads no clock, so that a test can replay everything.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from edge.channel.control_messages import Fate, SelectProduct, Trigger
from edge.gate import TRANSIT_MS
from edge.gate.station_view import Speaker, StationView
from edge.plc.codes import CODE_OF_REASON, STATE_CODES, Code, Error
from edge.plc.process_image import LARGEST_NUMBER, Awaited, Entry, Event, Readable, Result, Written
from edge.verdict import Heartbeat, Outcome, Reason, State, StateChange, Verdict

MOST_QUEUED = 8
"""Results that wait for their acknowledgement, the shown one included."""

MOST_AWAITED = 1_000
"""Parts whose verdicts may still come after they were decided without one."""

MOST_LISTED = 1_000
"""Numbers of a gap that are acknowledged one by one."""

ALIVE_NS = 50_000_000  # how often the alive word changes
ANSWER_NS = 300_000_000
"""How long the station may take to answer a trigger or a changeover."""

HELD_NS = 1_000_000_000
"""How long the PLC may hold the acknowledgement of a former result in the way of the next one without an error."""

HOLD_MS = 100.0
"""How long after the budget the pass bit may stand, for a PLC that polls."""

Numbers = Literal["order", "plc"]

TRIGGER, SELECT_PRODUCT = (kind.model_fields["type"].default for kind in (Trigger, SelectProduct))


@dataclass(frozen=True)
class HandshakeRules:
    """Settings of a site.

    `numbers`: "order" gives a part its sequence number, "plc" the number that came with the PLC's trigger. `transit_ms`
    is how long after the budget a verdict may come, `hold_ms` how long after it the pass bit may stand.
    """

    numbers: Numbers = "order"
    transit_ms: float = TRANSIT_MS
    hold_ms: float = HOLD_MS
    allow_simulated: bool = False


class Handshake:
    """One station's handshake with one PLC. All times are local, `time.monotonic_ns()`, and never go back.

    `log` is called before anything of it is readable; what it raises ends the handshake. `trigger` sends a trigger to
    the station and returns whether it could; `select` asks it to change over to the product of a number, and returns
    the same. `acknowledge` is called with epoch, number and fate of each part.
    """

    def __init__(
        self,
        rules: HandshakeRules,
        log: Callable[[Entry], None],
        trigger: Callable[[Trigger], bool],
        acknowledge: Callable[[str, int, Fate], None],
        select: Callable[[int], bool] = lambda number: False,
    ) -> None:
        """Nothing passes before a heartbeat, a snapshot and a pong of one epoch were heard."""
        self.rules = rules
        self.shown = 0
        self.passed = 0
        self.overruns = 0
        self.missed_triggers = 0
        self.repeated = 0
        self.heartbeat: Heartbeat | None = None  # the last one, for readers
        self.bundle: str | None = None  # of the last verdict of the present run, for readers
        self.held: int | None = None  # number of the result that waits since the PLC holds it as an acknowledgement
        self._held_since_ns = 0
        self._log, self._trigger, self._acknowledge, self._select = log, trigger, acknowledge, select
        self._station = StationView()
        self._queue: deque[Result] = deque()
        self._awaited: dict[str, Awaited] = {}  # triggered, by the part's id
        self._overdue: dict[str, None] = {}  # parts that were decided without a verdict, which may still come
        self._asked: Awaited | None = None  # the trigger that the station has not answered
        self._written = Written()
        self._last_acknowledged = 0
        self._trigger_number = self._exposed_number = 0
        self._exposing: int | None = None  # seq of the last accepted part, until it is exposed
        self._is_trigger_acknowledged = self._has_missed_trigger = self._has_overrun = False
        self._product, self._product_since = 0, 0  # since: of the station's clock
        self._selecting: tuple[int, int] | None = None  # number of a product, and when the station was asked for it
        self._is_selected = self._is_not_selected = False
        self._late_answers = 0  # to changeovers that were given up; a refusal does not say which one it answers
        self._error = Error.NONE
        self._alive, self._alive_ns = 0, 0

    def hear(self, message: Verdict | Heartbeat | StateChange, at_ns: int) -> None:
        """Take a message of the verdict channel, read at `at_ns`."""
        self._advance(at_ns)
        speaker = self._station.identify(message, at_ns)
        if speaker is Speaker.FOREIGN:
            self._error = Error.DUPLICATE_STATION
            self._fail_all(Code.DUPLICATE_STATION, at_ns)
            return
        if speaker is Speaker.NEW:
            self._fail_all(Code.EPOCH_CHANGED, at_ns)
            self._station.begin(message, at_ns)
            self._overdue.clear()
            self._exposing, self._exposed_number, self.bundle = None, 0, None
            self._product = self._product_since = self._late_answers = 0
            if self._selecting is not None:
                self._fail_selection(Error.PRODUCT_NOT_ANSWERED)
        if isinstance(message, Heartbeat):
            self.heartbeat = message
        if isinstance(message, Verdict):
            self.bundle = message.bundle
            self._take(message, at_ns)
            return
        self._miss_up_to(message.last_seq, at_ns)
        if not self._station.tell(message, at_ns):
            return
        if isinstance(message, Heartbeat) and message.sent >= self._product_since:
            self._product = message.product_number or 0
        if self._station.state is State.STOPPED:
            self._fail_all(Code.STATION_STOPPED, at_ns)

    def pong(self, epoch: str, now: int, sent_ns: int, received_ns: int) -> None:
        """Take the station's time: `now` of its clock was between local `sent_ns` and `received_ns`."""
        self._advance(received_ns)
        if self._station.pong(epoch, now, sent_ns, received_ns):
            self._fail_all(Code.NO_CLOCK, received_ns)

    def suspended(self, at_ns: int) -> None:
        """Let nothing pass that is in flight, because the machine was suspended and the local clock stood still."""
        self._station.suspended()
        self._fail_all(Code.NO_CLOCK, at_ns)

    def snapshot(self, heartbeat: Heartbeat) -> None:
        """Join the epoch: verdicts up to the snapshot's last one are history and pass nothing."""
        self._station.snapshot(heartbeat)

    def number(self, part: str, epoch: str, seq: int) -> None:
        """Take the station's answer to a trigger: the part is accepted, its verdict will have this number."""
        if self._asked is None or part != str(self._asked.number) or epoch != self._station.epoch:
            return
        self._asked.seq = self._exposing = seq
        self._trigger_number = self._asked.number
        self._is_trigger_acknowledged = self._written.trigger
        self._asked = None

    def expose(self, part: str, epoch: str, seq: int) -> None:
        """Take the station's word that the frame of a triggered part has been exposed; only that of the last counts."""
        if (part, epoch, seq) == (str(self._trigger_number), self._station.epoch, self._exposing):
            self._exposing, self._exposed_number = None, self._trigger_number

    def refuse(self, request: str, why: str) -> None:
        """Take the station's refusal of a trigger or a changeover; the PLC has the error code, the log of the command
        the reason.
        """
        if request == TRIGGER and self._asked is not None:
            self._cancel(Error.REFUSED)
        if request == SELECT_PRODUCT and self._late_answers:
            self._late_answers -= 1
        elif request == SELECT_PRODUCT and self._selecting is not None:
            self._fail_selection(Error.PRODUCT_REFUSED)

    def selected(self, number: int | None, sent: int | None) -> None:
        """Take the station's answer to a changeover: this product is current since `sent` of its clock."""
        if self._selecting is None or self._selecting[0] != number:
            self._late_answers = max(0, self._late_answers - 1)
        else:
            self._selecting, self._product = None, number
            self._product_since = sent or 0
            self._is_selected, self._is_not_selected = self._written.select, False

    @property
    def epoch(self) -> str | None:
        """The epoch that is followed; None before the first message."""
        return self._station.epoch

    @property
    def wants_snapshot(self) -> bool:
        """Whether a heartbeat of an epoch was heard that is not joined yet."""
        return self._station.wants_snapshot

    @property
    def fault(self) -> str | None:
        """Why nothing passes any more: two stations seem to have this name."""
        return self._station.fault

    @property
    def has_ended(self) -> bool:
        """Whether the station said goodbye and every result is acknowledged."""
        return self._station.state is State.STOPPED and not self._queue

    def write(self, written: Written, at_ns: int) -> None:
        """Take what the PLC has written, after each of its writes: edges of bits count, numbers at any time."""
        self._advance(at_ns)
        before, self._written = self._written, written
        if written.clear and not before.clear:
            self._has_missed_trigger = self._has_overrun = False
            self._error = Error.NONE
        if written.acknowledged != before.acknowledged:
            self._acknowledged(written.acknowledged)
        self._show_next(at_ns)
        if not written.select:
            self._is_selected = self._is_not_selected = False
        elif not before.select:
            self._ask_for(written.product, at_ns)
        if not written.trigger:
            self._is_trigger_acknowledged = False
        elif not before.trigger:
            self._triggered(written, at_ns)

    def _acknowledged(self, number: int) -> None:
        head = self._queue[0] if self._queue else None
        if head is not None and head.is_shown and head.number == number:
            self._queue.popleft()
            self._last_acknowledged = number
            self._enter("acknowledged", head)
            self._tell_fate(head, head.fate)
        elif number not in (0, self._last_acknowledged):
            self._error = Error.WRONG_ACKNOWLEDGEMENT

    def _ask_for(self, product: int, at_ns: int) -> None:
        self._is_selected = self._is_not_selected = False
        if self._selecting is not None:  # its answer could not be told from that to this one
            self._error, self._is_not_selected = Error.PRODUCT_NOT_ANSWERED, True
            return
        self._selecting = product, at_ns
        if product == 0:
            self._fail_selection(Error.PRODUCT_REFUSED)
        elif self.fault is not None or not self._select(product):
            self._fail_selection(Error.PRODUCT_NOT_ANSWERED)

    def _fail_selection(self, error: Error) -> None:
        self._selecting, self._error = None, error
        self._is_not_selected = self._written.select

    def _triggered(self, written: Written, at_ns: int) -> None:
        number, serial = written.trigger_number, written.serial
        part = str(number)
        self._exposing, self._exposed_number = None, 0
        error = Error.NONE
        if self.rules.numbers != "plc":
            error = Error.NUMBERED_BY_ORDER
        elif not self._is_ready(at_ns):
            error = Error.NOT_READY
        elif self._asked is not None:
            error = Error.BUSY
        elif number == 0:
            error = Error.NUMBER_ZERO
        elif self._is_in_use(part):
            error = Error.NUMBER_IN_USE
        elif serial is None:
            error = Error.SERIAL_UNREADABLE
        if error is not Error.NONE:
            self._miss_trigger(error)
            return
        self._asked = self._awaited[part] = Awaited(number, at_ns)
        fields = {"serial": serial} if serial else None
        if not self._trigger(Trigger(part=part, exposed=True, fields=fields, product_number=written.product or None)):
            self._cancel(Error.NO_ANSWER)

    def _is_ready(self, now_ns: int) -> bool:
        return self._station.is_leased(now_ns) and self._station.is_ready and self.fault is None

    def _is_in_use(self, part: str) -> bool:
        """Whether a verdict under this number would not say which part it means."""
        return part in self._awaited or part in self._overdue or any(str(r.number) == part for r in self._queue)

    def _cancel(self, error: Error) -> None:
        """The trigger has failed: the PLC is told so. If a verdict comes after all, it is nobody's."""
        assert self._asked is not None
        part, self._asked = str(self._asked.number), None
        if self._awaited.pop(part, None) is not None and (self._overdue or error is not Error.REFUSED):
            self._expect_late_verdict(part)  # a refusal may be the late one of a former trigger
        self._miss_trigger(error)

    def _miss_trigger(self, error: Error) -> None:
        self._error, self._has_missed_trigger = error, True
        self.missed_triggers += 1

    def step(self, now_ns: int) -> None:
        """Let time pass: what is over falls, and `alive` goes on while the heartbeats hold."""
        self._advance(now_ns)
        if self._station.is_leased(now_ns) and now_ns - self._alive_ns >= ALIVE_NS:
            self._alive, self._alive_ns = self._alive % 0xFFFF + 1, now_ns

    def _advance(self, now_ns: int) -> None:
        """Everything that is over by now, before anything new counts."""
        if self._asked is not None and now_ns - self._asked.at_ns >= ANSWER_NS:
            self._cancel(Error.NO_ANSWER)
        if self._selecting is not None and now_ns - self._selecting[1] >= ANSWER_NS:
            self._late_answers += 1
            self._fail_selection(Error.PRODUCT_NOT_ANSWERED)
        if (self._queue or self._awaited) and not self._station.is_leased(now_ns):
            self._fail_all(Code.HEARTBEAT_LOST, now_ns)
        if self._queue and self._queue[0].code is Code.CLEAR and now_ns >= self._queue[0].until_ns:
            self._withdraw(self._queue[0], Code.EXPIRED)
        self._look_for_held_acknowledgement(now_ns)

    def _look_for_held_acknowledgement(self, now_ns: int) -> None:
        head = self._queue[0] if self._queue else None
        if head is None or head.is_shown or head.number != self._written.acknowledged:
            self.held = None
            self._held_since_ns = now_ns
        elif now_ns - self._held_since_ns >= HELD_NS:
            self.held = head.number
            self._error = Error.ACKNOWLEDGE_HELD

    def _take(self, verdict: Verdict, at_ns: int) -> None:
        """The first verdict of a sequence number stands."""
        if verdict.seq <= self._station.last_seq:
            self.repeated += 1
            return
        self._miss_up_to(verdict.seq - 1, at_ns)
        self._station.last_seq = verdict.seq
        number = order_number(verdict.seq)
        if self.rules.numbers == "plc":
            awaited = self._awaited_for(verdict, at_ns)
            if awaited is None:
                is_late = verdict.part in self._overdue
                self._overdue.pop(verdict.part, None)
                self._acknowledge(verdict.epoch, verdict.seq, Fate.LATE_REJECT if is_late else Fate.REJECTED)
                return
            number = awaited.number
        code, until_ns = self._judge(verdict, at_ns)
        self._offer(Result(number, verdict.part, verdict.epoch, verdict.seq, code, until_ns, verdict), at_ns)

    def _awaited_for(self, verdict: Verdict, at_ns: int) -> Awaited | None:
        """The triggered part of a verdict. One that was exposed before the trigger is of another part."""
        awaited = self._awaited.get(verdict.part)
        if awaited is None or awaited.seq not in (None, verdict.seq):
            return None
        exposed_by = self._station.exposed_by(verdict, at_ns)
        if exposed_by is not None and exposed_by < awaited.at_ns:
            return None
        return self._awaited.pop(verdict.part)

    def _judge(self, verdict: Verdict, at_ns: int) -> tuple[Code, int]:
        """The rule above all others: the code, and until when the pass bit may stand."""
        if self.fault is not None:
            return Code.DUPLICATE_STATION, 0
        exposed = self._station.exposed(verdict, at_ns)
        if self._station.is_history(verdict, at_ns):
            return Code.NOT_JOINED, 0
        if verdict.verdict is not Outcome.GOOD or verdict.reason is not Reason.CLEAR:
            return CODE_OF_REASON[verdict.reason], 0
        if exposed is None:
            return Code.NO_CLOCK, 0
        budget_ns = int(verdict.budget_ms * 1e6)
        if at_ns - exposed > budget_ns + int(self.rules.transit_ms * 1e6):
            return Code.TRANSIT, 0
        if verdict.simulated and not self.rules.allow_simulated:
            return Code.SIMULATED, 0
        if not self._station.is_leased(at_ns):
            return Code.HEARTBEAT_LOST, 0
        return Code.CLEAR, exposed + budget_ns + int(self.rules.hold_ms * 1e6)

    def _miss_up_to(self, seq: int, at_ns: int) -> None:
        """The verdicts after the last one heard up to this one are lost. Nothing that is in flight passes."""
        first, count, epoch = self._station.last_seq + 1, seq - self._station.last_seq, self._station.epoch
        if count <= 0 or epoch is None:
            return
        self._station.last_seq = seq
        self._fail_all(Code.GAP, at_ns)
        if self.rules.numbers == "order":
            shown = min(count, MOST_QUEUED + 1)  # one more than fits, for the overrun to be said
            for missing in range(first, first + shown):
                self._offer(Result(order_number(missing), "", epoch, missing, Code.GAP), at_ns)
            self.overruns += count - shown
        for missing in range(max(first, seq - MOST_LISTED + 1), seq + 1):
            self._acknowledge(epoch, missing, Fate.MISSED)

    def _fail_all(self, code: Code, at_ns: int) -> None:
        """Nothing that is in flight passes: neither what is queued nor what was triggered."""
        for result in self._queue:
            if result.code is Code.CLEAR:
                self._withdraw(result, code)
        for part, awaited in list(self._awaited.items()):
            if awaited is not self._asked:
                del self._awaited[part]
                self._expect_late_verdict(part)
                self._offer(Result(awaited.number, part, self._station.epoch, awaited.seq, code), at_ns)
        if self._asked is not None:
            self._cancel(Error.NO_ANSWER)

    def _withdraw(self, result: Result, code: Code) -> None:
        result.code = code
        if result.is_shown:
            self._enter("withdrawn", result)

    def _expect_late_verdict(self, part: str) -> None:
        self._overdue[part] = None
        while len(self._overdue) > MOST_AWAITED:
            del self._overdue[next(iter(self._overdue))]

    def _offer(self, result: Result, at_ns: int) -> None:
        if len(self._queue) < MOST_QUEUED:
            self._queue.append(result)
            self._show_next(at_ns)
            return
        self.overruns += 1
        self._has_overrun, self._error = True, Error.OVERRUN
        self._enter("overrun", result)
        self._tell_fate(result, Fate.REJECTED)

    def _tell_fate(self, result: Result, fate: Fate) -> None:
        """To the station, unless the verdict is missing: then its own number is acknowledged when it is known."""
        if result.verdict is not None and result.epoch is not None and result.seq is not None:
            self._acknowledge(result.epoch, result.seq, fate)

    def _show_next(self, at_ns: int) -> None:
        """Show the oldest result, unless the PLC still writes its number as the acknowledgement of a former one."""
        if not self._queue or self._queue[0].is_shown or self._queue[0].number == self._written.acknowledged:
            return
        head = self._queue[0]
        if head.code is Code.CLEAR and at_ns >= head.until_ns:
            head.code = Code.EXPIRED
        head.has_passed = head.code is Code.CLEAR
        self._enter("pass" if head.has_passed else "fail", head)
        head.is_shown = True
        self.shown += 1
        self.passed += head.has_passed

    def _enter(self, event: Event, result: Result) -> None:
        self._log(Entry(event, result.epoch, result.seq, result.part, result.number, result.code, result.verdict))

    def readable(self, now_ns: int) -> Readable:
        """What the PLC reads now."""
        self._advance(now_ns)
        station, is_ready, beat = self._station, self._is_ready(now_ns), self.heartbeat
        base = Readable(
            alive=self._alive,
            ready=is_ready,
            busy=bool(self._awaited),
            trigger_ready=is_ready and self.rules.numbers == "plc" and not (self._asked or self._written.trigger),
            trigger_acknowledged=self._is_trigger_acknowledged,
            has_missed_trigger=self._has_missed_trigger,
            has_overrun=self._has_overrun,
            error=self._error,
            epoch=station.epoch or "",
            state=STATE_CODES[station.state] if station.is_leased(now_ns) else 0,
            trigger_number=self._trigger_number,
            exposed_number=self._exposed_number,
            product=self._product,
            product_name=(beat.product or "") if beat else "",
            bundle=(beat.bundle or "") if beat else "",
            is_selected=self._is_selected and self._product == self._written.product,
            is_not_selected=self._is_not_selected,
            queued=len(self._queue),
            overruns=self.overruns,
            missed_triggers=self.missed_triggers,
        )
        if not self._queue or not self._queue[0].is_shown:
            return base
        head, lease_ns = self._queue[0], station.lease_ns(now_ns) or 0
        age_ms = 0.0 if head.verdict is None else head.verdict.age_ms
        return replace(
            base, valid=True, code=head.code, number=head.number, seq=head.seq or 0, part=head.part, age_ms=age_ms,
            result_epoch=head.epoch or "", pass_until_ns=min(head.until_ns, lease_ns), kind=_kind_of(head),
        )  # fmt: skip


def _kind_of(result: Result) -> int:
    """Number of the kind of a reject's defect; 0 for any other code."""
    return (result.verdict.kind_number or 0) if result.verdict is not None and result.code is Code.DEFECT else 0


def order_number(seq: int) -> int:
    """The number of a part that is numbered by order: its sequence number, from 1 again after 2**32 - 1."""
    return (seq - 1) % LARGEST_NUMBER + 1
