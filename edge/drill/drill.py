"""The fault drill: injects faults into a running line, one after another, and records what the gate observed.

It runs the real station, the real gate and a real network on the demo line, then edge-plc with a model PLC on the same
line. It shows for this machine what the factory's acceptance test asks: nothing passed without an in-time good, and how
soon the line was safe and back.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from edge.drill.faults import FAULTS, PLC_FAULTS, Fault, Place
from edge.drill.plc_side import PlcSide, escaped
from edge.drill.scene import STARTING_S, Scene
from edge.errors import ChannelError
from edge.records.audit import audit
from edge.verdict import Verdict

LEASE_NS = 300_000_000
NOTICE_S, RECOVERY_S = 10.0, 60.0
SETTLED_PASSES = 5
REST_S = 1.0


@dataclass(frozen=True)
class Outcome:
    """The effect of one fault on the line. Times in milliseconds; None: the event did not happen.

    The parts are those that the gate decided, for a fault of the PLC's side those whose results the PLC saw.
    `noticed_ms`: from the injection until a controller could tell that something was wrong, or the lease had expired.
    `recovered_ms`: until the next in-time good or reject, from the injection, or from the end of a fault that had to be
    lifted. `unknown` parts were answered as unknown, at most `past_budget_ms` after the end of their budget; `lost`
    parts never got a verdict at the gate, or a result at the PLC. `escapes` counts both sides.
    """

    fault: str
    is_felt: bool
    noticed_ms: float | None
    recovered_ms: float | None
    passed: int
    rejected: int
    unknown: int
    past_budget_ms: float | None
    lost: int
    escapes: int


@dataclass(frozen=True)
class _Window:
    begin_ns: int
    end_ns: int
    noticed_ns: int | None
    recovered_ms: float | None


def drill(bundle: Path, show: Callable[[str], None]) -> tuple[list[Outcome], list[str]]:
    """Run every fault; `show` is called with the name of each. Returns the outcomes and the audit's problems.

    Raises ChannelError if the line does not run at all.
    """
    with tempfile.TemporaryDirectory(prefix="edge-drill-") as folder, Scene(Path(folder), bundle) as scene:
        show("the line starts")
        if scene.until(lambda: scene.passes(0, SETTLED_PASSES), STARTING_S) is None:
            raise ChannelError(f"the line passed nothing within {STARTING_S:.0f} s: {scene.last_words()}")
        windows = [_run(scene, scene, fault, show) for fault in FAULTS]
        side, of_plc = _run_plc(scene, show)
        scene.stop()
        time.sleep(REST_S)
        report = audit(scene.records, scene.gate_log, plc_log=side.log)
        gone = {(p.epoch, p.seq) for p in report.problems if p.kind == "escape"}
        outcomes = [_outcome(scene, *pair, gone) for pair in zip(FAULTS, windows, strict=True)]
        outcomes += [_plc_outcome(scene, side, *pair, gone) for pair in zip(PLC_FAULTS, of_plc, strict=True)]
        return outcomes, [*scene.complaints, *(p.text for p in report.problems if p.kind != "lost")]


def _run_plc(scene: Scene, show: Callable[[str], None]) -> tuple[PlcSide, list[_Window]]:
    """Run the faults of the PLC's side, which ends with the last of them. Raises ChannelError if no part passes."""
    show("edge-plc starts")
    with PlcSide(scene) as side:
        if scene.until(lambda: side.passes(0, SETTLED_PASSES), STARTING_S) is None:
            raise ChannelError(f"edge-plc passed nothing within {STARTING_S:.0f} s: {side.last_words()}")
        return side, [_run(scene, side, fault, show) for fault in PLC_FAULTS]


