import json

import numpy as np
import pytest

from xenograft.errors import DataError
from xenograft.evaluation.metrics import METRICS, binary_metrics, multiclass_metrics, per_class_metrics
from xenograft.evaluation.multilabel import per_label_metrics
from xenograft.evaluation.subgroups import AGE_BANDS, FEWEST, TESTED, age_bands, subgroup_card
from xenograft.evaluation.uncertainty import cluster_weights, percentile_interval

N = 240
LABELS = np.arange(N) % 2
PATIENTS = np.arange(N) // 4 * 2 + LABELS  # two images of one class per patient
SEX = np.where(PATIENTS % 5 < 2, "f", "m")
SITE = np.array(["a", "b", "c"])[PATIENTS // 2 % 3]
CUTS = {"fixed": 0.5, "youden": 0.6}
CUT = {"fixed": 0.5}


def table_of(scores):
    return np.stack([1 - scores, scores], axis=1)


def scores_of(gain, seed=0):
    """Probabilities with this gain (N,) of the class over noise."""
    return 1 / (1 + np.exp(-(gain * (2 * LABELS - 1) + np.random.default_rng(seed).normal(size=N))))


SCORES = scores_of(np.where(SEX == "f", 0.6, 1.5))


def card(labels, table, patients, groups, thresholds=CUTS, *, seed=1, resamples=199, **options):
    rng = np.random.default_rng(seed)
    return subgroup_card(labels, table, patients, groups, thresholds, resamples=resamples, rng=rng, **options)


def test_shape_of_the_card():
    got = card(LABELS, table_of(SCORES), PATIENTS, {"sex": SEX, "site": SITE})
    assert json.loads(json.dumps(got, allow_nan=False)) == got
    assert {k: v for k, v in got.items() if k != "groups"} == {
        "n": N, "patients": 120, "resamples": 199, "level": 0.95, "fewest": FEWEST, "tested": list(TESTED),
        "smallest_p": 0.01, "comparisons": 5 + 3 * 5, "undefined": 0,
    }  # fmt: skip
    assert [list(fact["levels"]) for fact in got["groups"].values()] == [["f", "m"], ["a", "b", "c"]]
    assert all(fact["unknown"] == 0 and fact["left_out"] == [] for fact in got["groups"].values())


def test_sizes():
    got = card(LABELS, table_of(SCORES), PATIENTS, {"sex": SEX}, resamples=20)["groups"]["sex"]["levels"]["f"]
    inside = SEX == "f"
    classes = {str(c): np.unique(PATIENTS[inside & (c == LABELS)]).size for c in (0, 1)}
    assert {k: v for k, v in got.items() if k not in ("rest", "policies")} == {
        "n": inside.sum(), "patients": sum(classes.values()), "classes": classes, "enough": True,
    }  # fmt: skip
    assert got["rest"]["n"] == N - inside.sum()
    assert got["rest"]["patients"] == 120 - sum(classes.values())


def test_values_intervals_and_p_from_the_same_resamples():
    got = card(LABELS, table_of(SCORES), PATIENTS, {"site": SITE})["groups"]["site"]["levels"]
    weights = cluster_weights(LABELS, PATIENTS, resamples=199, rng=np.random.default_rng(1))
    for name in "abc":
        for policy, threshold in CUTS.items():
            whole, drawn = [], []
            for mask in (name == SITE, name != SITE):
                whole.append(binary_metrics(LABELS[mask], SCORES[mask], threshold=threshold))
                drawn.append(binary_metrics(LABELS[mask], SCORES[mask], threshold=threshold, weights=weights[:, mask]))
            entry = got[name]["policies"][policy]
            assert entry["threshold"] == threshold
            for m in METRICS:
                low, high = percentile_interval(drawn[0][m])
                assert entry["metrics"][m] == pytest.approx({"value": whole[0][m], "low": low, "high": high})
                gaps = drawn[0][m] - drawn[1][m]
                low, high = percentile_interval(gaps)
                expected = {"difference": whole[0][m] - whole[1][m], "low": low, "high": high}
                shown = dict(entry["gap"][m])
                p, adjusted = shown.pop("p", None), shown.pop("p_holm", None)
                assert shown == pytest.approx(expected, abs=1e-12)
                if m in TESTED:
                    assert p == pytest.approx(min(1, 2 * (1 + min((gaps <= 0).sum(), (gaps >= 0).sum())) / 200))
                    assert p <= adjusted <= 1
                else:
                    assert p is adjusted is None


def p_values(got):
    """p and adjusted p of every tested gap, those without a threshold once."""
    return [
        (policy["gap"][m]["p"], policy["gap"][m]["p_holm"])
        for fact in got["groups"].values()
        for level in fact["levels"].values()
        for name, policy in level["policies"].items()
        for m in got["tested"]
        if m != "auroc" or name == "fixed"
    ]


def test_holm_over_all_comparisons():
    got = card(LABELS, table_of(SCORES), PATIENTS, {"site": SITE}, resamples=999)
    pairs = sorted(p_values(got))
    assert got["comparisons"] == len(pairs) == 15
    highest = 0.0
    for rank, (p, adjusted) in enumerate(pairs):
        highest = max(highest, min(1.0, p * (15 - rank)))
        assert adjusted == pytest.approx(highest)


def test_two_levels_are_one_comparison_turned_round():
    got = card(LABELS, table_of(SCORES), PATIENTS, {"sex": SEX}, resamples=999)
    assert got["comparisons"] == 5
    levels = got["groups"]["sex"]["levels"]
    for policy in CUTS:
        f, m = (levels[one]["policies"][policy]["gap"] for one in "fm")
        for metric in METRICS:
            assert f[metric]["difference"] == pytest.approx(-m[metric]["difference"])
            assert f[metric]["low"] == pytest.approx(-m[metric]["high"])
        for metric in TESTED:
            assert f[metric]["p"] == m[metric]["p"]
            assert f[metric]["p_holm"] == m[metric]["p_holm"]
    assert levels["f"]["policies"]["fixed"]["gap"]["auroc"]["high"] < 0
    assert levels["f"]["policies"]["fixed"]["gap"]["auroc"]["p_holm"] == 5 * got["smallest_p"]


def test_a_fact_named_twice_is_one_comparison():
    once = card(LABELS, table_of(SCORES), PATIENTS, {"sex": SEX})
    twice = card(LABELS, table_of(SCORES), PATIENTS, {"sex": SEX, "again": SEX})
    assert twice["comparisons"] == once["comparisons"]
    assert twice["groups"]["again"] == twice["groups"]["sex"] == once["groups"]["sex"]


def test_no_gap_where_each_patient_has_the_same_images_on_both_sides():
    """Two views of each patient with the same score: independent groups would give a wide interval."""
    scores = scores_of(np.full(N, 1.0))
    order = np.argsort(PATIENTS, kind="stable")
    scores[order[1::2]] = scores[order[::2]]
    view = np.empty(N, dtype="<U2")
    view[order[::2]], view[order[1::2]] = "ap", "pa"
    got = card(LABELS, table_of(scores), PATIENTS, {"view": view})
    gap = got["groups"]["view"]["levels"]["ap"]["policies"]["fixed"]["gap"]
    for m in METRICS:
        assert (gap[m]["difference"], gap[m]["low"], gap[m]["high"]) == pytest.approx((0, 0, 0), abs=1e-12)


def test_small_levels_are_named_and_left_out_but_stay_in_the_rest():
    site = SITE.copy()
    few = np.unique(PATIENTS[LABELS == 1])[:5]
    site[np.isin(PATIENTS, few)] = "d"
    got = card(LABELS, table_of(SCORES), PATIENTS, {"site": site}, fewest=10)
    fact = got["groups"]["site"]
    assert fact["left_out"] == [{"level": "d", "finding": None, "classes": {"0": 0, "1": 5}}]
    assert fact["levels"]["d"]["policies"] == {}
    assert not fact["levels"]["d"]["enough"]
    assert got["comparisons"] == 15
    rest = site != "a"
    expected = binary_metrics(LABELS[rest], SCORES[rest], threshold=0.5)["f1"]
    entry = fact["levels"]["a"]
    assert entry["rest"]["n"] == rest.sum()
    shown = entry["policies"]["fixed"]
    assert shown["metrics"]["f1"]["value"] - shown["gap"]["f1"]["difference"] == pytest.approx(expected)
    assert card(LABELS, table_of(SCORES), PATIENTS, {"site": site}, fewest=5)["groups"]["site"]["left_out"] != []


@pytest.mark.parametrize("fewest", [24, 25])
def test_the_smallest_class_decides(fewest):
    smallest = min(np.unique(PATIENTS[(SEX == "f") & (c == LABELS)]).size for c in (0, 1))
    assert smallest == 24
    got = card(LABELS, table_of(SCORES), PATIENTS, {"sex": SEX}, fewest=fewest, resamples=40)["groups"]["sex"]
    assert [one["level"] for one in got["left_out"]] == (["f"] if fewest > smallest else [])
    assert bool(got["levels"]["m"]["policies"]["fixed"]["gap"]) == (fewest <= smallest)
    assert got["levels"]["m"]["policies"]["fixed"]["metrics"]["auroc"]["value"] is not None


def test_a_fact_with_one_level_has_no_gap():
    got = card(LABELS, table_of(SCORES), PATIENTS, {"scanner": np.full(N, "x")})
    assert got["comparisons"] == 0
    entry = got["groups"]["scanner"]["levels"]["x"]
    assert entry["rest"] == {"n": 0, "patients": 0, "classes": {"0": 0, "1": 0}, "enough": False}
    assert entry["policies"]["fixed"]["gap"] == {}
    assert entry["policies"]["fixed"]["metrics"]["auroc"]["low"] is not None


@pytest.mark.parametrize("unknown", ["", None, float("nan")])
def test_images_of_unknown_level_are_on_neither_side(unknown):
    sex = SEX.astype(object)
    sex[:40] = unknown
    got = card(LABELS, table_of(SCORES), PATIENTS, {"sex": sex})["groups"]["sex"]
    assert got["unknown"] == 40
    assert list(got["levels"]) == ["f", "m"]
    assert got["levels"]["f"]["n"] + got["levels"]["f"]["rest"]["n"] == N - 40
    rows = (SEX == "m") & (np.arange(N) >= 40)
    expected = binary_metrics(LABELS[rows], SCORES[rows], threshold=0.5)["recall"]
    assert got["levels"]["m"]["policies"]["fixed"]["metrics"]["recall"]["value"] == pytest.approx(expected)


def test_levels_stand_in_their_own_order():
    numbers = np.array([10, 9, 1])[np.arange(N) % 3]
    bands = age_bands(np.array([1.0, 4.0, 30.0, 70.0])[np.arange(N) % 4])
    got = card(LABELS, table_of(SCORES), PATIENTS, {"numbers": numbers, "age": bands}, resamples=20, fewest=1)
    assert list(got["groups"]["numbers"]["levels"]) == ["1", "9", "10"]
    assert list(got["groups"]["age"]["levels"]) == [
        "28 days–23 months", "2–5 years", "18–39 years", "60–79 years"
    ]  # fmt: skip


def test_the_same_generator_gives_the_same_card():
    case = (LABELS, table_of(SCORES), PATIENTS, {"sex": SEX})
    assert card(*case) == card(*case)
    assert card(*case) != card(*case, seed=2)


@pytest.mark.parametrize("cells", [1, 1 << 14])
def test_memory_bounds_change_no_digit(monkeypatch, cells):
    case = (LABELS, table_of(SCORES), PATIENTS, {"sex": SEX})
    whole = card(*case)
    monkeypatch.setattr("xenograft.evaluation.uncertainty._CELLS", cells)
    assert card(*case) == whole


def test_several_classes():
    labels = np.arange(N) % 3
    table = np.random.default_rng(0).dirichlet([1, 1, 1], N) * 0.6 + 0.4 * np.eye(3)[labels]
    got = card(labels, table, np.arange(N), {"site": SITE}, {})
    assert json.loads(json.dumps(got, allow_nan=False)) == got
    assert got["comparisons"] == 9
    weights = cluster_weights(labels, np.arange(N), resamples=199, rng=np.random.default_rng(1))
    inside = SITE == "b"
    entry = got["groups"]["site"]["levels"]["b"]["policies"]["argmax"]
    assert entry["threshold"] is None
    here, there = (multiclass_metrics(labels[m], table[m], weights=weights[:, m])["auroc"] for m in (inside, ~inside))
    assert (entry["metrics"]["auroc"]["low"], entry["metrics"]["auroc"]["high"]) == pytest.approx(
        percentile_interval(here)
    )
    assert (entry["gap"]["auroc"]["low"], entry["gap"]["auroc"]["high"]) == pytest.approx(
        percentile_interval(here - there)
    )
    here, there = (
        per_class_metrics(labels[m], table[m], weights=weights[:, m])[2]["recall"] for m in (inside, ~inside)
    )
    of_class = entry["per_class"]["2"]
    assert list(entry["per_class"]) == ["0", "1", "2"]
    assert of_class["metrics"]["recall"]["low"] == pytest.approx(percentile_interval(here)[0])
    assert of_class["gap"]["recall"]["high"] == pytest.approx(percentile_interval(here - there)[1])
    assert "p" not in of_class["gap"]["recall"]


def findings():
    rng = np.random.default_rng(3)
    truth = (rng.random((N, 3)) < [0.5, 0.3, 0.04]).astype(np.int64)
    labels = np.where(rng.random((N, 3)) < 0.2, -1, truth)
    return labels, 1 / (1 + np.exp(-(1.2 * (2 * truth - 1) + rng.normal(size=(N, 3)))))


def test_findings_one_by_one_on_the_images_where_they_are_known():
    labels, scores = findings()
    cuts = {"fixed": 0.5, "youden": [0.4, 0.5, 0.6]}
    got = card(labels, scores, PATIENTS, {"sex": SEX}, cuts, tested=["auroc"], fewest=10)
    assert json.loads(json.dumps(got, allow_nan=False)) == got
    fact = got["groups"]["sex"]
    assert got["comparisons"] == 2
    assert [(one["level"], one["finding"]) for one in fact["left_out"]] == [("f", "2"), ("m", "2")]
    weights = cluster_weights(labels, PATIENTS, resamples=199, rng=np.random.default_rng(1))
    inside = SEX == "f"
    rows = [
        per_label_metrics(labels[m], scores[m], thresholds=[0.4, 0.5, 0.6], weights=weights[:, m])
        for m in (inside, ~inside)
    ]
    level = fact["levels"]["f"]
    assert (level["n"], level["patients"]) == (inside.sum(), np.unique(PATIENTS[inside]).size)
    for k in range(2):
        entry = level["findings"][str(k)]
        assert entry["n"] == (labels[inside, k] >= 0).sum()
        assert entry["classes"]["1"] == np.unique(PATIENTS[inside & (labels[:, k] == 1)]).size
        policy = entry["policies"]["youden"]
        assert policy["threshold"] == cuts["youden"][k]
        for m in ("auroc", "f1"):
            gap = percentile_interval(rows[0][k][m] - rows[1][k][m])
            assert (policy["gap"][m]["low"], policy["gap"][m]["high"]) == pytest.approx(gap)
    assert level["findings"]["2"]["policies"] == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"groups": {}}, "groups: got none"),
        ({"groups": {"sex": SEX[1:]}}, r"levels of 'sex': got shape \(239,\)"),
        ({"thresholds": {}}, "thresholds: got none"),
        ({"thresholds": {"fixed": 1.5}}, "threshold: got 1.5"),
        ({"patients": PATIENTS[1:]}, "patients: got shape"),
        ({"fewest": 0}, "fewest: got 0"),
        ({"tested": ["f2"]}, "tested: got f2"),
        ({"level": 1.0}, "level: got 1.0"),
        ({"resamples": 0}, "resamples: got 0"),
    ],
)
def test_unusable_input(change, message):
    case = {
        "labels": LABELS, "probabilities": table_of(SCORES), "patients": PATIENTS, "groups": {"sex": SEX},
        "thresholds": CUTS, "resamples": 20,
    }  # fmt: skip
    with pytest.raises(DataError, match=message) as caught:
        subgroup_card(**case | change, rng=np.random.default_rng(0))
    assert caught.value.code == "E-DATA-05"


