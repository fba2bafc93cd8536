"""The function blocks of docs/plc for PLCs into whose memory edge-plc writes, run cycle by cycle."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tag_plc import ACKNOWLEDGE, BEAT, CONTROL, TRIGGER_WITH, Kind, TagBlock

from edge.plc.codes import Code, Error
from edge.plc.process_image import Readable
from edge.plc.registers import Control, Words, may_pass, pack

EPOCH = "0123456789abcdef"
GOOD = {"valid": True, "code": Code.CLEAR, "result_epoch": EPOCH}
both = pytest.mark.parametrize("kind", ["s7", "logix"])


class Program:
    """A block, the memory that it reads, and an edge-plc that returns its beat."""

    def __init__(self, kind: Kind) -> None:
        self.block = TagBlock(kind)
        self.image: dict[str, Any] = {"epoch": EPOCH}
        self.alive = 0
        self.said: Words = [0] * 6
        for _ in range(40):
            self.cycle()

    def cycle(self, returned: bool = True, **inputs: Any) -> None:
        if returned:
            self.alive = self.said[BEAT]
        self.said = self.block.cycle(pack(Readable(**self.image | {"alive": self.alive}))[:40], **inputs)

    def shows(self, number: int, **changes: Any) -> None:
        self.image |= GOOD | {"number": number} | changes
        self.cycle()

    def takes_away(self) -> None:
        self.image |= {"valid": False, "code": Code.NONE, "number": 0}
        self.cycle()

    def opens_for(self, number: int, returned: bool = True) -> bool:
        self.cycle(returned, AtGate=True, GateNumber=number)
        return bool(self.block["GateOpen"])


@both
def test_the_gate_opens_once_and_for_the_part_that_passed_alone(kind: Kind) -> None:
    plc = Program(kind)
    for number in (70_000, 4_000_000_000):
        plc.shows(number)
        assert plc.said[ACKNOWLEDGE] == [number >> 16, number & 0xFFFF]
        plc.takes_away()
        assert plc.said[ACKNOWLEDGE] == [0, 0]
        plc.shows(number + 1, code=Code.DEFECT)
        plc.takes_away()
        assert [plc.opens_for(one) for one in (0, number + 1, number, number)] == [False, False, True, False]


@both
def test_a_pass_bit_that_a_dead_edge_plc_left_behind_opens_nothing_at_any_later_time(kind: Kind) -> None:
    plc = Program(kind)
    plc.shows(5)
    assert plc.said[ACKNOWLEDGE] == [0, 5]
    for _ in range(31):
        plc.cycle(returned=False)
    assert plc.block["Fault"]
    assert not plc.opens_for(5, returned=False)
    assert plc.said[ACKNOWLEDGE] == [0, 0]
    for _ in range(200):  # an hour, in cycles that are each longer than the lease
        plc.said = plc.block.cycle(pack(Readable(**plc.image | {"alive": plc.alive}))[:40], ms=18_000)
        assert not plc.block["IsLiving"]


@both
def test_no_beat_that_comes_round_meets_the_one_that_was_left_behind(kind: Kind) -> None:
    plc = Program(kind)
    plc.shows(5)
    for _ in range(31):
        plc.cycle(returned=False)
    name = "Beating" if kind == "s7" else "Beat"
    plc.block.block._variables[name] = (plc.alive - 3) % 65535 + 1  # after five hours
    for _ in range(150):
        assert not plc.opens_for(5, returned=False)
        assert not plc.block["IsLiving"]


@both
def test_a_write_that_the_network_held_back_for_longer_than_the_lease_counts_for_nothing(kind: Kind) -> None:
    plc = Program(kind)
    old = plc.said[BEAT]
    for _ in range(31):
        plc.cycle(returned=False)
    assert plc.said[BEAT] != old
    plc.alive = old
    plc.image |= GOOD | {"number": 5}
    for _ in range(3):
        plc.cycle(returned=False)
    assert not plc.opens_for(5, returned=False)


@both
def test_a_plc_that_starts_on_memory_of_before_takes_nothing(kind: Kind) -> None:
    block = TagBlock(kind)
    for alive in (0, 1, 2):
        words = pack(Readable(epoch=EPOCH, number=7, alive=alive, pass_until_ns=1, **GOOD))[:40]
        for _ in range(100):
            said = block.cycle(words, AtGate=True, GateNumber=7)
            assert (said[ACKNOWLEDGE], block["GateOpen"]) == ([0, 0], False)


@both
def test_a_new_run_forgets_every_pass_and_a_fallen_result_passes_nothing(kind: Kind) -> None:
    plc = Program(kind)
    plc.shows(3)
    plc.takes_away()
    plc.image["epoch"] = "fedcba9876543210"
    plc.cycle()
    assert not plc.opens_for(3)
    plc = Program(kind)
    plc.shows(3)
    plc.shows(3, code=Code.EXPIRED)
    assert not plc.opens_for(3)


@both
def test_the_trigger_bit_follows_its_number_and_is_held_until_the_number_is_echoed(kind: Kind) -> None:
    plc = Program(kind)
    plc.image |= {"trigger_ready": True}
    number = 4_000_000_009
    plc.cycle(TriggerPart=True, PartNumber=number)
    assert plc.said[CONTROL] == 0
    assert plc.said[TRIGGER_WITH] == [number >> 16, number & 0xFFFF]
    plc.cycle()
    assert plc.said[CONTROL] == Control.TRIGGER
    plc.image |= {"trigger_ready": False, "trigger_acknowledged": True, "trigger_number": 8}
    plc.cycle()
    assert plc.said[CONTROL] == Control.TRIGGER
    plc.image |= {"trigger_number": number, "exposed_number": number}
    plc.cycle(Clear=True)
    assert (plc.said[CONTROL], plc.block["Exposed"]) == (Control.CLEAR, True)
    for _ in range(31):
        plc.cycle(returned=False, TriggerPart=True, PartNumber=10)
    assert plc.said[CONTROL] & Control.TRIGGER == 0


PASSING = pack(Readable(number=0x10002, epoch="0123456789", alive=2, pass_until_ns=1,
                        **GOOD | {"result_epoch": "0123456789"}))[:40]  # fmt: skip


@both
@given(st.lists(st.tuples(st.sampled_from([0, 2, 3, 4, 5, 6, 10, 11, 36, 37]), st.integers(0, 7)), max_size=3))
@settings(max_examples=100, deadline=None)
def test_the_block_lets_pass_what_the_rule_of_the_map_lets_pass(kind: Kind, changes: list[tuple[int, int]]) -> None:
    words: Words = list(PASSING)
    for at, word in changes:
        words[at] = word
    block = TagBlock(kind)
    said = block.cycle([0] * 40)
    for ms in (300, 10):
        said = block.cycle([0, *words[1:]], ms)
    said = block.cycle([words[0], said[BEAT], *words[2:]])
    number = words[2] << 16 | words[3]
    block.cycle([words[0], said[BEAT], *words[2:]], AtGate=True, GateNumber=number)
    assert block["GateOpen"] == may_pass(words, number)


@both
def test_the_product_number_stands_a_cycle_before_the_bit_that_asks_for_it(kind: Kind) -> None:
    plc = Program(kind)
    plc.image |= {"trigger_ready": True, "product": 1}
    plc.cycle(Product=2)
    assert (plc.block["ProductWith"], plc.said[CONTROL], plc.block["Ready"]) == (2, 0, False)
    plc.cycle(Product=2)
    assert plc.said[CONTROL] == Control.SELECT
    plc.image |= {"is_selected": True, "product": 2}
    plc.cycle(Product=2)
    assert (plc.said[CONTROL], plc.block["Ready"]) == (0, True)
    plc.image["is_selected"] = False
    for _ in range(2):
        plc.cycle(Product=4)
    assert plc.said[CONTROL] == Control.SELECT
    plc.image |= {"is_not_selected": True, "error": Error.PRODUCT_REFUSED}
    plc.cycle(Product=4)
    plc.image["is_not_selected"] = False
    for _ in range(3):
        plc.cycle(Product=4)
        assert (plc.said[CONTROL], plc.block["ProductRefused"]) == (0, True)
    for _ in range(31):
        plc.cycle(returned=False, Product=2)
    assert not plc.block["ProductReady"]


@both
def test_no_part_is_triggered_while_another_product_is_asked_for(kind: Kind) -> None:
    plc = Program(kind)
    plc.image |= {"trigger_ready": True, "product": 2}
    plc.cycle(Product=2)
    for _ in range(2):
        plc.cycle(Product=3)
    plc.cycle(Product=2, TriggerPart=True, PartNumber=9)
    assert (plc.said[CONTROL], plc.block["ProductWith"], plc.block["Ready"]) == (Control.SELECT, 3, False)
    plc.image |= {"is_not_selected": True, "error": Error.PRODUCT_REFUSED}
    plc.cycle(Product=2)
    assert not plc.block["ProductRefused"]
    plc.image["is_not_selected"] = False
    plc.cycle(Product=2)
    plc.cycle(Product=2, TriggerPart=True, PartNumber=9)
    plc.cycle(Product=3)
    assert (plc.said[CONTROL], plc.block["ProductWith"]) == (Control.TRIGGER, 2)