def _run(scene: Scene, place: Place, fault: Fault[Place], show: Callable[[str], None]) -> _Window:
    """Inject a fault, wait until it is noticed, lift it, wait until the line is back and has settled."""
    show(fault.name)
    begin_ns = time.monotonic_ns()
    fault.inject(place)
    lift_ns = time.monotonic_ns() + int(fault.lasts_s * 1e9)
    noticed_ns = None
    if fault.is_felt and not fault.blinds:
        noticed_ns = scene.until(lambda: place.noticed(begin_ns, LEASE_NS), NOTICE_S)
    time.sleep(max(0.0, (lift_ns - time.monotonic_ns()) / 1e9))
    fault.lift(place)
    mended_ns = time.monotonic_ns() if fault.lasts_s else begin_ns
    if fault.blinds:
        noticed_ns = scene.until(lambda: place.noticed(begin_ns, LEASE_NS), NOTICE_S)
    since_ns = max(mended_ns, noticed_ns or 0)
    recovered_ns = scene.until(lambda: place.judged(since_ns), RECOVERY_S)
    scene.until(lambda: place.passes(recovered_ns or since_ns, SETTLED_PASSES), RECOVERY_S)
    recovered_ms = None if recovered_ns is None else (recovered_ns - mended_ns) / 1e6
    return _Window(begin_ns, time.monotonic_ns(), noticed_ns, recovered_ms)


def _outcome(scene: Scene, fault: Fault[Scene], window: _Window, gone: set[tuple[str | None, int | None]]) -> Outcome:
    decisions = [d for d in scene.decisions if window.begin_ns <= d.at_ns < window.end_ns]
    return _told(
        scene, fault.name, fault.is_felt, window,
        passed=sum(d.passes for d in decisions),
        rejected=sum(not d.passes for d in decisions),
        lost=sum((d.to_seq or d.seq or 0) - (d.seq or 0) + 1 for d in decisions if d.fate == "missed"),
        escapes=sum((d.epoch, d.seq) in gone for d in decisions if d.passes),
    )  # fmt: skip


def _plc_outcome(
    scene: Scene,
    side: PlcSide,
    fault: Fault[PlcSide],
    window: _Window,
    gone: set[tuple[str | None, int | None]],
) -> Outcome:
    """A verdict that came in the window and whose result the PLC never saw is lost to it: it rejects the part."""
    results = [r for r in side.plc.results if window.begin_ns <= r.at_ns < window.end_ns]
    seen = {(r.epoch, r.number) for r in side.plc.results}
    unseen = [v for v in _verdicts(scene, window) if (int(v.epoch[:8], 16), v.seq) not in seen]
    at_gate = [d for d in scene.decisions if d.passes and window.begin_ns <= d.at_ns < window.end_ns]
    return _told(
        scene, fault.name, fault.is_felt, window,
        passed=sum(r.passes for r in results),
        rejected=sum(not r.passes for r in results),
        lost=len(unseen),
        escapes=len(escaped(scene.records, results)) + sum((d.epoch, d.seq) in gone for d in at_gate),
    )  # fmt: skip


def _told(scene: Scene, name: str, is_felt: bool, window: _Window, **counts: int) -> Outcome:
    noticed = window.noticed_ns
    unknown = [v for v in _verdicts(scene, window) if v.score is None]
    return Outcome(
        fault=name,
        is_felt=is_felt,
        noticed_ms=None if noticed is None else (noticed - window.begin_ns) / 1e6,
        recovered_ms=window.recovered_ms,
        unknown=len(unknown),
        past_budget_ms=max((v.age_ms - v.budget_ms for v in unknown), default=None),
        **counts,
    )


def _verdicts(scene: Scene, window: _Window) -> Iterator[Verdict]:
    for at_ns, message in scene.heard:
        if isinstance(message, Verdict) and window.begin_ns <= at_ns < window.end_ns:
            yield message


def has_passed(outcomes: list[Outcome], problems: list[str]) -> bool:
    """Whether nothing escaped, every fault was noticed, the line recovered each time, and the record is intact."""
    felt = all(o.noticed_ms is not None for o in outcomes if o.is_felt)
    back = all(o.recovered_ms is not None for o in outcomes)
    return felt and back and not problems and not any(o.escapes for o in outcomes)


def as_json(outcomes: list[Outcome], problems: list[str]) -> dict[str, object]:
    """The result as JSON-compatible data."""
    return {
        "passed": has_passed(outcomes, problems),
        "faults": [asdict(outcome) for outcome in outcomes],
        "problems": problems,
    }
