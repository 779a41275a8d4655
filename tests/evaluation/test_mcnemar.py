import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import binomtest

from xenograft.errors import DataError
from xenograft.evaluation.mcnemar import exact_p, mcnemar

Z = 1.959963984540054


def arms(both, only_a, only_b, neither):
    """Correctness of two arms with these counts, in mixed order."""
    counts = [both, only_a, only_b, neither]
    order = np.random.default_rng(0).permutation(sum(counts))
    return np.repeat([1, 1, 0, 0], counts)[order], np.repeat([1, 0, 1, 0], counts)[order]


def test_counts_and_difference():
    a, b = arms(50, 12, 5, 33)
    got = mcnemar(a, b)
    assert (got["n"], got["b"], got["c"]) == (100, 12, 5)
    assert got["difference"] == pytest.approx(a.mean() - b.mean())
    assert got["low"] < got["difference"] < got["high"]
    assert mcnemar(a.astype(bool), b.astype(bool)) == got


@pytest.mark.parametrize(("b", "c"), [(0, 0), (0, 1), (1, 7), (6, 16), (5, 5), (40, 20), (300, 280), (3, 900)])
def test_exact_p_is_the_binomial_test(b, c):
    expected = binomtest(b, b + c).pvalue if b + c else 1
    assert exact_p(b, c) == exact_p(c, b) == pytest.approx(expected, rel=1e-9)


def test_published_p():
    """Airway reactivity (Bentur et al. 2009), the worked example of Fagerland et al. (2013)."""
    assert exact_p(1, 7) == pytest.approx(0.0703, abs=5e-5)
    assert exact_p(1, 7, mid_p=True) == pytest.approx(0.0391, abs=5e-5)


@pytest.mark.parametrize(("b", "c", "p"), [(12, 5, 0.143463134765625), (25, 9, 0.00904118549078703)])
def test_p_of_statsmodels(b, c, p):
    assert exact_p(b, c) == pytest.approx(p, rel=1e-12)  # mcnemar(table, exact=True), statsmodels 0.15.0


@given(b=st.integers(0, 40), c=st.integers(0, 40))
@settings(max_examples=100, deadline=None)
def test_mid_p_counts_half_of_the_observed_split(b, c):
    chance = [Fraction(math.comb(b + c, k), 2 ** (b + c)) for k in range(b + c + 1)]
    lower = sum(chance[: min(b, c)]) + chance[b] / 2
    assert exact_p(b, c, mid_p=True) == pytest.approx(float(min(2 * lower, 1 - chance[b] / 2) if b == c else 2 * lower)
                                                      if b + c else 1.0)  # fmt: skip
    assert 0 < exact_p(b, c, mid_p=True) <= exact_p(b, c) <= 1


def test_many_disagreements():
    normal = math.erfc(400 / math.sqrt(40_000) / math.sqrt(2))
    assert exact_p(20_200, 19_800) == pytest.approx(normal, rel=0.02)


def likelihood_interval(b, c, n):
    """Tango's interval with the constrained maximum found by search, not by its formula."""

    def score(difference):
        def minus_log_likelihood(share):
            cells = ((b, share + difference), (c, share), (n - b - c, 1 - 2 * share - difference))
            return -sum(k * math.log(max(p, 1e-300)) for k, p in cells if k)

        most, least = (1 - difference) / 2, max(0.0, -difference)
        share = minimize_scalar(
            minus_log_likelihood, bounds=(least, most), method="bounded", options={"xatol": 1e-13}
        ).x
        variance = (2 * share + difference - difference**2) / n
        return ((b - c) / n - difference) / math.sqrt(max(variance, 1e-18))

    at = (b - c) / n
    low = brentq(lambda d: score(d) - Z, -1 + 1e-9, at) if at > -1 else -1
    high = brentq(lambda d: score(d) + Z, at, 1 - 1e-9) if at < 1 else 1
    return low, high


