"""docs/reports/glass.md: the age of the picture of a verdict."""

from textwrap import fill
from typing import Any

HEAD = """\
# Glass to verdict

Written by `python -m benchmarks.glass{options}`; no figure on this page was typed by a person. How old is what a frame
showed when somebody else holds the verdict about it? Each picture carries a clock, drawn as blocks of black and white
at the moment when the picture is made. The bundle is the demonstration's with one change: its network runs as ever, and
the score is replaced by the number that the blocks show. So each verdict says itself what its picture showed, and the
station is the one that `edge-run` starts, unchanged: {frames} verdicts of each source, after the first {warm_up}.
"""

COLUMNS = """\
**Glass to verdict** is from the drawing of the clock until the verdict is received and decoded in another process, in
milliseconds of this machine's monotonic clock. **Said** is `age_ms`, the age that the verdict claims: from the source's
stamp to publication. **Stamp** is the source's time stamp minus the time at which the clock was drawn. If it is
positive, the age that the verdict claims is too low by this much, and the budget, which counts from the stamp, begins
this much too late. If it is negative, the claimed age is too high. Unread are clocks that a codec has blurred, unknown
are verdicts without a score; neither is in the figures.
"""

NOTES = """\
- **clock** is the demo line at a rate, rendered before: its clock is drawn when it is let go, and stamped by the code
  that stamps `demo` with `--rate`. It has no exposure, no cable and no driver: what is left is the station itself.
- **genicam** is stamped when the first packet comes. The fake camera draws and sends at once; a real one exposes and
  reads out its sensor between the light and that packet, which is in no figure here and in no stamp.
- **rtsp** is stamped on the camera's clock, set by the packet that came the shortest way: what all packets share, the
  encoder and that shortest way, is in the stamp's column. H.264 is seen one frame interval late
  ({interval_ms:.0f} ms here), as FFmpeg knows that a picture is whole when the next one begins. The clock of these
  pictures is cut to whole milliseconds, so that they look up to 1 ms older than they are.
- **folder --watch** stamps a picture when its part is accepted. A picture is taken up when it has not changed for
  {watch_s:g} s, and that wait, the encoding and the writing are in no claim of the verdict: do not time a gate by a
  folder. Its pictures may be of any size, so that OpenVINO runs the graph for any size, which takes longer.
- Not measured: **video files**, whose clock would say when the file was made, and **USB cameras** (V4L2): there was
  none to look at a clock with, and a stand-in would only repeat what it was told.
"""


def render(result: dict[str, Any]) -> str:
    """The page as Markdown."""
    machine = result["machine"]
    head = HEAD.format(options=result["options"], frames=f"{result['frames']:,}", warm_up=result["warm_up"])
    where = (
        f"{machine['cpu']}, {machine['cores']} cores, load {machine['load_1_min']} before the start, "
        f"{machine['system']}, Python {machine['python']}, OpenVINO {machine['openvino']}."
    )
    notes = NOTES.format(interval_ms=1000 / result["rate"], watch_s=result["watch_s"])
    missing = [f"- **{name}** could not be measured here: {why}\n" for name, why in result["missing"].items()]
    sections = [_wrapped(head), _wrapped(where), table(result["rows"]), COLUMNS, _wrapped(notes + "".join(missing))]
    return "\n".join([*sections, "## Frame truth\n", _wrapped(result["truth"])])


def _wrapped(text: str) -> str:
    """The text's paragraphs and list items, each wrapped to the width of a page."""
    points = text.replace("\n- ", "\n\n- ").strip().split("\n\n")
    filled = [
        fill(" ".join(one.split()), 120, subsequent_indent="  " if one.startswith("- ") else "") for one in points
    ]
    return "\n\n".join(filled).replace("\n\n- ", "\n- ") + "\n"


def table(rows: list[dict[str, Any]]) -> str:
    """One line for each source, as Markdown."""
    head = (
        "source", "frame", "frames/s", "glass to verdict p50", "p99", "max", "said p50", "p99", "stamp min", "p50",
        "p99", "unread", "unknown",
    )  # fmt: skip
    lines = [head, ("---", *["---:"] * (len(head) - 1))]
    for row in rows:
        glass, said, stamp = row["glass_ms"], row["said_ms"], row["stamp_ms"]
        ages = (*(glass[name] for name in ("p50", "p99", "max")), said["p50"], said["p99"])
        stamps = (f"{stamp[name]:+.2f}" for name in ("min", "p50", "p99"))
        counts = (str(row["unread"]), str(row["unknown"]))
        shown = (row["source"], f"{row['size'][1]}×{row['size'][0]}", f"{row['frames_per_s']:.1f}")
        lines.append((*shown, *(f"{ms:.1f}" for ms in ages), *stamps, *counts))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
