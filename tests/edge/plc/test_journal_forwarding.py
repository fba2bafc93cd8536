"""Where the forwarding of a journal begins, without a broker."""

from pathlib import Path

from support.records import enter, recorder, settle, verdict

from edge.plc.journal_forwarding import JournalForwarding, Row
from edge.plc.settings import MqttTable
from edge.records.journal import JOURNAL, wall_time


def test_a_journal_that_cannot_be_read_at_the_start_loses_nothing_that_is_judged_until_it_can(tmp_path: Path) -> None:
    records, said, sent = tmp_path / "records", list[str](), list[str]()
    journal = recorder(records)
    enter(journal, verdict(1), verdict(2))
    settle(journal)
    journal.close("told to stop", 2)
    table = MqttTable(broker="127.0.0.1", records={"line1": records}, cursor=tmp_path / "cursor")
    forwarding = JournalForwarding(["line1"], table, "[plc.mqtt]", 200, said.append)

    def publish(station: str, row: Row) -> int:
        sent.append(row.text)
        return len(sent)

    (records / JOURNAL).rename(tmp_path / "away")
    (records / JOURNAL).write_bytes(b"no journal" * 1000)
    forwarding.begin()
    forwarding.forward(publish)
    assert said
    assert not sent
    (tmp_path / "away").rename(records / JOURNAL)
    journal = recorder(records, epoch="cd34")
    now = {"time": wall_time()}
    enter(journal, *(verdict(seq, epoch="cd34").model_copy(update=now) for seq in (1, 2)))
    enter(journal, verdict(3, epoch="cd34"))  # the clock was set back
    settle(journal)
    forwarding.forward(publish)
    journal.close("told to stop", 3)
    assert [text.count('"epoch":"cd34"') for text in sent] == [1, 1, 1]
