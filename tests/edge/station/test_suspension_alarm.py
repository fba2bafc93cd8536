"""A person's suspension is visible while the station is held for another reason."""

from types import SimpleNamespace
from typing import Any

import pytest

from edge.station.status import StationStatus
from edge.verdict import State


@pytest.mark.parametrize(
    ("state", "by", "alarms"),
    [
        (State.HELD, "Ana: belt", ("suspended by Ana: belt",)),
        (State.SUSPENDED, "Ana: belt", ()),
        (State.HELD, None, ()),
    ],
)
def test_a_suspension_is_an_alarm_while_the_state_has_another_cause(
    state: State, by: str | None, alarms: tuple[str, ...]
) -> None:
    station = SimpleNamespace(control_server=SimpleNamespace(suspended_by=by))
    status: Any = SimpleNamespace(_station=station, state=state)
    assert StationStatus._suspension(status) == alarms
