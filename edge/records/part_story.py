"""The history of a part as lines of text: the verdict, the gate's decision, and the place of the picture."""

from collections.abc import Iterator
from pathlib import Path

from edge.channel.control_messages import Fate
from edge.gate.decision import Why
from edge.records.gate_log import Decision
from edge.records.part_history import Story
from edge.records.pass_proof import Standing
from edge.text import counted, printable
from edge.verdict import Box, Outcome, Verdict


def tell(story: Story, folder: Path) -> Iterator[str]:
    """The lines of a history. `folder` is the records' folder."""
    v = story.verdict
    boot = f", boot {v.boot}" if v.boot else ""
    yield f"part {v.part}: {v.verdict}/{v.reason}, verdict {v.seq} of {v.station}, run {v.epoch}{boot}"
    if v.fields:
        yield "  " + ", ".join(f"{name} {text}" for name, text in v.fields.items())
    if v.simulated:
        yield "  SIMULATED: the demonstration, not a line"
    t = v.timing
    moments = (
        (t.captured, f"captured from {v.source}"),
        (t.in_ring, "in shared memory"),
        (t.inference_start, f"shown to the model of {v.bundle}, {v.backend}"),
        (t.inference_end, "the model answered"),
        (t.published, f"published {v.verdict}/{v.reason}: {grounds(v)}"),
    )
    for moment, text in moments:
        if moment is not None and moment < t.captured:
            yield f"  {'before':>13}  {text}: a stored picture, which lay there before the trigger"
        elif moment is not None:
            yield f"  {(moment - t.captured) / 1e6:+10.2f} ms  {text}"
    yield f"  {v.time}  published, {v.age_ms:.2f} ms after capture, budget {v.budget_ms:g} ms"
    yield from _at_the_gate(story)
    for row in story.late_results:
        said = f"score {row['score']:.4g}" if row["score"] is not None else row["fault"]
        yield f"  {row['time']}  a result came too late and moved nothing: {said}"
    for row in story.late_fields:
        yield f"  {row['time']}  known after the verdict: {printable(row['name'])} {printable(row['text'])}"
    for row in story.shadow_results:
        said = row["fault"] if row["score"] is None else f"score {row['score']:.4g}"
        flip = ", a flip" if v.verdict is not Outcome.UNKNOWN and row["outcome"] not in (v.verdict, "unknown") else ""
        yield f"  {row['time']}  the candidate {printable(row['bundle'])} says {row['outcome']}: {said}{flip}"
    for row in story.images:
        state = f"removed: {row['gone']}" if row["gone"] else "held" if row["held"] else "kept"
        path = folder.absolute() / row["path"]
        yield f"  {row['time']}  picture stored, {row['bytes']} bytes, {state}: {path}"
    if story.image.path is None:
        yield f"  no picture: {story.image.why}"
    if v.kind is not None:
        yield f"  {kind_text(v)}: named by the model, which decided nothing by it"
    yield from _boxes(story.verdict)
    yield from (f"  {gap}: it may have further verdicts" for gap in story.gaps)


def _at_the_gate(story: Story) -> Iterator[str]:
    """Lines about the gate: its decisions and their reasons from its own log, and the controllers' acknowledgements."""
    for decision, proof in story.decisions or ():
        yield f"  {decision.time or 'at a time not given'}  the gate decided: {_decided(decision)}"
        if proof.standing is not Standing.PROVEN:
            yield f"  {proof.standing.upper()}: {proof.why}"
    if story.decisions == []:
        yield "  no decision on this part in the gate's log: it had not reached the gate, or the log is of another gate"
    for row in story.acknowledgements:
        yield f"  {row['time']}  {row['client']} acknowledged: {row['fate']}"
    if story.is_expired:
        yield "  the verdict has expired: this is what lies beside its picture; what controllers said is not kept"
        return
    if story.proof is not None and story.proof.standing is not Standing.PROVEN:
        yield f"  {story.proof.standing.upper()}: {story.proof.why}"
    if not story.acknowledgements:
        yield "  not acknowledged: while it ran, the station heard from no controller what became of this part"
    fates = {row["fate"] for row in story.acknowledgements}
    is_plain = bool(fates) and (story.verdict.verdict is not Outcome.GOOD or fates == {Fate.PASSED})
    if story.decisions is None and not is_plain:
        yield "  when the gate decided, and why, is in the gate's own log: add --gate LOG"


def _decided(decision: Decision) -> str:
    what = "passed" if decision.passes else "rejected"
    meaning = f": {Why(decision.why).meaning}" if decision.why in set(Why) else ""
    detail = f" ({decision.detail})" if decision.detail else ""
    return f"{what}, {decision.why or 'no reason'}{detail}{meaning}"


def _boxes(v: Verdict) -> Iterator[str]:
    for defect in v.defects or ():
        yield f"  box {box_text(defect.box)}, peak {defect.peak:.4g}, {counted(defect.area, 'pixel')}"
    if v.verdict is Outcome.REJECT and not v.defects:
        yield f"  no box: {_why_no_box(v)}"


def _why_no_box(v: Verdict) -> str:
    if v.defects is None:
        return "the station looked for no place, as with a bundle that has no map threshold"
    return "no place of the model's map exceeds the bundle's map threshold"


def caption(v: Verdict) -> list[str]:
    """The lines of text above the drawn picture of a part."""
    reason = f"{v.reason}: " if v.verdict is Outcome.UNKNOWN else ""
    no_box = f"; no box: {_why_no_box(v)}" if v.verdict is Outcome.REJECT and not v.defects else ""
    simulated = ", SIMULATED" if v.simulated else ""
    return [
        f"{v.verdict.upper()}  part {v.part}",
        ", ".join(one for one in (reason + grounds(v) + no_box, kind_text(v)) if one),
        f"verdict {v.seq} of {v.station}, run {v.epoch}, {v.time[:19]}{simulated}",
    ]


def box_text(box: Box) -> str:
    """Size and position of a box, in pixels of the frame."""
    return f"{box.width}×{box.height} at ({box.x}, {box.y})"


def grounds(v: Verdict) -> str:
    """Score and threshold, or the reason why there is no score."""
    if v.score is None or v.threshold is None:
        return v.detail or "no score"
    sign = "≥" if v.score >= v.threshold else "<"
    marginal = ", as near as runtimes differ" if v.marginal else ""
    places = f", {counted(len(v.defects), 'place')}" if v.defects else ""
    return f"score {v.score:.4g} {sign} threshold {v.threshold:.4g}{marginal}{places}"


def kind_text(v: Verdict) -> str:
    """The kind of the defect and its probability; empty without a kind."""
    return "" if v.kind is None else f"kind {v.kind}, probability {v.kind_probability:.2f}"
