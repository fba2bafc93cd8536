"""Changes of a station's state, and alarms that begin and end, for its record: what happened at night is read there."""

import re
import time
from collections.abc import Callable, Iterable

from edge.channel.limits import Pace
from edge.channel.pace import Paces
from edge.verdict import State

CHANGES = Pace(burst=60, a_second=1 / 20)
"""Changes that are entered: 60 at once, then three a minute. A state that comes and goes faster is entered as it is
when its turn comes, with the number of changes that were left out.
"""

STARTING_S = 10.0
"""A start that takes no longer is no change of state."""

_NUMBER = re.compile(r"\d+(?:\.\d+)?")


class ChangeLog:
    """Enters what has changed since the last entry. An age or a count that grows in a text is no change."""

    def __init__(self, enter: Callable[[str, str], None]) -> None:
        """`enter` takes the kind of an event and its text."""
        self._enter = enter
        self._state: tuple[str, str] = ("able", "")
        self._seen = self._state
        self._alarms: dict[str, str] = {}
        self._paces, self._left_out = Paces(CHANGES), 0
        self._begun = time.monotonic()

    def follow(self, state: State, cause: str | None, alarms: Iterable[str]) -> None:
        """The station has this state and these alarms now."""
        is_able = state in (State.READY, State.EXECUTING)
        key = ("able", "") if is_able else (str(state), _NUMBER.sub("", cause or ""))
        is_starting = state is State.PREOPERATIONAL and time.monotonic() - self._begun < STARTING_S
        if is_starting:
            key = self._state
        self._left_out += self._seen not in (key, self._state)  # it came and went before its turn
        self._seen = key
        if key != self._state and self._say("state", _text(state, cause)):
            self._state = key
        now = {_NUMBER.sub("", alarm): alarm for alarm in alarms}
        for one, text in now.items():
            if one not in self._alarms and self._say("alarm", f"begins: {text}"):
                self._alarms[one] = text
        for one in self._alarms.keys() - now.keys():
            if self._say("alarm", f"ends: {self._alarms[one]}"):
                del self._alarms[one]

    def _say(self, kind: str, text: str) -> bool:
        if not self._paces.admits(None):
            return False
        if self._left_out:
            text += f" ({self._left_out} changes of state before were too fast to be entered)"
            self._left_out = 0
        self._enter(kind, text)
        return True


def _text(state: State, cause: str | None) -> str:
    if state in (State.READY, State.EXECUTING):
        return "judges again"
    return f"{state}: {cause}" if cause else str(state)
