"""Several products on one line: the changeover, parts that keep their product, and the product of the last run."""

import json
import os
import re
import shutil
import signal
import time
import urllib.request
from itertools import cycle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.line import DEMO_BUNDLE, Asking, Line, free_endpoint, ran, refused, running_line
from support.records import rows

from edge.bundle import load_bundle, seal
from edge.channel.control_messages import (
    AskSnapshot,
    ProductSelected,
    Refused,
    SelectProduct,
    Snapshot,
    Trigger,
    Triggered,
)
from edge.channel.limits import CHANGEOVERS
from edge.station.capture.envelope import Envelope
from edge.station.config.resolved import Product
from edge.station.process.usage import family, name_of
from edge.station.products import FILE, Products
from edge.verdict import Outcome, Reason, State

SMALL = ("--source", "demo", "--size", "320x180", "--rate", "30/s", "--budget-ms", 5_000)


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A bundle that differs from that of the demonstration in its name alone."""
    folder = tmp_path / "other.edge"
    shutil.copytree(DEMO_BUNDLE, folder)
    seal(folder, load_bundle(DEMO_BUNDLE).manifest.model_copy(update={"name": "other"}))
    return folder


def products(other: Path) -> tuple[str, ...]:
    return "--products", f"plates={DEMO_BUNDLE},number=1", "--products", f"others={other},number=7"


def ended(line: Line) -> None:
    line.process.terminate()
    assert line.to_the_end() == 0


def test_each_part_is_judged_as_the_product_that_was_current_at_its_trigger(other: Path, tmp_path: Path) -> None:
    options = (*SMALL, "--trigger", "external", "--records", tmp_path / "records", *products(other))
    expected = []
    with running_line(*options) as line, line.asking() as ask:
        line.until_state(State.READY)
        before = "plates"
        for turn, (number, name) in enumerate(cycle([(7, "others"), (1, "plates")])):
            if turn == 12:
                break
            for _ in range(turn % 3 > 0):  # a part that waits for its frame at the changeover, or none
                triggered = ask(Trigger(part=f"A{len(expected)}"))
                assert isinstance(triggered, Triggered)
                expected.append(before)
            by = {"product": name} if turn % 2 else {"number": number}
            answer = ask(SelectProduct.model_validate(by | {"by": "Ana", "reason": f"order {turn}"}))
            assert isinstance(answer, ProductSelected)
            assert (answer.product, answer.number, answer.before) == (name, number, before)
            before = name
            line.until(len(expected))
        snapshot = ask(AskSnapshot())
        assert isinstance(snapshot, Snapshot)
        assert snapshot.heartbeat.product == "plates"
        assert [(one.name, one.number, one.is_up) for one in snapshot.products] == [
            ("plates", 1, True),
            ("others", 7, True),
        ]
        ended(line)
    assert [verdict.product for verdict in line.verdicts] == expected
    assert {(v.product, v.bundle.partition("@")[0]) for v in line.verdicts} == {("plates", "demo"), ("others", "other")}
    assert {v.verdict for v in line.verdicts} <= {Outcome.GOOD, Outcome.REJECT}
    notes = [text for (text,) in rows(tmp_path / "records", "SELECT text FROM events WHERE kind = 'operator'")]
    assert len(notes) == 12
    assert notes[0] == "Ana changes over from product plates to others: order 0"
    assert ran("audit", tmp_path / "records").returncode == 0


def test_a_part_of_another_product_is_unknown(other: Path) -> None:
    with running_line(*SMALL, "--trigger", "external", *products(other)) as line, line.asking() as ask:
        line.until_state(State.READY)
        for part, product in (("A1", "plates"), ("A2", "others"), ("A3", None), ("A4", "nothing")):
            ask(Trigger(part=part, product=product))
            line.until(int(part[1:]))
        ended(line)
    assert [verdict.reason is Reason.PRODUCT for verdict in line.verdicts] == [False, True, False, True]
    assert line.verdicts[1].detail == "the trigger is for product others, current is plates"
    assert line.verdicts[1].verdict is Outcome.UNKNOWN


def test_restarts_of_the_models_of_all_products_are_counted_together(other: Path) -> None:
    port = free_endpoint().rpartition(":")[2]

    def models() -> set[int]:
        return {pid for pid in family(line.process.pid) if name_of(pid) == "edge-inference"}

    def restarts() -> float:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as page:
            said = re.search(r'edge_restarts_total\{child="inference"\} (\S+)', page.read().decode())
        return float(said[1]) if said else 0.0

    with running_line(*SMALL, "--metrics", port, *products(other)) as line:
        line.until(1)
        first = models()
        assert len(first) == 2
        for pid in first:
            os.kill(pid, signal.SIGKILL)
        ends = time.monotonic() + 60
        while line.heartbeats[-1].restarts < 2 or restarts() < 2:
            assert time.monotonic() < ends, f"{restarts()} of {line.heartbeats[-1].restarts}"
            line.until(len(line.verdicts) + 1)
        assert restarts() == 2
        ended(line)


def test_a_live_frame_outside_the_envelope_of_its_product_is_unknown(other: Path, tmp_path: Path) -> None:
    dark = tmp_path / "dark.json"
    Envelope(frames=10, brightness=(0, 3), sharpness=(0, 255)).write(dark)
    given = ("--products", f"plates={DEMO_BUNDLE}", "--products", f"others={other},envelope={dark}")
    with running_line(*SMALL, *given) as line, line.asking() as ask:
        line.until(5)
        ask(SelectProduct(product="others", by="Ana"))
        while sum(one.product == "others" for one in line.verdicts) < 5:
            line.until(1)
        ended(line)
    for one in line.verdicts:
        assert (one.reason is Reason.BRIGHTNESS) == (one.product == "others"), one
    assert "at commissioning it was 0.0 to 3.0" in str(line.verdicts[-1].detail)


def test_the_envelope_of_a_product_is_refused_where_it_is_not_compared(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    Envelope(frames=10, brightness=(0, 3), sharpness=(0, 255)).write(path)
    given = ("--products", f"plates={DEMO_BUNDLE},envelope={path}")
    assert "with trigger = presence the line has one envelope" in refused(
        "--source", "belt", "--trigger", "presence", *given
    )


def test_what_is_no_product_is_refused_and_changes_nothing(other: Path) -> None:
    with running_line(*SMALL, *products(other)) as line, line.asking() as ask:
        line.until(1)
        answer = ask(SelectProduct(product="others2", by="Ana"))
        assert isinstance(answer, Refused)
        assert answer.why == "there is no product others2; there are plates (1), others (7)"
        assert isinstance(ask(SelectProduct(number=0, by="Ana")), Refused)
        assert isinstance(ask(SelectProduct(product="others", by="Ana", station="line2")), Refused)
        unchanged = ask(SelectProduct(product="plates", by="Ana"))
        assert isinstance(unchanged, ProductSelected)
        assert (unchanged.product, unchanged.number, unchanged.before) == ("plates", 1, "plates")
        for wrong in ({"by": "Ana"}, {"by": "Ana", "product": "others", "number": 7}, {"product": "others"}):
            ask.socket.send(json.dumps({"type": "select_product"} | wrong).encode())
            assert isinstance(ask.next(), Refused)
        line.until(5)
        ended(line)
    assert {verdict.product for verdict in line.verdicts} == {"plates"}


def test_a_line_of_one_product_names_none_and_refuses_a_changeover() -> None:
    with running_line(*SMALL) as line, line.asking() as ask:
        line.until(1)
        answer = ask(SelectProduct(product="plates", by="Ana"))
        assert isinstance(answer, Refused)
        assert answer.why == "this line makes one product; start it with --products for several"
        ended(line)
    assert {verdict.product for verdict in line.verdicts} == {None}


@pytest.mark.parametrize(
    ("kept", "first"), [('{"product":"others"}', "others"), ("{", "plates"), ('{"product":"x"}', "plates")]
)
def test_a_run_begins_with_the_product_of_the_last_one(other: Path, tmp_path: Path, kept: str, first: str) -> None:
    records = tmp_path / "records"
    records.mkdir()
    (records / FILE).write_text(kept)
    with running_line(*SMALL, "--records", records, *products(other)) as line, line.asking() as ask:
        line.until(1)
        alarms = " ".join(_alarms(ask))
        assert ("select" in alarms) is (first == "plates"), alarms
        ask(SelectProduct(product=first, by="Ana"))  # whoever selects the current one has looked
        assert "select" not in " ".join(_alarms(ask))
        ended(line)
    assert line.verdicts[0].product == first
    assert json.loads((records / FILE).read_text()) == {"product": first}


def _alarms(ask: Asking) -> tuple[str, ...]:
    snapshot = ask(AskSnapshot())
    assert isinstance(snapshot, Snapshot)
    return snapshot.heartbeat.alarms


def test_changeovers_have_a_pace_that_is_counted(other: Path) -> None:
    with running_line(*SMALL, *products(other)) as line, line.asking() as ask:
        line.until(1)
        answers = [ask(SelectProduct(number=(7, 1)[turn % 2], by="Ana")) for turn in range(CHANGEOVERS.burst + 20)]
        assert all(isinstance(answer, ProductSelected) for answer in answers[: CHANGEOVERS.burst])
        assert any(isinstance(answer, Refused) and "changeovers a second" in answer.why for answer in answers)
        line.until(len(line.verdicts) + 3)
        ended(line)


def test_bundle_and_products_contradict_each_other(other: Path) -> None:
    said = refused("--source", "demo", "--bundle", other, *products(other))
    assert "leave out bundle" in said


class Standing:
    """An inspection without a model: it is up or not."""

    def __init__(self, is_up: bool = True) -> None:
        self.scoring = SimpleNamespace(
            is_up=is_up, cause=None if is_up else "it hung", loaded=object(), is_current=False
        )
        self.alarms = ()


def standing(*ups: bool) -> Products:
    listed = [Product(name, number, Path(), 50) for number, name in enumerate("abc"[: len(ups)], 1)]
    inspections: Any = [Standing(is_up) for is_up in ups]
    return Products(listed, inspections, lambda level, line, kind: None, lambda _: None)


def test_a_frame_from_before_a_changeover_is_of_the_product_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter((1_000, 2_000, 3_000, 4_000))
    monkeypatch.setattr("edge.station.products.time.monotonic_ns", lambda: next(moments))
    some = standing(True, True, True)
    for name in "bca":
        wanted = some.find(name, None)
        assert wanted is not None
        assert some.select(wanted) is None
    assert [some.at(ns)[1] for ns in (1_500, 2_000, 2_999, 3_500, 4_000, 9_000)] == ["a", "b", "b", "c", "a", "a"]
    assert [one.scoring.is_current for one in some] == [True, False, False]


def test_a_product_whose_model_is_down_is_not_selected_and_is_an_alarm() -> None:
    some = standing(True, False)
    wanted = some.find(None, 2)
    assert wanted is not None
    assert some.select(wanted) == "product b cannot be judged: it hung"
    assert some.name == "a"
    assert some.alarms == ("product b cannot be judged: it hung",)
