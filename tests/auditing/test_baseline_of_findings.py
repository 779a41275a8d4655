"""The classifier that sees no anatomy, for several findings: a fit for each, on the images where it is known."""

import numpy as np
import pytest

from xenograft.auditing.trivial import trivial_baseline
from xenograft.errors import DataError
from xenograft.study.baseline import baseline


def made(several_findings, *, unknown=()):
    """Edema can be read from the file size, mass not; every image its own patient."""
    rng = np.random.default_rng(0)
    values = (rng.random((400, 3)) < 0.4).astype(int)
    size = np.where(values[:, 1] == 1, 50_000, 30_000) + rng.integers(0, 15_000, 400)
    for k in unknown:
        values[::2, k] = -1
    split = np.array(["train", "train", "train", "val", "test"])[np.arange(400) % 5]
    columns = {"patient": [f"P{k}" for k in range(400)], "split": split.tolist(), "bytes": size}
    return several_findings(400, values=dict(enumerate(values.tolist())), **columns)


def sides(data):
    return np.flatnonzero(data.splits == "train"), np.flatnonzero(data.splits == "test")


def test_each_finding_has_a_probability_of_its_own(several_findings):
    data = made(several_findings)
    train, test = sides(data)
    found = trivial_baseline(data, train, test, resamples=20, seed=0)
    assert found["probabilities"].shape == (len(test), 3)
    assert found["auroc"]["edema"]["value"] > 0.95
    assert found["auroc"]["mass"]["value"] < 0.75
    assert abs(found["probabilities"].sum(axis=1) - 1).max() > 0.1  # findings do not exclude each other


def test_unknown_labels_are_neither_fitted_nor_judged(several_findings):
    data = made(several_findings, unknown=(1,))
    train, test = sides(data)
    found = trivial_baseline(data, train, test, resamples=20, seed=0)
    assert np.isfinite(found["probabilities"]).all()
    assert found["auroc"]["edema"]["value"] > 0.95
    card = baseline(data, resamples=50)["test"]
    assert card["known"]["1"]["n"] == (data.labels[test, 1] >= 0).sum()


def test_a_finding_that_train_knows_one_answer_to_has_that_answer(several_findings):
    data = made(several_findings)
    data.labels[data.splits == "train", 0] = 0
    data.labels[data.splits == "train", 2] = -1
    train, test = sides(data)
    found = trivial_baseline(data, train, test, resamples=20, seed=0)
    assert (found["probabilities"][:, 0] == 0).all()
    assert (found["probabilities"][:, 2] == 0.5).all()
    assert found["strength"]["mass"] is None
    with pytest.raises(DataError, match="got 0 images to fit on"):
        trivial_baseline(data, train[:0], test, resamples=20, seed=0)


def test_a_study_has_a_scorecard_of_it(several_findings):
    found = baseline(made(several_findings), resamples=50)
    card = found["test"]
    assert set(card["policies"]) == set(found["thresholds"])
    assert len(found["thresholds"]["youden"]) == 3
    per_class = card["policies"]["fixed"]["per_class"]
    assert per_class["1"]["auroc"]["value"] > 0.95
    values = [per_class[str(k)]["auroc"]["value"] for k in range(3)]
    assert card["policies"]["fixed"]["metrics"]["auroc"]["value"] == pytest.approx(np.mean(values))
