import itertools
import json
import math

import numpy as np
import pytest
from scipy.stats import binomtest

from xenograft.errors import DataError
from xenograft.evaluation.abstention import (
    ALL,
    NONE,
    AnswerCut,
    abstention_card,
    aurc,
    choose_cut,
    decide,
    risk_coverage,
)
from xenograft.evaluation.metrics import METRICS, binary_metrics, multiclass_metrics
from xenograft.evaluation.uncertainty import cluster_weights, percentile_interval


def two(scores):
    """(N,) of class 1 -> (N, 2)."""
    return np.stack([1 - scores, scores], axis=1)


def brute_area(mistakes, confidence):
    """Mean over all orders that respect the confidence of the mean of the risks at 1, 2, ..., N images."""
    areas = []
    for order in itertools.permutations(range(len(mistakes))):
        sure = confidence[list(order)]
        if (sure[:-1] >= sure[1:]).all():
            areas.append(np.mean(np.cumsum(mistakes[list(order)]) / np.arange(1, len(mistakes) + 1)))
    return np.mean(areas)


@pytest.mark.parametrize("seed", range(8))
def test_ties_take_the_mean_over_their_orders(seed):
    rng = np.random.default_rng(seed)
    mistakes, confidence = rng.integers(0, 2, 7), rng.integers(0, 1 + seed % 4, 7) / 4
    found = aurc(mistakes, confidence)
    assert found["aurc"] == pytest.approx(brute_area(mistakes, confidence))
    assert found["oracle"] == pytest.approx(brute_area(np.sort(mistakes), np.arange(7)[::-1] / 7))
    assert found["excess"] == pytest.approx(found["aurc"] - found["oracle"])


def test_a_weight_is_a_number_of_copies():
    rng = np.random.default_rng(0)
    mistakes, confidence = rng.integers(0, 2, 40), np.round(rng.random(40), 1)
    weights = rng.integers(0, 4, (5, 40))
    found = aurc(mistakes, confidence, weights=weights)
    for b in range(5):
        copies = aurc(np.repeat(mistakes, weights[b]), np.repeat(confidence, weights[b]))
        single = aurc(mistakes, confidence, weights=weights[b])
        for name, value in copies.items():
            assert found[name][b] == pytest.approx(value)
            assert single[name] == pytest.approx(value)


def test_area_without_ties_is_the_mean_of_the_curve():
    rng = np.random.default_rng(1)
    mistakes, confidence = rng.random(500) < 0.2, rng.permutation(500) / 500
    curve = risk_coverage(mistakes, confidence)
    assert aurc(mistakes, confidence)["aurc"] == pytest.approx(curve["risk"].mean())


def test_the_oracle_comes_near_the_published_approximation():
    """Geifman et al. 2019: r + (1 - r) ln(1 - r) for an overall error of r."""
    for r in (0.05, 0.2, 0.5):
        mistakes = np.arange(20_000) < r * 20_000
        oracle = aurc(mistakes, 1 - mistakes * 0.5)["oracle"]
        assert oracle == pytest.approx(r + (1 - r) * math.log(1 - r), abs=1e-4)


@pytest.mark.parametrize(
    ("mistakes", "confidence", "area", "oracle"),
    [
        ([0, 0, 1, 1], [0.9, 0.8, 0.2, 0.1], (1 / 3 + 1 / 2) / 4, (1 / 3 + 1 / 2) / 4),
        ([1, 1, 0, 0], [0.9, 0.8, 0.2, 0.1], (1 + 1 + 2 / 3 + 1 / 2) / 4, (1 / 3 + 1 / 2) / 4),
        ([0, 1, 0, 1], [0.5, 0.5, 0.5, 0.5], 0.5, (1 / 3 + 1 / 2) / 4),
        ([0, 0, 0], [0.1, 0.2, 0.3], 0, 0),
        ([1, 1, 1], [0.1, 0.2, 0.2], 1, 1),
        ([1], [0.0], 1, 1),
    ],
)
def test_areas_by_hand(mistakes, confidence, area, oracle):
    found = aurc(np.array(mistakes), np.array(confidence))
    assert found["aurc"] == pytest.approx(area)
    assert found["oracle"] == pytest.approx(oracle)
    assert found["excess"] >= 0


def test_no_image_drawn_is_undefined():
    found = aurc(np.array([1, 0]), np.array([0.1, 0.2]), weights=np.array([[0, 0], [1, 0]]))
    assert math.isnan(found["aurc"][0])
    assert found["aurc"][1] == 1


