"""The parts of a page that change: rendered once for all browsers of a language, at most ten times a second."""

import time
from collections.abc import Iterable
from typing import Any

from edge.page.site import Site
from edge.page.standing import Standing, standing
from edge.page.station_live import Doubt, LiveView, StationLive
from edge.page.words import Words

SHORTEST_S = 0.09
"""Least time between two renderings of a fragment."""

LONGEST_S = 1.0
"""A fragment is rendered again after this time, because it may tell how long something lasts."""

NAMES = ("status", "last", "tally", "pace", "alarms", "strip", "stream")


class Fragments:
    """Renders fragments and remembers them. For the thread of the event loop alone."""

    def __init__(self, site: Site) -> None:
        """Nothing is rendered yet."""
        self._site = site
        self._views: dict[str, tuple[float, int, LiveView]] = {}
        self._made: dict[tuple[str, str, str], tuple[LiveView, str]] = {}

    def view(self, station: StationLive) -> LiveView:
        """The station, as of a tenth of a second ago at most."""
        now, version = time.monotonic(), station.version
        made, of, view = self._views.get(station.name, (0.0, -1, None))
        if view is None or now - made > LONGEST_S or (of != version and now - made > SHORTEST_S):
            view = station.view()
            self._views[station.name] = (now, version, view)
        return view

    def get(self, station: StationLive, t: Words, names: Iterable[str]) -> dict[str, str]:
        """These fragments of a station in a language."""
        view, found = self.view(station), {}
        for name in names:
            key = (station.name, t.language, name)
            made = self._made.get(key)
            if made is None or made[0] is not view:
                made = self._made[key] = (view, self._render(view, t, name))
            found[name] = made[1]
        return found

    def cards(self, t: Words) -> str:
        """The overview of all stations."""
        return "".join(self.get(station, t, ["card"])["card"] for station in self._site.stations.all())

    def stands(self, view: LiveView, t: Words) -> Standing:
        """How the station stands."""
        last_run = None
        if view.silent_s is None:
            ended = self._site.history.ended(view.name)
            last_run = t("why.ended", time=t.date(ended[0]), cause=ended[1]) if ended else None
        return standing(view, t, last_run)

    def _render(self, view: LiveView, t: Words, name: str) -> str:
        values: dict[str, Any] = {"view": view, "t": t}
        if name in ("status", "card"):
            values["stands"] = self.stands(view, t)
        if name in ("alarms", "card"):
            values["alarms"] = self._alarms(view, t)
        if name == "pace":
            values["budget"] = view.verdicts[0].budget_ms if view.verdicts else None
        if name == "last":
            about = view.preview.about if view.preview else None
            values["shown"] = about and next(
                (v for v in view.verdicts if (v.epoch, v.seq) == (about.epoch, about.seq)), None
            )
            values["stored"] = None if about else self._site.history.newest_picture(view.name)
        return self._site.templates.get_template(f"fragments/{name}.html.j2").render(values)

    def _alarms(self, view: LiveView, t: Words) -> list[str]:
        alarms = list(view.heartbeat.alarms) if view.heartbeat and not view.is_silent else []
        if view.rival is not None:
            alarms.insert(0, t("alarms.rival", name=view.name, shown=view.endpoint, other=view.rival))
        if view.missed:
            alarms.append(t("alarms.missed", n=t.number(view.missed)))
        history = self._site.history
        record, others, problem = history.record(view.name), history.others(view.name), history.problem(view.name)
        if record is not None and others:
            named = ", ".join(map(str, others))
            alarms.append(t("alarms.copies", name=view.name, shown=record.folder, others=named))
        if record is not None and view.doubt is Doubt.OTHER:
            alarms.append(t("alarms.other_record", name=view.name, folder=record.folder))
        if record is not None and problem is not None and problem.is_damaged:
            alarms.append(t("alarms.damaged", folder=record.folder))
        elif problem is not None:
            alarms.append(t("alarms.record", problem=problem))
        return alarms
