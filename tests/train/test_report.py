"""The report shows the content of a run: every miss by name, promised and measured rates, maps over the pictures."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import train.report.cli
from edge.evaluation.metrics import confusion, dice, iou
from edge.evaluation.thresholds import STRATEGIES, choose_threshold
from edge.letterbox.contract import LetterboxContract
from edge.letterbox.geometry import letterbox
from edge.report.heat import map_in_frame, outlined, overlaid
from train.data.leaks import LeakFindings
from train.data.photographs import Photograph
from train.data.split import SplitChoice
from train.fit import fit
from train.letterbox import letterboxed_truth, shrunk
from train.recipe import ThresholdChoice, load_recipe
from train.report.augmentation import write_augmentation
from train.report.gallery import MOST
from train.report.overlap import coverage
from train.report.page import write_report
from train.report.pictures import drawing, looks
from train.report.resolution import Fineness, fineness
from train.report.scored_photographs import Inspected, read_inspected
from train.run import Run, write_record

MakeData = Callable[..., Path]
EVERYTHING = {"train": (8, 4), "val": (8, 8), "test": (10, 9)}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def autoencoder(data: Path, out: Path) -> Run:
    """A run of one epoch with a threshold so high that some bad parts are missed."""
    recipe = load_recipe("autoencoder-gelu", ["train.epochs=1", "train.batch=4"])
    few = ThresholdChoice(strategy="reject-rate", at_most=0.25)
    return fit("autoencoder-gelu", recipe.model_copy(update={"threshold": few}), data, out)


@pytest.fixture(scope="module")
def kept() -> dict[str, Run]:
    """Storage in which `run` keeps its run for tests that only read it."""
    return {}


@pytest.fixture
def run(kept: dict[str, Run], make_data: MakeData, tmp_path: Path) -> Run:
    """A finished run of all splits, trained and reported once for this file."""
    if "run" not in kept:
        kept["run"] = autoencoder(make_data(**EVERYTHING), tmp_path / "run")
        write_report(kept["run"].path)
    return kept["run"]


class Page(HTMLParser):
    """A parsed report: its text by section, its addresses, its tables."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.sections: dict[str, str] = {}
        self.addresses: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: dict[str, list[list[str]]] = {}
        self._section = "header"
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append((tag, given))
        self.addresses += [value or "" for key, value in attrs if key in ("href", "src", "action", "xlink:href")]
        if tag == "section":
            self._section = given["id"] or ""
        if tag == "tr":
            self.rows.setdefault(self._section, []).append([])
        if tag in ("small", "span", "br"):
            self.handle_data(" ")
        if tag in ("td", "th") and self.rows.get(self._section):
            self.rows[self._section][-1].append("")

    def handle_data(self, data: str) -> None:
        self.sections[self._section] = self.sections.get(self._section, "") + data
        if self.rows.get(self._section) and self.rows[self._section][-1]:
            self.rows[self._section][-1][-1] += data.replace("\u00a0", " ")

    @property
    def pictures(self) -> list[dict[str, str | None]]:
        return [given for tag, given in self.tags if tag == "img"]


def page_of(run: Run) -> Page:
    return Page((run.path / "report.html").read_text(encoding="utf-8"))


def report_of(run: Run) -> Page:
    write_report(run.path)
    return page_of(run)


def scores_of(run: Run) -> list[dict[str, str]]:
    with (run.path / "scores.csv").open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def test_every_miss_is_named_and_nothing_else_is_called_one(run: Run) -> None:
    threshold = json.loads((run.path / "run.json").read_text())["selection"]["threshold"]["value"]
    page = page_of(run)
    misses = {
        row["file"]
        for row in scores_of(run)
        if row["split"] != "train" and row["label"] == "bad" and float(row["score"]) < threshold
    }
    assert misses, "a network of one epoch misses something"
    assert set(re.findall(r"\S+/bad/\S+\.png", page.sections["misses"])) == misses


def test_page_needs_nothing_from_anywhere(run: Run) -> None:
    html = (run.path / "report.html").read_text(encoding="utf-8")
    page = Page(html)
    assert [address[:30] for address in page.addresses if not address.startswith(("data:", "#"))] == []
    assert "://" not in re.sub(r'"data:[^"]*"', "", html)
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, given in page.tags if given.get("rel") != "icon"}
    inside = {address[1:] for address in page.addresses if address.startswith("#")}
    assert inside <= {given.get("id") for _, given in page.tags}


