"""Averages and agreement are those of scikit-learn; intervals hold them; what does not apply is left out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score, f1_score, matthews_corrcoef, roc_auc_score

from xenograft.errors import XenograftError
from xenograft.evaluation.overall_card import overall_card

RNG = np.random.default_rng


def made(labels: Any, table: Any, **thresholds: Any) -> Any:
    cuts = thresholds or {"fixed": 0.5}
    return overall_card(labels, table, np.arange(len(labels)) // 2, thresholds=cuts, resamples=60, rng=RNG(0))


def test_several_classes_against_scikit_learn() -> None:
    labels = np.arange(120) % 3
    table = RNG(1).dirichlet(np.ones(3), 120) + 0.6 * np.eye(3)[labels]
    table /= table.sum(axis=1, keepdims=True)
    found = made(labels, table)["policies"]["argmax"]
    answer = table.argmax(axis=1)
    assert found["agreement"]["kappa"]["value"] == pytest.approx(cohen_kappa_score(labels, answer))
    assert found["agreement"]["matthews"]["value"] == pytest.approx(matthews_corrcoef(labels, answer))
    averages = found["averages"]
    assert averages["f1_weighted"]["value"] == pytest.approx(f1_score(labels, answer, average="weighted"))
    expected = roc_auc_score(labels, table, multi_class="ovr", average="weighted")
    assert averages["auroc_weighted"]["value"] == pytest.approx(expected)
    assert averages["auroc_ovo"]["value"] == pytest.approx(roc_auc_score(labels, table, multi_class="ovo"))
    for entry in (*averages.values(), *found["agreement"].values()):
        assert entry["low"] <= entry["value"] <= entry["high"]


def test_two_classes_have_agreement_alone_under_every_policy() -> None:
    labels = np.arange(80) % 2
    scores = np.clip(0.35 * labels + RNG(2).random(80) * 0.65, 0, 1)
    found = made(labels, np.stack([1 - scores, scores], axis=1), fixed=0.5, youden=0.4)["policies"]
    for name, cut in {"fixed": 0.5, "youden": 0.4}.items():
        assert found[name]["averages"] == {}
        assert found[name]["agreement"]["matthews"]["value"] == pytest.approx(matthews_corrcoef(labels, scores >= cut))


def test_findings_have_averages_alone() -> None:
    labels = RNG(4).integers(0, 2, (90, 3))
    table = np.clip(0.3 * labels + RNG(5).random((90, 3)) * 0.7, 0, 1)
    found = made(labels, table, fixed=0.5, youden=[0.4, 0.5, 0.6])["policies"]
    assert found["fixed"]["agreement"] == {}
    assert found["fixed"]["averages"]["auroc_micro"]["value"] == pytest.approx(
        roc_auc_score(labels, table, average="micro")
    )
    expected = f1_score(labels, table >= np.array([0.4, 0.5, 0.6]), average="macro")
    assert found["youden"]["averages"]["f1_macro"]["value"] == pytest.approx(expected)


def test_a_policy_that_does_not_fit_is_refused() -> None:
    labels, table = np.arange(20) % 2, np.full((20, 2), 0.5)
    with pytest.raises(XenograftError, match="E-DATA-05"):
        made(labels, table, youden=[0.4, 0.5])
    with pytest.raises(XenograftError, match="E-DATA-05"):
        overall_card(labels, table, np.arange(20), thresholds={}, rng=RNG(0))
