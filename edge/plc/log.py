"""The log of the pass bits: a line of JSON for each result, written before the PLC can read it."""

from edge.gate.log import LineLog
from edge.plc.handshake import Numbers
from edge.plc.process_image import Entry


class PlcLog(LineLog):
    """Appends what happens to each result: shown as pass or fail, withdrawn, acknowledged, or dropped by an overrun."""

    def write(self, station: str, numbers: Numbers, entry: Entry) -> None:
        """Append one line. Raises RecordsError: no pass bit may be set then."""
        self.append(fields(station, numbers, entry))


def fields(station: str, numbers: Numbers, entry: Entry) -> dict[str, str | int | None]:
    """An entry as it is logged."""
    return {
        "station": station,
        "event": entry.event,
        "epoch": entry.epoch,
        "seq": entry.seq,
        "part": entry.part,
        "number": entry.number,
        "numbers": numbers,
        "code": entry.code.name.lower(),
    }
