"""What a learning curve shows: on simulated curves whose law is known, and for curves too short to say anything."""

from __future__ import annotations

import json

import numpy as np
import pytest

from xenograft.evaluation.learning_facts import (
    Curve,
    catch_up_facts,
    law_facts,
    point_facts,
    refitted,
    target_facts,
)

SIZES = np.array([25.0, 50, 100, 200, 400, 800])


def curve(
    *, floor: float = 0.02, scale: float = 1.0, noise: float = 0.004, test: float = 0.01, seed: int = 0,
    sizes: np.ndarray = SIZES,
) -> Curve:  # fmt: skip
    """AUROC 1 - floor - scale / sqrt(n), with noise over repeats, and a test set that moves every point alike."""
    rng, patients = np.random.default_rng(seed), np.random.default_rng(77)
    truth = 1 - floor - scale * sizes**-0.5
    shift = patients.normal(size=300) * test
    values = [truth[k] + rng.normal(size=4) * noise for k in range(sizes.size)]
    return Curve(sizes, values, [v[:, None] + shift for v in values])


def refits(of: Curve) -> object:
    return refitted(of, refits=200, rng=np.random.default_rng(1))


def test_a_point_keeps_the_two_kinds_of_variation_apart() -> None:
    values = np.array([0.8, 0.82, 0.84])
    facts = point_facts(values, values[:, None] + np.linspace(-0.1, 0.1, 1001))
    assert facts["value"] == pytest.approx(0.82)
    assert (facts["low"], facts["high"]) == pytest.approx((0.82 - 0.095, 0.82 + 0.095))
    assert facts["sd"] == pytest.approx(0.02)
    assert point_facts(values[:1], np.full((1, 50), 0.8))["sd"] is None


def test_refits_bear_both_kinds_of_variation() -> None:
    still = refits(curve(noise=0.0, test=0.0)).means  # type: ignore[attr-defined]
    assert still.std(axis=0).max() < 1e-12
    by_repeats = refits(curve(noise=0.01, test=0.0)).means.std(axis=0)  # type: ignore[attr-defined]
    assert by_repeats == pytest.approx(0.005, rel=0.8)  # 0.01 / sqrt(4), from four values
    both = refits(curve(noise=0.01, test=0.02)).means.std(axis=0)  # type: ignore[attr-defined]
    assert (both > 0.017).all()


def test_curves_that_are_drawn_alike_can_be_compared() -> None:
    a, b = curve(test=0.05), curve(scale=2.0, test=0.05)
    difference = refits(a).means - refits(b).means  # type: ignore[attr-defined]
    assert difference.std(axis=0).max() < 0.01  # the test set moves both by the same 0.05


def test_the_law_and_what_follows_from_it_hold_the_truth() -> None:
    hits = 0
    for seed in range(40):
        made = curve(seed=seed, test=0.0)
        facts = law_facts(made, refitted(made, refits=50, rng=np.random.default_rng(1)))
        truth = 1.0 * (800**-0.5 - 1600**-0.5)
        hits += facts["doubling"]["low"] <= truth <= facts["doubling"]["high"]
        assert facts["doubling"]["predicted"] == pytest.approx(1 - 0.02 - 1600**-0.5, abs=0.02)
        assert facts["drawn"]["sizes"][-1] == pytest.approx(3200)
    assert hits >= 26  # four repeats are few to draw from: nominal 95 % holds less, never nothing
    assert facts["checked"]["size"] == 800
    assert facts["checked"]["predicted"] == pytest.approx(facts["checked"]["measured"], abs=0.02)
    json.dumps(facts, allow_nan=False)


def test_patients_to_a_target() -> None:
    made = curve(test=0.005)
    inside = target_facts(made, refits(made), 0.9)
    assert inside["status"] == "within"
    assert inside["low"] < 1 / 0.08**2 < inside["high"]
    beyond = target_facts(made, refits(made), 0.9575)
    assert beyond["status"] == "beyond"
    assert target_facts(made, refits(made), 0.999)["value"] is None
    assert target_facts(made, refits(made), 0.7)["status"] == "smallest"


def test_scratch_needs_about_four_times_the_patients_where_its_errors_are_twice_as_large() -> None:
    ahead, behind = curve(floor=0.0, test=0.02), curve(floor=0.0, scale=2.0, test=0.02, seed=4)
    rows = catch_up_facts(behind, refits(behind), ahead, refits(ahead))
    assert [row["size"] for row in rows] == SIZES.tolist()
    for row in rows[:4]:
        assert row["status"] == "within"
        assert row["value"] == pytest.approx(4 * row["size"], rel=0.25)
    for row in rows[:3]:  # of the next one, some resamples end where the data do
        assert row["low"] < 4 * row["size"] < row["high"]
    assert rows[5]["status"] in {"beyond", "too_far", "never"}


def test_three_sizes_give_no_law_and_say_so() -> None:
    made = curve(sizes=SIZES[:3])
    found = refits(made)
    assert law_facts(made, found) is None
    assert target_facts(made, found, 0.99)["status"] == "unknown"


def test_resamples_without_an_answer_are_left_out() -> None:
    made = curve()
    holed = Curve(made.sizes, made.values, [np.where(np.arange(300) % 3 == 0, np.nan, d) for d in made.drawn])
    found = refitted(holed, refits=300, rng=np.random.default_rng(0))
    assert len(found.means) == 200
    nothing = Curve(made.sizes, made.values, [np.full_like(d, np.nan) for d in made.drawn])
    empty = refitted(nothing, refits=300, rng=np.random.default_rng(0))
    facts = law_facts(nothing, empty)
    assert facts is not None
    assert facts["exponent"]["low"] is None
    assert target_facts(nothing, empty, 0.9)["low"] is None
