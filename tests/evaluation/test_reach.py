"""How many patients reach a target: every way of knowing it, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from xenograft.evaluation.power_law import PowerLaw
from xenograft.evaluation.reach import Reach, reach, reach_interval

SIZES = np.array([10.0, 100.0, 1000.0])


def law(floor: float, scale: float = 0.5, exponent: float = 0.5) -> PowerLaw:
    return PowerLaw(floor, scale, exponent, 0.0)


def test_between_two_sizes_the_logarithm_is_interpolated() -> None:
    found = reach(SIZES, np.array([0.7, 0.8, 0.9]), 0.85, None)
    assert found.status == "within"
    assert found.size == pytest.approx(100 * math.sqrt(10))


def test_a_curve_that_dips_counts_from_its_last_crossing() -> None:
    found = reach(SIZES, np.array([0.9, 0.8, 0.9]), 0.85, None)
    assert found.size == pytest.approx(100 * math.sqrt(10))
    assert reach(SIZES, np.array([0.7, 0.9, 0.8]), 0.85, None) == Reach("unknown", math.inf)


def test_a_target_met_by_the_smallest_size() -> None:
    assert reach(SIZES, np.array([0.85, 0.9, 0.95]), 0.85, None) == Reach("smallest", 10.0)


def test_a_target_met_exactly_at_a_size() -> None:
    assert reach(SIZES, np.array([0.7, 0.8, 0.9]), 0.8, None).size == pytest.approx(100)


def test_beyond_the_data_the_law_answers_up_to_four_times_the_largest_size() -> None:
    values = np.array([0.7, 0.8, 0.9])
    near = law(0.0, scale=0.1 * math.sqrt(2000), exponent=0.5)  # error 0.1 at 2,000
    assert reach(SIZES, values, 0.9 + 1e-12, near).status == "beyond"
    assert reach(SIZES, values, 0.9 + 1e-12, near).size == pytest.approx(2000)
    far = law(0.0, scale=0.1 * math.sqrt(4001), exponent=0.5)
    assert reach(SIZES, values, 0.9 + 1e-12, far) == Reach("too_far", math.inf)
    assert reach(SIZES, values, 0.95, law(0.06)) == Reach("never", math.inf)
    optimist = law(0.0, scale=0.01)  # says 0.95 was reached long ago, which was seen to be wrong
    assert reach(SIZES, values, 0.95, optimist) == Reach("beyond", 1000.0)


def test_an_interval_has_no_end_where_resamples_never_arrive() -> None:
    drawn = [Reach("within", float(n)) for n in range(1, 91)] + [Reach("never", math.inf)] * 10
    found = reach_interval(Reach("within", 50.0), drawn)
    assert found == {"status": "within", "value": 50.0, "low": 3.0, "high": None, "reached": 0.9}
    whole = reach_interval(Reach("within", 50.0), [Reach("within", float(n)) for n in range(1, 1001)])
    assert (whole["low"], whole["high"]) == pytest.approx((25, 975), abs=1.5)
    assert reach_interval(Reach("never", math.inf), drawn)["value"] is None
    assert reach_interval(Reach("smallest", 5.0), [])["low"] is None
