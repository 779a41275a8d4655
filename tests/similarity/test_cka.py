"""CKA against the definition with explicit centring matrices, Song's formula term by term, and worked cases."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist, pdist
from scipy.stats import ortho_group

from xenograft.errors import DataError
from xenograft.similarity.cka import linear_cka, minibatch_cka, rbf_cka

SEEDS = st.integers(0, 2**32 - 1)
FORMS = {
    "linear": linear_cka,
    "debiased": lambda a, b: linear_cka(a, b, debiased=True),
    "rbf": rbf_cka,
    "rbf debiased": lambda a, b: rbf_cka(a, b, debiased=True),
}


def related(rng, rows=24, widths=(5, 9), noise=1.0):
    """Two representations that share three directions."""
    shared = rng.normal(size=(rows, 3))
    return tuple(
        shared @ rng.normal(size=(3, width)) + noise * rng.normal(size=(rows, width)) + rng.normal() for width in widths
    )


def plain(k, m):
    """Gretton's HSIC with the centring matrix written out."""
    n = len(k)
    h = np.eye(n) - 1 / n
    return np.trace(k @ h @ m @ h)


def unbiased(k, m):
    """HSIC_1 of Song et al. (2012), term by term."""
    n = len(k)
    k, m, one = k - np.diag(np.diag(k)), m - np.diag(np.diag(m)), np.ones(n)
    terms = np.trace(k @ m) + one @ k @ one * (one @ m @ one) / ((n - 1) * (n - 2)) - 2 / (n - 2) * (one @ k @ m @ one)
    return terms / (n * (n - 3))


def quotient(hsic, k, m):
    return hsic(k, m) / math.sqrt(hsic(k, k) * hsic(m, m))


def rbf_gram(x, bandwidth=1.0):
    return np.exp(-cdist(x, x, "sqeuclidean") / (2 * (bandwidth * np.median(pdist(x))) ** 2))


@pytest.mark.parametrize("widths", [(5, 9), (5, 60), (70, 60), (1, 1)])
@pytest.mark.parametrize("seed", [0, 1])
def test_all_forms_equal_their_definitions(widths, seed):
    a, b = related(np.random.default_rng(seed), widths=widths)
    linear, rbf = (a @ a.T, b @ b.T), (rbf_gram(a, 0.7), rbf_gram(b, 0.7))
    assert linear_cka(a, b) == pytest.approx(quotient(plain, *linear), rel=1e-9)
    assert linear_cka(a, b, debiased=True) == pytest.approx(quotient(unbiased, *linear), rel=1e-9)
    assert rbf_cka(a, b, bandwidth=0.7) == pytest.approx(quotient(plain, *rbf), rel=1e-9)
    assert rbf_cka(a, b, bandwidth=0.7, debiased=True) == pytest.approx(quotient(unbiased, *rbf), rel=1e-9)


@pytest.mark.parametrize("debiased", [False, True])
def test_feature_space_and_gram_forms_agree(debiased):
    a, b = related(np.random.default_rng(2), rows=12, widths=(4, 11))
    padded = np.c_[b, np.zeros((12, 3))]  # 14 features of 12 images: by Gram matrices
    by_features, by_grams = (linear_cka(a, x, debiased=debiased) for x in (b, padded))
    assert by_grams == pytest.approx(by_features, rel=1e-12)


def test_of_one_feature_it_is_the_squared_correlation():
    x, y = np.array([[1.0], [2], [4], [9]]), np.array([[2.0], [1], [5], [3]])
    assert linear_cka(x, y) == pytest.approx(np.corrcoef(x.T, y.T)[0, 1] ** 2)


def test_unrelated_wide_representations_look_alike_until_debiased():
    rng = np.random.default_rng(3)
    draws = [(rng.normal(size=(20, 400)), rng.normal(size=(20, 400))) for _ in range(20)]
    assert min(linear_cka(a, b) for a, b in draws) > 0.9
    values = np.array([linear_cka(a, b, debiased=True) for a, b in draws])
    assert abs(values.mean()) < 4 * values.std() / math.sqrt(20)
    assert np.abs(values).max() < 0.5


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
@given(seed=SEEDS, scale=st.floats(1e-6, 1e6), shift=st.floats(-100, 100))
@settings(max_examples=20, deadline=None)
def test_invariances(form, seed, scale, shift):
    rng = np.random.default_rng(seed)
    a, b = related(rng, rows=15, widths=(4, 20))
    value, order = form(a, b), rng.permutation(15)
    turned = scale * (b @ ortho_group.rvs(20, random_state=rng)) + scale * shift
    for one, other in ((b, a), (a, turned), (a[order], b[order]), (a[:, ::-1], b)):
        assert form(one, other) == pytest.approx(value, abs=1e-7)
    assert form(a, a) == pytest.approx(1)
    assert -1 <= value <= 1


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_what_it_is_not_invariant_to(form):
    a, b = related(np.random.default_rng(4), noise=0.1)
    assert abs(form(a, b * np.r_[100.0, np.ones(8)]) - form(a, b)) > 0.01  # one feature blown up
    assert form(a, b[::-1]) < form(a, b) - 0.1  # other images


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_nothing_that_varies_is_undefined(form):
    a, _ = related(np.random.default_rng(5))
    assert math.isnan(form(a, np.full((24, 3), 0.1)))
    assert math.isnan(form(np.zeros((24, 3)), a))


