"""The model PLC of the drill on a real Modbus server, and what the drill counts as an escape."""

import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.plc import until
from support.records import enter, recorder, settle, verdict

from edge.drill.model_plc import LEASE_NS, ModelPlc, Result
from edge.drill.plc_side import PlcSide, escaped
from edge.plc.board import Board
from edge.plc.codes import Code
from edge.plc.modbus_server import ModbusServer
from edge.plc.process_image import Readable
from edge.verdict import Outcome

FOREVER = 2**62
EPOCH = "ab120000cd"


class Bench:
    """A board that stays alive, its Modbus server and a model PLC."""

    def __init__(self) -> None:
        self.board = Board(1)
        self.server = ModbusServer(self.board, "0")
        self.plc = ModelPlc(int(self.server.endpoint.rpartition(":")[2]))
        self.image = Readable(alive=1)
        self.is_alive = True
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._beat)

    def show(self, number: int, code: Code = Code.CLEAR, **changes: object) -> None:
        said = {"valid": True, "number": number, "code": code, "epoch": EPOCH, "result_epoch": EPOCH}
        self.image = Readable(**{**said, "pass_until_ns": FOREVER, **changes})

    def _beat(self) -> None:
        for alive in itertools.count(1):
            if self.is_alive:
                self.board.show(0, Readable(**{**self.image.__dict__, "alive": alive % 0xFFFF + 1}))
            if self._is_over.wait(0.02):
                return

    def __enter__(self) -> "Bench":
        self.server.start()
        self._thread.start()
        self.plc.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        self.plc.close()
        self.server.close()
        self.board.close()

    def acknowledged(self) -> int:
        written = [one.acknowledged for _, one in self.board.writes()]
        return written[-1] if written else 0


@pytest.fixture
def bench() -> Iterator[Bench]:
    with Bench() as bench:
        yield bench


def test_a_result_is_taken_once_and_acknowledged_by_its_number(bench: Bench) -> None:
    bench.show(70_000)
    until(lambda: bench.acknowledged() == 70_000)
    bench.show(70_001, Code.DEFECT)
    until(lambda: bench.acknowledged() == 70_001)
    assert [(one.number, one.epoch, one.passes) for one in bench.plc.results] == [
        (70_000, 0xAB120000, True),
        (70_001, 0xAB120000, False),
    ]


def test_a_pass_bit_counts_only_for_its_number_and_run(bench: Bench) -> None:
    for number, changes in enumerate(({"epoch": "ff" * 8}, {"pass_until_ns": 0}), 1):
        bench.show(number, **changes)
        until(lambda number=number: bench.acknowledged() == number)
    assert [one.passes for one in bench.plc.results] == [False, False]


def test_a_plc_that_acknowledges_a_wrong_number_does_not_acknowledge_the_right_one(bench: Bench) -> None:
    bench.plc.acknowledges_wrong = True
    bench.show(5)
    until(lambda: bench.acknowledged() == 6)
    bench.plc.acknowledges_wrong = False
    until(lambda: bench.acknowledged() == 5)


def test_in_slices_the_parts_of_two_results_never_make_a_pass(bench: Bench) -> None:
    bench.plc.reads_slices = True
    for number in range(1, 60):
        bench.show(number, Code.CLEAR if number % 2 else Code.DEFECT)
        until(lambda number=number: bench.acknowledged() == number)
    assert {one.number for one in bench.plc.results if one.passes} <= set(range(1, 60, 2))


def test_an_alive_word_that_stands_still_is_noticed_and_no_result_counts(bench: Bench) -> None:
    bench.show(1)
    until(lambda: bench.plc.results)
    before = len(bench.plc.troubles)
    bench.is_alive = False
    until(lambda: len(bench.plc.troubles) > before)
    bench.board.show(0, Readable(**{**bench.board.image(0).__dict__, "number": 2}))
    seen = len(bench.plc.results)
    bench.is_alive = True
    bench.show(3)
    until(lambda: len(bench.plc.results) > seen)
    assert 2 not in {one.number for one in bench.plc.results}


def test_what_is_wrong_already_when_a_fault_begins_and_stays_wrong_is_noticed_and_what_went_before_is_not(
    bench: Bench,
) -> None:
    side: Any = SimpleNamespace(plc=bench.plc)
    bench.is_alive = False
    until(lambda: bench.plc.troubles)
    begin_ns = time.monotonic_ns()
    until(lambda: PlcSide.noticed(side, begin_ns, LEASE_NS))
    bench.is_alive = True
    bench.show(1)
    until(lambda: bench.plc.results)
    assert PlcSide.noticed(side, time.monotonic_ns(), LEASE_NS) is None


def result(number: int, epoch: str = EPOCH, passes: bool = True, asked_ns: int = 2_000_000) -> Result:
    return Result(asked_ns, asked_ns, int(epoch[:8], 16), number, Code.CLEAR if passes else Code.DEFECT, passes)


def test_a_pass_bit_without_an_in_time_good_of_its_number_and_run_is_an_escape(tmp_path: Path) -> None:
    keeping = recorder(tmp_path, EPOCH)
    outcomes = (Outcome.GOOD, Outcome.REJECT, Outcome.UNKNOWN)
    enter(keeping, *(verdict(seq, outcome, EPOCH) for seq, outcome in enumerate(outcomes, 1)))
    settle(keeping)
    keeping.close("ended", 3)
    late_ns = 1_000_000 + 500_000_000 + LEASE_NS
    wrong = [result(2), result(3), result(4), result(1, "ff" * 8), result(1, asked_ns=late_ns)]
    assert escaped(tmp_path, [result(1), result(2, passes=False), *wrong]) == wrong
