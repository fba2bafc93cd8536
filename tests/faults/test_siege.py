"""Hostile peers, as processes of their own, against a running line: what they may do, and that nobody else notices."""

import os

from running import DEMO_BUNDLE

from edge.drill.scene import STRANGER
from edge.drill.siege import CONTROLLER, VIEWER, WITH_KEYS, WITHOUT_KEYS, Assault, siege

SECONDS = float(os.environ.get("EDGE_SIEGE_S", "0"))
"""Of each attack, all of them; else a few, shortly."""

SHORTLY = 3.0
FEW = (
    Assault(STRANGER, "strangers"), Assault(VIEWER, "subscriptions"), Assault(VIEWER, "triggers"),
    Assault(CONTROLLER, "endless"), Assault(CONTROLLER, "frames"), Assault(CONTROLLER, "replays"),
)  # fmt: skip
FEW_WITHOUT_KEYS = tuple(one for one in WITHOUT_KEYS if one.flood in ("endless", "frames", "trickle", "replays"))


def test_without_keys_no_flood_fills_memory_or_keeps_an_honest_peer_waiting() -> None:
    assaults = WITHOUT_KEYS if SECONDS else FEW_WITHOUT_KEYS
    found = siege(DEMO_BUNDLE, lambda what: None, SECONDS or SHORTLY, keyed=False, assaults=assaults)
    assert [(stand.who, stand.flood) for stand in found.stands[1:-1]] == [(a.who, a.flood) for a in assaults]
    assert found.has_held, found
    assert any("refused a peer without a key: replay: " in line for line in found.log), found.log
    for words in ("more than 256 kB at once", "a message of more than 8 frames", "as others send them too"):
        assert any("cut 127.0.0.1: " in line and words in line for line in found.log), (words, found.log)


def test_with_keys_no_flood_of_stranger_viewer_or_controller_hurts_and_the_log_names_who_it_was() -> None:
    assaults = WITH_KEYS if SECONDS else FEW
    found = siege(DEMO_BUNDLE, lambda what: None, SECONDS or SHORTLY, assaults=assaults)
    assert [(stand.who, stand.flood) for stand in found.stands[1:-1]] == [(a.who, a.flood) for a in assaults]
    assert found.has_held, found
    for words in (
        ("no client of this station",),
        ("cut ", "viewer-subscriptions"),
        ("refused viewer-triggers: trigger: the key of viewer-triggers has the role see",),
        ("cut ", "controller-endless"),
        ("cut controller-frames at ", "a message of more than 8 frames"),
        ("refused controller-replays: replay: ",),
    ):
        assert any(all(word in said for word in words) for said in found.log), (words, found.log)
