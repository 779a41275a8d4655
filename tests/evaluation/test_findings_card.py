import json

import numpy as np
import pytest

from xenograft.errors import DataError
from xenograft.evaluation.metrics import METRICS, binary_metrics
from xenograft.evaluation.multilabel import multilabel_metrics, per_label_metrics
from xenograft.evaluation.scorecard import scorecard
from xenograft.evaluation.uncertainty import cluster_weights, percentile_interval

THRESHOLDS = {"fixed": 0.5, "youden": [0.4, 0.55, 0.3]}


def case(n=240, missing=0.2):
    rng = np.random.default_rng(0)
    truth = (rng.random((n, 3)) < [0.5, 0.3, 0.2]).astype(np.int64)
    scores = np.clip(np.round(0.3 * truth + rng.random((n, 3)) * 0.7, 3), 0, 1)
    return np.where(rng.random((n, 3)) < missing, -1, truth), scores, np.arange(n) // 3


def card(labels, table, patients, *, thresholds=THRESHOLDS, seed=1, resamples=100, **options):
    rng = np.random.default_rng(seed)
    return scorecard(labels, table, patients, thresholds=thresholds, resamples=resamples, rng=rng, **options)


def values(metrics):
    return {name: entry["value"] for name, entry in metrics.items()}


def test_the_card_holds_means_findings_and_counts():
    labels, table, patients = case()
    got = card(labels, table, patients)
    assert json.loads(json.dumps(got, allow_nan=False)) == got
    assert {k: got[k] for k in ("n", "patients", "resamples", "level")} == {
        "n": 240, "patients": 80, "resamples": 100, "level": 0.95,
    }  # fmt: skip
    assert got["known"] == {
        str(k): {"n": int((labels[:, k] != -1).sum()), "positive": int((labels[:, k] == 1).sum())} for k in range(3)
    }
    assert list(got["policies"]) == ["fixed", "youden"]
    for name, cuts in THRESHOLDS.items():
        policy = got["policies"][name]
        assert policy["threshold"] == cuts
        assert tuple(policy["metrics"]) == METRICS
        assert values(policy["metrics"]) == pytest.approx(multilabel_metrics(labels, table, thresholds=cuts))
        assert all(v["low"] <= v["value"] <= v["high"] for v in policy["metrics"].values())
        assert list(policy["per_class"]) == ["0", "1", "2"]
        for k, row in enumerate(per_label_metrics(labels, table, thresholds=cuts)):
            assert values(policy["per_class"][str(k)]) == pytest.approx(row)
    assert got["per_class"] == got["policies"]["fixed"]["per_class"]
    assert got["per_class"] != got["policies"]["youden"]["per_class"]


def test_confusion_is_counted_over_known_labels():
    labels, table, patients = case()
    for name, cuts in THRESHOLDS.items():
        found = np.array(card(labels, table, patients, resamples=1)["policies"][name]["confusion"])
        assert found.shape == (3, 2, 2)
        for k, cut in enumerate(np.broadcast_to(cuts, 3)):
            for truth in (0, 1):
                for guess in (0, 1):
                    wanted = (labels[:, k] == truth) & ((table[:, k] >= cut) == guess)
                    assert found[k, truth, guess] == wanted.sum()


def test_intervals_are_percentiles_over_resampled_patients():
    labels, table, patients = case()
    got = card(labels, table, patients, seed=3)
    weights = cluster_weights(labels, patients, resamples=100, rng=np.random.default_rng(3))
    known = labels[:, 1] != -1
    aurocs, f1s = [], []
    for row in weights:
        copies = row.astype(int)
        mine = np.repeat(labels[known, 1], copies[known]), np.repeat(table[known, 1], copies[known])
        aurocs.append(binary_metrics(*mine, threshold=0.5)["auroc"])
        repeated = np.repeat(labels, copies, axis=0), np.repeat(table, copies, axis=0)
        f1s.append(multilabel_metrics(*repeated, thresholds=THRESHOLDS["youden"])["f1"])
    one, mean = got["per_class"]["1"]["auroc"], got["policies"]["youden"]["metrics"]["f1"]
    assert (one["low"], one["high"]) == pytest.approx(percentile_interval(np.array(aurocs)))
    assert (mean["low"], mean["high"]) == pytest.approx(percentile_interval(np.array(f1s)))


