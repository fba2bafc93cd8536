"""docs/reports/presence.md: the results of `benchmarks.presence.judge` and `benchmarks.presence.live`."""

from textwrap import fill
from typing import Any

HEAD = """\
# Parts that pass a free-running camera

Written by `python -m benchmarks.presence{options}`; no figure on this page was typed by a person.

With `edge-run --trigger presence` the station watches a free-running camera and inspects each part that passes once:
the capture process learns the belt, follows what lies on it, and hands over the frame on which a part is best centred
as soon as the next one would show it farther from the middle. Nothing wires the camera to the line. What the station
needs:

- the belt runs along the frame's x (`presence = {{ axis = "x" }}`, or y), in either direction, at any speed at which
  each part is whole in at least one frame;
- when the station starts, some of the belt is seen in the first frame;
- parts do not touch, and are longer and broader than `smallest`, 0.15 of the frame; smaller things are dirt. Parts
  that touch are `unknown/camera` once three single ones have shown how long a part is; before that nobody can tell.
  After a change to much longer parts, start the station anew;
- the camera gives every frame: a stream, which passes over some, is for slow belts;
- at the start the view may hold parts; what has passed the middle before the station was ready is not inspected.

A capture process that is started again knows the belt, its speed, when the last frame was taken and which parts were
in view. After a restart two kinds of parts get one `unknown/camera` each: those followed before that must have
passed the middle meanwhile, and those past the middle in the first frame that have no verdict yet. A part that came
and went while no process was watching was never seen, and nobody can know of it: it has no verdict, silence, on
which a gate rejects.
The belt is taken to have run on at its speed: if it stood still meanwhile, a part in view may be said to have passed
(unknown), and be judged when it does.

A part is never judged by a frame whose border cuts it. One that no frame shows whole, as when frames are lost, is
`unknown/camera`; one in view while the camera gives black, frozen or faulty frames for more than 15 frames in a row
is unknown with that reason, and the station is held until the camera shows something again. The budget counts from
the exposure of the frame that was chosen. With `frames = K` the K best centred frames are scored, and `aggregate`
says whether the largest score or the mean decides.

The model sees the part moved to the middle of a frame of the camera's size; where its neighbours are it sees the belt
as learned, without texture (`alone = false` shows it the frame as it is). The demonstration bundle was trained on
frames of one part, and takes a piece of the next one for a defect; a smaller window would show it parts larger than
it knows.
"""

JUDGE = """\
## The judge

The demo line's belt in motion: parts, dirt and the belt's texture travel together, the light drifts and flickers, the
sensor is noisy. The finder is given every frame, the model of `models/demo.edge` what it chose, without a clock, so
that the figures do not depend on this machine's speed. Beside it each part is rendered once more, in the same light,
by itself in the middle of an empty belt: what an inspection of it should see.
"""

MARKS = """\
Frames of a dense belt (0.65 frame widths from part to part), with the finder's marks: amber follows a part, green
once its frame was chosen; the frames with a green border are what the model saw.

![Frames of the belt with the finder's marks, and the parts as the model sees them](presence.jpg)
"""


def render(result: dict[str, Any]) -> str:
    """The page as Markdown."""
    machine, rows, total = result["machine"], result["rows"], result["total"]
    options = "" if result["asked"] == 5000 else f" --parts {result['asked']}"
    sections = [
        HEAD.format(options=options),
        MARKS,
        JUDGE,
        _paragraph(
            f"{machine['cpu']}, {machine['cores']} cores, load {machine['load_1_min']} before the start, "
            f"{machine['system']}, Python {machine['python']}, openvino {machine['openvino']}; frames of "
            f"{result['size']} pixels, {total['bad']:,} of {total['parts']:,} parts bad."
        ),
        _table(("shown", ""), [(claim, _said(holds)) for claim, holds in result["claims"].items()]),
        _table(
            ("frames/s", "widths/s", "pitch", "parts", "once", "missing", "twice", "of no part", "unknown"),
            [
                (
                    f"{one['rate']:g}",
                    f"{one['speed']:g}",
                    f"{one['pitch']:g}",
                    *(f"{one[name]:,}" for name in ("parts", "once", "missing", "twice", "strangers", "unknown")),
                )
                for one in rows
            ]
            + [
                (
                    "all",
                    "",
                    "",
                    *(f"{total[n]:,}" for n in ("parts", "once", "missing", "twice", "strangers", "unknown")),
                )
            ],
        ),
        "Recall is the share of bad parts that are stopped, specificity that of good parts that pass.\n",
        _table(
            ("frames/s", "widths/s", "pitch", "recall", "by itself", "specificity", "by itself", "finder ms"),
            [(f"{one['rate']:g}", f"{one['speed']:g}", f"{one['pitch']:g}", *_rates(one)) for one in rows]
            + [("all", "", "", *_rates(total))],
        ),
        _paragraph(
            f"Of the bad parts {result['flips']['stopped only by itself']} were stopped only by themselves and "
            f"{result['flips']['stopped only as found']} only as found: faint scratches near the threshold. The "
            f"frame chosen was at most {total['excess_px']:.0f} pixels worse centred than the best there was. The "
            "finder's time is the median for a frame, processor time of one core."
        ),
        *_live(result["live"]),
    ]
    return "\n".join(sections)


def _live(live: dict[str, Any] | None) -> list[str]:
    if live is None:
        return []
    truth = live["truth"]
    unknown = ", ".join(f"{count} {reason}" for reason, count in live["unknown"].items()) or "none"
    return [
        "## Through a station\n",
        _paragraph(
            f"`edge-run --source belt --trigger presence` in real time, frames of {live['frame']} pixels at "
            f"{live['rate']:g} a second, {live['speed']:g} frame widths a second, pitch {live['pitch']:g}: "
            f"{live['verdicts']} verdicts for {live['parts']} parts, {live['missing']} missing, {live['twice']} twice, "
            f"unknown: {unknown}. From the exposure of the frame chosen to the verdict {live['age_p50_ms']:.1f} ms at "
            f"the median, {live['age_p99_ms']:.1f} ms at p99. Bad parts stopped {truth['bad_stopped']} of "
            f"{truth['bad']}, good ones passed {truth['good_passed']} of {truth['good']}."
        ),
    ]


def _rates(one: dict[str, Any]) -> tuple[str, ...]:
    names = ("recall", "recall_alone", "specificity", "specificity_alone")
    return (*(f"{one[name]:.4f}" for name in names), f"{one['see_ms']:.2f}")


def _said(holds: bool | None) -> str:
    return "not looked at" if holds is None else "yes" if holds else "**no**"


def _paragraph(text: str) -> str:
    return fill(text, 120, break_on_hyphens=False) + "\n"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---", *("---:" for _ in head[1:])), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
