"""The register map for people: what is printed, what the documentation shows, and what the function block uses."""

import csv
import io
import re
import subprocess

import pytest
from support.line import ROOT, ran

from edge.plc.codes import Code
from edge.plc.registers import STATION, WRITTEN_AT, Control, Register, Status

BLOCK = (ROOT / "docs" / "plc" / "edge_inspect.st").read_text()
PAGE = (ROOT / "docs" / "plc" / "registers.md").read_text()
OFFSETS = {one.name: one.offset for one in STATION}


def printed(form: str) -> str:
    done: subprocess.CompletedProcess[str] = ran("plc", "--print-map", form)
    assert done.returncode == 0
    return done.stdout


def test_the_page_of_the_documentation_is_what_the_command_prints() -> None:
    assert printed("md") == PAGE, "edge-plc --print-map md > docs/plc/registers.md"


def test_the_csv_has_every_register_with_its_address() -> None:
    rows = list(csv.DictReader(io.StringIO(printed("csv"))))
    addresses = {row["name"]: int(row["address"]) for row in rows if row["block"] == "line1"}
    assert addresses == {one.name: 100 + one.offset for one in STATION}
    bits = {row["name"]: row["meaning"].split(":")[0] for row in rows if row["type"] == "BOOL"}
    assert bits["status.1"] == "pass"
    assert bits["control.0"] == "trigger"
    assert len(bits) == len(Status) + len(Control)


def double(name: str) -> str:
    at = OFFSETS[name]
    return f"SHL(WORD_TO_UDINT(Block[{at}]), 16) OR WORD_TO_UDINT(Block[{at + 1}])"


@pytest.mark.parametrize(
    "used",
    [
        f"Epoch := {double('epoch')}",
        f"Number := {double('number')}",
        f"PassNumber := {double('pass_number')}",
        f"({double('trigger_number')}) = TriggerWith",
        f"LastAlive := Block[{OFFSETS['alive']}]",
        f"Code := WORD_TO_UINT(Block[{OFFSETS['code']}])",
        f"ErrorCode := WORD_TO_UINT(Block[{OFFSETS['error']}])",
        f"WORD_TO_UINT(Block[{OFFSETS['product']}]) = Product",
        f"base + {OFFSETS['product_with']}",
        f"base + {WRITTEN_AT}",
    ],
)
def test_the_function_block_uses_the_registers_of_the_map(used: str) -> None:
    assert used in re.sub(r"\s+", " ", BLOCK)


def test_the_function_block_uses_the_bits_of_the_map() -> None:
    def bit(one: Status | Control) -> str:
        return f"Block[0].{int(one).bit_length() - 1}"

    assert f"Valid := IsLiving AND {bit(Status.VALID)}" in BLOCK
    assert f"Valid AND {bit(Status.PASS)} AND NOT {bit(Status.FAIL)}" in BLOCK
    assert f"Ready := ProductReady AND {bit(Status.TRIGGER_READY)}" in BLOCK
    assert f"NOT IsLiving OR {bit(Status.SELECTED)} OR {bit(Status.NOT_SELECTED)} THEN Selecting := FALSE" in BLOCK
    assert f"Triggering AND {bit(Status.TRIGGER_ACKNOWLEDGED)}" in BLOCK
    assert f"Missed := IsLiving AND {bit(Status.MISSED_TRIGGER)}" in BLOCK
    assert f"{bit(Status.OVERRUN)} OR {bit(Status.ERROR)}" in BLOCK
    assert (int(Control.TRIGGER), int(Control.CLEAR), int(Code.CLEAR)) == (1, 2, 1)
    assert "Control.0 := Triggering" in BLOCK
    at, of = OFFSETS["result_epoch"], OFFSETS["epoch"]
    assert f"Block[{at}] = Block[{of}] AND Block[{at + 1}] = Block[{of + 1}]" in BLOCK
    last = max((one for one in STATION if not one.is_written), key=lambda one: one.offset)
    assert isinstance(last, Register)
    assert f"ARRAY[0..{last.offset + last.words - 1}]" in BLOCK
