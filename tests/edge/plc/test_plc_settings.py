"""What the `[plc]` table as a whole must not say."""

from pathlib import Path

import pytest
from support.line import ran

STATION = '[[plc.stations]]\nstation = "{}"\nconnect = "tcp://127.0.0.1:{}"\n'


def refused(folder: Path, text: str) -> str:
    """The one line of edge-plc about this file."""
    (folder / "line.toml").write_text(f"[plc]\ninsecure = true\n{text}\n")
    done = ran("plc", "--config", folder / "line.toml", "--modbus", 0)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    return done.stderr


def test_two_stations_of_one_name_are_refused(tmp_path: Path) -> None:
    said = refused(tmp_path, "".join(STATION.format(name, port) for name, port in (("a", 1), ("b", 2), ("a", 3))))
    assert "two [[plc.stations]] have the name 'a'; give each station a name of its own" in said


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_the_key_of_opc_ua_is_refused_if_other_users_can_read_it(tmp_path: Path, mode: int) -> None:
    for name in ("cert", "key"):
        (tmp_path / name).touch()
    (tmp_path / "key").chmod(mode)
    said = refused(tmp_path, '[plc.opcua]\nbind = "0"\ncert = "cert"\nkey = "key"')
    assert f"key: others than its owner may use it (mode {mode:04o}); chmod 600" in said
