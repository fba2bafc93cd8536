"""The review loop's benchmark: the shipped weights are those of the graph, and a promise that is not kept says so."""

from pathlib import Path

import torch

from benchmarks.review_loop import kept, mask_of
from benchmarks.shipped_weights import write_weights
from edge.bundle import load_bundle
from edge.bundle.shipped import shipped_bundle
from edge.demo.lines import open_line


def test_the_network_with_the_shipped_weights_computes_what_the_graph_computes(tmp_path: Path) -> None:
    line = open_line("plates", seed=9, size=(180, 320))
    frames = [line.render(index).frame for index in range(4)]
    difference = write_weights(load_bundle(shipped_bundle("demo.edge")), frames, tmp_path / "shipped.pt")
    assert difference < 1e-5
    state = torch.load(tmp_path / "shipped.pt", weights_only=True)["model"]
    assert state["stem.1.running_var"].std() > 0, "normalisations are in the state of trained ones"


def test_a_promise_that_is_not_kept_is_printed_as_such() -> None:
    said = {"value": 0.9, "low": 0.8, "high": 0.95}
    came = {"value": 0.7}
    names = ("recall", "specificity", "precision")
    rates = kept({"after": dict.fromkeys(names, said)}, {"parts": 10} | dict.fromkeys(names, came))["rates"]
    assert [row["within"] for row in rates.values()] == [False] * 3


def test_a_mask_is_that_of_the_part_with_the_printed_code() -> None:
    line = open_line("plates", seed=9, defect_rate=1.0, size=(180, 320))
    code = line.render(3).part.code
    assert (mask_of(line, code) == line.mask(3)).all()
    assert mask_of(line, code).any()
