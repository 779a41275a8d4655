import json

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from xenograft.errors import DataError
from xenograft.evaluation.net_benefit import CURVES, GRID, decision_curve, net_benefit, paired_net_benefit
from xenograft.evaluation.uncertainty import cluster_weights, percentile_interval


def sample(seed, n=150):
    """Calibrated probabilities, rounded so that many lie on the grid; two or more images of some patients."""
    rng = np.random.default_rng(seed)
    scores = np.round(rng.beta(1, 2, n), 2)
    labels = (rng.random(n) < scores).astype(int)
    return labels, scores, rng.integers(0, 2 * n // 3, n)


def rng():
    return np.random.default_rng(4)


@pytest.mark.parametrize("seed", range(4))
def test_against_a_loop_over_the_grid(seed):
    labels, scores, _ = sample(seed)
    got = net_benefit(labels, scores)
    assert tuple(got) == CURVES
    n = labels.size
    for k, p in enumerate(GRID):
        tn, fp, fn, tp = confusion_matrix(labels, scores >= p, labels=[0, 1]).ravel()
        model = tp / n - fp / n * p / (1 - p)
        everybody = (tp + fn) / n - (tn + fp) / n * p / (1 - p)
        assert got["model"][k] == pytest.approx(model)
        assert got["all"][k] == pytest.approx(everybody)
        assert got["none"][k] == 0
        assert got["model_over_default"][k] == pytest.approx(model - max(everybody, 0))
        assert got["avoided_per_100"][k] == pytest.approx(100 * (tn / n - fn / n * (1 - p) / p))


@pytest.mark.parametrize("prevalence", [0.02, 0.6])
def test_stated_prevalence_as_in_dcurves(prevalence):
    """dcurves: tp_rate = share of cases called * prevalence, and the net benefit of these rates."""
    labels, scores, _ = sample(1)
    p = np.array(GRID)
    called = scores[:, None] >= p
    tp_rate = called[labels == 1].mean(axis=0) * prevalence
    fp_rate = called[labels == 0].mean(axis=0) * (1 - prevalence)
    got = net_benefit(labels, scores, prevalence=prevalence)
    assert got["model"] == pytest.approx(tp_rate - p / (1 - p) * fp_rate)
    assert got["all"] == pytest.approx(prevalence - p / (1 - p) * (1 - prevalence))
    assert got["avoided_per_100"] == pytest.approx(100 * (got["model"] - got["all"]) / (p / (1 - p)))


@pytest.mark.parametrize(
    ("prevalence", "model", "everybody", "avoided"),
    [
        (
            None,
            [0.3903509, 0.3703704, 0.2261905, 0.1666667, -0.0277778],
            [0.3859649, 0.3518519, 0.1666667, -0.1666667, -0.9444444],
            [8.3333, 16.6667, 13.8889, 33.3333, 39.2857],
        ),
        (
            0.2,
            [0.1639098, 0.1365079, 0.0130612, 0.0057143, -0.1866667],
            [0.1578947, 0.1111111, -0.1428571, -0.6, -1.6666667],
            [11.4286, 22.8571, 36.3810, 60.5714, 63.4286],
        ),
    ],
)
def test_against_what_dcurves_prints(prevalence, model, everybody, avoided):
    """Output of the Python package dcurves 1.1.7; it counts the avoided treatments per person."""
    labels = np.array([0, 0, 0, 0, 1, 0, 1, 0, 1, 1, 0, 1])
    scores = np.array([0.02, 0.05, 0.1, 0.1, 0.1, 0.3, 0.3, 0.45, 0.5, 0.7, 0.7, 0.95])
    got = net_benefit(labels, scores, grid=[0.05, 0.1, 0.3, 0.5, 0.7], prevalence=prevalence)
    assert got["model"] == pytest.approx(model, abs=5e-8)
    assert got["all"] == pytest.approx(everybody, abs=5e-8)
    assert got["avoided_per_100"] == pytest.approx(avoided, abs=1e-4)


def test_the_prevalence_of_the_images_is_the_default():
    labels, scores, _ = sample(2)
    given, stated = net_benefit(labels, scores), net_benefit(labels, scores, prevalence=labels.mean())
    for name in CURVES:
        assert stated[name] == pytest.approx(given[name])


def test_vickers_example_of_equal_regard():
    """At p = 0.5 a needless treatment weighs as much as a found case; at 0.1 nine weigh as much as one."""
    labels = np.repeat([1, 1, 0, 0], [30, 10, 20, 40])
    scores = np.repeat([0.9, 0.05, 0.6, 0.01], [30, 10, 20, 40])
    got = net_benefit(labels, scores, grid=[0.1, 0.5])
    assert got["model"] == pytest.approx([0.30 - 0.20 / 9, 0.30 - 0.20])
    assert got["all"] == pytest.approx([0.40 - 0.60 / 9, 0.40 - 0.60])
    assert got["model_over_default"] == pytest.approx([got["model"][0] - got["all"][0], 0.1])
    assert got["avoided_per_100"] == pytest.approx([40 - 10 * 9, 40 - 10])


def test_ends_of_the_grid():
    labels, scores = np.array([0, 1, 0, 1, 1]), np.array([0.0, 0.2, 0.4, 1.0, 1.0])
    got = net_benefit(labels, scores, grid=[0.0, 1 - 1e-9])
    assert got["model"][0] == got["all"][0] == 0.6  # everybody is treated, at no cost
    assert np.isnan(got["avoided_per_100"][0])
    assert got["model"][1] == pytest.approx(0.4)  # only the certain ones, both of them cases
    assert got["all"][1] < -1e8
    assert got["model_over_default"][1] == pytest.approx(0.4)
    nobody = net_benefit(labels, np.minimum(scores, 0.9), grid=[0.95])
    assert nobody["model"][0] == nobody["none"][0] == 0
    for bad in ([1.0], [0.5, -0.1], [np.nan], [], [[0.5]]):
        with pytest.raises(DataError, match="grid"):
            net_benefit(labels, scores, grid=bad)


def test_a_score_at_the_threshold_is_treated():
    assert net_benefit(np.array([1, 0]), np.array([0.3, 0.1]), grid=[0.3])["model"] == [0.5]


def test_perfect_and_useless_models():
    labels = np.repeat([0, 1], [30, 10])
    perfect = net_benefit(labels, labels.astype(float))
    assert perfect["model"] == pytest.approx(0.25)
    assert perfect["avoided_per_100"] == pytest.approx(75)
    useless = net_benefit(labels, np.full(40, 0.25))
    assert useless["model_over_default"] == pytest.approx(0, abs=1e-15)


def test_weights_are_copies():
    labels, scores, patients = sample(3)
    weights = cluster_weights(labels, patients, resamples=5, rng=rng())
    for prevalence in (None, 0.1):
        got = net_benefit(labels, scores, weights=weights, prevalence=prevalence)
        assert got["model"].shape == (5, len(GRID))
        for k, w in enumerate(weights.astype(int)):
            copied = net_benefit(np.repeat(labels, w), np.repeat(scores, w), prevalence=prevalence)
            one = net_benefit(labels, scores, weights=w, prevalence=prevalence)
            for name in CURVES:
                assert got[name][k] == pytest.approx(copied[name], abs=1e-12)
                assert one[name] == pytest.approx(copied[name], abs=1e-12)


def test_one_class_alone():
    scores = np.array([0.2, 0.8])
    assert net_benefit(np.array([1, 1]), scores, grid=[0.5])["model"] == [0.5]
    assert np.isnan(net_benefit(np.array([1, 1]), scores, grid=[0.5], prevalence=0.1)["model"]).all()


@pytest.mark.parametrize("prevalence", [None, 0.05])
def test_bands_against_a_loop(prevalence):
    labels, scores, patients = sample(5)
    grid = [0.0, 0.1, 0.35]
    got = decision_curve(labels, scores, patients, grid=grid, prevalence=prevalence, resamples=80, rng=rng(), level=0.8)
    drawn = [
        net_benefit(np.repeat(labels, w), np.repeat(scores, w), grid=grid, prevalence=prevalence)
        for w in cluster_weights(labels, patients, resamples=80, rng=rng()).astype(int)
    ]
    whole = net_benefit(labels, scores, grid=grid, prevalence=prevalence)
    for name in CURVES:
        for k in range(3):
            if name == "avoided_per_100" and k == 0:
                assert got[name]["value"][k] is got[name]["low"][k] is None
                continue
            limits = percentile_interval(np.array([d[name][k] for d in drawn]), 0.8)
            assert got[name]["value"][k] == pytest.approx(whole[name][k])
            assert (got[name]["low"][k], got[name]["high"][k]) == pytest.approx(limits, abs=1e-12)
    assert got["model"]["low"][1] < got["model"]["value"][1] < got["model"]["high"][1]
    assert (got["grid"], got["prevalence"], got["resamples"], got["level"]) == (grid, prevalence, 80, 0.8)
    json.dumps(got, allow_nan=False)


def test_copies_of_images_do_not_narrow_the_bands():
    labels, scores, _ = sample(6)
    single = decision_curve(labels, scores, np.arange(150), grid=[0.2], resamples=100, rng=rng())["model"]
    copied = [np.repeat(a, 3) for a in (labels, scores, np.arange(150))]
    again = decision_curve(*copied, grid=[0.2], resamples=100, rng=rng())["model"]
    for name in ("value", "low", "high"):
        assert again[name] == pytest.approx(single[name])


def test_paired_difference():
    labels, a, patients = sample(7, n=300)
    b = np.clip(a + 0.05, 0, 1)
    worse = np.random.default_rng(1).permutation(a)
    grid = [0.1, 0.3, 0.6]
    got = paired_net_benefit(labels, a, worse, patients, grid=grid, resamples=200, rng=rng())
    expected = net_benefit(labels, a, grid=grid)["model"] - net_benefit(labels, worse, grid=grid)["model"]
    assert got["difference"] == pytest.approx(expected)
    assert got["low"][1] > 0
    back = paired_net_benefit(labels, worse, a, patients, grid=grid, resamples=200, rng=rng())
    assert back["difference"] == pytest.approx(-np.array(got["difference"]))
    assert back["low"] == pytest.approx(-np.array(got["high"]))
    same = paired_net_benefit(labels, a, a, patients, grid=grid, resamples=50, rng=rng())
    assert same["low"] == same["difference"] == same["high"] == [0, 0, 0]
    near = paired_net_benefit(labels, a, b, patients, grid=grid, resamples=200, rng=rng())
    alone = decision_curve(labels, a, patients, grid=grid, resamples=200, rng=rng())["model"]
    assert near["high"][1] - near["low"][1] < 0.7 * (alone["high"][1] - alone["low"][1])
    json.dumps(got, allow_nan=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prevalence": 0}, "prevalence: got 0"),
        ({"prevalence": 1.0}, "prevalence: got 1.0"),
        ({"scores": np.full(150, 1.2)}, "scores"),
        ({"weights": np.ones(3)}, "weights"),
        ({"labels": np.full(150, 2)}, "labels"),
    ],
)
def test_unusable_input(change, message):
    labels, scores, _ = sample(0)
    with pytest.raises(DataError, match=message) as caught:
        net_benefit(**{"labels": labels, "scores": scores} | change)
    assert caught.value.code == "E-DATA-05"