def test_age_bands():
    ages = [0, 27 / 365.25, 28 / 365.25, 0.08, 1.99, 2, 5.99, 6, 11.9, 12, 17.99, 18, 39, 40, 60, 79.9, 80, 90]
    got = age_bands(np.array([*ages, np.nan]))
    names = list(AGE_BANDS)
    places = [0, 0, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 7, 7, 8, 8]
    assert got.tolist() == [*(names[place] for place in places), ""]
    assert age_bands(np.array([])).tolist() == []


@pytest.mark.parametrize("ages", [[-1.0, 3.0], [np.inf], [[1.0]]])
def test_unusable_ages(ages):
    with pytest.raises(DataError, match="ages: got"):
        age_bands(np.array(ages))


@pytest.mark.nightly
def test_gaps_are_covered_and_rarely_called_without_one():
    """600 data sets of 120 patients with two images each, 45 of them in the level; true gaps 0, then -0.22 in AUROC."""
    covered, called, any_called, found = [], [], [], []
    for seed in range(600):
        rng = np.random.default_rng(seed)
        labels = np.repeat(np.arange(120) % 2, 2)
        patients = np.repeat(np.arange(120), 2)
        sex = np.repeat(rng.permutation(np.where(np.arange(120) < 45, "f", "m")), 2)
        z = 1.0 * (2 * labels - 1) + np.repeat(rng.normal(size=120), 2) + rng.normal(size=240)
        got = card(labels, table_of(1 / (1 + np.exp(-z))), patients, {"sex": sex}, CUT, resamples=999, fewest=10)
        gap = got["groups"]["sex"]["levels"]["f"]["policies"]["fixed"]["gap"]
        covered.append([gap[m]["low"] <= 0 <= gap[m]["high"] for m in TESTED])
        called.append([gap[m]["p"] <= 0.05 for m in TESTED])
        any_called.append(min(gap[m]["p_holm"] for m in TESTED) <= 0.05)
        weak = np.where(sex == "f", 0.3, 1.0) * (2 * labels - 1) + z - (2 * labels - 1)
        got = card(labels, table_of(1 / (1 + np.exp(-weak))), patients, {"sex": sex}, CUT, fewest=10)
        found.append(got["groups"]["sex"]["levels"]["f"]["policies"]["fixed"]["gap"]["auroc"]["p"] <= 0.05)
    assert np.mean(covered, axis=0) == pytest.approx(0.95, abs=0.03)
    assert (np.mean(called, axis=0) < 0.08).all()
    assert np.mean(any_called) < 0.08
    assert np.mean(found) > 0.3
