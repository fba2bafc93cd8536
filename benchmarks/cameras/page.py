"""docs/reports/cameras.md: the results of the trials."""

from textwrap import fill
from typing import Any

from benchmarks.cameras.trials import in_words

HEAD = """\
# Cameras that lose packets, lose power and freeze

Written by `python -m benchmarks.cameras`; no figure on this page was typed by a person. A station runs as `edge-run`
starts it, on Aravis' fake GigE Vision camera and on GStreamer's RTSP server, over the real protocols and the loopback
interface. Each exposure that a camera counted has a verdict, or is counted as dropped: before the line was ready,
while a camera that had come back had yet to give three good frames in a row, or because a newer one was there (RTSP,
where the station takes the latest picture). What is in neither count is unexplained. Noticed is the time from the
failure until the station said that it is held; ready from the moment at which the camera serves again until it said
that it goes on. The pictures of these cameras are no parts: what the model says of them means nothing.
"""


def render(found: dict[str, dict[str, Any]], machine: dict[str, Any]) -> str:
    """The page as Markdown."""
    where = (
        f"{machine['cpu']}, {machine['cores']} cores, load {machine['load_1_min']} before the start, "
        f"{machine['system']}, Python {machine['python']}."
    )
    rows = [in_words(name, one) for name, one in found.items()]
    table = ["| what was done | what was found |", "| --- | --- |", *(f"| {what} | {said} |" for what, said in rows)]
    return "\n".join([HEAD, fill(where, 120), "", *table]) + "\n"
