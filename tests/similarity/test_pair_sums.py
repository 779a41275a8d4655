"""Sums over all pairs: every pair once, whatever the blocks, the panels and the threads."""

from __future__ import annotations

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from xenograft.similarity import feature_sets, pair_sums
from xenograft.similarity.euclidean_tile import distances, tile_rows
from xenograft.similarity.feature_sets import check_features
from xenograft.similarity.pair_sums import sum_between, sum_within


def _cores():
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


@pytest.mark.parametrize("panel", [1, 20, 45, 10**6])
def test_every_pair_counts_once(monkeypatch, panel):
    """A function that is not symmetric shows rows and columns that were mixed up."""
    monkeypatch.setattr(feature_sets, "BLOCK", 5)
    monkeypatch.setattr(pair_sums, "_PANEL", panel)
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(23, 2)), rng.normal(size=(11, 2))
    w, v = rng.integers(0, 3, size=(4, 23)).astype(float), rng.integers(0, 3, size=(4, 11)).astype(float)
    first, second = check_features(a), check_features(b)

    def uneven(x, y):
        return x[:, :1] * 3 + y[:, 1]

    expected = np.einsum("rp,pq,rq->r", w, uneven(a, b), v)
    assert sum_between(first, second, uneven, w, v) == pytest.approx(expected)
    even = a @ a.T
    np.fill_diagonal(even, 0)
    assert sum_within(first, lambda x, y: x @ y.T, w) == pytest.approx(np.einsum("rp,pq,rq->r", w, even, w))
    ones = np.ones((1, 23))
    assert sum_within(first, lambda x, y: x @ y.T, ones) == pytest.approx([even.sum()])


def test_threads_change_no_bit_and_blas_gets_its_own_back(monkeypatch):
    monkeypatch.setattr(feature_sets, "BLOCK", 32)
    monkeypatch.setattr(pair_sums, "_PANEL", 100 * 16)
    rng = np.random.default_rng(1)
    rows = check_features(rng.normal(size=(700, 16)))
    ones = np.ones((1, len(rows)))
    before, found = _cores(), []
    for cores in (1, 2, 5):
        with threadpool_limits(cores, user_api="blas"):
            held = _cores()
            found.append(
                [
                    float(sum_within(rows, distances, ones, ready=lambda x: tile_rows(x, single=True))[0]),
                    float(sum_between(rows, rows, distances, ones, ones, ready=tile_rows)[0]),
                ]
            )
            assert _cores() == held
    assert found[0] == found[1] == found[2]
    assert _cores() == before


def test_threads_keep_the_error_state_and_pass_errors_on(monkeypatch):
    monkeypatch.setattr(feature_sets, "BLOCK", 2)
    rows, ones = check_features(np.ones((9, 2))), np.ones((1, 9))

    def overflows(x, y):
        return np.exp(1e3 * (x @ y.T))

    with np.errstate(over="ignore"):
        assert np.isinf(sum_between(rows, rows, overflows, ones, ones)[0])
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        sum_between(rows, rows, overflows, ones, ones)