@pytest.mark.parametrize(
    ("b", "c", "n"), [(1, 7, 21), (6, 16, 161), (40, 20, 160), (12, 5, 100), (3, 3, 10), (9, 1, 11)]
)
def test_interval_inverts_the_score_test(b, c, n):
    a, other = arms(n - b - c, b, c, 0)
    got = mcnemar(a, other)
    assert (got["low"], got["high"]) == pytest.approx(likelihood_interval(b, c, n), abs=2e-6)


@pytest.mark.parametrize(("b", "c", "n", "low", "high"), [(1, 7, 21, -0.517, -0.026), (7, 0, 14, 0.177034, 0.732008)])
def test_published_interval(b, c, n, low, high):
    """Airway reactivity again (Fagerland et al. 2014), and what scoreci.mp of the R package PropCIs gives."""
    got = mcnemar(*arms(n - b - c, b, c, 0))
    assert (round(got["low"], len(str(abs(low))) - 2), round(got["high"], len(str(abs(high))) - 2)) == (low, high)


def test_no_disagreement_still_has_width():
    got = mcnemar(*arms(30, 0, 0, 10))
    bound = Z**2 / (40 + Z**2)  # the score test's own solution without disagreement
    assert (got["difference"], got["p"]) == (0, 1)
    assert (got["low"], got["high"]) == pytest.approx((-bound, bound))


def test_disagreement_in_every_image():
    got = mcnemar(np.ones(12, dtype=int), np.zeros(12, dtype=int))
    assert (got["difference"], got["high"]) == (1, 1)
    assert got["low"] == pytest.approx((12 - Z**2) / (12 + Z**2))  # 2 * Wilson's limit of 12 in 12 minus 1
    assert got["p"] == 2 / 2**12


def test_only_disagreements_count():
    assert mcnemar(*arms(10, 8, 3, 79)) == mcnemar(*arms(79, 8, 3, 10))


@given(counts=st.tuples(*[st.integers(0, 25)] * 4).filter(any), level=st.sampled_from([0.8, 0.95, 0.999]))
@settings(max_examples=100, deadline=None)
def test_exchanged_arms(counts, level):
    both, only_a, only_b, neither = counts
    got = mcnemar(*arms(*counts), level=level)
    back = mcnemar(*arms(both, only_b, only_a, neither), level=level)
    assert (back["p"], back["difference"]) == (got["p"], -got["difference"])
    assert (back["low"], back["high"]) == (-got["high"], -got["low"])
    assert -1 <= got["low"] <= got["difference"] <= got["high"] <= 1
    assert got["high"] - got["low"] > 0.005


def test_coverage_and_level():
    rng = np.random.default_rng(4)
    cells = rng.multinomial(60, [0.7, 0.14, 0.06, 0.1], size=1500)
    null = rng.multinomial(60, [0.7, 0.1, 0.1, 0.1], size=1500)
    got = [mcnemar(*arms(*row)) for row in cells]
    assert 0.935 <= np.mean([g["low"] <= 0.08 <= g["high"] for g in got]) <= 0.97
    assert np.mean([exact_p(int(row[1]), int(row[2])) <= 0.05 for row in null]) <= 0.05
    assert 0.02 <= np.mean([exact_p(int(row[1]), int(row[2]), mid_p=True) <= 0.05 for row in null]) <= 0.06


@pytest.mark.parametrize(
    ("a", "b", "options", "message"),
    [
        ([0, 1], [0, 1, 1], {}, "correct_b: got shape"),
        ([0, 2], [0, 1], {}, "correct_a"),
        ([0, 1], [0.0, 1.0], {}, "correct_b: got type"),
        ([], [], {}, "correct_a"),
        ([0, 1], [1, 1], {"level": 1}, "level"),
    ],
)
def test_unusable_input(a, b, options, message):
    with pytest.raises(DataError, match=message):
        mcnemar(np.array(a), np.array(b), **options)
    with pytest.raises(DataError, match="counts"):
        exact_p(-1, 3)
