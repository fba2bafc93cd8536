"""The limits of the watch on drift: run lengths, the long-run variance, and simulated weeks of an unchanged line."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from edge.station.drift.batch_means import MOST_BATCHES, BatchMeans
from edge.station.drift.chart import NORMAL_LIMIT, WEEK, WEIGHT, Block, Chart
from edge.station.drift.features import FEATURES
from edge.station.drift.run_length import average_run_length, limit_for, student

Floats = npt.NDArray[np.float64]


def exact_run_length(limit: float, weight: float, nodes: int = 200) -> float:
    """By the integral equation of Crowder, Technometrics 29, 1987, with Gauss-Legendre nodes."""
    edge = limit * np.sqrt(weight / (2 - weight))
    x, w = np.polynomial.legendre.leggauss(nodes)
    x, w = x * edge, w * edge
    kernel = stats.norm.pdf((x[None, :] - (1 - weight) * x[:, None]) / weight) / weight * w[None, :]
    lengths = np.linalg.solve(np.eye(nodes) - kernel, np.ones(nodes))
    return float(1 + (stats.norm.pdf(x / weight) / weight * w) @ lengths)


@pytest.mark.parametrize("limit", [3.0, 3.5, 4.0, 4.5])
def test_the_run_length_is_that_of_the_integral_equation_and_rather_too_short(limit: float) -> None:
    exact = exact_run_length(limit, WEIGHT)
    assert 0.85 * exact < average_run_length(limit, WEIGHT) < exact


def test_the_limit_has_the_run_length_that_was_asked_for() -> None:
    for wanted in (1e3, 1e5, 1e7):
        assert average_run_length(limit_for(wanted, WEIGHT), WEIGHT) == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize("degrees", [15, 22, 30])
@pytest.mark.parametrize("normal", [3.0, 4.0, NORMAL_LIMIT])
def test_the_quantile_of_student_is_that_of_scipy(normal: float, degrees: int) -> None:
    exact = stats.t.isf(stats.norm.sf(normal), degrees)
    assert student(normal, degrees) == pytest.approx(exact, rel=0.01)


def test_batches_keep_count_and_mean_and_become_longer() -> None:
    batches, values = BatchMeans(), np.random.default_rng(0).normal(5, 2, 1000)
    for number, value in enumerate(values.tolist(), 1):
        batches.add(value)
        assert batches.count == number
        assert batches.mean == pytest.approx(values[:number].mean())
        assert len(batches.means) < MOST_BATCHES
    assert batches.length == 32


@pytest.mark.parametrize("alike", [0.0, 0.5, 0.9])
def test_the_long_run_variance_covers_autocorrelation(alike: float) -> None:
    """Of a first-order autoregression it is sigma² / (1 - alike)²; the variance of one value is far less."""
    rng, found = np.random.default_rng(1), []
    for _ in range(200):
        batches = BatchMeans()
        for value in autoregression(rng, 480, alike).tolist():
            batches.add(value)
        found.append(batches.long_run_variance()[0])
    assert 0.8 < np.median(found) * (1 - alike) ** 2 < 1.6


def autoregression(rng: np.random.Generator, count: int, alike: float) -> Floats:
    noise, values, last = rng.normal(size=count), np.empty(count), 0.0
    for number in range(count):
        last = alike * last + noise[number]
        values[number] = last
    return values


def lots(rng: np.random.Generator, blocks: int, length: float, deviation: float) -> Floats:
    """Block means of a line whose lots differ, of about `length` blocks each."""
    values, at = rng.normal(0, 0.05, blocks), 0
    while at < blocks:
        until = at + max(1, round(length * rng.gamma(4, 0.25)))
        values[at:until] += rng.normal(0, deviation)
        at = until
    return values


def alarms(chart: Chart, values: Floats) -> Iterator[int]:
    """The blocks in which alarms begin, as the watch counts them."""
    is_on = False
    for number, value in enumerate(values.tolist()):
        chart.compare(value, "now")
        if not is_on and abs(chart.level) > 1:
            yield number
        is_on = abs(chart.level) > (0.5 if is_on else 1)


def learned(values: Floats, variance: float = 1.0) -> Chart:
    chart = Chart("contrast")  # its resolution is next to nothing, so that variance 1 is deviation 1
    for value in values.tolist():
        chart.learn(Block(value, variance))
    return chart


def test_batches_that_are_alike_have_fewer_degrees_of_freedom() -> None:
    degrees = []
    for length in (1, 60):
        values = np.repeat(np.random.default_rng(5).normal(size=480 // length), length)
        degrees.append(learned(values).reference.long_run_variance()[1])
    assert degrees[0] > 20
    assert degrees[1] < 10


@pytest.mark.parametrize(("length", "deviation"), [(8, 0.3), (8, 0.6), (20, 0.3)])
def test_lots_that_differ_raise_less_than_one_alarm_a_week_over_all_features(length: float, deviation: float) -> None:
    """The variance of a part is tiny here, so that only the limit by chance protects."""
    rng, weeks, found = np.random.default_rng(2), 2, 0
    lines = 30
    for _ in range(lines):
        chart = learned(lots(rng, 480, length, deviation), variance=0.0)
        chart.variance = 0.0
        found += sum(1 for _ in alarms(chart, lots(rng, weeks * WEEK, length, deviation)))
    assert found / (lines * weeks) * len(FEATURES) < 1.5, "60 weeks of one feature; the benchmark has the interval"


def test_limits_without_regard_to_lots_would_raise_many_alarms() -> None:
    """What the long-run variance is there for: with the blocks' own variance the same weeks are full of alarms."""
    rng = np.random.default_rng(2)
    values = lots(rng, 480, 8, 0.3)
    chart = learned(values, variance=0.0)
    chart._limit = student(NORMAL_LIMIT, 479) * float(values.std()) * np.sqrt(WEIGHT / (2 - WEIGHT) + 1 / 480)
    assert sum(1 for _ in alarms(chart, lots(rng, WEEK, 8, 0.3))) > 3


def test_a_slow_shift_is_noticed_on_its_way() -> None:
    """A shift to 1.3 standard deviations of a part over four hours, as that of a lamp which loses a tenth."""
    rng, noticed = np.random.default_rng(3), []
    for _ in range(20):
        chart = learned(lots(rng, 480, 8, 0.1))
        values = lots(rng, 300, 8, 0.1) - 1.3 * np.clip(np.arange(300) / 240, 0, 1)
        noticed.append(next(alarms(chart, values), 300))
    assert max(noticed) < 240


def test_a_shift_that_does_not_matter_is_no_alarm() -> None:
    rng = np.random.default_rng(4)
    chart = learned(rng.normal(90, 0.01, 480), variance=4.0)
    assert not [*alarms(chart, rng.normal(91.4, 0.01, 600))]
    assert [*alarms(chart, rng.normal(91.6, 0.01, 600))]
