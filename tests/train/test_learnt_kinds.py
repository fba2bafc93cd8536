"""The inspector learns to name the kind of a defect, and its score is the same as without kinds."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from support.two_kinds import KINDS, trained_on_two_kinds, two_kinds

from edge.evaluation.metrics import rate
from edge.letterbox.contract import LetterboxContract
from edge.verdict import LONGEST_KIND, MOST_KINDS
from train.data.photographs import Photograph
from train.kind_head import KindHead, located
from train.kinds import (
    FEWEST_PARTS,
    LEAST_SPREAD,
    OTHER,
    USUAL_STRENGTH,
    KindFigures,
    KindRecord,
    _features,
    _fitted,
    choose_kinds,
    learn_kinds,
    lines_on,
)
from train.models import build_network
from train.models.inspector import Inspector
from train.recipe import Tiles, load_recipe
from train.report.page import write_report
from train.run import SCORES_FILE, Run, load_run
from train.score import score_photographs
from train.tiles import Tiled
from train.weights import load_exactly, start_from


def bad(kinds: dict[str | None, int], photographs_of_a_part: int = 1) -> list[Photograph]:
    """Bad photographs with these numbers of parts of each kind, and two good ones."""
    listed = [Photograph(Path(f"g{n}.png"), f"g{n}.png", "good", defect="free") for n in range(2)]
    for kind, parts in kinds.items():
        for number in range(parts * photographs_of_a_part):
            part = {"part": f"{kind} {number // photographs_of_a_part}"}
            name = f"{kind}_{number}.png"
            listed.append(Photograph(Path(name), name, "bad", defect=kind, details=part))
    return listed


def test_a_kind_needs_parts_and_not_only_photographs() -> None:
    few = FEWEST_PARTS - 1
    assert choose_kinds(bad({"crack": few, "fray": FEWEST_PARTS}, photographs_of_a_part=3)) is None
    found = choose_kinds(bad({"crack": FEWEST_PARTS, "fray": FEWEST_PARTS}))
    assert found is not None
    assert (found.kinds, found.left_out) == (("crack", "fray"), ())


def test_rare_kinds_are_learnt_as_one_if_they_are_enough_together_and_else_left_out() -> None:
    together = choose_kinds(bad({"crack": 9, "a": 2, "z": 3, None: 7}))
    assert together is not None
    assert together.kinds == ("crack", OTHER)
    assert (together.grouped, together.left_out) == (("a", "z"), ())
    assert together.known == {"crack": "crack", "a": OTHER, "z": OTHER}
    apart = choose_kinds(bad({"crack": 9, "fray": 9, "a": 2, "z": 2}))
    assert apart is not None
    assert (apart.kinds, apart.grouped, apart.left_out) == (("crack", "fray"), (), ("a", "z"))


def test_names_that_no_bundle_can_carry_and_kinds_beyond_the_most_are_learnt_as_other() -> None:
    long = choose_kinds(bad({"crack": 9, "x" * (LONGEST_KIND + 1): 9}))
    assert long is not None
    assert long.kinds == ("crack", OTHER)
    many = choose_kinds(bad({f"k{number:02}": FEWEST_PARTS for number in range(MOST_KINDS + 1)}))
    assert many is not None
    assert len(many.kinds) == MOST_KINDS
    assert many.kinds[-1] == OTHER
    assert len(many.grouped) == 2


def test_without_two_kinds_there_is_nothing_to_tell_apart() -> None:
    assert choose_kinds(bad({"crack": 50})) is None
    assert choose_kinds(bad({None: 50})) is None


def test_features_are_those_of_the_place_with_the_highest_odds_and_never_of_padding() -> None:
    feature = torch.arange(16.0).reshape(1, 1, 4, 4)
    mask = torch.ones(1, 1, 32, 32)
    mask[..., 24:] = 0
    cells = torch.full((1, 1, 16, 16), -9.0)
    cells[..., 5, 2] = 20.0
    cells[..., 0, 15] = 1000.0  # on the padding
    assert located([feature], cells, mask).item() == pytest.approx(4.0)
    even = located([feature], torch.zeros(1, 1, 16, 16), mask).item()
    assert even == pytest.approx(feature[..., :3].mean().item())


def inspector(familiar: int = 10) -> Inspector:
    torch.manual_seed(0)
    network = build_network("inspector", {"familiar": familiar})
    assert isinstance(network, Inspector)
    return network.eval()


def test_kinds_are_kept_with_the_weights_and_weights_from_before_have_none() -> None:
    network, again = inspector(), inspector()
    network.kind_head.learn(("crack", "Öl"), torch.randn(2, 152), torch.randn(2))
    state = network.state_dict()
    again.load_state_dict(state)
    assert again.kind_head.kinds == ("crack", "Öl")
    features = torch.randn(3, 152)
    assert torch.equal(again.kind_head(features), network.kind_head(features))
    before = {key: value for key, value in state.items() if not key.startswith("kind_head.")}
    for load in (again.load_state_dict, lambda weights: load_exactly(again, weights, "no")):
        again.load_state_dict(state)
        load(before)
        assert again.kind_head.kinds == ()


def test_kinds_of_former_photographs_are_forgotten_with_them() -> None:
    network = inspector()
    network.kind_head.learn(KINDS, torch.randn(2, 152), torch.randn(2))
    assert learn_kinds(network, build_contract(), {"train": bad({"crack": 9})}) is None
    assert network.kind_head.kinds == ()


def build_contract() -> LetterboxContract:
    return load_recipe("inspector", ["letterbox.side=64"]).letterbox


@torch.no_grad()
def test_of_tiles_the_one_with_the_highest_score_says_the_kind() -> None:
    network = inspector(familiar=0)
    tiled = Tiled(network, Tiles(side=64, overlap=0), build_contract().model_copy(update={"side": 128}))
    image = torch.randn(2, 3, 128, 128, generator=torch.Generator().manual_seed(1))
    mask = torch.ones(2, 1, 128, 128)
    score, _, features = tiled.judged(image, mask)
    assert features is not None
    for number in range(2):
        tiles = image[number].unfold(1, 64, 64).unfold(2, 64, 64).permute(1, 2, 0, 3, 4).reshape(4, 3, 64, 64)
        scores, _, each = network.judged(tiles, torch.ones(4, 1, 64, 64))
        torch.testing.assert_close(score[number], scores.max())
        torch.testing.assert_close(features[number], each[scores.argmax()])
    assert tiled.tells_kinds is network.kind_head


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("kinds")
    return trained_on_two_kinds(two_kinds(folder / "data", rare=2), folder / "run")


def test_two_kinds_that_a_person_tells_apart_are_told_apart_better_than_by_chance(run: Run) -> None:
    record = run.record.kinds
    assert record is not None
    assert record.learnt == {"line": 12, "spot": 12}
    assert record.left_out == ("rare",)
    for split in ("val", "test"):
        found = record.judged[split]
        assert found.accuracy.low > 0.5, found
        assert [sum(row) for row in found.table] == [6, 6]
        assert found.unknown == 0
    assert "left out: rare" in record.said
    assert lines_on(record)[1].startswith("test  kind named rightly")


def test_a_loaded_run_names_the_kinds_of_its_test_photographs(run: Run) -> None:
    network = load_run(run.path).network
    head = network.tells_kinds
    assert head is not None
    assert head.kinds == KINDS
    listed = [one for one in run.photographs("test") if one.is_bad]
    features = torch.from_numpy(_features(network, run.contract, listed, lambda: None)).float()
    said = [KINDS[number] for number in head(features).argmax(dim=1).tolist()]
    wrong = sum(name != one.defect for name, one in zip(said, listed, strict=True))
    assert run.record.kinds is not None
    right = run.record.kinds.judged["test"].accuracy
    assert wrong == right.trials - right.successes


def test_scores_are_the_same_to_the_bit_without_kinds(run: Run, tmp_path: Path) -> None:
    data = Path(shutil.copytree(run.data, tmp_path / "data"))
    for split in ("train", "val", "test"):
        for folder in (data / split / "bad", data / split / "mask"):
            for kind in sorted(folder.iterdir()):
                for file in kind.iterdir():
                    file.rename(folder / file.name)
                kind.rmdir()
    plain = trained_on_two_kinds(data, tmp_path / "run")
    assert plain.record.kinds is None
    assert plain.network.tells_kinds is not None
    assert plain.network.tells_kinds.kinds == ()
    for split in ("val", "test"):
        scores = [{} for _ in range(2)]
        for each, of in zip(scores, (run, plain), strict=True):
            photographs = of.photographs(split)
            found = score_photographs(of.network, of.contract, photographs)
            each |= {one.path.name: score for one, score in zip(photographs, found, strict=True)}
        assert scores[0] == scores[1]


def test_the_report_has_the_table_of_the_kinds(run: Run) -> None:
    page = write_report(run.path).file.read_text(encoding="utf-8")
    assert "Which kind it names" in page
    assert "<th>named line</th><th>named spot</th>" in page
    assert "Not learnt, because there are too few: rare." in page


def test_a_training_may_begin_with_weights_that_had_kinds(run: Run) -> None:
    network = inspector()
    start_from(network, str(run.path / "model.pt"))
    assert network.kind_head.kinds == KINDS
    with (run.path / SCORES_FILE).open(newline="") as lines:
        assert {row["defect"] for row in csv.DictReader(lines)} >= {*KINDS, "rare"}


def test_a_confusion_is_said_in_one_line() -> None:
    judged = {"test": KindFigures(accuracy=rate(3, 6), table=((2, 1), (2, 1)), unknown=2)}
    (line,) = lines_on(KindRecord(learnt={"crack": 5, "fray": 6}, judged=judged))
    assert line.endswith("(3/6), most often fray called crack (2), 2 photographs of other kinds")


def test_probabilities_of_two_kinds_are_those_of_the_regression() -> None:
    rng = np.random.default_rng(0)
    for kinds in (2, 3):
        known = [*range(kinds)] * 10
        features = rng.standard_normal((len(known), 5)) + np.array(known)[:, None]
        weight, bias = _fitted({"train": features}, {"train": known}, kinds)
        head = KindHead()
        head.learn([str(kind) for kind in range(kinds)], torch.from_numpy(weight), torch.from_numpy(bias))
        spread = features.std(axis=0)
        shown = (features - features.mean(axis=0)) / (spread + LEAST_SPREAD * spread.mean() + 1e-9)
        expected = LogisticRegression(C=USUAL_STRENGTH, max_iter=2000).fit(shown, known).predict_proba(shown)
        assert head(torch.from_numpy(features).float()).numpy() == pytest.approx(expected, abs=1e-5)
