"""The measures of pairs of sets, against brute force and against what they must be for sets made for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import cdist, pdist
from scipy.stats import t

from xenograft.errors import DataError
from xenograft.similarity.cka import linear_cka
from xenograft.similarity.frechet import frechet
from xenograft.study import similarity_measures
from xenograft.study.similarity_measures import MEASURES, PAIRS, Ruler

COUNT, WIDTH = 60, 6


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similarity_measures, "HALVES", 6)
    monkeypatch.setattr(similarity_measures, "PROBED", 4)
    monkeypatch.setattr(similarity_measures, "HALVINGS", 60)


def made(shift: float, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    natural, medical, noise = rng.normal(size=(3, COUNT, WIDTH)) + 5
    return {"natural": natural, "medical": medical + shift, "noise": noise * 0.1}


def ruler(**changes: Any) -> Ruler:
    groups = {"natural": np.arange(COUNT), "medical": 100 + np.arange(COUNT) // 2, "noise": 200 + np.arange(COUNT)}
    return Ruler({**groups, **changes}, resamples=100, seed=0)


def test_two_sets_are_measured_as_by_brute_force() -> None:
    sets = made(1.0)
    found = ruler().measure(sets)
    between = cdist(sets["natural"], sets["medical"]).mean()
    within = (pdist(sets["natural"]).mean() + pdist(sets["medical"]).mean()) / 2
    assert found["distance"]["natural_medical"]["value"] == pytest.approx(between)
    assert found["ratio"]["natural_medical"]["value"] == pytest.approx(between / within)
    cosine = cdist(sets["natural"], sets["medical"], "cosine").mean() * 2
    cosine /= pdist(sets["natural"], "cosine").mean() + pdist(sets["medical"], "cosine").mean()
    assert found["cosine_ratio"]["natural_medical"]["value"] == pytest.approx(cosine)


def test_halves_are_disjoint_in_patients_and_of_one_size() -> None:
    made_ruler = ruler()
    for name, halvings in made_ruler._halvings.items():
        keys = made_ruler.groups[name]
        assert len(halvings) == 60
        for halving in halvings:
            assert not set(keys[halving.left]) & set(keys[halving.right])
            assert len(halving.left) == len(halving.right) == COUNT // 2


def test_a_set_against_itself_is_the_mean_over_its_halvings() -> None:
    sets, mine = made(1.0), ruler()
    found = mine.measure(sets)
    halvings, medical = mine._halvings["medical"], sets["medical"]
    values = [cdist(medical[h.left], medical[h.right]).mean() for h in halvings]
    assert found["distance"]["medical_medical"]["value"] == pytest.approx(np.mean(values))
    assert found["distance"]["medical_medical"]["low"] == pytest.approx(np.percentile(values, 2.5), rel=1e-3)
    distances = [frechet(medical[h.left], medical[h.right]) for h in halvings[:6]]
    assert found["frechet"]["medical_medical"]["value"] == pytest.approx(np.mean(distances))


def test_values_that_depend_on_size_are_taken_at_the_yardsticks_size() -> None:
    sets, mine = made(1.0), ruler()
    entry = mine.measure(sets)["frechet"]["natural_medical"]
    pairs = zip(mine._halvings["natural"][:6], mine._halvings["medical"][:6], strict=True)
    values = [frechet(sets["natural"][h.left], sets["medical"][k.right]) for h, k in pairs]
    assert entry["value"] == pytest.approx(np.mean(values))
    assert entry["high"] - entry["value"] == pytest.approx(
        t.ppf(0.975, 5) * np.std(values, ddof=1) * (1 + 1 / 6) ** 0.5  # halves of patients, and their drawing
    )
    assert entry["value"] > frechet(sets["natural"], sets["medical"])


def test_sets_of_one_distribution_look_like_halves_and_distant_ones_do_not() -> None:
    near, far = ruler().measure(made(0.0)), ruler().measure(made(3.0))
    assert near["ratio"]["natural_medical"]["value"] == pytest.approx(1, abs=0.02)
    assert near["two_sample_auroc"]["natural_medical"]["value"] < 0.65
    assert near["neighbour_overlap"]["natural_medical"]["value"] > 0.7
    assert far["ratio"]["natural_medical"]["value"] > 1.5
    assert far["two_sample_auroc"]["natural_medical"]["value"] > 0.99
    assert far["neighbour_overlap"]["natural_medical"]["value"] < 0.05
    assert far["kid"]["natural_medical"]["low"] > far["kid"]["natural_natural"]["high"]


def test_a_narrow_set_inside_of_a_wide_one_is_no_overlap() -> None:
    sets = made(0.0)
    sets["medical"] = sets["natural"].mean(axis=0) + (sets["medical"] - 5) * 0.01
    assert ruler().measure(sets)["neighbour_overlap"]["natural_medical"]["value"] < 0.1


def test_what_these_features_do_not_allow_is_said_and_the_rest_is_measured() -> None:
    sets = made(1.0)
    sets["noise"] = np.zeros((COUNT, WIDTH))
    found = ruler().measure(sets)
    assert set(found) == set(MEASURES)
    assert all(set(pairs) == set(PAIRS) for pairs in found.values())
    assert "rows of zeros" in found["cosine_ratio"]["medical_noise"]["why"]
    assert found["cosine_ratio"]["natural_medical"]["value"] > 1
    constant = ruler().measure({name: np.ones((COUNT, WIDTH)) for name in sets})
    assert constant["ratio"]["natural_medical"]["value"] is None
    assert "do not vary" in constant["ratio"]["natural_medical"]["why"]


def test_a_change_is_paired_by_its_resamples() -> None:
    before, mine = made(2.0), ruler()
    after = {**before, "medical": before["medical"] - 1.0}
    found = mine.change(before, after)
    assert list(found) == list(MEASURES)
    first, last = (mine.measure(sets)["ratio"]["natural_medical"] for sets in (before, after))
    entry = found["ratio"]
    assert entry["before"] == pytest.approx(first["value"])
    assert entry["after"] == pytest.approx(last["value"])
    assert entry["difference"]["value"] == pytest.approx(last["value"] - first["value"])
    assert entry["difference"]["high"] < 0
    width = entry["difference"]["high"] - entry["difference"]["low"]
    assert width < (first["high"] - first["low"]) + (last["high"] - last["low"])
    same = mine.change(before, before)
    assert all(value["difference"]["value"] == 0 == value["difference"]["high"] for value in same.values())


def test_a_change_that_cannot_be_measured_says_why() -> None:
    before, mine = made(1.0), ruler()
    after = {**before, "medical": np.zeros((COUNT, WIDTH))}
    found = mine.change(before, after)["cosine_ratio"]
    assert found["before"] is None
    assert "rows of zeros" in found["difference"]["why"]


def test_alignment_and_dimensions() -> None:
    sets, mine = made(0.0), ruler()
    natural = sets["natural"]
    rotated = natural @ np.linalg.qr(np.random.default_rng(1).normal(size=(WIDTH, WIDTH)))[0]
    assert mine.alignment(natural, rotated, "natural")["value"] == pytest.approx(1)
    other = mine.alignment(natural, sets["medical"], "natural")
    assert other["value"] == pytest.approx(linear_cka(natural, sets["medical"], debiased=True))
    assert other["low"] < other["value"] < other["high"]
    facts = mine.dimensions(natural, "natural")
    assert 3 < facts["intrinsic_dimension"]["value"] < 9
    assert 4 < facts["effective_rank"]["value"] <= WIDTH


def test_the_same_seed_gives_the_same_numbers() -> None:
    sets = made(1.0)
    assert ruler().measure(sets) == ruler().measure(sets)


def test_too_few_patients_cannot_be_halved() -> None:
    with pytest.raises(DataError, match="whole ones"):
        ruler(medical=np.zeros(COUNT, dtype=np.int64))


def test_unequal_sets_have_the_standard_error_of_new_samples() -> None:
    """Halves of the smaller set's size, drawn from all of a larger one, would claim twice of it."""
    rng, values, widths = np.random.default_rng(3), [], []
    for seed in range(40):
        natural, medical = rng.normal(size=(400, 4)), rng.normal(size=(400, 4))[:40] * 0.01
        mine = Ruler({"natural": np.arange(400), "medical": np.arange(40) + 400}, resamples=20, seed=seed)
        entry = mine._mean_over_halves(lambda a, *_: float(a.mean()), {"natural": natural, "medical": medical},
                                       ("natural", "medical"))  # fmt: skip
        values.append(entry["value"])
        widths.append((entry["high"] - entry["value"]) / t.ppf(0.975, 5))
        assert all(len(h.left) == len(h.right) == 20 for h in mine._paired["natural"])
        assert len({row for h in mine._paired["natural"] for row in (*h.left, *h.right)}) == 40
    assert np.sqrt(np.mean(np.square(widths))) == pytest.approx(np.std(values), rel=0.35)


def test_a_patient_that_fits_no_half_is_passed_over() -> None:
    groups = np.concatenate([np.zeros(40, dtype=np.int64), np.arange(1, 21)])
    for halving in ruler(medical=groups)._halvings["medical"]:
        assert sorted([*halving.left, *halving.right]) == list(range(40, 60))
        assert len(halving.left) == len(halving.right) == 10
