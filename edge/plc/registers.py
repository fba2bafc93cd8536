"""The register map: addresses and encoding of the handshake of each station, in 16-bit words.

A block of 100 words stands for each station, after a block for edge-plc itself. Numbers of two words have their high
word first; text has two characters a word, the first in the high byte.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import IntFlag

from edge.plc.codes import Code
from edge.plc.process_image import Readable, Written

MAP_VERSION = 5
"""Raised when a register is added, moves or changes its meaning."""

BLOCK = 100
"""Words from one block to the next."""

MOST_STATIONS = 16
PART_WORDS = 16
WRITTEN_AT, WRITTEN_WORDS = 60, 22
KIND_AT = 40
"""The word that came with version 5; until then a block of 40 words was all that a PLC reads."""

Words = list[int]


class Status(IntFlag):
    """Bits of the status word."""

    VALID = 1 << 0
    PASS = 1 << 1
    FAIL = 1 << 2
    READY = 1 << 3
    BUSY = 1 << 4
    TRIGGER_READY = 1 << 5
    TRIGGER_ACKNOWLEDGED = 1 << 6
    MISSED_TRIGGER = 1 << 7
    OVERRUN = 1 << 8
    ERROR = 1 << 9
    EXPOSED = 1 << 10
    SELECTED = 1 << 11
    NOT_SELECTED = 1 << 12


class Control(IntFlag):
    """Bits of the control word, which the PLC writes."""

    TRIGGER = 1 << 0
    CLEAR = 1 << 1
    SELECT = 1 << 2


@dataclass(frozen=True)
class Register:
    """A row of the map: first word within the block, words, type in the words of IEC 61131-3, and meaning."""

    offset: int
    words: int
    name: str
    type: str
    meaning: str

    @property
    def is_written(self) -> bool:
        """Whether the PLC writes it."""
        return self.offset >= WRITTEN_AT


HEAD = (
    Register(0, 1, "map_version", "UINT", f"version of this map: {MAP_VERSION}"),
    Register(1, 1, "stations", "UINT", "number of stations"),
    Register(2, 1, "block", "UINT", f"words from one block to the next: {BLOCK}"),
    Register(3, 1, "bridge_alive", "UINT", "changes while edge-plc runs, also without a station"),
)

STATION = (
    Register(0, 1, "status", "WORD", "bits: see below"),
    Register(1, 1, "alive", "UINT", "changes each 50 ms while the station's heartbeats hold; unchanged 300 ms: reject"),
    Register(2, 2, "number", "UDINT", "number of the part that the result belongs to; the PLC acknowledges it"),
    Register(4, 2, "pass_number", "UDINT", "the same number while the pass bit is 1, else 0"),
    Register(6, 1, "code", "UINT", "why the part passes or fails: see below"),
    Register(7, 1, "age", "UINT", "0.1 ms from exposure to verdict, 65535 at most"),
    Register(8, 2, "seq", "UDINT", "low 32 bits of the verdict's sequence number"),
    Register(10, 2, "epoch", "UDINT", "first 8 hexadecimal digits of the station's present run"),
    Register(12, 1, "error", "UINT", "last error of the handshake: see below"),
    Register(13, 1, "state", "UINT", "state of the station: see below"),
    Register(14, 2, "trigger_number", "UDINT", "number of the last trigger that the station accepted"),
    Register(16, 1, "queued", "UINT", "results that wait for their acknowledgement, the shown one included"),
    Register(17, 1, "overruns", "UINT", "results that were dropped since eight were not acknowledged, modulo 65536"),
    Register(18, 1, "missed_triggers", "UINT", "triggers whose parts were not inspected, modulo 65536"),
    Register(19, 1, "product", "UINT", "number of the product that parts are judged as now; 0 if the line makes one"),
    Register(20, PART_WORDS, "part", "STRING", "the part's id, its first 32 characters, ASCII, 0 after its end"),
    Register(36, 2, "result_epoch", "UDINT", "the same digits of the run that the result is of"),
    Register(
        38, 2, "exposed_number", "UDINT", "number of the triggered part whose frame is exposed, until the next one"
    ),
    Register(
        KIND_AT, 1, "kind", "UINT", "number of the kind of a reject's defect: its place in the bundle's list; 0 if none"
    ),
    Register(WRITTEN_AT, 1, "control", "WORD", "bits: see below"),
    Register(WRITTEN_AT + 1, 2, "trigger_with", "UDINT", "number of the part to inspect; set before the trigger bit"),
    Register(WRITTEN_AT + 3, 2, "acknowledge", "UDINT", "number of the result that the PLC has taken; 0 if none"),
    Register(
        WRITTEN_AT + 5,
        PART_WORDS,
        "serial",
        "STRING",
        "free field serial of the part to inspect, printable ASCII, first character in the high byte, 0 after its end; "
        "set before the trigger bit",
    ),
    Register(
        WRITTEN_AT + 5 + PART_WORDS,
        1,
        "product_with",
        "UINT",
        "number of the product that the line makes, 0 if it makes one; set before the select bit and the trigger bit",
    ),
)

STATUS_MEANINGS = {
    Status.VALID: "a result is shown",
    Status.PASS: "the part with this number may pass; never together with fail",
    Status.FAIL: "the part with this number is to be rejected",
    Status.READY: "parts that come now are judged",
    Status.BUSY: "triggered parts wait for their verdicts",
    Status.TRIGGER_READY: "a trigger is taken; 0 until the last one is answered and its bit is taken away",
    Status.TRIGGER_ACKNOWLEDGED: "the trigger of trigger_number is accepted; falls with the trigger bit",
    Status.MISSED_TRIGGER: "a trigger was not accepted, its part is not inspected; stays until cleared",
    Status.OVERRUN: "a result was dropped; stays until cleared",
    Status.ERROR: "error is not 0; stays until cleared",
    Status.EXPOSED: "the frame of exposed_number has been exposed, the part may move; falls with the next trigger",
    Status.SELECTED: "product_with is current; falls with the select bit",
    Status.NOT_SELECTED: "product_with did not become current, error says why; falls with the select bit",
}

CONTROL_MEANINGS = {
    Control.TRIGGER: "inspect the part of trigger_with: a rising edge; hold it until trigger_acknowledged or error",
    Control.CLEAR: "clear missed_trigger, overrun and error: a rising edge",
    Control.SELECT: "change over to product_with: a rising edge; hold it until selected or not_selected",
}


def base(station: int) -> int:
    """Address of the block of the station with this index, from 0."""
    return BLOCK * (station + 1)


def head_words(stations: int, alive: int) -> Words:
    """The block of edge-plc itself."""
    return [MAP_VERSION, stations, BLOCK, alive]


def status_of(image: Readable) -> Status:
    """The status word."""
    bits = {
        Status.VALID: image.valid,
        Status.PASS: image.passes,
        Status.FAIL: image.fails,
        Status.READY: image.ready,
        Status.BUSY: image.busy,
        Status.TRIGGER_READY: image.trigger_ready,
        Status.TRIGGER_ACKNOWLEDGED: image.trigger_acknowledged,
        Status.MISSED_TRIGGER: image.has_missed_trigger,
        Status.OVERRUN: image.has_overrun,
        Status.ERROR: image.error != 0,
        Status.EXPOSED: image.exposed_number != 0,
        Status.SELECTED: image.is_selected,
        Status.NOT_SELECTED: image.is_not_selected,
    }
    return Status(sum(bit for bit, is_set in bits.items() if is_set))


def pack(image: Readable) -> Words:
    """The words that the PLC reads for a station: WRITTEN_AT words from the base of its block."""
    words = [0] * WRITTEN_AT
    words[0], words[1] = int(status_of(image)), image.alive & 0xFFFF
    words[2:4] = _double(image.number)
    words[4:6] = _double(image.number if image.passes else 0)
    words[6], words[7] = int(image.code), min(0xFFFF, max(0, round(image.age_ms * 10)))
    words[8:10] = _double(image.seq & 0xFFFFFFFF)
    words[10:12] = _double(epoch_number(image.epoch))
    words[12], words[13] = int(image.error), image.state
    words[14:16] = _double(image.trigger_number)
    words[16:20] = [image.queued, image.overruns & 0xFFFF, image.missed_triggers & 0xFFFF, image.product]
    words[20 : 20 + PART_WORDS] = _text(image.part)
    words[36:38] = _double(epoch_number(image.result_epoch))
    words[38:40] = _double(image.exposed_number)
    words[KIND_AT] = image.kind
    return words


def epoch_number(epoch: str) -> int:
    """The first 8 hexadecimal digits of an epoch; 0 if there is none."""
    try:
        return int(epoch[:8] or "0", 16)
    except ValueError:  # no station of this project names its runs so
        return zlib.crc32(epoch.encode())


def steps(before: Readable, after: Readable) -> Iterator[Readable]:
    """The images in the order in which a bus that cannot change a whole block at once writes them: the old result is
    taken away, then come the data, then `valid`.
    """
    if (before.valid, before.number, before.code) != (after.valid, after.number, after.code):
        if before.valid:
            yield replace(before, valid=False)
        if after.valid:
            yield replace(after, valid=False)
    yield after


def unpack(words: Sequence[int]) -> Written:
    """Decode the words that the PLC has written: WRITTEN_WORDS words from WRITTEN_AT on."""
    control = Control(words[0] & (Control.TRIGGER | Control.CLEAR | Control.SELECT))
    return Written(
        trigger=Control.TRIGGER in control,
        clear=Control.CLEAR in control,
        trigger_number=words[1] << 16 | words[2],
        acknowledged=words[3] << 16 | words[4],
        select=Control.SELECT in control,
        product=words[5 + PART_WORDS],
        serial=_printable(words[5 : 5 + PART_WORDS]),
    )


def _double(number: int) -> Words:
    return [number >> 16 & 0xFFFF, number & 0xFFFF]


def _text(text: str) -> Words:
    raw = text.encode("ascii", "replace")[: 2 * PART_WORDS].ljust(2 * PART_WORDS, b"\0")
    return [raw[at] << 8 | raw[at + 1] for at in range(0, len(raw), 2)]


def _printable(words: Sequence[int]) -> str | None:
    """The text up to its first 0, without spaces around it; None if a byte is no printable ASCII."""
    raw = b"".join(word.to_bytes(2) for word in words).partition(b"\0")[0]
    return raw.decode("ascii").strip() if all(0x20 <= byte < 0x7F for byte in raw) else None


def may_pass(words: Sequence[int], number: int) -> bool:
    """Whether a PLC lets the part `number` pass on these words of a block, by the rule of docs/plc/edge_inspect.st."""
    status = Status(words[0])
    shown, passing = words[2] << 16 | words[3], words[4] << 16 | words[5]
    is_pass = Status.VALID in status and Status.PASS in status and Status.FAIL not in status
    return is_pass and number == shown == passing != 0 and words[6] == Code.CLEAR and words[10:12] == words[36:38]