def test_threshold_table_is_the_evaluation_computed_independently(run: Run) -> None:
    rows = {
        cells[0].split()[0]: [" ".join(cell.split()) for cell in cells] for cells in page_of(run).rows["thresholds"][1:]
    }
    assert set(rows) == {strategy for strategy, one in STRATEGIES.items() if not one.promises}
    refused = " ".join(page_of(run).sections["thresholds"].split())
    for needed in ("bad", "good"):
        assert f"takes at least 59 {needed} parts to choose on, and there are 8" in refused
    scores = {
        split: [(float(row["score"]), row["label"] == "bad") for row in scores_of(run) if row["split"] == split]
        for split in ("val", "test")
    }
    for strategy, cells in rows.items():
        own = run.recipe.threshold
        parameters = own.options if strategy == own.strategy else {}
        chosen = choose_threshold(*zip(*scores["val"], strict=True), strategy, **parameters)
        given = confusion(*zip(*scores["test"], strict=True), chosen.value)
        assert cells[1] == f"{chosen.value:.4g}"
        for cell, counts, figure in zip(
            cells[3:], (chosen.confusion, given) * 2, ("recall", "recall", "specificity", "specificity"), strict=True
        ):
            wanted = getattr(counts, figure)
            assert cell.startswith(f"{100 * wanted.value:.1f} % {100 * wanted.low:.1f}–{100 * wanted.high:.1f} %")
            assert ("chance, p" in cell) == (counts is given)
        asked = {"recall": given.recall, "specificity": given.specificity}.get(strategy)
        assert ("≥" in cells[2]) == (asked is not None)
        if asked is not None:
            asked_for = parameters.get("at_least", 0.95)
            kept = "kept" if asked.low >= asked_for else "not kept" if asked.high < asked_for else "cannot be told"
            assert f"% {kept}" in cells[2]


