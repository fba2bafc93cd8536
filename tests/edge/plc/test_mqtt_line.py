"""A running line on both MQTT buses at once."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from support.broker import Broker, Listener, cursor, listening, needs_mosquitto
from support.line import running_line
from support.plc import plc_at, running_plc, until
from support.sparkplug_host import SparkplugHost, hosting

from benchmarks.soak.model import mean_bundle
from edge.records.journal import JOURNAL


@contextmanager
def running_broker(broker: Broker) -> Iterator[None]:
    broker.start()
    try:
        yield
    finally:
        broker.stop()


@needs_mosquitto
def test_a_running_line_loses_no_verdict_to_a_broker_that_is_stopped(tmp_path: Path) -> None:
    """The PLC reads results meanwhile."""
    broker = Broker(tmp_path / "broker")
    records, file = tmp_path / "records", tmp_path / "line.toml"
    for name in ("mqtt", "cursor"):
        (tmp_path / name).write_text('{"line1": {"rowid": 0, "epoch": "", "seq": 0}}')
    bundle, parts = mean_bundle(tmp_path / "mean.edge", (48, 64)), 600
    options = ("--source", "replay", "--size", "64x48", "--backend", "onnxruntime", "--threads", 1, "--rate", "60/s",
               "--limit", parts, "--records", records, "--wait-subscribers", 2)  # fmt: skip

    def judged() -> list[tuple[str, int]]:
        with closing(sqlite3.connect(records / JOURNAL)) as journal:
            return journal.execute("SELECT epoch, seq FROM verdicts ORDER BY rowid").fetchall()

    with (
        running_broker(broker),
        running_line(*options, bundle=bundle) as line,
        listening(broker) as listener,
        hosting(broker.port, "scada") as host,
    ):
        table = f'broker = "127.0.0.1:{broker.port}"\nrecords = {{ line1 = "records" }}\n'
        file.write_text(
            "[plc]\ninsecure = true\nallow_simulated = true\n"
            f'[[plc.stations]]\nstation = "line1"\nconnect = "{line.endpoint}"\n'
            f'[plc.mqtt]\n{table}cursor = "mqtt"\n[plc.sparkplug]\n{table}cursor = "cursor"\nhost = "scada"\n'
        )
        with running_plc(tmp_path, "--config", file) as bridge, plc_at(bridge.port) as plc:
            until(lambda: plc.cycle() is not None and len(host.verdicts) >= 10, 0.01)
            broker.stop()
            before, shown = len(judged()), len(plc.decided)
            until(lambda: plc.cycle() is not None and len(judged()) >= before + 200, 0.01)
            assert len(plc.decided) > shown + 20, "the PLC has its results while the broker is away"
            broker.start()
            line.to_the_end()
            expected = judged()
            assert len(expected) == parts
            until(lambda: cursor(tmp_path) == parts and len(set(of_host(host))) == parts, 0.1)
            until(lambda: len(set(of_listener(listener))) == parts, 0.1)
            assert list(dict.fromkeys(of_host(host))) == expected
            assert list(dict.fromkeys(of_listener(listener))) == expected
            assert sum(one.is_historical for one in host.verdicts) >= 200
            bridge.process.kill()
            until(lambda: host.kinds[-1] == "NDEATH")
            host.check()


def of_host(host: SparkplugHost) -> list[tuple[str, int]]:
    return [(one["Station/Epoch"], one["Station/Seq"]) for one in host.verdicts]


def of_listener(listener: Listener) -> list[tuple[str, int]]:
    return [(one["epoch"], one["seq"]) for one in listener.heard("edge/line1/verdict")]
