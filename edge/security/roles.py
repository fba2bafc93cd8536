"""What the owner of a key may do at a station. Needs the standard library only."""

from enum import StrEnum
from typing import NamedTuple


class Role(StrEnum):
    """Each may see: verdicts, heartbeats, states, snapshots and replays. `acknowledge` may also say what became of a
    part, `trigger` that a part is in front of the camera, `control` both.
    """

    SEE = "see"
    ACKNOWLEDGE = "acknowledge"
    TRIGGER = "trigger"
    CONTROL = "control"

    def may(self, request: str) -> bool:
        """Whether this role may send a request of this type."""
        return request not in NEEDS or self in (NEEDS[request], Role.CONTROL)


NEEDS = {"ack": Role.ACKNOWLEDGE, "trigger": Role.TRIGGER}
"""The role that a request needs, by its type; those that are not here need none beyond `see`."""

OF_A_NEW_KEY = Role.ACKNOWLEDGE
"""What edge-listen and edge-gate need. Triggers have to be asked for."""

OF_AN_OLD_KEY = Role.CONTROL
"""A key file from before there were roles says none: its owner may do what he could."""


class Guest(NamedTuple):
    """Who sent a message. Without keys there is no name and everybody may do everything."""

    name: str | None
    role: Role


ANYBODY = Guest(None, Role.CONTROL)
