"""The function block of docs/plc, run cycle by cycle on the registers of the map: for which part the gate opens."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from support.line import ROOT
from support.structured_text import FunctionBlock

from edge.plc.codes import Code, Error
from edge.plc.process_image import Readable
from edge.plc.registers import Control, Words, may_pass, pack

WORDS = 41
TEXT = (ROOT / "docs" / "plc" / "edge_inspect.st").read_text()


class Program:
    """The block in a PLC, and the image that the PLC reads."""

    def __init__(self) -> None:
        self.block = FunctionBlock(TEXT)
        self.image: dict[str, Any] = {"epoch": "0123456789abcdef", "alive": 1}

    def cycle(self, is_read: bool = True, alive: bool = True, **inputs: Any) -> None:
        self.image["alive"] += alive
        words = pack(Readable(**self.image))[:WORDS]
        inputs = {"AtGate": False, "TriggerPart": False} | inputs
        self.block.cycle(CommOk=is_read, **({"Block": words} if is_read else {}), **inputs)

    def shows(self, code: Code, number: int, **changes: Any) -> None:
        self.image |= {"valid": True, "code": code, "number": number, "result_epoch": self.image["epoch"]} | changes
        self.cycle()

    def takes_away(self) -> None:
        self.image |= {"valid": False, "code": Code.NONE, "number": 0}
        self.cycle()

    def opens_for(self, number: int, alive: bool = True) -> bool:
        self.cycle(alive=alive, AtGate=True, GateNumber=number)
        return bool(self.block["GateOpen"])


def test_the_gate_opens_once_and_for_the_part_that_passed_alone() -> None:
    plc = Program()
    plc.shows(Code.CLEAR, 70_000)
    assert plc.block["Acknowledge"] == 70_000
    plc.takes_away()
    assert plc.block["Acknowledge"] == 0
    plc.shows(Code.DEFECT, 70_001)
    plc.takes_away()
    assert [plc.opens_for(number) for number in (0, 70_001, 70_000, 70_000)] == [False, False, True, False]


def test_a_pass_that_was_not_used_is_not_that_of_the_next_part_with_its_number() -> None:
    for code in (Code.DEFECT, None):
        plc = Program()
        plc.shows(Code.CLEAR, 7)
        plc.takes_away()
        plc.cycle(TriggerPart=True, PartNumber=7)  # not ready: it is not inspected
        if code is not None:
            plc.shows(code, 7)
            plc.takes_away()
        assert not plc.opens_for(7)
    plc = Program()
    plc.shows(Code.CLEAR, 7)
    plc.takes_away()
    plc.shows(Code.DEFECT, 7)
    assert not plc.opens_for(7)


def test_the_kind_of_a_reject_is_an_output_and_opens_no_gate() -> None:
    plc = Program()
    plc.shows(Code.DEFECT, 1, kind=3)
    assert (plc.block["Code"], plc.block["Kind"]) == (Code.DEFECT, 3)
    plc.takes_away()
    plc.shows(Code.CLEAR, 2, kind=0)
    assert plc.block["Kind"] == 0
    plc.takes_away()
    assert [plc.opens_for(number) for number in (1, 2)] == [False, True]


def test_a_pass_that_falls_before_its_acknowledgement_came_opens_nothing() -> None:
    plc = Program()
    plc.shows(Code.CLEAR, 3)
    plc.shows(Code.GAP, 3)
    assert not plc.opens_for(3)


def test_an_alive_that_stands_still_is_no_sign_of_life_also_if_reads_fail_in_between() -> None:
    plc = Program()
    plc.shows(Code.CLEAR, 3)
    for turn in range(40):
        plc.cycle(is_read=turn % 2 == 1, alive=False)
    assert plc.block["Fault"]
    assert not plc.opens_for(3, alive=False)


def test_a_new_run_and_a_read_that_fails_forget_every_pass() -> None:
    for changes, is_read in (({"epoch": "fedcba9876543210"}, True), ({}, False)):
        plc = Program()
        plc.shows(Code.CLEAR, 3)
        plc.takes_away()
        plc.image |= changes
        plc.cycle(is_read)
        assert not plc.opens_for(3)


def test_a_trigger_is_held_until_its_number_is_echoed() -> None:
    plc = Program()
    plc.image |= {"trigger_ready": True}
    plc.cycle(TriggerPart=True, PartNumber=9)
    assert (plc.block["Control"], plc.block["TriggerWith"]) == (Control.TRIGGER, 9)
    plc.image |= {"trigger_ready": False, "trigger_acknowledged": True, "trigger_number": 8}
    plc.cycle()
    assert plc.block["Control"] == Control.TRIGGER
    plc.image["trigger_number"] = 9
    plc.cycle(Clear=True)
    assert plc.block["Control"] == Control.CLEAR


def test_the_block_changes_over_until_its_product_is_current_and_gives_up_if_it_is_refused() -> None:
    plc = Program()
    plc.image |= {"trigger_ready": True, "product": 1}
    plc.cycle(Product=1)
    assert (plc.block["ProductReady"], plc.block["Ready"], plc.block["Control"]) == (True, True, 0)
    plc.cycle(Product=2)
    assert (plc.block["Control"], plc.block["ProductWith"], plc.block["Ready"]) == (Control.SELECT, 2, False)
    plc.image |= {"is_selected": True, "product": 2}
    plc.cycle(Product=2)
    assert (plc.block["Control"], plc.block["ProductReady"]) == (0, True)
    plc.cycle(Product=3)
    assert plc.block["Control"] == 0, "the answer to the former request is still there"
    plc.image["is_selected"] = False
    plc.cycle(Product=3)
    assert plc.block["Control"] == Control.SELECT
    plc.image |= {"is_not_selected": True, "error": Error.PRODUCT_NOT_ANSWERED}
    plc.cycle(Product=3)
    plc.image["is_not_selected"] = False
    plc.cycle(Product=3)
    assert plc.block["Control"] == Control.SELECT, "no answer: once more"
    plc.image |= {"is_not_selected": True, "error": Error.PRODUCT_REFUSED}
    plc.cycle(Product=3)
    plc.image["is_not_selected"] = False
    for _ in range(3):
        plc.cycle(Product=3)
        assert (plc.block["Control"], plc.block["ProductReady"], plc.block["ProductRefused"]) == (0, False, True)
    plc.cycle(Product=2)
    assert (plc.block["Control"], plc.block["ProductReady"], plc.block["ProductRefused"]) == (0, True, False)
    plc.cycle(Product=3, Clear=True)
    assert plc.block["Control"] == Control.SELECT | Control.CLEAR
    plc.cycle(is_read=False, Product=3)
    assert plc.block["Control"] & Control.SELECT == 0


def test_no_part_is_triggered_while_another_product_is_asked_for() -> None:
    plc = Program()
    plc.image |= {"trigger_ready": True, "product": 2}
    plc.cycle(Product=2)
    plc.cycle(Product=3)
    assert plc.block["Control"] == Control.SELECT
    plc.cycle(Product=2, TriggerPart=True, PartNumber=9)
    assert (plc.block["Control"], plc.block["ProductWith"], plc.block["Ready"]) == (Control.SELECT, 3, False)
    plc.image |= {"is_not_selected": True, "error": Error.PRODUCT_REFUSED}
    plc.cycle(Product=2)
    assert not plc.block["ProductRefused"], "3 was refused, 2 was not"
    plc.image["is_not_selected"] = False
    plc.cycle(Product=2)
    plc.cycle(Product=2, TriggerPart=True, PartNumber=9)
    assert (plc.block["Control"], plc.block["ProductWith"]) == (Control.TRIGGER, 2)
    plc.cycle(Product=3)
    assert (plc.block["Control"], plc.block["ProductWith"]) == (Control.TRIGGER, 2), "the trigger names the product"


PASSING = pack(Readable(valid=True, code=Code.CLEAR, number=0x10002, epoch="0123456789", result_epoch="0123456789",
                        alive=2, pass_until_ns=1))[:WORDS]  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from([0, 2, 3, 4, 5, 6, 10, 11, 36, 37]), st.integers(0, 7)), max_size=3))
@settings(max_examples=500, deadline=None)
def test_the_function_block_lets_pass_what_the_rule_of_the_map_lets_pass(changes: list[tuple[int, int]]) -> None:
    words: Words = list(PASSING)
    for at, word in changes:
        words[at] = word
    block = FunctionBlock(TEXT)
    block.cycle(CommOk=True, Block=words)
    number = words[2] << 16 | words[3]
    block.cycle(CommOk=True, Block=[words[0], 3, *words[2:]], AtGate=True, GateNumber=number)
    assert block["GateOpen"] == may_pass(words, number)
