"""Roles: the requests that the owner of a key may send to a station. Needs only the standard library."""

from enum import StrEnum
from typing import NamedTuple


class Role(StrEnum):
    """All roles may read: verdicts, heartbeats, states, snapshots and replays. `acknowledge` may also report what
    became of a part, `trigger` may announce a part in front of the camera, `control` may do both, suspend
    and resume the station, and say which product and which bundle it judges.
    """

    SEE = "see"
    ACKNOWLEDGE = "acknowledge"
    TRIGGER = "trigger"
    CONTROL = "control"

    def may(self, request: str) -> bool:
        """Whether this role may send a request of this type."""
        return request not in NEEDS or self in (NEEDS[request], Role.CONTROL)


NEEDS = {
    "ack": Role.ACKNOWLEDGE,
    "trigger": Role.TRIGGER,
    "suspend": Role.CONTROL,
    "resume": Role.CONTROL,
    "select_product": Role.CONTROL,
    "load_bundle": Role.CONTROL,
    "promote": Role.CONTROL,
    "roll_back": Role.CONTROL,
    "unload": Role.CONTROL,
    "challenge": Role.CONTROL,
}
"""The role that a request type needs; types that are not listed need only `see`."""

OF_A_NEW_KEY = Role.ACKNOWLEDGE
"""Default role of a new key, which edge-listen and edge-gate need. Triggers must be allowed explicitly."""

OF_AN_OLD_KEY = Role.CONTROL
"""Role of a key file without a role. Such files are from before roles existed; their owners keep all rights."""


class Guest(NamedTuple):
    """The sender of a message. Without keys it has no name, and every sender has all rights."""

    name: str | None
    role: Role


ANYBODY = Guest(None, Role.CONTROL)
