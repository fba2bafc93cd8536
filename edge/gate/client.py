"""The gate with its link to a station and its actuator."""

import time
from collections.abc import Callable

from edge.channel.control_messages import Fate, Trigger, Welcome
from edge.errors import ActuatorError
from edge.gate.actuation import Actuation
from edge.gate.belt import Belt
from edge.gate.decision import Decision
from edge.gate.gate import Gate, Rules
from edge.gate.log import GateLog
from edge.gate.station_link import Endpoint, StationLink
from edge.gate.suspension import SuspendWatch

__all__ = ["Controller", "Endpoint"]

LONGEST_SLEEP_NS = 20_000_000


class Controller:
    """Runs a gate. Call `turn` again and again from one thread; `gate` tells how it stands."""

    def __init__(
        self,
        endpoints: list[Endpoint],
        station: str,
        name: str,
        belt: Belt,
        actuate: Callable[[Decision], None],
        rules: Rules,
        log: GateLog | None = None,
        read_encoder: Callable[[int], None] | None = None,
        allow_insecure: bool = False,
    ) -> None:
        """Connect; the station need not run yet. Raises ChannelError if an endpoint is none, or if anybody could speak
        as the station there and `allow_insecure` does not say that this is meant: for trials, without a real output.

        `actuate`, a function or an `Actuation`, is called with each decision, after it is in the log. If it raises
        ActuatorError, the gate rejects every part from then on; `gate.failure` says why; while `Actuation.check`
        says why nothing can pass, it rejects every part, too. `read_encoder` is called with
        the local time, every 20 ms at least, and gives the belt a sample. More than one endpoint lets the gate see a
        second station of the same name, which is a fault.
        """
        self._actuate, self._log, self._read_encoder = actuate, log, read_encoder
        self._actuation = actuate if isinstance(actuate, Actuation) else Actuation()
        self.gate = Gate(belt, self._decide, self._acknowledge, rules, self._actuation.separates)
        self._suspend_watch = SuspendWatch()
        self._most_budget_ms = _most_budget_ms(belt, rules)
        self._link = StationLink(endpoints, station, name, self.gate, self._most_budget_ms, allow_insecure)

    def turn(self) -> None:
        """Hear, speak and decide once; sleeps for 20 ms at most. Raises RecordsError if the log cannot be written."""
        now = time.monotonic_ns()
        self._link.speak(now)
        self._link.poller.poll(self._sleep_ns(now) // 1_000_000 + 1)
        if self._suspend_watch.was_suspended():
            self.gate.suspended(time.monotonic_ns())
        if self._read_encoder is not None:
            self._read_encoder(time.monotonic_ns())
        self._link.hear()
        self.gate.hold(self._actuation.check())
        self.gate.step(time.monotonic_ns())

    def trigger(self, part: str) -> None:
        """Tell the station that this part is in front of its camera now. Needs `Rules(announced=True)`.

        Raises ValueError if `part` is empty, has more than 200 characters or one that is not printable.
        """
        trigger = Trigger(part=part)
        self.gate.expect(part, time.monotonic_ns())
        self._link.trigger(trigger)

    def close(self) -> None:
        """Send the last acknowledgements, for 0.2 s at most, and leave."""
        self._link.close()

    def _sleep_ns(self, now: int) -> int:
        wait = self.gate.wait_ns(now)
        return LONGEST_SLEEP_NS if wait is None else min(wait, LONGEST_SLEEP_NS)

    def _decide(self, decision: Decision) -> None:
        if self._log is not None:
            self._log.write(decision)
        try:
            self._actuate(decision)
        except ActuatorError as error:
            self.gate.fail(str(error))

    def _acknowledge(self, epoch: str, seq: int, fate: Fate) -> None:
        self._link.acknowledge(epoch, seq, fate)

    @property
    def heard_ns(self) -> int:
        """Local time of the last message on the verdict channel."""
        return self._link.heard_ns

    @property
    def malformed(self) -> int:
        """Messages on the verdict channel that were none."""
        return self._link.malformed

    @property
    def refusals(self) -> tuple[str, ...]:
        """Why no connection came about, each reason once, what the station would not do, the last of each, and the name
        of a station that answers in place of this one.
        """
        return self._link.refusals

    @property
    def remarks(self) -> tuple[str, ...]:
        """Stations whose budget is longer than this gate can wait, a line each, and what the actuators remark."""
        budgets = (_budget_remark(welcome, self._most_budget_ms or 0.0) for welcome in self._link.long_budgets)
        return (*budgets, *self._actuation.remarks)

    @property
    def is_required(self) -> bool:
        """Whether a station said that it waits for this controller."""
        return self._link.is_required


def _most_budget_ms(belt: Belt, rules: Rules) -> float | None:
    """The longest budget of a station whose verdicts arrive before the gate decides; None if that is not constant."""
    after_ms = belt.decides_after_ms
    return None if after_ms is None else max(0.0, after_ms - rules.transit_ms)


def _budget_remark(welcome: Welcome, most_budget_ms: float) -> str:
    """A line about a budget that is too long for this gate."""
    return (
        f"{welcome.station} may take {welcome.budget_ms:g} ms for a verdict, but this gate can use verdicts up to "
        f"{most_budget_ms:g} ms after capture (travel - lead - transit) and rejects later ones; give the station "
        f"--budget-ms {most_budget_ms:g} or less, or this gate a longer --travel-ms"
    )
