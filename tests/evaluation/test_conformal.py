import json
import math
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from scipy.special import ndtr

from xenograft.errors import DataError
from xenograft.evaluation.conformal import ConformalSets, conformal_card, patients_needed
from xenograft.evaluation.uncertainty import cluster_weights, percentile_interval


def two(scores):
    """(N,) of class 1 -> (N, 2)."""
    return np.stack([1 - scores, scores], axis=1)


def of_truth(labels, scores):
    """(N,) probability of the true class -> (N, 2)."""
    return two(np.where(labels == 1, scores, 1 - scores))


def brute_threshold(scores, patients, coverage):
    """Lee, Barber & Willett's quantile of the scores -p in exact fractions, as the probability p."""
    images = {p: int((patients == p).sum()) for p in set(patients.tolist())}
    mass = [Fraction(1, (len(images) + 1) * images[p]) for p in patients.tolist()]
    reached = [
        t for t in set(scores.tolist()) if sum(m for m, s in zip(mass, scores, strict=True) if s >= t) >= coverage
    ]
    return max(reached)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("coverage", ["0.9", "0.8", "0.75", "0.5"])
def test_thresholds_are_the_quantiles_in_exact_fractions(seed, coverage):
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(24), rng.integers(1, 6, 24))
    labels = (patients % 2 == 1).astype(int)
    table = two(np.round(rng.random(patients.size), 1 + seed % 3))
    fitted = ConformalSets.fit(labels, table, patients, coverage=float(coverage))
    assert fitted.patients == ((12, 12),)
    for k in (0, 1):
        mine = labels == k
        assert fitted.thresholds[0][k] == brute_threshold(table[mine, k], patients[mine], Fraction(coverage))


@pytest.mark.parametrize("n", [9, 10, 11, 18, 19, 57])
def test_one_image_a_patient_is_the_split_conformal_quantile(n):
    scores = np.random.default_rng(n).random(2 * n)
    labels = np.repeat([0, 1], n)
    fitted = ConformalSets.fit(labels, of_truth(labels, scores), np.arange(2 * n))
    rank = math.ceil(Fraction(9, 10) * (n + 1))
    for k in (0, 1):
        assert 1 - fitted.thresholds[0][k] == pytest.approx(np.sort(1 - scores[labels == k])[rank - 1])


def test_copies_of_an_image_change_nothing():
    rng = np.random.default_rng(0)
    labels, table = np.arange(60) % 3, rng.dirichlet(np.ones(3), 60)
    copies = rng.integers(1, 5, 60)
    once = ConformalSets.fit(labels, table, np.arange(60))
    again = ConformalSets.fit(*(np.repeat(a, copies, axis=0) for a in (labels, table, np.arange(60))))
    assert once == again


@pytest.mark.parametrize("sizes", [(19, 39), (9, 29)])
def test_each_class_is_covered_as_asked_with_one_image_a_patient(sizes):
    """Uniform probabilities of the true class: the coverage of a threshold t is 1 - t, known without test data."""
    rng = np.random.default_rng(sum(sizes))
    labels = np.repeat([0, 1], sizes)
    covered = []
    for _ in range(1500):
        table = of_truth(labels, rng.random(labels.size))
        covered.append(1 - np.array(ConformalSets.fit(labels, table, np.arange(labels.size)).thresholds[0]))
    error = np.std(covered, axis=0) / math.sqrt(1500)
    assert np.abs(np.mean(covered, axis=0) - 0.9).max() < 4 * error.max()  # k / (n + 1) is exactly 0.9 for all four
    assert error.max() < 0.003


def clustered(rng, patients, *, hard=1, easy=8, shared=0.7):
    """Scores of the true class and patient keys: one patient in three is easy and has many images, the others few."""
    is_easy = rng.random(patients) < 1 / 3
    keys = np.repeat(np.arange(patients), np.where(is_easy, easy, hard))
    ease = np.repeat(np.where(is_easy, 1.0, 0.0), np.where(is_easy, easy, hard))
    effect = rng.normal(size=patients)[keys]
    z = ease + math.sqrt(shared) * effect + math.sqrt(1 - shared) * rng.normal(size=keys.size)
    return ndtr(z), keys


