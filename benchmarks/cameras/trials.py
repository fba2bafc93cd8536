"""The trials, one function each: a fault of a camera, and the results of a station that uses it."""

import statistics
import time
from collections.abc import Callable
from typing import Any

from benchmarks.cameras.line import GOES_ON, Line, account
from benchmarks.cameras.servers import Camera, GigE, Rtsp
from edge.verdict import Reason, State

Tick = Callable[[float], None]
"""Called with the fraction of the work that is done."""

LARGE, SMALL = "region=0,0,2048x2048", "region=0,0,128x96"
"""A frame of 2048×2048 has 2,900 packets: with a loss of 5 % none would be complete. One of 128×96 has nine."""

AWAY_S = 3.0
FROZEN_S = 10.0
BEFORE = 20
"""Verdicts of a sound line before the fault."""


def every_frame(frames: int, rounds: int, tick: Tick) -> dict[str, Any]:
    """`frames` frames of 2048×2048, each of which must have its verdict."""
    camera = GigE()
    try:
        flags = ("--policy", "every", "--rate", "20/s", "--camera", LARGE)
        with Line("--source", camera.source, *flags) as station:
            station.until(frames, lambda count: tick(count / frames))
            report = station.end()
            return account(station.verdicts, report) | {"asked": frames}
    finally:
        camera.off()


def lost_packets(frames: int, rounds: int, tick: Tick) -> dict[str, Any]:
    """One packet in twenty is lost: no incomplete frame may have a score, and each must be accounted for."""
    camera = GigE(loss=0.05)
    try:
        flags = ("--policy", "every", "--rate", "60/s", "--camera", SMALL, "--camera", "pixel_format=Mono8")
        with Line("--source", camera.source, *flags) as station:
            station.until(frames, lambda count: tick(count / frames))
            report = station.end()
            verdicts = station.verdicts
        detailed = [v for v in verdicts if v.detail and ("incomplete" in v.detail or "never came" in v.detail)]
        scored = [v for v in detailed if v.score is not None or v.reason is not Reason.CAMERA]
        return account(verdicts, report) | {"incomplete": len(detailed), "incomplete_and_scored": len(scored)}
    finally:
        camera.off()


def gige_restart(frames: int, rounds: int, tick: Tick) -> dict[str, Any]:
    """The GigE camera loses power and is switched on again."""
    return _restart(GigE(), rounds, tick, "--policy", "every", "--rate", "25/s")


def rtsp_restart(frames: int, rounds: int, tick: Tick) -> dict[str, Any]:
    """The RTSP server is killed and started again."""
    return _restart(Rtsp(), rounds, tick)


def rtsp_freeze(frames: int, rounds: int, tick: Tick) -> dict[str, Any]:
    """The RTSP server is frozen for ten seconds, with its connections open."""
    camera = Rtsp()
    try:
        with Line("--source", camera.source) as station:
            station.until(BEFORE)
            began_ns = time.monotonic_ns()
            camera.freeze(FROZEN_S)
            camera.thaw()
            thawed_ns = time.monotonic_ns()
            noticed_ns = station.state_after(began_ns, (State.HELD,))
            back_ns = station.state_after(max(thawed_ns, noticed_ns), GOES_ON)
            tick(0.9)
            station.until(len(station.verdicts) + BEFORE)
            old = [
                v
                for v in station.verdicts
                if v.score is not None and v.timing.captured < thawed_ns and v.timing.published > noticed_ns
            ]
            report = station.end()
            return account(station.verdicts, report) | {
                "noticed_ms": [(noticed_ns - began_ns) / 1e6],
                "ready_s": [(back_ns - thawed_ns) / 1e9],
                "old_frames_scored": len(old),
            }
    finally:
        camera.off()


def _restart(camera: Camera, rounds: int, tick: Tick, *flags: object) -> dict[str, Any]:
    noticed_ms, ready_s = [], []
    try:
        with Line("--source", camera.source, *flags) as station:
            station.until(BEFORE)
            for number in range(rounds):
                went_ns = time.monotonic_ns()
                camera.off()
                noticed_ms.append((station.state_after(went_ns, (State.HELD,)) - went_ns) / 1e6)
                time.sleep(AWAY_S)
                camera.on()
                returned_ns = time.monotonic_ns()
                ready_s.append((station.state_after(returned_ns, GOES_ON) - returned_ns) / 1e9)
                station.until(len(station.verdicts) + BEFORE)
                tick((number + 1) / rounds)
            report = station.end()
            return account(station.verdicts, report) | {"noticed_ms": noticed_ms, "ready_s": ready_s}
    finally:
        camera.off()


TRIALS: dict[str, Callable[[int, int, Tick], dict[str, Any]]] = {
    "every": every_frame,
    "loss": lost_packets,
    "restart": gige_restart,
    "rtsp-restart": rtsp_restart,
    "rtsp-freeze": rtsp_freeze,
}


def in_words(name: str, found: dict[str, Any]) -> tuple[str, str]:
    """The fault and the results, as text."""
    what = {
        "every": f"GigE, {found.get('asked', 0):,} frames of 2048×2048, 20 a second",
        "loss": "GigE, 5 % of packets lost, frames of nine packets",
        "restart": f"GigE, power lost for {AWAY_S:.0f} s, {len(found.get('ready_s', ()))} times",
        "rtsp-restart": f"RTSP, server killed for {AWAY_S:.0f} s, {len(found.get('ready_s', ()))} times",
        "rtsp-freeze": f"RTSP, frozen for {FROZEN_S:.0f} s",
    }[name]
    parts = [f"{found['verdicts']:,} verdicts: {found['scored']:,} scored"]
    parts += [f"{count:,} unknown/{reason}" for reason, count in found["unknown"].items()]
    parts += [f"{found['dropped']:,} exposures counted as dropped", f"{found['unexplained']} unexplained"]
    if "incomplete" in found:
        parts.append(f"{found['incomplete']} not whole, {found['incomplete_and_scored']} of them scored")
    if "ready_s" in found:
        parts.append(f"noticed after {_spread(found['noticed_ms'], '.0f')} ms")
        parts.append(f"ready {_spread(found['ready_s'], '.2f')} s after its return")
    if "old_frames_scored" in found:
        parts.append(f"{found['old_frames_scored']} frames from before the thaw scored after it was noticed")
    return what, ", ".join(parts)


def _spread(values: list[float], form: str) -> str:
    if len(values) == 1:
        return f"{values[0]:{form}}"
    return f"{statistics.median(values):{form}} (median; most {max(values):{form}})"


def holds(found: dict[str, Any]) -> bool:
    """Whether nothing was skipped silently or scored wrongly. Times have no limits here."""
    is_counted = found["misnamed"] == found["unexplained"] == 0
    return is_counted and not found.get("incomplete_and_scored") and not found.get("old_frames_scored")