def test_equidistant_images_have_no_debiased_value():
    x = np.random.default_rng(6).normal(size=(5, 2))
    assert math.isnan(linear_cka(np.eye(5), x, debiased=True))
    assert linear_cka(np.eye(5), x) > 0


def test_two_images_are_one_direction():
    assert linear_cka([[0.0, 1], [2, 5]], [[1.0], [3]]) == pytest.approx(1)
    assert rbf_cka([[0.0, 1], [2, 5]], [[1.0], [3]]) == pytest.approx(1)
    with pytest.raises(DataError, match="N >= 4"):
        linear_cka(np.eye(3), np.eye(3), debiased=True)


def test_float16_is_computed_in_double():
    a, b = (x.astype(np.float16) for x in related(np.random.default_rng(7)))
    assert linear_cka(100 * a, b) == linear_cka((100 * a).astype(np.float64), b.astype(np.float64))


def test_rbf_of_mostly_duplicates_takes_distances_above_zero():
    x = np.r_[np.zeros((8, 2)), [[0.0, 1], [1e-3, 0]]] + 1000
    distances = pdist(x)
    kernel = np.exp(-cdist(x, x, "sqeuclidean") / (2 * np.median(distances[distances > 0]) ** 2))
    y = np.random.default_rng(8).normal(size=(10, 3))
    assert rbf_cka(x, y) == pytest.approx(quotient(plain, kernel, rbf_gram(y)), rel=1e-6)


def test_rbf_keeps_the_digits_of_near_images():
    rng = np.random.default_rng(9)
    x = rng.normal(size=(12, 4)) * 1e-6
    x[0] += 10  # one image far away: the others' distances vanish in a matrix product
    y = rng.normal(size=(12, 4))
    assert rbf_cka(x, y) == pytest.approx(quotient(plain, rbf_gram(x), rbf_gram(y)), rel=1e-6)


def test_small_bandwidth_sees_what_a_line_does_not():
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)[:, None]
    circle, doubled = np.c_[np.cos(angle), np.sin(angle)], np.c_[np.cos(2 * angle), np.sin(2 * angle)]
    assert linear_cka(circle, doubled) < 1e-12
    assert rbf_cka(circle, doubled, bandwidth=0.3) > 0.1


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_one_batch_is_the_debiased_form(kernel):
    a, b = related(np.random.default_rng(10))
    whole = FORMS["debiased"] if kernel == "linear" else FORMS["rbf debiased"]
    assert minibatch_cka([(a, b)], kernel=kernel) == pytest.approx(whole(a, b), rel=1e-12)


def test_batches_are_averaged_before_the_quotient():
    rng = np.random.default_rng(11)
    a, b = related(rng, rows=30)
    parts = [slice(0, 10), slice(10, 17), slice(17, 30)]
    sums = [
        sum(len(k) * unbiased(k @ k.T, m @ m.T) for k, m in ((x[p], y[p]) for p in parts))
        for x, y in ((a, b), (a, a), (b, b))
    ]
    assert minibatch_cka((a[p], b[p]) for p in parts) == pytest.approx(sums[0] / math.sqrt(sums[1] * sums[2]))


def test_random_batches_come_near_the_whole():
    rng = np.random.default_rng(12)
    a, b = related(rng, rows=3000, widths=(20, 30))
    for kernel, whole in (("linear", linear_cka(a, b, debiased=True)), ("rbf", rbf_cka(a, b, debiased=True))):
        batches = ((a[i : i + 100], b[i : i + 100]) for i in range(0, 3000, 100))
        assert minibatch_cka(batches, kernel=kernel) == pytest.approx(whole, abs=0.02)


def test_constant_batches_are_undefined():
    x = np.full((6, 3), 0.1)
    assert math.isnan(minibatch_cka([(x, np.eye(6)), (x, np.eye(6))]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: linear_cka(np.eye(4), np.eye(5)), "second: got 5 rows; allowed: one for each of the 4"),
        (lambda: linear_cka(np.eye(4), [[1.0, np.nan]] * 4), "second: got nan"),
        (lambda: linear_cka([[np.inf]] * 4, np.eye(4)), "first: got inf"),
        (lambda: linear_cka(np.ones(4), np.eye(4)), r"first: got shape \(4,\)"),
        (lambda: linear_cka(np.eye(4).astype(str), np.eye(4)), "first: got type"),
        (lambda: linear_cka(np.ones((1, 4)), np.ones((1, 4))), "N >= 2"),
        (lambda: rbf_cka(np.eye(4), np.eye(4), bandwidth=0), "bandwidth: got 0"),
        (lambda: rbf_cka(np.eye(4), np.eye(4), bandwidth=math.nan), "bandwidth: got nan"),
        (lambda: minibatch_cka([]), "batches: got none"),
        (lambda: minibatch_cka([(np.eye(4), np.eye(4)), (np.ones((4, 2)), np.eye(4))]), "2 features; allowed: 4"),
        (lambda: minibatch_cka([(np.eye(4), np.eye(4))], kernel="poly"), "kernel: got 'poly'"),
    ],
)
def test_refuses(call, message):
    with pytest.raises(DataError, match=message) as caught:
        call()
    assert caught.value.code == "E-DATA-05"