def coverage_of_new_patients(threshold, shared=0.7):
    """Exact: a score at or above t means a normal z above its quantile, less 1 for the easy third."""
    from scipy.special import ndtri

    return 1 - (2 * ndtr(ndtri(threshold)) + ndtr(ndtri(threshold) - 1)) / 3


def simulate(patients, repeats, seed, **how):
    """Coverage of a random image of a random new patient: by patient, and as if images were independent."""
    rng = np.random.default_rng(seed)
    result = []
    for _ in range(repeats):
        scores, keys = clustered(rng, patients, **how)
        labels = np.r_[np.zeros(99, dtype=int), np.ones(scores.size, dtype=int)]
        table = two(np.r_[np.linspace(0.01, 0.99, 99), scores])
        cuts = [
            ConformalSets.fit(labels, table, np.r_[-1 - np.arange(99), owner]).thresholds[0][1]
            for owner in (keys, np.arange(keys.size))
        ]
        result.append([coverage_of_new_patients(cut) for cut in cuts])
    return np.mean(result, axis=0), np.std(result, axis=0) / math.sqrt(repeats)


def test_a_random_image_of_a_new_patient_is_covered_as_asked():
    (mean, as_images), (error, _) = simulate(30, 600, 0)
    assert 0.9 - 3 * error <= mean <= 0.9 + 2 / 31 + 3 * error
    assert as_images < 0.88  # ignoring patients, the many images of the easy ones decide


@pytest.mark.nightly
@pytest.mark.parametrize(("patients", "easy"), [(12, 10), (30, 8), (99, 20)])
@pytest.mark.parametrize("shared", [0.0, 0.5, 1.0])
def test_coverage_holds_for_clusters_and_fails_without_them(patients, easy, shared):
    (mean, as_images), error = simulate(patients, 4000, patients, easy=easy, shared=shared)
    assert 0.9 - 3 * error[0] <= mean <= 0.9 + 2 / (patients + 1) + 3 * error[0]
    assert as_images < 0.88 - 3 * error[1]


@pytest.mark.nightly
def test_many_copies_of_few_patients_pass_for_many_patients():
    """11 patients of 10 identical images: order statistics give 10 / 12 without patients and 11 / 12 with them."""
    rng = np.random.default_rng(1)
    labels, patients = np.repeat([0, 1], 110), np.arange(220) // 10
    found = []
    for _ in range(4000):
        table = of_truth(labels, np.repeat(rng.random(22), 10))
        found.append(
            [1 - np.array(ConformalSets.fit(labels, table, keys).thresholds[0]) for keys in (patients, np.arange(220))]
        )
    by_patient, by_image = np.mean(found, axis=(0, 2))
    assert by_patient == pytest.approx(11 / 12, abs=0.004)
    assert by_image == pytest.approx(10 / 12, abs=0.004)


def test_sets_are_empty_single_or_several():
    fitted = ConformalSets(0.9, ((0.6, 0.7),), ((20, 20),), "classes")
    assert fitted.sets(two(np.array([0.9, 0.7, 0.65, 0.4, 0.1]))).tolist() == [
        [False, True], [False, True], [False, False], [True, False], [True, False],
    ]  # fmt: skip
    wide = ConformalSets(0.9, ((0.3, 0.3, 0.3),), ((20, 20, 20),), "classes")
    assert wide.sets(np.array([[0.4, 0.3, 0.3], [0.5, 0.4, 0.1]])).tolist() == [[True] * 3, [True, True, False]]


def test_each_fitted_image_at_the_threshold_is_in():
    rng = np.random.default_rng(3)
    labels, table = np.arange(90) % 3, rng.dirichlet(np.ones(3), 90)
    fitted = ConformalSets.fit(labels, table, np.arange(90), coverage=0.8)
    held = fitted.sets(table)
    for k in range(3):
        assert held[labels == k, k].sum() == math.ceil(Fraction(8, 10) * 31)


