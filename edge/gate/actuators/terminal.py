"""Prints a line on standard output for each decision; moves nothing."""

import json
import math

from edge.gate.actuators.base import Actuator, ActuatorRequest
from edge.gate.decision import Decision
from edge.gate.log import fields
from edge.text import printable


class Terminal(Actuator):
    """Lines of text or JSON. A reader that is too slow misses some."""

    name = "terminal"
    is_real_output = False
    patience_s = math.inf

    def __init__(self, request: ActuatorRequest) -> None:
        """The address is not used."""
        self._request = request

    @classmethod
    def open(cls, request: ActuatorRequest) -> "Terminal":
        """See `Actuator.open`."""
        return cls(request)

    def pass_part(self, decision: Decision) -> None:
        """Print the decision."""
        self._show(decision)

    def reject(self, decision: Decision) -> None:
        """Print the decision and its reason."""
        self._show(decision)

    def safe(self, reason: str) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing: the command owns the terminal."""

    def _show(self, decision: Decision) -> None:
        line = json.dumps(fields(decision)) if self._request.as_json else _line(decision)
        self._request.show(f"{line}\n")


def _line(decision: Decision) -> str:
    number = "" if decision.seq is None else str(decision.seq)
    if decision.to_seq is not None:
        number += f"-{decision.to_seq}"
    said = f"{number:>6}  {'pass' if decision.passes else 'REJECT':6}  {decision.why:17}  {decision.part or ''}"
    return printable((said + (f"  {decision.detail}" if decision.detail else "")).rstrip())


KIND = Terminal