@pytest.mark.parametrize(
    ("mistakes", "confidence", "weights", "message"),
    [
        ([0, 2], [0.1, 0.2], None, "mistakes"),
        ([0, 1], [0.1, 1.2], None, "confidence"),
        ([0, 1], [0.1], None, "confidence"),
        ([], [], None, "mistakes"),
        ([0, 1], [0.1, 0.2], [0.5, 1], "weights"),
        ([0, 1], [0.1, 0.2], [-1, 1], "weights"),
    ],
)
def test_unusable_input_to_aurc(mistakes, confidence, weights, message):
    with pytest.raises(DataError, match=message) as caught:
        aurc(
            np.array(mistakes, dtype=int),
            np.array(confidence),
            weights=weights if weights is None else np.array(weights),
        )
    assert caught.value.code == "E-DATA-05"


def test_the_curve_has_a_point_for_each_cut_off():
    rng = np.random.default_rng(2)
    mistakes, confidence = rng.random(60) < 0.3, np.round(rng.random(60), 1)
    curve = risk_coverage(mistakes, confidence)
    assert curve["confidence"].tolist() == sorted(set(confidence), reverse=True)
    for cut, coverage, risk in zip(*curve.values(), strict=True):
        assert coverage == pytest.approx((confidence >= cut).mean())
        assert risk == pytest.approx(mistakes[confidence >= cut].mean())


def test_decisions_and_their_confidence():
    predicted, confidence = decide(np.array([0.1, 0.3, 0.9]), threshold=0.3)
    assert predicted.tolist() == [0, 1, 1]
    assert confidence == pytest.approx([0.2, 0, 0.6])
    predicted, confidence = decide(np.array([[0.2, 0.5, 0.3], [0.4, 0.4, 0.2]]))
    assert predicted.tolist() == [1, 0]
    assert confidence.tolist() == [0.5, 0.4]
    for table, threshold in [(np.ones(3), None), (np.ones((3, 2)), 0.5), (np.ones(3), 1.5), (np.array([np.nan]), 0.5)]:
        with pytest.raises(DataError):
            decide(table, threshold=threshold)


