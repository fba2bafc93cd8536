"""Numeric codes for the PLC: reason of a result, error of the handshake, state of the station."""

from enum import IntEnum

from edge.verdict import Reason, State


class Code(IntEnum):
    """The reason why a part passes (`CLEAR`) or fails (all others). 0 stands for no result."""

    NONE = 0
    CLEAR = 1
    DEFECT = 2
    LATE = 10
    BACKEND = 11
    CAMERA = 12
    CORRUPT = 13
    FROZEN = 14
    REPEATED = 15
    STALE = 16
    BLACK = 17
    SATURATED = 18
    BRIGHTNESS = 19
    SHARPNESS = 20
    OVERLOAD = 21
    SUSPENDED = 22
    STOPPED = 23
    PRODUCT = 24
    EXPIRED = 40
    GAP = 41
    HEARTBEAT_LOST = 42
    EPOCH_CHANGED = 43
    STATION_STOPPED = 44
    SIMULATED = 45
    DUPLICATE_STATION = 46
    NOT_JOINED = 47
    NO_CLOCK = 48
    TRANSIT = 49

    @property
    def meaning(self) -> str:
        """The reason in words, for the programmer of the PLC."""
        return MEANINGS[self]


class Error(IntEnum):
    """The last error of the handshake, until the PLC clears it."""

    NONE = 0
    NOT_READY = 1
    BUSY = 2
    NUMBER_ZERO = 3
    NUMBER_IN_USE = 4
    REFUSED = 5
    NO_ANSWER = 6
    OVERRUN = 7
    WRONG_ACKNOWLEDGEMENT = 8
    DUPLICATE_STATION = 9
    NUMBERED_BY_ORDER = 10
    ACKNOWLEDGE_HELD = 11
    SERIAL_UNREADABLE = 12
    PRODUCT_REFUSED = 13
    PRODUCT_NOT_ANSWERED = 14

    @property
    def meaning(self) -> str:
        """The error in words, for the programmer of the PLC."""
        return ERROR_MEANINGS[self]


MEANINGS = {
    Code.NONE: "no result is shown",
    Code.CLEAR: "the verdict is good: the pass bit may be 1",
    Code.DEFECT: "the verdict is reject",
    Code.LATE: "unknown: the station had no result within its budget",
    Code.BACKEND: "unknown: the model failed",
    Code.CAMERA: "unknown: the camera failed",
    Code.CORRUPT: "unknown: the frame is damaged",
    Code.FROZEN: "unknown: the camera repeats the same pixels",
    Code.REPEATED: "unknown: the camera gave a frame twice",
    Code.STALE: "unknown: the frame is too old",
    Code.BLACK: "unknown: the frame is black",
    Code.SATURATED: "unknown: the frame is saturated",
    Code.BRIGHTNESS: "unknown: the brightness is outside the envelope",
    Code.SHARPNESS: "unknown: the sharpness is outside the envelope",
    Code.OVERLOAD: "unknown: more parts than the station can judge",
    Code.SUSPENDED: "unknown: the station was held or suspended",
    Code.STOPPED: "unknown: the station was stopped",
    Code.PRODUCT: "unknown: the trigger names another product than the current one",
    Code.EXPIRED: "the verdict was good, but the part was not acknowledged before its time was over",
    Code.GAP: "a verdict was lost between station and edge-plc",
    Code.HEARTBEAT_LOST: "the heartbeats of the station stopped, or the station failed",
    Code.EPOCH_CHANGED: "the station was started again while the part was in flight",
    Code.STATION_STOPPED: "the station's run ended while the part was in flight",
    Code.SIMULATED: "source or bundle is the demonstration, and --allow-simulated was not given",
    Code.DUPLICATE_STATION: "two stations have the same name; stop one and start edge-plc again",
    Code.NOT_JOINED: "the verdict came before edge-plc had joined this run of the station",
    Code.NO_CLOCK: "the time at the station is not known; its control socket does not answer",
    Code.TRANSIT: "the verdict came later than the budget and --transit-ms allow",
}
ERROR_MEANINGS = {
    Error.NONE: "no error",
    Error.NOT_READY: "trigger while the station was not ready; the part is not inspected",
    Error.BUSY: "trigger before the last one was answered; the part is not inspected",
    Error.NUMBER_ZERO: "trigger with the number 0; the part is not inspected",
    Error.NUMBER_IN_USE: "trigger with the number of a part that is in flight; the part is not inspected",
    Error.REFUSED: "the station refused the trigger, as when it has --trigger free; the part is not inspected",
    Error.NO_ANSWER: "the station did not answer the trigger within 300 ms; the part counts as not inspected",
    Error.OVERRUN: "eight results were not acknowledged; a further one was dropped, reject its part",
    Error.WRONG_ACKNOWLEDGEMENT: "the acknowledged number is not that of the result that is shown",
    Error.DUPLICATE_STATION: "two stations have the same name; stop one and start edge-plc again",
    Error.NUMBERED_BY_ORDER: "trigger, but edge-plc numbers the parts by order; give --numbers plc",
    Error.ACKNOWLEDGE_HELD: "the next result waits, since acknowledge has held its number for a second; write 0 there",
    Error.SERIAL_UNREADABLE: "trigger with a serial that is no printable ASCII; the part is not inspected",
    Error.PRODUCT_REFUSED: "the station refused: no product has the number of product_with, its model is not up",
    Error.PRODUCT_NOT_ANSWERED: "no answer to the select bit within 300 ms; product says what is current",
}

CODE_OF_REASON = {reason: Code[reason.name] for reason in Reason}
"""Codes of a verdict's reasons."""

STATE_CODES = {state: number for number, state in enumerate(State, 1)}
"""Codes of the station's states; 0 stands for a station that is not heard."""