def test_the_same_generator_gives_the_same_card():
    assert card(*case()) == card(*case())
    assert card(*case()) != card(*case(), seed=2)
    alone = card(*case(), thresholds={"youden": THRESHOLDS["youden"]})
    assert alone["policies"]["youden"] == card(*case())["policies"]["youden"]
    assert alone["per_class"] == {}


def test_memory_bounds_do_not_change_a_digit(monkeypatch):
    whole = card(*case())
    monkeypatch.setattr("xenograft.evaluation.uncertainty._CELLS", 1)
    assert card(*case()) == whole


def test_probabilities_of_unknown_labels_do_not_matter():
    labels, table, patients = case()
    other = np.where(labels == -1, 1 - table, table)
    assert card(labels, other, patients) == card(labels, table, patients)


def test_findings_in_another_order_give_the_same_numbers_in_that_order():
    labels, table, patients = case()
    order = [2, 0, 1]
    there = {"youden": [THRESHOLDS["youden"][k] for k in order]}
    got, straight = (
        card(*arrays, patients, thresholds=cuts)
        for arrays, cuts in (((labels[:, order], table[:, order]), there), ((labels, table), THRESHOLDS))
    )
    mine, theirs = got["policies"]["youden"], straight["policies"]["youden"]
    for place, k in enumerate(order):
        assert mine["per_class"][str(place)] == theirs["per_class"][str(k)]
        assert got["known"][str(place)] == straight["known"][str(k)]
        assert mine["confusion"][place] == theirs["confusion"][k]
    for metric, entry in mine["metrics"].items():
        assert entry == pytest.approx(theirs["metrics"][metric])


def test_a_finding_without_positives_is_none_and_the_others_are_intact():
    labels, table, patients = case()
    without = labels.copy()
    without[:, 1] = np.minimum(without[:, 1], 0)
    got, whole = card(without, table, patients), card(labels, table, patients)
    nothing = {"value": None, "low": None, "high": None}
    assert got["per_class"]["1"]["auroc"] == nothing
    assert got["policies"]["fixed"]["metrics"]["auroc"] == nothing
    assert got["policies"]["fixed"]["metrics"]["loss"]["value"] is not None
    assert all(got["per_class"][k] == whole["per_class"][k] for k in ("0", "2"))
    assert json.loads(json.dumps(got, allow_nan=False)) == got


def test_a_finding_that_is_known_nowhere_has_an_empty_place():
    labels, table, patients = case()
    labels[:, 0] = -1
    got = card(labels, table, patients)
    assert got["known"]["0"] == {"n": 0, "positive": 0}
    assert got["policies"]["fixed"]["confusion"][0] == [[0, 0], [0, 0]]
    assert all(v["value"] is None for v in got["per_class"]["0"].values())


def test_unusable_input():
    labels, table, patients = case()
    with pytest.raises(DataError, match="thresholds: got none") as caught:
        card(labels, table, patients, thresholds={})
    assert caught.value.code == "E-DATA-05"
    with pytest.raises(DataError, match="one for each of 3 findings"):
        card(labels, table, patients, thresholds={"fixed": [0.5, 0.5]})
    with pytest.raises(DataError, match="probabilities"):
        card(labels, table[:, :2], patients)
    with pytest.raises(DataError, match="patients"):
        card(labels, table, patients[1:])
    with pytest.raises(DataError, match="one number"):
        card(np.arange(240) % 2, np.full((240, 2), 0.5), patients, thresholds={"youden": [0.5, 0.5]})


def test_a_finding_of_a_single_patient_has_a_value_but_no_interval():
    labels, table, patients = case()
    labels[:, 2] = np.where(patients == 7, 1, 0)
    got = card(labels, table, patients)
    for auroc in (got["per_class"]["2"]["auroc"], got["policies"]["fixed"]["metrics"]["auroc"]):
        assert auroc["value"] is not None
        assert auroc["low"] is auroc["high"] is None  # missing from a third of the resamples
    assert got["per_class"]["1"]["auroc"]["low"] is not None
