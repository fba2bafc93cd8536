"""How a station stands, in one word for a screen that is read from afar: level, title, reason, and what to do."""

from dataclasses import dataclass
from enum import StrEnum

from edge.page.station_live import LiveView
from edge.page.words import Words
from edge.verdict import State

MANY = 20
"""Verdicts of the last minute from which on it says whether nearly everything is stopped."""

MOST_STOPPED = 0.5
"""Share of rejects and unknowns in the last minute that is called out."""


class Level(StrEnum):
    """`run`: parts are judged. `wait`: ready. `halt`: it starts, or is suspended. `fault`: it cannot judge."""

    RUN = "run"
    WAIT = "wait"
    HALT = "halt"
    FAULT = "fault"


@dataclass(frozen=True)
class Standing:
    """`why` is a line of the station itself, or of the page; `todo` what a person can do, if anything."""

    level: Level
    title: str
    why: str
    todo: str


def standing(view: LiveView, t: Words, last_run: str | None = None) -> Standing:
    """How the station stands now. `last_run` says how its last run ended, if it is not heard."""
    if view.state is State.STOPPED:
        return Standing(Level.FAULT, t("state.stopped"), view.cause or "", t("todo.stopped"))
    if view.silent_s is None:
        why = view.problem or last_run or t("why.never", endpoint=view.endpoint or "–")
        return Standing(Level.FAULT, t("state.silent"), why, t("todo.never"))
    if view.is_silent:
        return Standing(Level.FAULT, t("state.silent"), t("why.silent", s=int(view.silent_s)), t("todo.silent"))
    state = view.state or State.PREOPERATIONAL
    title, cause = t(f"state.{state}"), view.cause or ""
    if state is State.EXECUTING:
        why, todo = _stopped_share(view, t)
        return Standing(Level.RUN, title, why, todo)
    if state is State.READY:
        return Standing(Level.WAIT, title, cause or t("why.ready"), t("todo.waiting") if cause else "")
    topic = cause.partition(":")[0]
    todo = t.find(f"todo.{state}_{topic}") or t.find(f"todo.{state}") or ""
    level = Level.FAULT if state in (State.HELD, State.ERROR) else Level.HALT
    return Standing(level, title, cause, todo)


def _stopped_share(view: LiveView, t: Words) -> tuple[str, str]:
    """The line that answers "the gate rejects everything", and what to do; empty if it does not."""
    counts = view.minute.counts
    stopped = counts.reject + counts.unknown
    if counts.all < MANY or stopped < MOST_STOPPED * counts.all:
        return "", ""
    share = t.percent(stopped, counts.all, 0)
    if counts.unknown > counts.reject and view.minute.reasons:
        reason = view.minute.reasons[0][0]
        return t("why.unknowns", share=share, reason=t(f"reason.{reason}")), t(f"reason_todo.{reason}")
    return t("why.rejects", share=share), t("todo.rejects")
