"""The gate of the soak, in its own process: the reference controller, and a note of each verdict it has read.

`python -m benchmarks.soak.gate ENDPOINT FOLDER` ends when the station's run ends. It writes `gate.jsonl`, the gate's
own log; `heard.bin`, a `HEARD` record for each verdict read from the socket; and at the end `gate.json`. It keeps no
verdicts in memory.
"""

import json
import struct
import sys
import time
from pathlib import Path

from edge.gate.belt import SteadyBelt
from edge.gate.client import Controller, Endpoint
from edge.gate.gate import Rules
from edge.gate.log import GateLog
from edge.station.signals import Signals
from edge.verdict import Heartbeat, StateChange, Verdict

STATION, NAME = "soak", "gate1"
TRAVEL_S, LEAD_S = 0.6, 0.05
"""The shortest belt on which each verdict within the budget counts; the gate's memory grows with the parts on it."""

HEARD = struct.Struct("<II")
"""Record: sequence number, and microseconds from capture until the gate had read the verdict."""

LOG, NOTES, END = "gate.jsonl", "heard.bin", "gate.json"


def main(endpoint: str, folder: Path) -> None:
    """Run the gate until the station has stopped, or until a signal."""
    log = GateLog(folder / LOG)
    belt, rules = SteadyBelt(TRAVEL_S * 1e3, LEAD_S * 1e3), Rules(allow_simulated=True)
    controller = Controller(
        [Endpoint.of(endpoint)], STATION, NAME, belt, lambda decision: None, rules, log, allow_insecure=True
    )
    hear = controller.gate.hear
    epochs: dict[str, None] = {}
    last: Heartbeat | None = None
    with (folder / NOTES).open("wb") as notes, Signals() as signals:

        def note_and_hear(message: Verdict | Heartbeat | StateChange, at_ns: int) -> None:
            nonlocal last
            if isinstance(message, Verdict):
                notes.write(HEARD.pack(message.seq, (at_ns - message.timing.captured) // 1000))
            elif isinstance(message, Heartbeat):
                epochs[message.epoch], last = None, message
                notes.flush()
            hear(message, at_ns)

        controller.gate.hear = note_and_hear  # type: ignore[method-assign]
        begun = time.monotonic()
        while not (signals.came or controller.gate.has_ended):
            controller.turn()
    gate = controller.gate
    end = {
        "seconds": time.monotonic() - begun,
        "epochs": list(epochs),
        "heartbeat": None if last is None else last.model_dump(mode="json"),
        "repeated": gate.repeated,
        "malformed": controller.malformed,
        "foreign": gate.foreign,
        "fault": gate.fault,
    }
    controller.close()
    log.close()
    (folder / END).write_text(json.dumps(end))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
