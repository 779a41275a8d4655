"""Counts behind printed numbers: against every confusion matrix tried one by one, scikit-learn, and simulation."""

from __future__ import annotations

import math
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from functools import cache
from itertools import product

import numpy as np
import pytest
from sklearn import metrics as sk

from xenograft.errors import DataError
from xenograft.evaluation.recovered import (
    CONVENTIONS,
    RECOVERABLE,
    Printed,
    count_intervals,
    count_metrics,
    estimates,
    recover,
)
from xenograft.evaluation.uncertainty import wilson

PAPER = {"accuracy": 0.931, "precision": 0.912, "recall": 0.985, "f1": 0.947}  # ResNet18, transfer, of Gu & Lee 2024


def thousandths(values: dict[str, float]) -> dict[str, Printed]:
    return {name: Printed(value, 0.001) for name, value in values.items()}


def arrays(tp: int, fp: int, fn: int, tn: int) -> tuple[np.ndarray, np.ndarray]:
    return np.repeat([1, 0, 1, 0], [tp, fp, fn, tn]), np.repeat([1, 1, 0, 0], [tp, fp, fn, tn])


@cache
def by_sklearn(tp: int, fp: int, fn: int, tn: int) -> dict[str, float]:
    truth, said = arrays(tp, fp, fn, tn)
    recall, specificity = sk.recall_score(truth, said), sk.recall_score(truth, said, pos_label=0)
    return {
        "accuracy": sk.accuracy_score(truth, said),
        "precision": sk.precision_score(truth, said, zero_division=0),
        "recall": recall,
        "specificity": specificity,
        "npv": sk.precision_score(truth, said, pos_label=0, zero_division=0),
        "f1": sk.f1_score(truth, said, zero_division=0),
        "g_mean": math.sqrt(recall * specificity),
        "balanced_accuracy": sk.balanced_accuracy_score(truth, said),
        "mcc": sk.matthews_corrcoef(truth, said),
    }


def digits(value: float, places: int, rounding: str) -> Decimal:
    return Decimal(repr(round(value, 12))).quantize(Decimal(1).scaleb(-places), rounding=rounding)


def test_the_papers_row_has_one_confusion_matrix() -> None:
    found = recover(thousandths(PAPER), positives=390, negatives=234)
    assert found.possible
    assert found.counts.tolist() == [[384, 37, 6, 197]]
    assert found.readings[0].rules == ("rounded",)


def test_its_g_mean_is_the_one_number_that_is_not_possible() -> None:
    found = recover(thousandths(PAPER | {"g_mean": 0.904}), positives=390, negatives=234)
    assert not found.possible
    assert [reading.left_out for reading in found.readings] == [("g_mean",)]
    assert found.counts.tolist() == [[384, 37, 6, 197]]
    assert count_metrics(found.counts)["g_mean"][0] == pytest.approx(0.9105, abs=5e-5)


@pytest.mark.parametrize(("seed", "rounding"), [(s, r) for s in range(6) for r in (ROUND_HALF_UP, ROUND_DOWN)])
def test_every_matrix_tried_one_by_one_gives_the_same_counts(seed: int, rounding: str) -> None:
    rng = np.random.default_rng(seed)
    p, n = 10, 7
    shown = ["accuracy", *rng.choice(RECOVERABLE[1:], size=rng.integers(0, 4), replace=False).tolist()]
    table = {(tp, fp): by_sklearn(tp, fp, p - tp, n - fp) for tp, fp in product(range(p + 1), range(n + 1))}
    truth = (int(rng.integers(4, p + 1)), int(rng.integers(0, n + 1)))
    printed = {name: digits(table[truth][name], 2, rounding) for name in shown}

    def prints(values: dict[str, float], how: str) -> bool:
        return all(digits(values[name], 2, how) == number for name, number in printed.items())

    expected = {cells for cells, values in table.items() if prints(values, ROUND_HALF_UP) or prints(values, ROUND_DOWN)}
    found = recover({k: Printed(float(v), 0.01) for k, v in printed.items()}, positives=p, negatives=n)
    got = {(tp, fp) for tp, fp, _, _ in found.counts.tolist()}
    assert found.possible
    # A number half-way may have been rounded either way: such counts may be more than those of one way of rounding.
    halfway = {
        cells
        for cells in got - expected
        if any(abs(abs(table[cells][name] - float(number)) - 0.005) < 1e-9 for name, number in printed.items())
    }
    assert got - halfway == expected


