"""Hostile peers in their own processes against a running line: their requests have no effect on honest peers."""

import os

from support.line import DEMO_BUNDLE

from edge.drill.scene import STRANGER
from edge.drill.siege import CONTROLLER, VIEWER, WITH_KEYS, WITHOUT_KEYS, Assault, siege

SECONDS = float(os.environ.get("EDGE_SIEGE_S", "0"))
"""Duration of each attack in seconds if all attacks run; 0 runs a few short ones."""

SHORTLY = 3.0
FEW = (
    Assault(STRANGER, "strangers", ("no client of this station",)),
    Assault(VIEWER, "subscriptions", ("cut ", "viewer-subscriptions")),
    Assault(VIEWER, "triggers", ("refused viewer-triggers: trigger: the key of viewer-triggers has the role see",)),
    Assault(CONTROLLER, "endless", ("cut ", "controller-endless")),
    Assault(CONTROLLER, "frames", ("cut controller-frames at ", "a message of more than 8 frames")),
    Assault(CONTROLLER, "replays", ("refused controller-replays: replay: ",)),
)
FEW_WITHOUT_KEYS = (
    Assault("anybody", "endless", ("cut 127.0.0.1: ", "more than 256 kB at once")),
    Assault("anybody", "frames", ("cut 127.0.0.1: ", "a message of more than 8 frames")),
    Assault("anybody", "trickle", ("cut 127.0.0.1: ", "as others send them too")),
    Assault("anybody", "replays", ("refused a peer without a key: replay: ",)),
)


def test_without_keys_no_flood_fills_memory_or_keeps_an_honest_peer_waiting() -> None:
    everything = tuple(one for one in WITHOUT_KEYS if one.flood not in {few.flood for few in FEW_WITHOUT_KEYS})
    _check_holds(FEW_WITHOUT_KEYS + (everything if SECONDS else ()), keyed=False)


def test_with_keys_no_flood_of_stranger_viewer_or_controller_hurts_and_the_log_names_who_it_was() -> None:
    known = {(few.who, few.flood) for few in FEW}
    everything = tuple(one for one in WITH_KEYS if (one.who, one.flood) not in known)
    _check_holds(FEW + (everything if SECONDS else ()), keyed=True)


def _check_holds(assaults: tuple[Assault, ...], keyed: bool) -> None:
    found = siege(DEMO_BUNDLE, lambda what: None, SECONDS or SHORTLY, keyed=keyed, assaults=assaults)
    assert [(stand.who, stand.flood) for stand in found.stands[1:-1]] == [(a.who, a.flood) for a in assaults]
    assert not found.shortcomings
    for assault in assaults:
        assert assault.is_logged("\n".join(found.log)), (assault, found.log)
