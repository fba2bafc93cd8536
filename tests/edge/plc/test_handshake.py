"""The handshake step by step: each rule on its own."""

from typing import Any

import pytest
from support.simulated_station import MS, ModelledStation

from edge.channel.control_messages import Fate, Trigger
from edge.errors import RecordsError
from edge.plc.codes import ERROR_MEANINGS, MEANINGS, Code, Error
from edge.plc.handshake import Handshake, HandshakeRules, Numbers, _kind_of, order_number
from edge.plc.process_image import Entry, Readable, Result, Written
from edge.plc.registers import STATION, WRITTEN_AT, WRITTEN_WORDS, Status, may_pass, pack, steps, unpack
from edge.verdict import State


class Line:
    """A station, a handshake that has joined it, and what the handshake did."""

    def __init__(self, numbers: Numbers = "order") -> None:
        self.now = 5_000_000 * MS
        self.station = ModelledStation("0123456789abcdef")
        self.entries: list[Entry] = []
        self.fates: list[tuple[str, int, Fate]] = []
        self.triggers: list[Trigger] = []
        self.asked: list[int] = []
        self.handshake = Handshake(
            HandshakeRules(numbers), self.entries.append, self.trigger, self.acknowledge, self.select
        )
        self.written = Written()
        self.beat()
        self.pong()
        self.handshake.snapshot(self.station.heartbeat(self.now))

    def trigger(self, trigger: Trigger) -> bool:
        self.triggers.append(trigger)
        return True

    def select(self, number: int) -> bool:
        self.asked.append(number)
        return True

    def acknowledge(self, *fate: Any) -> None:
        self.fates.append(fate)

    def beat(self) -> None:
        self.handshake.hear(self.station.heartbeat(self.now), self.now)

    def pong(self) -> None:
        self.handshake.pong(self.station.epoch, self.station.clock(self.now), self.now, self.now)

    def good(self, **changes: Any) -> None:
        self.handshake.hear(self.station.verdict(self.now, **changes), self.now)

    def wait(self, ms: int, beats: bool = True) -> None:
        for _ in range(ms // 10):
            self.now += 10 * MS
            if beats and self.now % (100 * MS) == 0:
                self.beat()
            self.handshake.step(self.now)

    def write(self, **changes: Any) -> None:
        self.written = Written(**(vars(self.written) | changes))
        self.handshake.write(self.written, self.now)

    @property
    def image(self) -> Readable:
        return self.handshake.readable(self.now)


def test_a_good_passes_until_its_number_is_acknowledged() -> None:
    line = Line()
    line.good()
    assert (line.image.passes, line.image.fails, line.image.number) == (True, False, 1)
    line.write(acknowledged=2)
    assert line.image.passes
    assert line.image.error is Error.WRONG_ACKNOWLEDGEMENT
    line.write(acknowledged=1)
    assert not line.image.valid
    assert line.fates == [("0123456789abcdef", 1, Fate.PASSED)]
    assert [entry.event for entry in line.entries] == ["pass", "acknowledged"]


def test_a_pass_bit_falls_when_the_time_of_its_part_is_over() -> None:
    line = Line()
    line.good(age_ms=20.0)
    line.wait(170)
    assert line.image.passes
    line.wait(20)
    assert (line.image.passes, line.image.fails, line.image.code) == (False, True, Code.EXPIRED)
    line.write(acknowledged=1)
    assert line.fates == [("0123456789abcdef", 1, Fate.LATE_REJECT)]


def test_a_pass_bit_falls_without_a_word_of_the_loop() -> None:
    line = Line()
    line.wait(250, beats=False)
    line.good(age_ms=1.0)
    image = line.image
    assert image.at(line.now).passes
    assert image.at(line.now + 40 * MS).passes
    assert not image.at(line.now + 60 * MS).passes, "the heartbeat is over before the part's time is"


def test_heartbeats_that_stop_fail_everything_and_stop_alive() -> None:
    line = Line()
    line.wait(200)
    line.good(age_ms=1.0, budget_ms=5_000)
    line.good(age_ms=1.0, budget_ms=5_000)
    line.wait(200, beats=False)
    assert line.image.passes
    line.wait(150, beats=False)
    assert (line.image.passes, line.image.code, line.image.ready) == (False, Code.HEARTBEAT_LOST, False)
    alive = line.image.alive
    line.wait(300, beats=False)
    assert line.image.alive == alive
    line.beat()
    line.wait(200)
    assert line.image.alive != alive
    assert (line.image.passes, line.image.code) == (False, Code.HEARTBEAT_LOST), "what has failed stays failed"


def test_readers_get_the_verdict_of_each_result_and_the_bundle_of_the_present_run() -> None:
    line = Line()
    assert line.handshake.bundle is None
    line.good()
    (entry,) = line.entries
    assert entry.verdict is not None
    assert (entry.verdict.seq, line.handshake.bundle) == (entry.seq, entry.verdict.bundle)
    line.station = ModelledStation("bb", boot=2)
    line.beat()
    assert line.handshake.bundle is None
    assert line.entries[-1].verdict == entry.verdict, "the pass bit of this verdict has fallen"


@pytest.mark.parametrize(
    ("event", "code"),
    [
        ("gap", Code.GAP),
        ("epoch", Code.EPOCH_CHANGED),
        ("stop", Code.STATION_STOPPED),
        ("twin", Code.DUPLICATE_STATION),
    ],
)
def test_nothing_in_flight_passes_after(event: str, code: Code) -> None:
    line = Line()
    former = line.station
    if event == "twin":
        line.station = ModelledStation("aa", boot=2)
        line.beat()
        line.wait(400)
        line.pong()
        line.handshake.snapshot(line.station.heartbeat(line.now))
    line.good()
    line.good()
    assert line.image.passes
    if event == "gap":
        line.station.seq += 1
        line.beat()
    elif event == "epoch":
        line.station = ModelledStation("bb", boot=2)
        line.beat()
    elif event == "stop":
        line.handshake.hear(line.station.state(line.now, State.STOPPED), line.now)
    else:
        line.handshake.hear(former.heartbeat(line.now), line.now)
    assert (line.image.passes, line.image.fails, line.image.code) == (False, True, code)
    line.write(acknowledged=1)
    assert (line.image.number, line.image.passes, line.image.code) == (2, False, code)


def test_a_result_of_a_former_run_says_so_and_its_number_may_come_again() -> None:
    line = Line()
    line.good()
    former, line.station = line.station, ModelledStation("fedcba9876543210", boot=2)
    line.beat()
    assert (line.image.epoch, line.image.result_epoch) == (line.station.epoch, former.epoch)
    line.wait(400)
    line.pong()
    line.handshake.snapshot(line.station.heartbeat(line.now))
    line.good()
    line.write(acknowledged=1)
    assert not line.image.valid, "the number of the new run waits for the acknowledgement of the old to be taken away"
    line.write(acknowledged=0)
    assert (line.image.result_epoch, line.image.passes) == (line.station.epoch, True)
    words = pack(line.image)
    assert may_pass(words, 1)
    assert not may_pass([*words[:36], 1, 2, *words[38:]], 1), "of another run"


def test_the_ninth_result_is_an_overrun_that_the_plc_clears() -> None:
    line = Line()
    for _ in range(9):
        line.good()
    image = line.image
    assert (image.queued, image.overruns, image.has_overrun, image.error) == (8, 1, True, Error.OVERRUN)
    assert line.fates == [("0123456789abcdef", 9, Fate.REJECTED)]
    line.write(clear=True)
    assert (line.image.has_overrun, line.image.error, line.image.overruns) == (False, Error.NONE, 1)
    shown = []
    for number in range(1, 9):
        shown.append(line.image.number)
        line.write(acknowledged=number)
    assert shown == list(range(1, 9))
    assert not line.image.valid


def test_a_cyclic_acknowledgement_takes_one_result() -> None:
    line = Line()
    line.good()
    line.good()
    line.write(acknowledged=1)
    line.write(acknowledged=1)
    assert line.image.number == 2


def test_a_result_with_the_number_of_the_last_acknowledgement_waits_until_that_is_taken_away() -> None:
    line = Line("plc")
    for _ in range(2):
        line.write(trigger=True, trigger_number=5)
        line.handshake.number("5", line.station.epoch, line.station.seq + 1)
        line.write(trigger=False)
        line.wait(10)
        line.good(part="5", age_ms=1.0)
        if line.written.acknowledged == 5:
            assert not line.image.valid
            line.write(acknowledged=0)
        assert line.image.passes
        line.write(acknowledged=5)
    assert line.handshake.passed == 2


def test_unknown_and_simulated_fail_with_their_code() -> None:
    for changes, code in (({"says": "camera"}, Code.CAMERA), ({"simulated": True}, Code.SIMULATED)):
        line = Line()
        line.good(**changes)
        assert (line.image.fails, line.image.passes, line.image.code) == (True, False, code)


def test_a_good_that_comes_late_fails() -> None:
    for ms, code in ((140, Code.CLEAR), (160, Code.TRANSIT)):
        line = Line()
        verdict = line.station.verdict(line.now)
        line.now += (ms - 20) * MS
        line.handshake.hear(verdict, line.now)
        assert line.image.code is code


def test_a_good_of_before_the_join_or_without_a_clock_fails() -> None:
    line = Line()
    line.station = ModelledStation("cc", boot=2)
    line.beat()
    line.wait(400)
    line.good()
    assert line.image.code is Code.NOT_JOINED
    line.write(acknowledged=1)
    line.handshake.snapshot(line.station.heartbeat(line.now))
    line.good()
    assert line.image.fails, "no pong of this epoch was heard"


def test_a_trigger_is_acknowledged_with_its_number_and_its_verdict_has_it() -> None:
    line = Line("plc")
    line.write(trigger_number=4711)
    assert line.image.trigger_ready
    line.write(trigger=True)
    assert [trigger.part for trigger in line.triggers] == ["4711"]
    assert not line.image.trigger_acknowledged
    line.handshake.number("4711", line.station.epoch, 1)
    assert (line.image.trigger_acknowledged, line.image.trigger_number, line.image.busy) == (True, 4711, True)
    line.write(trigger=True)
    assert len(line.triggers) == 1, "a bit that stays is one trigger"
    assert not line.image.trigger_ready, "a bit that was not taken away cannot rise"
    line.write(trigger=False)
    assert (line.image.trigger_acknowledged, line.image.trigger_ready) == (False, True)
    line.wait(10)
    line.good(part="4711", age_ms=5.0)
    assert (line.image.passes, line.image.number, line.image.busy) == (True, 4711, False)


def test_the_exposure_of_the_last_triggered_part_is_shown_with_its_number_until_the_next_trigger() -> None:
    line = Line("plc")
    epoch = line.station.epoch
    line.write(trigger=True, trigger_number=70_001)
    assert line.triggers[0].exposed
    line.handshake.expose("70001", epoch, 1)
    assert line.image.exposed_number == 0, "the station has not accepted it yet"
    line.handshake.number("70001", epoch, 1)
    for other in (("70002", epoch, 1), ("70001", "ff", 1), ("70001", epoch, 2)):
        line.handshake.expose(*other)
    assert line.image.exposed_number == 0
    line.handshake.expose("70001", epoch, 1)
    words = pack(line.image)
    assert Status.EXPOSED in Status(words[0])
    assert words[38:40] == [1, 70_001 - 0x10000]
    line.write(trigger=False)
    assert line.image.exposed_number == 70_001
    line.write(trigger=True, trigger_number=70_002)
    assert line.image.exposed_number == 0
    line.handshake.expose("70001", epoch, 1)
    assert line.image.exposed_number == 0, "the bit would be taken for that of the next part"


def test_the_exposure_of_a_former_run_is_not_shown() -> None:
    line = Line("plc")
    line.write(trigger=True, trigger_number=7)
    line.handshake.number("7", line.station.epoch, 1)
    line.handshake.expose("7", line.station.epoch, 1)
    assert line.image.exposed_number == 7
    line.station = ModelledStation("fedcba9876543210", boot=line.station.boot + 1)
    line.beat()
    assert line.image.exposed_number == 0


def test_a_verdict_of_no_triggered_part_is_not_shown() -> None:
    line = Line("plc")
    line.good(part="12")
    assert not line.image.valid
    line.write(trigger=True, trigger_number=12)
    line.good(part="12", age_ms=20.0)
    assert not line.image.valid, "it was exposed before the trigger"
    assert [fate for _, _, fate in line.fates] == [Fate.REJECTED] * 2


OTHER_ERRORS = {
    Error.NONE,
    Error.OVERRUN,
    Error.WRONG_ACKNOWLEDGEMENT,
    Error.DUPLICATE_STATION,
    Error.ACKNOWLEDGE_HELD,
    Error.PRODUCT_REFUSED,
    Error.PRODUCT_NOT_ANSWERED,
}
TRIGGER_ERRORS = set(Error) - OTHER_ERRORS


@pytest.mark.parametrize("error", sorted(TRIGGER_ERRORS))
def test_a_trigger_that_is_not_taken_is_a_missed_trigger_with_its_error(error: Error) -> None:
    line = Line("order" if error is Error.NUMBERED_BY_ORDER else "plc")
    number = 0 if error is Error.NUMBER_ZERO else 7
    if error is Error.NOT_READY:
        line.wait(500, beats=False)
    if error in (Error.BUSY, Error.NUMBER_IN_USE):
        line.write(trigger=True, trigger_number=7)
        if error is Error.NUMBER_IN_USE:
            line.handshake.number("7", line.station.epoch, 1)
        line.write(trigger=False)
    line.write(trigger=True, trigger_number=number, serial=None if error is Error.SERIAL_UNREADABLE else "")
    if error is Error.REFUSED:
        line.handshake.refuse("trigger", "the station is not ready")
    if error is Error.NO_ANSWER:
        line.wait(300)
    image = line.image
    assert (image.error, image.has_missed_trigger, image.missed_triggers) == (error, True, 1)
    line.write(clear=True)
    assert (line.image.error, line.image.has_missed_trigger) == (Error.NONE, False)


def test_a_result_that_a_former_acknowledgement_holds_up_is_an_error_after_a_second() -> None:
    line = Line()
    line.write(acknowledged=1)
    line.good(age_ms=1.0)
    line.wait(900)
    assert (line.image.valid, line.image.error, line.handshake.held) == (False, Error.WRONG_ACKNOWLEDGEMENT, None)
    line.wait(200)
    assert (line.image.valid, line.image.error, line.handshake.held) == (False, Error.ACKNOWLEDGE_HELD, 1)
    for _ in range(9):  # an overrun does not hide the cause
        line.good(age_ms=1.0)
    line.wait(10)
    assert line.image.has_overrun
    assert line.image.error is Error.ACKNOWLEDGE_HELD
    line.write(acknowledged=0)
    line.write(clear=True)
    line.wait(10)
    assert (line.image.number, line.image.error, line.handshake.held) == (1, Error.NONE, None)


def test_a_refusal_that_may_be_of_a_former_trigger_does_not_free_the_number_of_the_last() -> None:
    line = Line("plc")
    line.write(trigger=True, trigger_number=6)
    line.wait(300)
    line.write(trigger=False)
    line.write(trigger=True, trigger_number=7)
    line.handshake.refuse("trigger", "too late, and of part 6")
    line.write(trigger=False)
    line.write(trigger=True)
    assert line.image.error is Error.NUMBER_IN_USE
    line.wait(10)
    line.good(part="7", age_ms=5.0)
    assert not line.image.valid, "the PLC was told that this part is not inspected"


def test_a_log_that_cannot_be_written_lets_nothing_pass() -> None:
    line = Line()

    def full(entry: Entry) -> None:
        raise RecordsError("the disk is full")

    line.handshake._log = full
    with pytest.raises(RecordsError):
        line.good()
    assert not line.image.passes


def test_numbers_by_order_are_never_0() -> None:
    assert [order_number(seq) for seq in (1, 2, 2**32 - 1, 2**32, 2**32 + 1)] == [1, 2, 2**32 - 1, 1, 2]


# ------------------------------------------------------------------------------------------------------- registers


def test_the_words_of_nothing_are_all_zero() -> None:
    assert not any(pack(Readable()))
    assert not may_pass(pack(Readable()), 0)


def test_the_words_say_what_the_image_says() -> None:
    line = Line()
    line.good(part="Bäcker-2")
    words = pack(line.image)
    assert words[0] == Status.VALID | Status.PASS | Status.READY
    assert words[2:6] == [0, 1, 0, 1]
    assert (words[6], words[7]) == (Code.CLEAR, 200)
    assert words[10:12] == [0x0123, 0x4567]
    assert b"".join(word.to_bytes(2, "big") for word in words[20:36]).rstrip(b"\0") == b"B?cker-2"
    assert may_pass(words, 1)
    assert not may_pass(words, 2)


def test_a_result_is_taken_away_before_the_data_change_and_is_valid_after() -> None:
    first = Readable(valid=True, code=Code.CLEAR, number=1)
    second = Readable(valid=True, code=Code.CLEAR, number=2)
    assert [(image.valid, image.number) for image in steps(first, second)] == [(False, 1), (False, 2), (True, 2)]


def test_a_changeover_is_answered_with_the_number_that_is_current() -> None:
    line = Line("plc")
    line.write(select=True, product=3)
    line.write(acknowledged=0)
    assert line.asked == [3], "an edge, not a level"
    assert not line.image.is_selected
    assert not line.image.is_not_selected
    line.handshake.selected(2, None)
    assert not line.image.is_selected, "it answers another question"
    line.handshake.selected(3, line.station.clock(line.now))
    assert (line.image.is_selected, line.image.product, line.image.error) == (True, 3, Error.NONE)
    line.handshake.hear(line.station.heartbeat(line.now - MS, product_number=1), line.now)
    assert (line.image.is_selected, line.image.product) == (True, 3), "a heartbeat from before the changeover"
    line.write(product=5)
    assert not line.image.is_selected, "it is not the product of product_with"
    line.write(product=3)
    line.now += MS
    line.handshake.hear(line.station.heartbeat(line.now, product_number=2), line.now)
    assert (line.image.is_selected, line.image.product) == (False, 2), "somebody else has changed over"
    line.write(select=False, trigger=True, trigger_number=9)
    assert not line.image.is_selected
    assert line.triggers[-1].product_number == 3
    line.write(trigger=False, product=0)
    line.handshake.number("9", line.station.epoch, 1)
    line.write(trigger=True, trigger_number=10)
    assert line.triggers[-1].product_number is None


@pytest.mark.parametrize("case", ["refused", "silent", "zero", "away"])
def test_a_changeover_that_does_not_come_about_has_its_error(case: str) -> None:
    line = Line()
    if case == "away":
        line.handshake._select = lambda number: False
    line.write(select=True, product=0 if case == "zero" else 4)
    if case == "refused":
        line.handshake.refuse("trigger", "another request")
        assert not line.image.is_not_selected
        line.handshake.refuse("select_product", "there is no product number 4")
    if case == "silent":
        line.wait(290)
        assert not line.image.is_not_selected
        line.wait(10)
    error = Error.PRODUCT_REFUSED if case in ("refused", "zero") else Error.PRODUCT_NOT_ANSWERED
    assert (line.image.is_not_selected, line.image.is_selected, line.image.error) == (True, False, error)
    line.handshake.selected(4, None)
    assert not line.image.is_selected, "it is over"
    line.write(select=False)
    assert (line.image.is_not_selected, line.image.error) == (False, error)
    line.write(clear=True)
    assert line.image.error is Error.NONE


def test_a_second_changeover_waits_for_the_answer_to_the_first() -> None:
    line = Line()
    line.write(select=True, product=3)
    line.write(select=False)
    line.write(select=True, product=4)
    assert line.asked == [3]
    assert (line.image.is_not_selected, line.image.error) == (True, Error.PRODUCT_NOT_ANSWERED)
    line.handshake.selected(3, None)
    assert not line.image.is_selected
    line.write(select=False)
    line.write(select=True, product=4)
    assert line.asked == [3, 4]
    line.station = ModelledStation("bb", boot=2)
    line.beat()
    assert line.image.product == 0, "nothing is known of the new run"


def test_a_heartbeat_that_was_sent_before_the_changeover_does_not_undo_it() -> None:
    line = Line()
    line.write(select=True, product=3)
    line.handshake.selected(3, line.station.clock(line.now + 5 * MS))
    line.now += MS
    line.handshake.hear(line.station.heartbeat(line.now, product_number=1), line.now)
    assert (line.image.is_selected, line.image.product) == (True, 3)
    line.now += 4 * MS
    line.handshake.hear(line.station.heartbeat(line.now, product_number=1), line.now)
    assert (line.image.is_selected, line.image.product) == (False, 1)


def test_a_late_refusal_is_not_that_of_the_next_changeover() -> None:
    line = Line()
    line.write(select=True, product=3)
    line.wait(300)
    line.write(select=False)
    line.write(select=True, product=4)
    line.handshake.refuse("select_product", "there is no product number 3")
    assert not line.image.is_not_selected
    line.handshake.selected(4, None)
    assert (line.image.is_selected, line.image.is_not_selected, line.image.product) == (True, False, 4)
    line.write(select=False)
    line.write(select=True, product=5)
    line.handshake.refuse("select_product", "there is no product number 5")
    assert (line.image.is_not_selected, line.image.error) == (True, Error.PRODUCT_REFUSED)


def test_a_changeover_that_is_open_ends_with_the_run_of_the_station() -> None:
    line = Line()
    line.write(select=True, product=3)
    line.station = ModelledStation("bb", boot=2)
    line.beat()
    assert (line.image.is_not_selected, line.image.error) == (True, Error.PRODUCT_NOT_ANSWERED)
    line.handshake.selected(3, 10**18)
    line.now += MS
    line.handshake.hear(line.station.heartbeat(line.now, product_number=2), line.now)
    assert line.image.product == 2


def test_an_answer_after_the_select_bit_was_taken_away_sets_no_bit() -> None:
    line = Line()
    line.write(select=True, product=4)
    line.write(select=False)
    line.handshake.selected(4, None)
    assert (line.image.is_selected, line.image.product) == (False, 4)


def test_the_kind_of_a_reject_stands_in_the_last_word_and_with_no_other_result() -> None:
    kind = {"kind": "oil stain", "kind_number": 2, "kind_probability": 0.75}
    assert pack(Readable(valid=True, code=Code.DEFECT, number=1, kind=2))[40] == 2
    assert (
        pack(Readable(valid=True, code=Code.DEFECT, number=1))[:40]
        == pack(Readable(valid=True, code=Code.DEFECT, number=1, kind=2))[:40]
    ), "what was there stays where it was"
    line = Line()
    line.good(says="reject", **kind)
    assert (line.image.code, line.image.kind) == (Code.DEFECT, 2)
    line.write(acknowledged=line.image.number)
    for says, code in (("good", Code.CLEAR), ("reject", Code.DEFECT), ("black", Code.BLACK)):
        line.good(says=says)
        assert (line.image.code, line.image.kind) == (code, 0)
        line.write(acknowledged=line.image.number)
    reject = line.station.verdict(line.now, says="reject", **kind)
    for code, number in ((Code.DEFECT, 2), (Code.NOT_JOINED, 0), (Code.DUPLICATE_STATION, 0)):
        assert _kind_of(Result(1, "1", "a1", 1, code, verdict=reject)) == number, "a reject that is not shown as one"


def test_what_the_plc_writes_is_read_from_its_words() -> None:
    assert unpack([3, 1, 2, 3, 4] + [0] * 17) == Written(True, True, 0x10002, 0x30004)
    assert unpack([4] + [0] * 20 + [70]) == Written(select=True, product=70)
    text = [int.from_bytes(pair) for pair in (b" S", b"N\x07", b"7\0", b"xx")] + [0] * 12
    assert unpack([0] * 5 + text + [0]) == Written(serial=None)
    assert unpack([0] * 5 + [0x4141] * 16 + [0]).serial == "A" * 32
    assert unpack([0] * WRITTEN_WORDS) == Written()


def test_registers_do_not_overlap_and_every_code_has_a_meaning() -> None:
    taken = [word for one in STATION for word in range(one.offset, one.offset + one.words)]
    assert len(taken) == len(set(taken))
    assert (
        max(word for one in STATION if not one.is_written for word in range(one.offset, one.offset + one.words))
        < WRITTEN_AT
    )
    assert set(MEANINGS) == set(Code)
    assert set(ERROR_MEANINGS) == set(Error)