def test_a_half_may_have_gone_up_or_down() -> None:
    for printed in (0.12, 0.13):  # 1 of 8 is 0.125
        found = recover({"recall": Printed(printed, 0.01)}, positives=8, negatives=1)
        assert set(found.counts[:, 0].tolist()) == {1}


def test_numbers_that_were_cut_are_told() -> None:
    # 363 of 390 is 0.93077, 190 of 234 is 0.81197, 553 of 624 is 0.88622
    cut = {"recall": Printed(0.930, 0.001), "specificity": Printed(0.811, 0.001)}
    found = recover(cut, positives=390, negatives=234)
    assert found.counts.tolist() == [[363, 44, 27, 190]]
    assert found.readings[0].rules == ("cut",)
    mixed = recover(cut | {"specificity": Printed(0.812, 0.001)}, positives=390, negatives=234)
    assert mixed.counts.tolist() == [[363, 44, 27, 190]]
    assert mixed.readings[0].rules == ("mixed",)


def test_accuracy_alone_leaves_many_counts() -> None:
    found = recover({"accuracy": Printed(0.9, 0.1)}, positives=10, negatives=10)
    expected = {(tp, fp) for tp, fp in product(range(11), range(11)) if 17 <= tp + 10 - fp <= 19}
    assert {(tp, fp) for tp, fp, _, _ in found.counts.tolist()} == expected
    assert found.readings[0].rules == ("rounded", "cut")


def test_two_wrong_numbers_need_two_left_out_and_contradictions_name_both() -> None:
    two = PAPER | {"g_mean": 0.5, "specificity": 0.2}
    found = recover(thousandths(two), positives=390, negatives=234)
    assert ("specificity", "g_mean") in [tuple(sorted(r.left_out, reverse=True)) for r in found.readings]
    clash = recover(thousandths({"accuracy": 0.99, "recall": 0.1}), positives=390, negatives=234)
    assert [reading.left_out for reading in clash.readings] == [("accuracy",), ("recall",)]
    hopeless = recover(thousandths({"accuracy": 0.937}), positives=3, negatives=2)
    assert not hopeless.possible
    assert hopeless.readings == ()
    assert hopeless.counts.shape == (0, 4)


@pytest.mark.parametrize("average", ["macro", "weighted", "other"])
def test_averages_over_classes_are_recognised(average: str) -> None:
    truth, said = arrays(371, 37, 19, 197)
    options = {"pos_label": 0} if average == "other" else {"average": average}
    printed = {
        "accuracy": sk.accuracy_score(truth, said),
        "precision": sk.precision_score(truth, said, **options),
        "recall": sk.recall_score(truth, said, **options),
        "f1": sk.f1_score(truth, said, **options),
    }
    found = recover(
        {name: Printed(round(value, 4), 0.0001) for name, value in printed.items()}, positives=390, negatives=234
    )
    assert not found.possible
    assert average in found.conventions


def test_metrics_are_those_of_scikit_learn() -> None:
    for cells in [(7, 2, 3, 8), (10, 0, 0, 10), (0, 0, 10, 10), (10, 10, 0, 0), (1, 9, 9, 1), (0, 5, 4, 0)]:
        found = {name: values[0] for name, values in count_metrics(np.array([cells])).items()}
        assert found == pytest.approx(by_sklearn(*cells), abs=1e-12)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_every_metric_falls_while_false_positives_grow(convention: str) -> None:
    """What the search stands on."""
    for p, n in [(1, 1), (1, 9), (9, 1), (7, 12), (20, 11)]:
        for tp in range(p + 1):
            cells = np.array([[tp, fp, p - tp, n - fp] for fp in range(n + 1)])
            for name, values in count_metrics(cells, convention=convention).items():
                assert (np.diff(values) <= 1e-12).all(), (name, p, n, tp)


def test_proportions_have_wilsons_interval() -> None:
    found = count_intervals([384, 37, 6, 197], rng=np.random.default_rng(0))
    assert found["accuracy"] == wilson(581, 624)
    assert found["precision"] == wilson(384, 421)
    assert found["recall"] == wilson(384, 390)
    assert found["specificity"] == wilson(197, 234)
    assert found["npv"] == wilson(197, 203)


