"""Hostile peers, as processes of their own, against a running line: what they may do, and that nobody else notices."""

import os

from running import DEMO_BUNDLE

from edge.drill.siege import WITH_KEYS, WITHOUT_KEYS, siege

SECONDS = float(os.environ.get("EDGE_SIEGE_S", "2"))
"""Of each attack; `make drill` takes longer."""


def test_without_keys_no_flood_fills_memory_or_keeps_an_honest_peer_waiting() -> None:
    found = siege(DEMO_BUNDLE, lambda what: None, SECONDS, keyed=False)
    assert [(stand.who, stand.flood) for stand in found.stands[1:-1]] == [(a.who, a.flood) for a in WITHOUT_KEYS]
    assert found.has_held, found
    assert any("cut 127.0.0.1: more than 16 subscriptions" in line for line in found.log), found.log
    assert any("cut 127.0.0.1: more than 16 kB at once" in line for line in found.log), found.log


def test_with_keys_no_flood_of_stranger_viewer_or_controller_hurts_and_the_log_names_who_it_was() -> None:
    found = siege(DEMO_BUNDLE, lambda what: None, SECONDS)
    assert [(stand.who, stand.flood) for stand in found.stands[1:-1]] == [(a.who, a.flood) for a in WITH_KEYS]
    assert found.has_held, found
    for line in (
        "no client of this station",
        "cut viewer-subscriptions at 127.0.0.1: more than 16 subscriptions",
        "refused viewer-triggers: trigger: the key of viewer-triggers has the role see",
        "cut controller-subscriptions at 127.0.0.1",
    ):
        assert any(line in said for said in found.log), (line, found.log)