def test_the_faulty_model_is_named():
    labels, scores, patients = sample(0)
    with pytest.raises(DataError, match="scores_b"):
        paired_net_benefit(labels, scores, scores[:-1], patients, rng=rng())


@pytest.mark.nightly
def test_coverage_with_several_images_a_patient():
    """Net benefit at 0.3 of 120 patients, half of them ill, with three like images each, over 400 sets."""
    generator = np.random.default_rng(12)

    def draw(patients):
        labels = np.repeat(np.arange(patients) % 2, 3)
        shared = np.repeat(generator.normal(size=patients), 3)
        z = 1.5 * (labels - 0.5) + shared + 0.4 * generator.normal(size=3 * patients)
        return labels, 1 / (1 + np.exp(-z)), np.arange(3 * patients) // 3

    labels, scores, _ = draw(300_000)
    truth = net_benefit(labels, scores, grid=[0.3])["model"][0]
    covered = np.zeros(2, dtype=int)
    for _ in range(400):
        labels, scores, patients = draw(120)
        for k, groups in enumerate((patients, np.arange(360))):
            band = decision_curve(labels, scores, groups, grid=[0.3], resamples=400, rng=generator)["model"]
            covered[k] += band["low"][0] <= truth <= band["high"][0]
    by_patient, by_image = covered / 400
    assert 0.92 <= by_patient <= 0.98
    assert by_image < by_patient - 0.05