def test_other_intervals_agree_with_the_delta_method_on_many_images() -> None:
    tp, fp, fn, tn = 30_000, 3_000, 9_000, 20_400
    p, n = tp + fn, fp + tn
    sens, spec = tp / p, tn / n
    variance = np.array([sens * (1 - sens) / p, spec * (1 - spec) / n])

    def at(x: np.ndarray) -> dict[str, float]:
        cells = np.array([[p * x[0], n * (1 - x[1]), p * (1 - x[0]), n * x[1]]])
        return {name: float(values[0]) for name, values in count_metrics(cells).items()}

    point, step = np.array([sens, spec]), 1e-5
    found = count_intervals([tp, fp, fn, tn], rng=np.random.default_rng(1))
    for name in ("f1", "g_mean", "balanced_accuracy", "mcc"):
        slopes = [(at(point + step * e)[name] - at(point - step * e)[name]) / (2 * step) for e in np.eye(2)]
        half = 1.959964 * math.sqrt(float(np.square(slopes) @ variance))
        low, high = found[name]
        assert low == pytest.approx(at(point)[name] - half, abs=0.05 * half)
        assert high == pytest.approx(at(point)[name] + half, abs=0.05 * half)


def test_other_intervals_cover_what_they_promise() -> None:
    rng = np.random.default_rng(2)
    p, n, sens, spec = 60, 40, 0.93, 0.8
    truth = count_metrics(np.array([[p * sens, n * (1 - spec), p * (1 - sens), n * spec]]))
    names = ("f1", "g_mean", "balanced_accuracy", "mcc")
    hits = dict.fromkeys(names, 0)
    for _ in range(600):
        tp, tn = int(rng.binomial(p, sens)), int(rng.binomial(n, spec))
        found = count_intervals([tp, n - tn, p - tp, tn], draws=1000, rng=rng)
        for name in names:
            hits[name] += found[name][0] <= truth[name][0] <= found[name][1]
    assert all(0.92 <= count / 600 <= 0.98 for count in hits.values()), hits


def test_a_perfect_row_keeps_an_interval_that_holds_it() -> None:
    found = count_intervals([20, 0, 0, 10], rng=np.random.default_rng(3))
    for name in RECOVERABLE:
        low, high = found[name]
        assert high == 1.0
        assert 0.5 < low < 0.95
    never = count_intervals([0, 0, 5, 5], rng=np.random.default_rng(3))
    assert all(math.isnan(end) for end in never["precision"])


def test_estimates_span_all_counts() -> None:
    counts = np.array([[384, 37, 6, 197], [380, 33, 10, 201], [382, 35, 8, 199]])
    found = estimates(counts, rng=np.random.default_rng(4))
    assert (found["recall"].least, found["recall"].most) == (380 / 390, 384 / 390)
    assert (found["recall"].low, found["recall"].high) == (wilson(380, 390)[0], wilson(384, 390)[1])
    assert found["accuracy"].least == found["accuracy"].most == 581 / 624
    again = estimates(counts, rng=np.random.default_rng(4))
    assert again == found


@pytest.mark.parametrize(
    ("printed", "sizes", "message"),
    [
        ({}, (5, 5), "no number"),
        ({"auroc": Printed(0.9, 0.01)}, (5, 5), "auroc"),
        ({"accuracy": Printed(1.2, 0.01)}, (5, 5), r"1\.2"),
        ({"f1": Printed(-0.2, 0.01)}, (5, 5), r"-0\.2"),
        ({"accuracy": Printed(math.nan, 0.01)}, (5, 5), "nan"),
        ({"accuracy": Printed(0.9, 0.0)}, (5, 5), "step"),
        ({"accuracy": Printed(0.9, 0.01)}, (0, 5), "positives"),
        ({"accuracy": Printed(0.9, 0.01)}, (5, 200_001), "negatives"),
    ],
)
def test_unusable_numbers_are_refused(printed: dict[str, Printed], sizes: tuple[int, int], message: str) -> None:
    with pytest.raises(DataError, match=message) as error:
        recover(printed, positives=sizes[0], negatives=sizes[1])
    assert error.value.code == "E-DATA-05"


@pytest.mark.parametrize("counts", [[1, 2, 3], [-1, 2, 3, 4], [0, 2, 0, 4]])
def test_unusable_counts_are_refused(counts: list[int]) -> None:
    with pytest.raises(DataError, match="E-DATA-05"):
        count_intervals(counts, rng=np.random.default_rng(0))
    with pytest.raises(DataError, match="shape"):
        estimates(np.empty((0, 4), dtype=np.int64), rng=np.random.default_rng(0))


@pytest.mark.nightly
def test_large_classes_take_seconds() -> None:
    import time

    started = time.perf_counter()
    found = recover(thousandths({"accuracy": 0.9, "recall": 0.91, "f1": 0.901}), positives=100_000, negatives=100_000)
    assert found.possible
    assert time.perf_counter() - started < 60