@given(st.integers(20, 400), st.integers(20, 400), st.integers(32, 320), st.data())
@settings(max_examples=40, deadline=None)
def test_a_map_lies_over_the_frame_exactly_where_the_geometry_says(
    height: int, width: int, side: int, data: st.DataObject
) -> None:
    """A map whose values are its own coordinates shows, over the frame, the coordinates given by the letterbox."""
    cells = data.draw(st.sampled_from([side, side // 2, side // 4]))
    centres = (np.arange(cells) + 0.5) * side / cells
    columns = map_in_frame(np.tile(centres, (cells, 1)).astype(np.float32), LetterboxContract(side=side), height, width)
    rows = map_in_frame(
        np.tile(centres[:, None], (1, cells)).astype(np.float32), LetterboxContract(side=side), height, width
    )
    box = letterbox(height, width, side)
    wanted_columns = box.left + (np.arange(width) + 0.5) * box.width / width
    wanted_rows = box.top + (np.arange(height) + 0.5) * box.height / height
    first, last = centres[0], centres[-1]
    edge = side / cells / 2 + 1e-2  # a frame's outermost pixels may lie beyond the centre of its outermost cell
    inside_columns = (wanted_columns > max(first, box.left + edge)) & (
        wanted_columns < min(last, box.left + box.width - edge)
    )
    inside_rows = (wanted_rows > max(first, box.top + edge)) & (wanted_rows < min(last, box.top + box.height - edge))
    assert np.abs(columns[0] - wanted_columns)[inside_columns].max(initial=0) < side * 1e-4 + side / cells / 30
    assert np.abs(rows[:, 0] - wanted_rows)[inside_rows].max(initial=0) < side * 1e-4 + side / cells / 30


@pytest.mark.parametrize("shape", [(72, 128), (301, 97), (240, 240)])
def test_heat_of_the_letterboxed_truth_lands_on_the_truth(shape: tuple[int, int]) -> None:
    truth = np.zeros(shape, np.uint8)
    truth[20:60, 30:70] = 255
    cells = letterboxed_truth(truth, LetterboxContract(side=160))[0].numpy()
    heat = map_in_frame(cells, LetterboxContract(side=160), *shape)
    assert heat.shape == shape
    found = dice(heat > 0.5, truth > 127)
    assert found is not None
    assert found > 0.93
    hot = overlaid(np.zeros((*shape, 3), np.uint8), heat)
    assert hot[40, 50].sum() > 300
    assert hot[65, 15].sum() == 0
    drawn = outlined(np.zeros((*shape, 3), np.uint8), truth)
    assert drawn[20:60, 30:70].sum() == 0, "the outline hides nothing of the defect"
    assert drawn[14:66, 24:76].sum() == drawn.sum() > 0


def test_what_lies_on_the_padding_does_not_colour_the_frame() -> None:
    box = letterbox(60, 120, 64)
    cells = np.full((16, 16), 9.0, np.float32)
    cells[box.top // 4 : (box.top + box.height) // 4] = 1.0
    assert (map_in_frame(cells, LetterboxContract(side=64), 60, 120) == 1.0).all()


def test_dice_at_all_levels_at_once_is_the_judges_dice() -> None:
    rng = np.random.default_rng(0)
    pairs = [(rng.random((30, 40)).astype(np.float32), (rng.random((30, 40)) < 0.2) * np.uint8(255)) for _ in range(5)]
    levels = np.array([0.1, 0.5, 0.95], np.float32)
    seen = coverage(pairs, levels)
    for row, (heat, truth) in enumerate(pairs):
        for column, level in enumerate(levels):
            assert seen.dice[row, column] == pytest.approx(dice(heat >= level, truth > 127))
            assert seen.iou[row, column] == pytest.approx(iou(heat >= level, truth > 127))


def test_gallery_shows_the_worst_with_heat_and_what_the_autoencoder_drew(run: Run) -> None:
    assert run.record.selection is not None
    threshold = run.record.selection.threshold.value
    alts = [str(picture["alt"]) for picture in page_of(run).pictures]
    missed = [
        row["file"]
        for row in sorted(scores_of(run), key=lambda row: float(row["score"]))
        if row["split"] == "test" and row["label"] == "bad" and float(row["score"]) < threshold
    ]
    assert [alt.split(" of ")[1] for alt in alts if alt.startswith("heat")][: len(missed)] == missed[:MOST]
    for name in missed:
        assert f"photograph, defect outlined of {name}" in alts
        assert f"as the network sees it, 32×18 pixels of {name}" in alts
        assert f"as the network draws it of {name}" in alts


def test_a_drawing_is_what_the_network_saw_what_it_made_of_it_and_the_error_it_scores_by(run: Run) -> None:
    inspected = read_inspected(run)["test"][:3]
    for look in looks(run, inspected):
        made = drawing(run, look)
        assert made is not None
        assert made.seen.shape == made.drawn.shape == (18, 32, 3)
        seen = shrunk(look.frame, run.contract).permute(1, 2, 0).numpy()[:, :, ::-1]
        assert np.abs(made.seen - seen).max() <= 0.5
        assert made.heat.mean() == pytest.approx(look.inspected.score, rel=1e-4)


@pytest.mark.parametrize(("wide", "is_thin"), [(5, True), (9, False)])
def test_a_defect_is_too_fine_where_it_is_thinner_than_a_pixel_of_the_network(
    wide: int, is_thin: bool, tmp_path: Path
) -> None:
    truth = np.zeros((200, 256), np.uint8)
    truth[40:160, 100 : 100 + wide] = 255
    mask = tmp_path / "mask.png"
    cv2.imwrite(str(mask), truth)
    photograph = Photograph(tmp_path / "a.png", "a", "bad", mask)
    bad = [Inspected("a", "test", True, "crack", None, score, photograph) for score in (0.1, 0.9)]
    good = Inspected("g", "test", False, None, None, 0.1, Photograph(tmp_path / "g.png", "g", "good"))
    found = fineness(LetterboxContract(side=32), [*bad, good], threshold=0.5)
    assert found == (Fineness(8.0, 2, 1, 0, 0) if is_thin else Fineness(8.0, 0, 0, 2, 1))
    assert fineness(LetterboxContract(side=32), [good], threshold=0.5) is None


def test_what_is_too_fine_for_the_network_is_said_with_its_misses(make_data: MakeData, tmp_path: Path) -> None:
    data = make_data(**EVERYTHING)
    for mask in (data / "test" / "mask").iterdir():
        scratch = np.zeros((72, 128), np.uint8)
        scratch[30, 20:90] = 255
        cv2.imwrite(str(mask), scratch)
    run = autoencoder(data, tmp_path / "run")
    said = " ".join(report_of(run).sections["gallery"].split())
    assert "The network sees 32×32 pixels, one for 4.0×4.0 of a photograph." in said
    assert "In 9 of 9 bad photographs the whole defect is thinner than one of its pixels" in said
    threshold = run.record.selection.threshold.value if run.record.selection else 0
    missed = sum(
        row["split"] == "test" and row["label"] == "bad" and float(row["score"]) < threshold for row in scores_of(run)
    )
    assert f"It misses {missed} of these." in said


def test_last_epoch_stands_beside_the_one_kept_where_they_differ(run: Run, make_data: MakeData, tmp_path: Path) -> None:
    assert "The last epoch instead" not in page_of(run).sections["judged"]
    recipe = load_recipe(
        "autoencoder-gelu",
        ["train.epochs=3", "train.batch=4", "checkpoint.best=highest", "checkpoint.criterion=train_loss"],
    )
    other = fit("autoencoder-gelu", recipe, make_data(**EVERYTHING), tmp_path / "other")
    page = report_of(other)
    assert other.record.last is not None
    rows = [cells for cells in page.rows["judged"] if cells and cells[0].split()[0] in ("1", "3")]
    names = [" ".join(cells[0].split()) for cells in rows]
    assert names == ["1 kept validation", "1 kept test", "3 validation", "3 test"]
    assert rows[3][2].split()[0] == f"{other.record.last.threshold.value:.4g}"
    assert rows[3][6].split()[0] == f"{other.record.last.metrics['test'].figures.auroc:.3f}"


def test_parts_photographed_several_times_are_judged_together(make_data: MakeData, tmp_path: Path) -> None:
    data = make_data(**EVERYTHING)
    table = (data / "parts.csv").read_text().splitlines()
    paired = [re.sub(r"-(\d+)$", lambda found: f"-{int(found[1]) // 2}", line) for line in table]
    (data / "parts.csv").write_text("\n".join(paired) + "\n")
    page = report_of(autoencoder(data, tmp_path / "run"))
    assert "mean of its photographs" in page.sections["kinds"]
    assert "5 bad parts, 5 good" in page.sections["kinds"]
    assert "photographs of 5 good and 5 bad parts" in " ".join(page.sections["header"].split())


@pytest.mark.parametrize(
    ("splits", "says"),
    [
        ({"train": (6, 0), "val": (6, 6)}, "Not judged yet: there are no test photographs"),
        ({"train": (6, 0), "val": (6, 0), "test": (6, 0)}, "On test it passes "),
        ({"train": (6, 0), "val": (6, 0), "test": (0, 6)}, "On test it stops "),
    ],
)
def test_a_run_that_lacks_a_split_or_a_class_still_has_a_page(
    splits: dict[str, tuple[int, int]], says: str, make_data: MakeData, tmp_path: Path
) -> None:
    assert says in report_of(autoencoder(make_data(**splits), tmp_path / "run")).sections["header"]


def test_a_run_without_masks_has_no_dice_and_still_a_page(make_data: MakeData, tmp_path: Path) -> None:
    data = make_data(**EVERYTHING)
    for split in EVERYTHING:
        shutil.rmtree(data / split / "mask")
    page = report_of(autoencoder(data, tmp_path / "run"))
    assert "covers the defect" not in page.sections["kinds"]
    assert any("differ of test/" in str(picture["alt"]) for picture in page.pictures)


def test_a_run_whose_splits_leak_says_first_that_its_figures_are_to_be_checked(
    make_data: MakeData, tmp_path: Path
) -> None:
    data = make_data(**EVERYTHING)
    shutil.copy(data / "train" / "good" / "part00.png", data / "test" / "good" / "part00.png")
    recipe = load_recipe("autoencoder-gelu", ["train.epochs=1", "train.batch=4"])
    run = fit("autoencoder-gelu", recipe, data, tmp_path / "run", choice=SplitChoice(leaks="allow"))
    page = report_of(run)
    assert (
        "To be checked before these figures are relied on: 1 pair of photographs in different splits look alike"
        in page.sections["header"]
    )
    assert any("look alike" in str(picture["alt"]) for picture in page.pictures)


def test_a_run_with_pairs_that_are_not_certain_asks_to_look_at_them_and_has_no_warning(
    make_data: MakeData, tmp_path: Path
) -> None:
    run = autoencoder(make_data(**EVERYTHING), tmp_path / "run")
    remark = "2 pairs of photographs in different splits look alike: look at run.leaks.png"
    leaks = LeakFindings(pairs_across=2, pairs_within=0, remark=remark)
    data = run.record.data.model_copy(update={"leaks": leaks})
    write_record(run.path, run.record.model_copy(update={"data": data}))
    page = report_of(run)
    assert f"{remark}." in page.sections["header"]
    assert f"{remark}. The likest of them:" in page.sections["data"]
    assert "To be checked before these figures" not in page.sections["header"]


def test_hostile_names_are_text(make_data: MakeData, tmp_path: Path) -> None:
    data = make_data(**EVERYTHING)
    hostile = '"><img src=x onerror=alert(1)>'
    for split in EVERYTHING:
        for index in range(EVERYTHING[split][1]):
            for folder in ("bad", "mask"):
                photograph = data / split / folder / f"part{index:02}.png"
                photograph.rename(photograph.with_stem(f"{hostile}{index}"))
    rows = [["file", "defect"], *([p.relative_to(data).as_posix(), "<b>blot"] for p in data.rglob("bad/*"))]
    with (data / "parts.csv").open("w", newline="") as lines:
        csv.writer(lines).writerows(rows)
    page = report_of(autoencoder(data, tmp_path / "run"))
    assert f"{hostile}0.png" in page.sections["misses"]
    assert "<b>blot" in page.sections["kinds"]
    assert all(str(picture["src"]).startswith("data:") for picture in page.pictures)
    assert not any("onerror" in given for _, given in page.tags)


def test_augmentation_is_drawn_without_touching_the_random_numbers_of_the_training(run: Run, tmp_path: Path) -> None:
    torch.manual_seed(7)
    wanted = torch.rand(3)
    torch.manual_seed(7)
    write_augmentation(tmp_path / "sheet.png", run.recipe, run.photographs("train"), run.network)
    assert torch.equal(torch.rand(3), wanted)
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet.shape[1] > sheet.shape[0] > 500


def test_edge_report_writes_the_page_and_answers_mistakes_in_one_line(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def here(*arguments: object) -> tuple[int | str, str, str]:
        """Run the command in this process: exit code, standard output and standard error."""
        monkeypatch.setattr(sys, "argv", ["edge-report", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            train.report.cli.main()
        return (left.value.code or 0, *capfd.readouterr())

    def edge_report(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "import train.report.cli; train.report.cli.main()", *map(str, arguments)]
        return subprocess.run(
            command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False
        )

    out = tmp_path / "written.html"
    written = edge_report(run.path, "--out", out)
    assert (written.returncode, written.stdout.strip()) == (0, str(out)), written.stderr
    assert out.stat().st_size > 50_000
    code, printed, _ = here(run.path, "--out", out, "--json")
    told = json.loads(printed)
    assert code == 0
    assert (told["run"], told["report"]) == (str(run.path), str(out))
    assert told["verdict"]["headline"] in page_of(run).sections["header"]
    assert set(told["verdict"]["tells_apart"]) == {"val", "test"}
    refused = here(tmp_path / "nowhere")
    assert refused == (2, "", f"error: {tmp_path / 'nowhere'} is not a run: it has no run.json\n")


def test_the_headline_says_that_a_network_with_published_weights_began_from_random_ones(
    run: Run, tmp_path: Path
) -> None:
    began = "random initialisation, not those of resnet34"
    copy = Path(shutil.copytree(run.path, tmp_path / "copy"))
    record = json.loads((copy / "run.json").read_text())
    assert "began from" not in write_report(copy).verdict.headline
    record["provenance"]["weights"] = began
    (copy / "run.json").write_text(json.dumps(record))
    assert write_report(copy).verdict.headline.endswith(f" The training began from {began}.")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: how the page looks in a browser is not tested")
@pytest.mark.parametrize("width", [500, 1280])
def test_a_browser_shows_the_page_and_nothing_hangs_over_its_edge(width: int, run: Run, tmp_path: Path) -> None:
    picture = tmp_path / "page.png"
    quiet = ["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--hide-scrollbars"]
    options = [*quiet, f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},9000"]
    subprocess.run(
        [*command, *options, f"--screenshot={picture}", (run.path / "report.html").as_uri()],
        check=True,
        capture_output=True,
        timeout=60,
    )
    shown = cv2.imread(str(picture))
    assert shown.shape[1] == width
    paper = shown[0, 0]
    assert (shown[:, -4:] == paper).all(), "something is wider than the page"
    assert ((shown != paper).any(axis=(1, 2))).mean() > 0.3
