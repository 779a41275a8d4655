import json

import numpy as np
import pytest

from xenograft.errors import DataError
from xenograft.evaluation.metrics import METRICS, binary_metrics, multiclass_metrics, per_class_metrics
from xenograft.evaluation.scorecard import scorecard


def binary_case(n=200):
    labels = np.arange(n) % 2
    scores = np.clip(0.5 * labels + np.random.default_rng(0).random(n) * 0.6, 0, 1)
    return labels, np.stack([1 - scores, scores], axis=1), np.arange(n) // 4 * 2 + labels


def card(labels, table, patients, *, thresholds, seed=1, resamples=200):
    return scorecard(
        labels, table, patients, thresholds=thresholds, resamples=resamples, rng=np.random.default_rng(seed)
    )


def test_binary():
    labels, table, patients = binary_case()
    got = card(labels, table, patients, thresholds={"fixed": 0.5, "youden": 0.55})
    assert json.loads(json.dumps(got, allow_nan=False)) == got
    assert {k: got[k] for k in ("n", "patients", "resamples", "level", "per_class")} == {
        "n": 200, "patients": 100, "resamples": 200, "level": 0.95, "per_class": {},
    }  # fmt: skip
    assert list(got["policies"]) == ["fixed", "youden"]
    for name, threshold in (("fixed", 0.5), ("youden", 0.55)):
        policy = got["policies"][name]
        assert policy["threshold"] == threshold
        assert tuple(policy["metrics"]) == METRICS
        values = {m: v["value"] for m, v in policy["metrics"].items()}
        assert values == pytest.approx(binary_metrics(labels, table[:, 1], threshold=threshold))
        assert all(v["low"] <= v["value"] <= v["high"] for v in policy["metrics"].values())
        (tn, fp), (fn, tp) = policy["confusion"]
        assert tp / (tp + fn) == pytest.approx(values["recall"])
        assert tn / (tn + fp) == pytest.approx(values["specificity"])
    assert got["policies"]["fixed"]["metrics"]["auroc"] == got["policies"]["youden"]["metrics"]["auroc"]


def test_the_same_generator_gives_the_same_card():
    case = binary_case()
    thresholds = {"fixed": 0.5}
    assert card(*case, thresholds=thresholds) == card(*case, thresholds=thresholds)
    assert card(*case, thresholds=thresholds) != card(*case, thresholds=thresholds, seed=2)
    both = card(*case, thresholds={"youden": 0.6, "fixed": 0.5})
    assert both["policies"]["fixed"] == card(*case, thresholds=thresholds)["policies"]["fixed"]


@pytest.mark.parametrize("cells", [1, 1 << 14])
def test_memory_bounds_do_not_change_a_digit(monkeypatch, cells):
    case = binary_case()
    whole = card(*case, thresholds={"fixed": 0.5})
    monkeypatch.setattr("xenograft.evaluation.uncertainty._CELLS", cells)
    assert card(*case, thresholds={"fixed": 0.5}) == whole


def test_multiclass():
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3
    table = rng.dirichlet([1, 1, 1], 90) * 0.6 + 0.4 * np.eye(3)[labels]
    got = card(labels, table, np.arange(90).astype(str), thresholds={"fixed": 0.5})
    assert json.loads(json.dumps(got, allow_nan=False)) == got
    assert list(got["policies"]) == ["argmax"]
    policy = got["policies"]["argmax"]
    assert policy["threshold"] is None
    assert np.sum(policy["confusion"]) == 90
    assert np.trace(policy["confusion"]) / 90 == pytest.approx(policy["metrics"]["accuracy"]["value"])
    assert {m: v["value"] for m, v in policy["metrics"].items()} == pytest.approx(multiclass_metrics(labels, table))
    assert list(got["per_class"]) == ["0", "1", "2"]
    for k, row in enumerate(per_class_metrics(labels, table)):
        assert {m: v["value"] for m, v in got["per_class"][str(k)].items()} == pytest.approx(row)


def test_undefined_metrics_are_none():
    labels, table, patients = binary_case()
    only = labels == 1
    got = card(labels[only], table[only], patients[only], thresholds={"fixed": 0.5})
    assert got["policies"]["fixed"]["metrics"]["auroc"] == {"value": None, "low": None, "high": None}
    json.dumps(got, allow_nan=False)


def test_unusable_input():
    labels, table, patients = binary_case()
    with pytest.raises(DataError, match="thresholds: got none"):
        card(labels, table, patients, thresholds={})
    with pytest.raises(DataError, match="threshold: got nan"):
        card(labels, table, patients, thresholds={"fixed": float("nan")})
    with pytest.raises(DataError, match="C >= 2"):
        card(labels, table[:, 1], patients, thresholds={"fixed": 0.5})
    with pytest.raises(DataError, match="patients"):
        card(labels, table, patients[1:], thresholds={"fixed": 0.5})
