import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xenograft.errors import DataError
from xenograft.evaluation.margin import noninferiority

# The scenarios A to H of the figure in Piaggio et al. (2012), drawn for a margin of 0.05 and "more is better".
FIGURE = {
    "A": ((0.01, 0.04), "superior", False),
    "B": ((-0.02, 0.04), "non-inferior", False),
    "C": ((-0.04, 0.01), "non-inferior", False),
    "D": ((-0.04, -0.01), "non-inferior", True),
    "E": ((-0.08, 0.03), "inconclusive", False),
    "F": ((-0.07, 0.09), "inconclusive", False),
    "G": ((-0.08, -0.02), "inconclusive", True),
    "H": ((-0.12, -0.06), "inferior", True),
}


@pytest.mark.parametrize("name", FIGURE)
def test_scenarios_of_the_statement(name):
    (low, high), verdict, worse = FIGURE[name]
    got = noninferiority(low, high, margin=0.05)
    assert (got["verdict"], got["worse"]) == (verdict, worse)
    mirrored = noninferiority(-high, -low, margin=0.05, higher_is_better=False)
    assert mirrored == got


@pytest.mark.parametrize(("low", "high", "equivalent"), [
    (-0.04, 0.04, True), (-0.04, -0.01, True), (0.01, 0.04, True), (0.01, 0.06, False), (-0.06, 0.01, False),
    (-0.05, 0.01, False), (0.0, 0.05, False),
])  # fmt: skip
def test_equivalence_is_both_sides(low, high, equivalent):
    assert noninferiority(low, high, margin=0.05)["equivalent"] is equivalent


def test_touching_a_limit_is_not_passing_it():
    assert noninferiority(-0.05, 0.02, margin=0.05)["verdict"] == "inconclusive"
    assert noninferiority(-0.09, -0.05, margin=0.05)["verdict"] == "inconclusive"
    assert noninferiority(0.0, 0.02, margin=0.05)["verdict"] == "non-inferior"
    assert noninferiority(-0.02, 0.0, margin=0.05)["worse"] is False


def test_the_level_is_said_one_sided():
    assert noninferiority(0, 1, margin=0.1)["one_sided_level"] == pytest.approx(0.025)
    assert noninferiority(0, 1, margin=0.1, level=0.9)["one_sided_level"] == pytest.approx(0.05)


def test_an_undefined_interval_decides_nothing():
    for low, high in ((None, None), (0.1, None), (None, -0.5)):
        got = noninferiority(low, high, margin=0.05)
        assert (got["verdict"], got["equivalent"], got["worse"]) == ("inconclusive", False, False)
        assert json.loads(json.dumps(got)) == got


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0.001, 0.5), st.floats(0, 0.2))
def test_a_wider_interval_never_decides_more(low, width, margin, extra):
    narrow = noninferiority(low, low + width, margin=margin)
    wide = noninferiority(low - extra, low + width + extra, margin=margin)
    allowed = {
        "superior": {"superior", "non-inferior", "inconclusive"},
        "non-inferior": {"non-inferior", "inconclusive"},
        "inferior": {"inferior", "inconclusive"},
        "inconclusive": {"inconclusive"},
    }
    assert wide["verdict"] in allowed[narrow["verdict"]]
    assert wide["equivalent"] <= narrow["equivalent"]


@pytest.mark.parametrize(("low", "high", "options", "message"), [
    (0.1, 0.0, {}, "low and high"),
    (math.nan, 0.1, {}, "low and high"),
    (0.0, 0.1, {"margin": 0}, "margin"),
    (0.0, 0.1, {"margin": -0.05}, "margin"),
    (0.0, 0.1, {"margin": math.inf}, "margin"),
    (0.0, 0.1, {"level": 95}, "level"),
])  # fmt: skip
def test_unusable_input(low, high, options, message):
    with pytest.raises(DataError, match=message):
        noninferiority(low, high, **{"margin": 0.05} | options)
