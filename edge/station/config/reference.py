"""`python -m edge.station.config.reference FILE` writes the reference of a station's settings as a page in Markdown."""

import sys
from itertools import groupby
from pathlib import Path

from edge.station.config.settings import Settings, default_text, flag, flag_of, info_of

HEAD = """# Settings of a station

`edge-run` takes each setting as a flag and as a key of the TOML file of `--config`; a flag overrides the file. A flag
that may be repeated is a list in TOML, and a single value needs no brackets. The settings of `camera`, `belt` and
`presence` are tables in TOML: `camera = { exposure_us = 5000 }` is `--camera exposure_us=5000`. A boolean has a flag
`--no-…` too. Several stations of one process have a `[[stations]]` table each, whose keys override those above them:
[several cameras](../guide/stations.md).

`edge-run --print-config` prints all keys with their values and the origin of each.
"""


def page() -> str:
    """The page: a table for each group of keys."""
    parts = [HEAD]
    for group, keys in groupby(Settings.model_fields, key=lambda key: info_of(key).group):
        parts += [f"## {group}\n", "| flag | key | unit | default | meaning |", "| --- | --- | --- | --- | --- |"]
        parts += [_row(key) for key in keys]
        parts.append("")
    return "\n".join(parts)


def _row(key: str) -> str:
    info, off = info_of(key), f", `--no-{key}`" if flag_of(key).off else ""
    cells = f"`{flag(key)}`{off}", f"`{key}`", info.unit or "", default_text(key), info.about
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Write the page to the file that the command line names."""
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