def example(classes=2, seed=0, n=90, digits=12):
    rng = np.random.default_rng(seed)
    patients = rng.integers(0, n // 2, n)
    labels = patients % classes
    table = rng.dirichlet(np.ones(classes), n) + np.eye(classes)[labels] * rng.random((n, 1)) / 2
    table = np.round(table / table.sum(axis=1, keepdims=True), digits)
    if classes == 2:
        table = two(table[:, 1])
    return labels, table, patients


def card_of(data, resamples=20, seed=0, **options):
    card = abstention_card(*data, resamples=resamples, rng=np.random.default_rng(seed), **options)
    json.dumps(card, allow_nan=False)
    return card


def value(card, share, name):
    return next(row for row in card["at"] if row["coverage"] == share)[name]["value"]


@pytest.mark.parametrize("share", [1.0, 0.9, 0.8, 0.7])
def test_selective_metrics_are_the_metrics_of_the_most_confident(share):
    labels, table, patients = example()
    top = np.argsort(-np.abs(table[:, 1] - 0.4))[: round(share * 90)]
    expected = binary_metrics(labels[top], table[top, 1], threshold=0.4)
    card = card_of((labels, table, patients), threshold=0.4)
    for name in ("accuracy", "recall", "specificity"):
        assert value(card, share, name) == pytest.approx(expected[name])
    labels, table, patients = example(3)
    top = np.argsort(-table.max(axis=1))[: round(share * 90)]
    expected = multiclass_metrics(labels[top], table[top])
    card = card_of((labels, table, patients))
    for name in ("accuracy", "recall", "specificity"):
        assert value(card, share, name) == pytest.approx(expected[name])


def test_the_curve_of_the_card():
    labels, table, patients = example(n=100)
    card = card_of((labels, table, patients))
    mistakes = (table[:, 1] >= 0.5) != labels
    ranked = mistakes[np.argsort(-np.abs(table[:, 1] - 0.5))]
    assert [point["coverage"] for point in card["curve"]] == pytest.approx(np.arange(1, 21) / 20)
    for point in card["curve"]:
        assert point["risk"]["value"] == pytest.approx(ranked[: round(100 * point["coverage"])].mean())
    expected = aurc(mistakes, np.abs(table[:, 1] - 0.5))
    assert [card[name]["value"] for name in expected] == pytest.approx(list(expected.values()))


@pytest.mark.parametrize("classes", [2, 3])
def test_every_resample_is_ranked_anew(classes):
    """The vectorised intervals against a loop that copies the rows of each resample."""
    labels, table, patients = data = example(classes, digits=1 if classes == 2 else 12)
    card = card_of(data, resamples=40, seed=3, level=0.8)
    loop = []
    for weights in cluster_weights(labels, patients, resamples=40, rng=np.random.default_rng(3)):
        copies = np.repeat(np.arange(90), weights.astype(int))
        one = card_of((labels[copies], table[copies], patients[copies]), resamples=1)
        loop.append(
            [
                one["excess"]["value"],
                value(one, 0.9, "accuracy"),
                value(one, 0.7, "recall"),
                one["curve"][3]["risk"]["value"],
            ]
        )
    at = {row["coverage"]: row for row in card["at"]}
    found = [card["excess"], at[0.9]["accuracy"], at[0.7]["recall"], card["curve"][3]["risk"]]
    for number, values in zip(found, np.array(loop).T, strict=True):
        assert (number["low"], number["high"]) == pytest.approx(percentile_interval(values, 0.8))


def test_the_order_of_rows_does_not_matter_even_with_ties():
    labels, table, patients = example(digits=1)
    order = np.random.default_rng(0).permutation(90)
    first, second = card_of((labels, table, patients)), card_of((labels[order], table[order], patients[order]))
    assert [value(first, s, "recall") for s in (0.9, 0.7)] == pytest.approx(
        [value(second, s, "recall") for s in (0.9, 0.7)]
    )
    assert first["aurc"]["value"] == pytest.approx(second["aurc"]["value"])


def test_confidence_that_says_nothing_changes_nothing():
    labels, _, patients = example()
    card = card_of((labels, two(np.full(90, 0.8)), patients))
    for share in (1.0, 0.9, 0.8, 0.7):
        assert value(card, share, "accuracy") == pytest.approx(labels.mean())
        assert (value(card, share, "recall"), value(card, share, "specificity")) == (1, 0)
    assert card["aurc"]["value"] == pytest.approx((labels == 0).mean())


def test_one_class_has_no_specificity():
    card = card_of((np.ones(6, dtype=int), two(np.array([0.9, 0.8, 0.7, 0.6, 0.2, 0.4])), np.arange(6)))
    assert value(card, 0.8, "specificity") is None
    assert value(card, 1.0, "recall") == pytest.approx(4 / 6)


def brute_cut(mistakes, confidence, patients, target, level, shares):
    """`choose_cut` by loops over patients, with scipy's exact binomial bound."""
    persons = np.unique(patients)
    surest = np.array([confidence[patients == p].max() for p in persons])
    for share in shares:
        rank = math.floor(share * persons.size + 1e-9)
        cut = -1.0 if rank == persons.size else np.sort(surest)[::-1][rank]
        above = [p for p in persons if (confidence[patients == p] > cut).any()]
        missed = sum(mistakes[(patients == p) & (confidence > cut)].any() for p in above)
        if above:
            test = binomtest(int(missed), len(above), alternative="less")
            bound = test.proportion_ci(1 - (1 - level) / len(shares), method="exact").high
            if bound <= target:
                return cut, len(above), missed, bound
    return 1.0, 0, 0, 1.0


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("target", [0.05, 0.2, 0.4])
def test_the_cut_is_that_of_loops_and_scipy(seed, target):
    rng = np.random.default_rng(seed)
    patients = rng.integers(0, 100, 160)
    confidence = np.round(rng.random(160), 1 + seed % 3)
    mistakes = rng.random(160) < 0.3 * (1 - confidence)
    shares = (1.0, 0.9, 0.6, 0.4)
    found = choose_cut(mistakes, confidence, patients, target=target, level=0.9, shares=shares)
    expected = brute_cut(mistakes, confidence, patients, target, 0.9, shares)
    assert (found.cut, found.patients, found.wrong, found.bound) == pytest.approx(expected)
    assert found.share == pytest.approx((confidence > found.cut).mean())
    assert (found.target, found.level) == (target, 0.9)


def test_no_mistake_answers_all_if_there_are_enough_patients():
    """Without a mistake the bound of n patients is 1 - (0.05 / 8) ** (1 / n): 99 are enough for 0.05, 98 are not."""
    for n, cut in [(99, ALL), (98, NONE)]:
        found = choose_cut(np.zeros(n, dtype=bool), np.linspace(0, 1, n), np.arange(n))
        assert found.cut == cut
    assert (found.patients, found.bound, found.share) == (0, 1, 0)
    copies = choose_cut(np.zeros(980, dtype=bool), np.linspace(0, 1, 980), np.arange(980) % 98)
    assert copies.cut == NONE  # more images of the same patients prove nothing


def kept(rng, wrong_at, risk_above, repeats, images=1, shared=0.0):
    """Shares of validation sets whose cut keeps 0.1 in truth, and in which some cut was found."""
    outcomes = []
    for _ in range(repeats):
        patients = np.repeat(np.arange(300), images)
        confidence = rng.random(300)[patients]
        luck = np.where(rng.random(300)[patients] < shared, rng.random(300)[patients], rng.random(patients.size))
        cut = choose_cut(luck < wrong_at(confidence), confidence, patients, target=0.1, level=0.8).cut
        outcomes.append((cut == NONE or risk_above(max(cut, 0.0)) <= 0.1, cut != NONE))
    return np.mean(outcomes, axis=0)


@pytest.mark.parametrize(
    ("wrong_at", "risk_above"),
    [
        (lambda c: 0.3 * (1 - c), lambda cut: 0.15 * (1 - cut)),
        (lambda c: 0.16 * c, lambda cut: 0.08 * (1 + cut)),  # the more confident, the worse
        (lambda c: np.where(c > 0.75, 0.16, 0.05), lambda cut: 0.05 + 0.11 * min(0.25 / (1 - cut), 1)),
    ],
)
def test_the_target_is_kept_as_often_as_promised(wrong_at, risk_above):
    often, found = kept(np.random.default_rng(0), wrong_at, risk_above, 300)
    assert often >= 0.8 - 3 * math.sqrt(0.8 * 0.2 / 300)
    assert found > 0.05


@pytest.mark.nightly
@pytest.mark.parametrize("images", [2, 4])
@pytest.mark.parametrize("shared", [0.0, 1.0])
def test_the_target_is_kept_for_patients_with_several_images(images, shared):
    """All images of a patient are equally confident here, so that its risk has a closed form."""

    def wrong_at(confidence):
        return 0.15 * (1 - confidence) ** 2

    def risk_above(cut):
        grid = cut + (1 - cut) * (np.arange(2000) + 0.5) / 2000
        one = wrong_at(grid)
        return np.mean(shared * one + (1 - shared) * (1 - (1 - one) ** images))

    often, found = kept(np.random.default_rng(images), wrong_at, risk_above, 2000, images=images, shared=shared)
    assert often >= 0.8 - 3 * math.sqrt(0.8 * 0.2 / 2000)
    assert found > 0.5


def test_what_the_cut_does_on_test():
    labels, table, patients = data = example(n=120)
    confidence, mistakes = np.abs(table[:, 1] - 0.5), (table[:, 1] >= 0.5) != labels
    at = float(np.sort(confidence)[50])  # an image exactly at the cut is not answered
    cut = AnswerCut(0.1, 0.95, cut=at, patients=50, wrong=1, bound=0.09, share=0.6)
    found = card_of(data, cut=cut)["at_target"]
    answered = confidence > at
    persons = np.unique(patients[answered])
    assert found["chosen"]["cut"] == at
    assert found["coverage"]["value"] == pytest.approx(answered.mean())
    assert found["risk"]["value"] == pytest.approx(mistakes[answered].mean())
    assert found["patient_coverage"]["value"] == pytest.approx(persons.size / np.unique(patients).size)
    wrong = [mistakes[answered & (patients == p)].any() for p in persons]
    assert found["patient_risk"]["value"] == pytest.approx(np.mean(wrong))
    assert found["risk"]["low"] <= found["risk"]["value"] <= found["risk"]["high"]
    assert card_of(data)["at_target"] is None


def test_a_cut_that_answers_nothing_has_no_risk():
    nothing = choose_cut(np.array([True, False]), np.array([0.3, 0.4]), np.arange(2))
    assert nothing.cut == NONE
    found = card_of(example(), cut=nothing)["at_target"]
    assert found["coverage"]["value"] == 0
    assert found["risk"]["value"] is None
    assert found["patient_risk"]["value"] is None


def findings():
    labels = np.stack([example(seed=s)[0] for s in range(3)], axis=1)
    table = np.stack([example(seed=s)[1][:, 1] for s in range(3)], axis=1)
    labels[np.random.default_rng(0).random((90, 3)) < 0.2] = -1
    return labels, table, np.arange(90) // 2


def test_each_finding_is_its_own_question_where_it_is_known():
    labels, table, patients = findings()
    cuts = [AnswerCut(0.1, 0.95, cut=c, patients=50, wrong=1, bound=0.09, share=0.6) for c in (0.1, 0.2, 0.3)]
    card = card_of((labels, table, patients), threshold=[0.5, 0.4, 0.3], cut=cuts)
    for k, threshold in enumerate((0.5, 0.4, 0.3)):
        known, row = labels[:, k] >= 0, card["findings"][str(k)]
        alone = card_of((labels[known, k], two(table[known, k]), patients[known]), threshold=threshold, cut=cuts[k])
        for name in ("aurc", "oracle", "excess"):
            assert row[name]["value"] == pytest.approx(alone[name]["value"])
        for name in ("accuracy", "recall", "specificity"):
            assert value(row, 0.8, name) == pytest.approx(value(alone, 0.8, name))
        for name in ("coverage", "risk", "patient_coverage", "patient_risk"):
            assert row["at_target"][name]["value"] == pytest.approx(alone["at_target"][name]["value"])


def test_a_finding_nobody_knows_has_no_numbers():
    labels, table, patients = findings()
    labels[:, 1] = -1
    row = card_of((labels, table, patients))["findings"]["1"]
    assert row["aurc"] == {"value": None, "low": None, "high": None}
    assert value(row, 0.9, "accuracy") is None


def test_names_of_the_metrics_are_those_of_the_scorecard():
    assert set(card_of(example())["at"][0]) - {"coverage"} <= set(METRICS)


@pytest.mark.nightly
def test_intervals_of_selective_accuracy_hold_the_truth():
    """Two normals a standard deviation and a half apart, three images a patient, against 400,000 new images."""
    rng = np.random.default_rng(0)

    def draw(persons):
        patients = np.repeat(np.arange(persons), 3)
        labels = patients % 2
        z = (
            1.5 * labels
            - 0.75
            + math.sqrt(0.5) * rng.normal(size=persons)[patients]
            + math.sqrt(0.5) * rng.normal(size=patients.size)
        )
        return labels, two(1 / (1 + np.exp(-2 * z))), patients

    labels, table, _ = draw(130_000)
    predicted, confidence = decide(table[:, 1], threshold=0.5)
    right = predicted == labels
    accuracy, area = right[confidence >= np.quantile(confidence, 0.2)].mean(), aurc(~right, confidence)["aurc"]
    inside = []
    for _ in range(400):
        card = abstention_card(*draw(80), resamples=400, rng=rng)
        row = card["at"][2]["accuracy"]
        inside.append((row["low"] <= accuracy <= row["high"], card["aurc"]["low"] <= area <= card["aurc"]["high"]))
    at_80, areas = np.mean(inside, axis=0)
    assert 0.90 <= at_80 <= 0.985
    assert 0.90 <= areas <= 0.985


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patients": np.arange(89)}, "patients"),
        ({"threshold": [0.5, 0.5]}, "threshold"),
        ({"threshold": 2.0}, "threshold"),
        ({"cut": []}, "cut"),
        ({"probabilities": np.full((90, 2), 0.7)}, "probabilities"),
    ],
)
def test_unusable_input_to_the_card(change, message):
    labels, table, patients = example()
    given = {"labels": labels, "probabilities": table, "patients": patients} | change
    with pytest.raises(DataError, match=message):
        abstention_card(**given, rng=np.random.default_rng(0))


@pytest.mark.parametrize(
    "options", [{"target": 0.0}, {"level": 1.0}, {"shares": ()}, {"shares": (0.0, 1.0)}, {"shares": (1.5,)}]
)
def test_unusable_input_to_the_cut(options):
    with pytest.raises(DataError, match=next(iter(options))):
        choose_cut(np.array([True, False]), np.array([0.3, 0.4]), np.arange(2), **options)
    with pytest.raises(DataError, match="patients"):
        choose_cut(np.array([True, False]), np.array([0.3, 0.4]), np.arange(3))
