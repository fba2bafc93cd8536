"""A station without sockets, for tests of the gate: its messages, and its clock, which differs from the gate's."""

from dataclasses import dataclass
from typing import Any

from support.verdicts import verdict

from edge.verdict import Heartbeat, Ledger, State, StateChange, Timing, Verdict

MS = 1_000_000
BUDGET_MS = 100.0


@dataclass
class ModelledStation:
    """One run of a station. Its clock is the gate's, shifted by `offset_ns`, with the relative rate error `drift`."""

    epoch: str = "a1"
    boot: int = 1
    offset_ns: int = 7_000_000_000_000
    drift: float = 0.0
    seq: int = 0
    name: str = "line1"

    def clock(self, t: int) -> int:
        """Time of the station's clock at the time `t` of the gate's clock."""
        return self.offset_ns + t + round(t * self.drift)

    def verdict(self, t: int, age_ms: float = 20.0, says: str = "good", **changes: Any) -> Verdict:
        """A verdict published at the gate's time `t`, of a part exposed `age_ms` before. `says` is an outcome, or the
        reason of an unknown.
        """
        captured, published = self.clock(t - round(age_ms * MS)), self.clock(t)
        outcome: dict[str, Any] = {"verdict": "unknown", "reason": says, "score": None}
        if says in ("good", "reject"):
            good = says == "good"
            outcome = {"verdict": says, "reason": "clear" if good else "defect", "score": 0.25 if good else 0.75}
        if "seq" not in changes:
            self.seq += 1
        fields: dict[str, Any] = {
            "station": self.name,
            "epoch": self.epoch,
            "boot": self.boot,
            "seq": self.seq,
            "part": f"part {changes.get('seq', self.seq)}",
            "age_ms": (published - captured) / 1e6,
            "budget_ms": BUDGET_MS,
            "timing": Timing(captured=captured, published=published),
        }
        return verdict(**(fields | outcome | changes))

    def heartbeat(self, t: int, state: State = State.EXECUTING, **changes: Any) -> Heartbeat:
        """A heartbeat sent at the gate's time `t`."""
        sent = self.clock(t)
        fields: dict[str, Any] = {
            "station": self.name,
            "epoch": self.epoch,
            "boot": self.boot,
            "simulated": False,
            "sent": sent,
            "state": state,
            "ready": state in (State.READY, State.EXECUTING),
            "valid_ms": 300,
            "valid_until": sent + 300 * MS,
            "last_seq": self.seq,
            "ledger": Ledger(accepted=self.seq, good=self.seq),
            "restarts": 0,
        }
        return Heartbeat(**(fields | changes))

    def state(self, t: int, state: State) -> StateChange:
        """A change of state announced at the gate's time `t`."""
        return StateChange(
            station=self.name, epoch=self.epoch, boot=self.boot, simulated=False,
            sent=self.clock(t), state=state, last_seq=self.seq,
        )  # fmt: skip
