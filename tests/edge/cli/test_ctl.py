"""edge-ctl: the products of a running line, and the changeover, as a person types it."""

import json
from pathlib import Path

from support.line import DEMO_BUNDLE, free_endpoint, ran, running_line

OPTIONS = ("--source", "demo", "--size", "320x180", "--rate", "10/s", "--budget-ms", 5_000)


def test_products_are_listed_and_one_is_selected_by_name_or_number() -> None:
    products = ("--products", f"a={DEMO_BUNDLE},number=1", "--products", f"b={DEMO_BUNDLE},number=2")
    with running_line(*OPTIONS, *products) as line:
        line.until(1)
        to = ("--connect", line.endpoint)
        assert [one.split()[:3] for one in ran("ctl", "product", *to).stdout.splitlines()] == [
            ["*", "a", "number"],
            ["b", "number", "2"],
        ]
        assert ran("ctl", "product", "b", "--by", "Ana", *to).stdout == "product b, before a\n"
        said = json.loads(ran("ctl", "product", "1", "--reason", "order 5", "--json", *to).stdout)
        assert (said["product"], said["before"]) == ("a", "b")
        refused = ran("ctl", "product", "c", *to)
        assert (refused.returncode, refused.stderr) == (2, "error: there is no product c; there are a (1), b (2)\n")


def test_a_station_that_is_not_there_is_one_line() -> None:
    done = ran("ctl", "product", "--connect", free_endpoint())
    assert done.returncode == 2
    assert done.stderr.endswith("cannot be reached; is the station running?\n")
    assert len(done.stderr.splitlines()) == 1


def test_a_missing_key_file_and_a_wrong_name_are_one_line(tmp_path: Path) -> None:
    for arguments in (("product", "--keys", tmp_path / "none"), ("product", "a b"), ("product", "70000"), ("produkt",)):
        done = ran("ctl", *arguments)
        assert done.returncode == 2, arguments
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert done.stderr.startswith("error: ")
