import json
import math
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xenograft.errors import DataError
from xenograft.evaluation.multiplicity import holm

P = st.floats(0, 1)


def closed(p_values, name):
    """Closed testing with Bonferroni: the worst p of every set of hypotheses that holds `name` (Marcus et al. 1976)."""
    others = [k for k in p_values if k != name]
    families = [(name, *rest) for size in range(len(p_values)) for rest in combinations(others, size)]
    return max(min(1.0, len(family) * min(p_values[k] for k in family)) for family in families)


@given(st.lists(P, min_size=1, max_size=7))
@settings(max_examples=60, deadline=None)
def test_holm_is_closed_bonferroni(values):
    p_values = {str(i): p for i, p in enumerate(values)}
    got = holm(p_values)
    assert got["comparisons"] == len(values)
    for name in p_values:
        assert got["adjusted"][name] == pytest.approx(closed(p_values, name), abs=1e-15)


@given(st.lists(P, min_size=1, max_size=12))
def test_order_is_kept_and_nothing_gets_smaller(values):
    p_values = {str(i): p for i, p in enumerate(values)}
    adjusted = holm(p_values)["adjusted"]
    assert list(adjusted) == list(p_values)
    assert all(p <= adjusted[name] <= 1 for name, p in p_values.items())
    ranked = sorted(p_values, key=lambda name: p_values[name])
    assert [adjusted[name] for name in ranked] == sorted(adjusted.values())


def test_values_of_statsmodels():
    got = holm({"a": 0.012, "b": 0.21, "c": 0.001, "d": 0.5, "e": 0.02, "f": 0.004})["adjusted"]
    expected = {"a": 0.048, "b": 0.42, "c": 0.006, "d": 0.5, "e": 0.06, "f": 0.02}  # multipletests(method="holm")
    assert got == pytest.approx(expected, rel=1e-12)


def test_undefined_tests_are_left_out_and_counted():
    got = holm({"a": 0.01, "b": None, "c": 0.04, "d": 0.03})
    assert got["adjusted"] == {"a": pytest.approx(0.03), "b": None, "c": pytest.approx(0.06), "d": pytest.approx(0.06)}
    assert (got["comparisons"], got["left_out"]) == (3, 1)
    assert json.loads(json.dumps(got)) == got


def test_edges():
    assert holm({}) == {"adjusted": {}, "comparisons": 0, "left_out": 0}
    assert holm({"a": None}) == {"adjusted": {"a": None}, "comparisons": 0, "left_out": 1}
    assert holm({"a": 0.2})["adjusted"] == {"a": 0.2}
    assert holm({"a": 0, "b": 1})["adjusted"] == {"a": 0, "b": 1}
    assert holm({"a": 0.02, "b": 0.02})["adjusted"] == {"a": 0.04, "b": 0.04}


@pytest.mark.parametrize("p", [-0.1, 1.1, math.nan])
def test_unusable_p(p):
    with pytest.raises(DataError, match="p of 'x'"):
        holm({"a": 0.5, "x": p})