def test_probabilities_that_say_nothing_hold_everything():
    labels, table = np.arange(40) % 2, np.full((40, 2), 0.5)
    fitted = ConformalSets.fit(labels, table, np.arange(40))
    assert fitted.sets(table).all()


def findings(seed=0, n=90):
    """Three findings with gaps, of which the last has three patients that show it."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, 3)) < [0.5, 0.4, 0.0]).astype(np.int64)
    labels[:6, 2] = 1
    table = np.clip(0.4 * labels + 0.6 * rng.random((n, 3)), 0, 1)
    labels[:, :2][rng.random((n, 2)) < 0.2] = -1
    return labels, table, np.arange(n) // 2


def test_a_finding_is_a_two_class_task_where_it_is_known():
    labels, table, patients = findings()
    fitted = ConformalSets.fit(labels, table, patients)
    held = fitted.sets(table)
    assert held.shape == (90, 3, 2)
    for k in (0, 1):
        known = labels[:, k] >= 0
        alone = ConformalSets.fit(labels[known, k], two(table[known, k]), patients[known])
        assert fitted.thresholds[k] == alone.thresholds[0]
        assert fitted.patients[k] == alone.patients[0]
        assert np.array_equal(held[:, k], alone.sets(two(table[:, k])))
    other = np.where(labels == -1, 1 - table, table)
    assert ConformalSets.fit(labels, other, patients) == fitted


def test_a_rare_finding_is_always_left_to_a_person():
    labels, table, patients = findings()
    fitted = ConformalSets.fit(labels, table, patients)
    assert fitted.patients[2][1] == 3
    assert fitted.sets(table)[:, 2].all()
    with pytest.raises(DataError, match="every finding: got 3 validation patients; allowed: 9 of each label"):
        ConformalSets.fit(labels[:, 2:], table[:, 2:], patients)


@pytest.mark.parametrize(("coverage", "needed"), [(0.5, 1), (0.75, 3), (0.8, 4), (0.9, 9), (0.95, 19), (0.99, 99)])
def test_patients_needed(coverage, needed):
    assert patients_needed(coverage) == needed
    labels = np.repeat([0, 1], [needed, 100])
    table = of_truth(labels, np.random.default_rng(0).random(labels.size))
    fitted = ConformalSets.fit(labels, table, np.arange(labels.size), coverage=coverage)
    assert fitted.thresholds[0][0] == table[labels == 0, 0].min()
    if needed > 1:
        with pytest.raises(
            DataError, match=f"class 0: got {needed - 1} validation patients; allowed: {needed} or more"
        ):
            ConformalSets.fit(labels[1:], table[1:], np.arange(labels.size - 1), coverage=coverage)


def test_images_do_not_stand_in_for_patients_and_the_advice_works():
    labels = np.repeat([0, 1], 80)
    table = of_truth(labels, np.random.default_rng(0).random(160))
    patients = np.r_[np.arange(80) % 8, 100 + np.arange(80)]
    with pytest.raises(DataError, match=r"lower the coverage to 0\.888 or add") as caught:
        ConformalSets.fit(labels, table, patients)
    assert caught.value.code == "E-DATA-05"
    assert ConformalSets.fit(labels, table, patients, coverage=0.888).patients == ((8, 80),)
    with pytest.raises(DataError, match="class 2: got 0 validation patients"):
        ConformalSets.fit(labels, np.c_[table * 0.9, np.full(160, 0.1)], patients, coverage=0.5)


@pytest.mark.parametrize("several", [False, True])
def test_json_gives_the_same_sets_back(several):
    labels, table, patients = findings()
    if several:
        fitted = ConformalSets.fit(labels, table, patients)
    else:
        fitted = ConformalSets.fit(np.arange(90) % 2, two(table[:, 0]), patients, coverage=0.8)
    assert ConformalSets.from_json(json.loads(json.dumps(fitted.as_json(), allow_nan=False))) == fitted


@pytest.mark.parametrize(
    "change",
    [
        {"method": "other"},
        {"kind": "images"},
        {"kind": "findings"},
        {"coverage": 1.5},
        {"coverage": "much"},
        {"thresholds": []},
        {"thresholds": [[0.5]]},
        {"thresholds": [[0.5, 1.5, 0.1]]},
        {"thresholds": [[0.5, None, 0.1]]},
        {"patients": [[20]]},
        {"patients": None},
    ],
)
def test_damaged_json(change):
    good = ConformalSets(0.9, ((0.5, 0.4, 0.1),), ((20, 20, 20),), "classes").as_json()
    with pytest.raises(DataError):
        ConformalSets.from_json(good | change)
    with pytest.raises(DataError):
        ConformalSets.from_json({k: v for k, v in good.items() if k not in change})


def test_applying_needs_numpy_only():
    code = (
        "import sys, numpy as np; from xenograft.evaluation.conformal import ConformalSets as C;"
        "C(0.9, ((0.5, 0.4),), ((20, 20),), 'classes').sets(np.full((3, 2), 0.5));"
        "print({'scipy', 'sklearn', 'torch'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


@pytest.mark.parametrize(
    ("labels", "table", "patients", "coverage", "message"),
    [
        (np.arange(40) % 2, np.full((40, 2), 0.5), np.arange(39), 0.9, "patients"),
        (np.arange(40) % 2, np.full((40, 2), 0.7), np.arange(40), 0.9, "sum of 1"),
        (np.arange(40) % 2, np.full(40, 0.5), np.arange(40), 0.9, "probabilities"),
        (np.arange(40) % 2, np.full((40, 2), 0.5), np.arange(40), 1.0, "coverage"),
        (np.full((40, 2), 3), np.full((40, 2), 0.5), np.arange(40), 0.9, "labels"),
    ],
)
def test_unusable_input_to_fit(labels, table, patients, coverage, message):
    with pytest.raises(DataError, match=message):
        ConformalSets.fit(labels, table, patients, coverage=coverage)


@pytest.mark.parametrize(
    "table", [np.full((4, 3), 1 / 3), np.full(4, 0.5), np.full((4, 2), 0.6), np.full((4, 2), np.nan)]
)
def test_unusable_input_to_sets(table):
    with pytest.raises(DataError, match="probabilities"):
        ConformalSets(0.9, ((0.5, 0.4),), ((20, 20),), "classes").sets(table)


def example(classes=2, seed=0, n=120):
    rng = np.random.default_rng(seed)
    patients = rng.integers(0, n // 2, n)
    labels = patients % classes
    table = rng.dirichlet(np.ones(classes), n) + 0.8 * np.eye(classes)[labels] * rng.random((n, 1))
    return labels, table / table.sum(axis=1, keepdims=True), patients


@pytest.mark.parametrize("classes", [2, 3])
def test_the_card_counts_as_one_would_by_hand(classes):
    fitted = ConformalSets.fit(*example(classes), coverage=0.8)
    labels, table, patients = example(classes, seed=1)
    card = conformal_card(fitted, labels, table, patients, resamples=40, rng=np.random.default_rng(0))
    json.dumps(card, allow_nan=False)
    held = fitted.sets(table)
    size, covered = held.sum(axis=1), held[np.arange(120), labels]

    def by_patient(group):
        return np.mean([covered[group & (patients == p)].mean() for p in np.unique(patients[group])])

    everyone = np.ones(120, dtype=bool)
    assert card["coverage"]["value"] == pytest.approx(by_patient(everyone))
    assert card["image_coverage"]["value"] == pytest.approx(covered.mean())
    for name, chosen in {"empty": size == 0, "answered": size == 1, "several": size > 1, "refer": size != 1}.items():
        assert card[name]["value"] == pytest.approx(chosen.mean())
    assert card["accuracy"]["value"] == pytest.approx(covered[size == 1].mean())
    assert (card["n"], card["patients"], card["target"]) == (120, np.unique(patients).size, 0.8)
    for k in range(classes):
        row, mine, single = card["per_class"][str(k)], labels == k, size == 1
        assert row["n"] == mine.sum()
        assert row["fitted_patients"] == fitted.patients[0][k]
        assert row["coverage"]["value"] == pytest.approx(by_patient(mine))
        assert row["image_coverage"]["value"] == pytest.approx(covered[mine].mean())
        assert row["answered"]["value"] == pytest.approx(single[mine].mean())
        assert row["recall"]["value"] == pytest.approx(covered[mine & single].mean())
        assert row["precision"]["value"] == pytest.approx((labels == k)[single & held[:, k]].mean())
    score = table[:, 1] if classes == 2 else table.max(axis=1)
    assert sum(band["n"] for band in card["bands"]) == 120
    for band in card["bands"]:
        inside = (score >= band["from"]) & ((score < band["to"]) | (band["to"] == 1))
        assert band["n"] == inside.sum()
        if band["n"]:
            assert band["several"]["value"] == pytest.approx((size > 1)[inside].mean())
        else:
            assert band["several"] == {"value": None, "low": None, "high": None}


def test_intervals_are_those_of_resampled_patients():
    fitted = ConformalSets.fit(*example(), coverage=0.8)
    labels, table, patients = example(seed=2)
    card = conformal_card(fitted, labels, table, patients, resamples=100, rng=np.random.default_rng(7), level=0.9)
    weights = cluster_weights(labels, patients, resamples=100, rng=np.random.default_rng(7))
    covered = fitted.sets(table)[np.arange(120), labels]
    mine = labels == 1
    persons = np.unique(patients[mine])
    mean = np.array([covered[mine & (patients == p)].mean() for p in persons])
    times = np.stack([weights[:, np.flatnonzero(patients == p)[0]] for p in persons], axis=1)
    expected = percentile_interval((times * mean).sum(axis=1) / times.sum(axis=1), 0.9)
    got = card["per_class"]["1"]["coverage"]
    assert (got["low"], got["high"]) == pytest.approx(expected)


def test_the_card_of_findings_has_one_for_each():
    fitted = ConformalSets.fit(*findings())
    labels, table, patients = findings(seed=1)
    card = conformal_card(fitted, labels, table, patients, resamples=40, rng=np.random.default_rng(0))
    json.dumps(card, allow_nan=False)
    assert list(card["findings"]) == ["0", "1", "2"]
    for k, row in card["findings"].items():
        known = labels[:, int(k)] >= 0
        alone = ConformalSets(0.9, (fitted.thresholds[int(k)],), (fitted.patients[int(k)],), "classes")
        own = conformal_card(
            alone,
            labels[known, int(k)],
            two(table[known, int(k)]),
            patients[known],
            resamples=20,
            rng=np.random.default_rng(0),
        )
        for name in ("coverage", "image_coverage", "answered", "empty", "several", "refer", "accuracy"):
            assert row[name]["value"] == (own[name]["value"] and pytest.approx(own[name]["value"]))
        assert [band["n"] for band in row["bands"]] == [band["n"] for band in own["bands"]]
    assert card["findings"]["2"]["refer"]["value"] == 1
    assert card["findings"]["2"]["accuracy"]["value"] is None


def test_a_finding_nobody_knows_has_no_numbers():
    fitted = ConformalSets.fit(*findings())
    labels, table, patients = findings(seed=1)
    labels[:, 1] = -1
    card = conformal_card(fitted, labels, table, patients, resamples=20, rng=np.random.default_rng(0))
    assert card["findings"]["1"]["coverage"] == {"value": None, "low": None, "high": None}
    assert card["findings"]["1"]["per_class"]["0"]["n"] == 0


def test_the_card_refuses_what_does_not_fit_the_sets():
    labels, table, patients = example()
    fitted = ConformalSets.fit(labels, table, patients, coverage=0.8)
    rng = np.random.default_rng(0)
    with pytest.raises(DataError, match="labels"):
        conformal_card(fitted, np.stack([labels, labels], axis=1), table, patients, rng=rng)
    with pytest.raises(DataError, match="patients"):
        conformal_card(fitted, labels, table, patients[1:], rng=rng)
    with pytest.raises(DataError, match="rows"):
        conformal_card(fitted, labels[1:], table, patients, rng=rng)
