"""The register map as a page in Markdown and as CSV, for the PLC's programmer."""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Literal

from edge.plc.codes import ERROR_MEANINGS, MEANINGS, STATE_CODES
from edge.plc.registers import (
    CONTROL_MEANINGS,
    HEAD,
    MAP_VERSION,
    STATION,
    STATUS_MEANINGS,
    Control,
    Register,
    Status,
    base,
)

Form = Literal["md", "csv"]


def map_page(stations: list[str], form: Form) -> str:
    """The map for these stations, in the order of their blocks."""
    return _markdown(stations) if form == "md" else _csv(stations)


def _rows(stations: list[str]) -> Iterator[tuple[int, str, Register]]:
    """Address, whose block it is, and the register."""
    yield from ((register.offset, "edge-plc", register) for register in HEAD)
    for index, station in enumerate(stations):
        yield from ((base(index) + register.offset, station, register) for register in STATION)


def _csv(stations: list[str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("address", "words", "block", "name", "type", "access", "meaning"))
    for address, block, one in _rows(stations):
        writer.writerow((address, one.words, block, one.name, one.type, _access(one), one.meaning))
    for word, bits in _bits():
        for number, name, meaning in bits:
            writer.writerow(("", "", "", f"{word}.{number}", "BOOL", "", f"{name}: {meaning}"))
    return text.getvalue()


def _markdown(stations: list[str]) -> str:
    lines = [
        f"# Register map of edge-plc, version {MAP_VERSION}",
        "",
        "Holding registers (function codes 3, 6, 16, 22, 23) and input registers (4) have the same content; addresses",
        "count from 0. Numbers of two words have their high word first. Read a block in one request.",
    ]
    shown = ""
    for address, block, one in _rows(stations):
        if block != shown:
            shown = block
            title = block if block == "edge-plc" else f"station {block}"
            lines += ["", f"## {title}", "", "| address | words | name | type | access | meaning |"]
            lines.append("| --- | --- | --- | --- | --- | --- |")
        cells = address, one.words, f"`{one.name}`", one.type, _access(one), one.meaning
        lines.append(f"| {' | '.join(map(str, cells))} |")
    for word, bits in _bits():
        rows = [(number, f"`{name}`", meaning) for number, name, meaning in bits]
        lines += _table(f"Bits of `{word}`", ("bit", "name", "meaning"), rows)
    codes = [(int(code), f"`{code.name.lower()}`", meaning) for code, meaning in MEANINGS.items()]
    errors = [(int(error), f"`{error.name.lower()}`", meaning) for error, meaning in ERROR_MEANINGS.items()]
    states = [(0, "", "no heartbeat"), *((number, f"`{state}`", "") for state, number in STATE_CODES.items())]
    lines += _table("Values of `code`", ("value", "name", "meaning"), codes)
    lines += _table("Values of `error`", ("value", "name", "meaning"), errors)
    lines += _table("Values of `state`", ("value", "name", "meaning"), states)
    return "\n".join(lines) + "\n"


def _table(title: str, head: tuple[str, ...], rows: Sequence[tuple[object, ...]]) -> list[str]:
    lines = ["", f"## {title}", "", f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    return [*lines, *(f"| {' | '.join(map(str, row))} |" for row in rows)]


def _access(register: Register) -> str:
    return "read, write" if register.is_written else "read"


def _bits() -> Iterator[tuple[str, list[tuple[int, str, str]]]]:
    """Each word of bits, with number, name and meaning of its bits."""
    status = [(_number(bit), (bit.name or "").lower(), meaning) for bit, meaning in STATUS_MEANINGS.items()]
    control = [(_number(bit), (bit.name or "").lower(), meaning) for bit, meaning in CONTROL_MEANINGS.items()]
    yield from (("status", status), ("control", control))


def _number(bit: Status | Control) -> int:
    return int(bit).bit_length() - 1
