"""Maps against scikit-learn's PCA; t-SNE by what it must keep: neighbours, determinism, and its own caution."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from scipy.stats import ortho_group
from sklearn.decomposition import PCA

from xenograft.errors import DataError
from xenograft.similarity.embedding import map_by_pca, map_by_tsne


def two_sets(rng, rows=(30, 20), width=7, apart=5.0):
    return rng.normal(size=(rows[0], width)), rng.normal(size=(rows[1], width)) + apart * np.eye(width)[0]


def joined(embedding):
    return np.r_[embedding.first, embedding.second]


def same_up_to_sign(a, b):
    return all(min(np.abs(a[:, i] - s * b[:, i]).max() for s in (1, -1)) < 1e-8 * np.abs(b).max() for i in (0, 1))


@pytest.mark.parametrize("width", [7, 90])
def test_pca_is_that_of_both_sets_together(width):
    a, b = two_sets(np.random.default_rng(0), width=width)
    found = map_by_pca(a, b)
    reference = PCA(2, svd_solver="full").fit(np.r_[a, b])
    assert (found.first.shape, found.second.shape) == ((30, 2), (20, 2))
    assert same_up_to_sign(joined(found), reference.transform(np.r_[a, b]))
    assert found.facts["explained"] == pytest.approx(reference.explained_variance_ratio_.tolist())


def test_the_largest_loading_is_positive():
    a = np.array([[0.0, -3, 0], [0, 3, 1], [0, 0, -1], [0.1, 0, 0]])
    places = map_by_pca(a, -a).first
    assert places[1, 0] > 0 > places[0, 0]
    np.testing.assert_array_equal(map_by_pca(a, -a).first, places)
    np.testing.assert_allclose(map_by_pca(-a, a).second, places, atol=1e-12)


@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(1e-6, 1e6), shift=st.floats(-100, 100))
@settings(max_examples=25, deadline=None)
def test_pca_invariances(seed, scale, shift):
    rng = np.random.default_rng(seed)
    a, b = two_sets(rng)
    places, turn = joined(map_by_pca(a, b)), ortho_group.rvs(7, random_state=rng)
    np.testing.assert_allclose(joined(map_by_pca(a + shift, b + shift)), places, atol=1e-6)
    np.testing.assert_allclose(joined(map_by_pca(scale * a, scale * b)), scale * places, atol=1e-8 * scale)
    assert same_up_to_sign(joined(map_by_pca(a @ turn, b @ turn)), places)
    order = rng.permutation(30)
    np.testing.assert_allclose(map_by_pca(a[order], b).first, places[:30][order], atol=1e-8)
    np.testing.assert_allclose(joined(map_by_pca(b, a)), np.r_[places[30:], places[:30]], atol=1e-8)


def test_pca_of_little():
    one_feature = map_by_pca([[1.0], [2]], [[6.0]])
    np.testing.assert_allclose(joined(one_feature), [[-2, 0], [-1, 0], [3, 0]])
    assert one_feature.facts["explained"] == [pytest.approx(1)]
    constant = map_by_pca(np.full((3, 2), 0.1), np.full((2, 2), 0.1))
    assert not joined(constant).any()
    assert constant.facts["explained"] is None
    half = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float16)
    np.testing.assert_array_equal(
        map_by_pca(half, half).first, map_by_pca(half.astype(float), half.astype(float)).first
    )


def test_tsne_keeps_neighbours_and_groups():
    a, b = two_sets(np.random.default_rng(2), rows=(25, 20), apart=20.0)
    found = map_by_tsne(a, b)
    places, owner = joined(found), np.r_[np.zeros(25), np.ones(20)]
    distances = cdist(places, places) + np.diag(np.full(45, np.inf))
    assert (owner[distances.argmin(axis=1)] == owner).all()
    assert (found.facts["method"], found.facts["rows"], found.facts["start"]) == ("t-sne", [25, 20], "pca")
    assert "mean little" in found.facts["caution"]
    assert found.facts["perplexity"] == pytest.approx(44 / 3)


def test_tsne_is_the_same_every_time_whatever_the_unit():
    a, b = two_sets(np.random.default_rng(3))
    first = map_by_tsne(a, b, seed=1)
    np.testing.assert_array_equal(joined(map_by_tsne(a, b, seed=1)), joined(first))
    np.testing.assert_array_equal(joined(map_by_tsne(2.0**60 * a, 2.0**60 * b, seed=1)), joined(first))
    assert first.facts["perplexity"] == pytest.approx(49 / 3)
    assert first.facts["seed"] == 1


def test_tsne_of_wide_and_of_narrow_features():
    rng = np.random.default_rng(4)
    wide = map_by_tsne(*two_sets(rng, width=200))
    assert (wide.facts["features"], wide.facts["components"]) == (200, 50)
    narrow = map_by_tsne(rng.normal(size=(3, 1)), rng.normal(size=(2, 1)), perplexity=5)
    assert narrow.facts["components"] == 2
    assert np.isfinite(joined(narrow)).all()
    assert np.isfinite(joined(map_by_tsne(np.repeat(np.eye(3), 4, axis=0), np.eye(3)))).all()  # duplicates


@pytest.mark.parametrize("method", [map_by_pca, map_by_tsne])
def test_facts_are_plain_json(method):
    facts = method(*two_sets(np.random.default_rng(5), rows=(5, 4))).facts
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert facts["caution"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: map_by_pca(np.eye(3), np.eye(4)), "second: got 4 columns|second: got 4 features"),
        (lambda: map_by_pca([[np.nan]], [[1.0]]), "first: got nan"),
        (lambda: map_by_pca(np.ones((0, 3)), np.eye(3)), "N >= 1"),
        (lambda: map_by_tsne(np.eye(3)[:1], np.eye(3)[:2]), "got 3 rows; allowed: 4 or more"),
        (lambda: map_by_tsne(np.ones((5, 2)), np.ones((5, 2))), "all equal"),
        (lambda: map_by_tsne(np.eye(5), np.eye(5), perplexity=1), "perplexity: got 1"),
        (lambda: map_by_tsne([[np.inf]], [[1.0]]), "first: got inf"),
    ],
)
def test_refuses(call, message):
    with pytest.raises(DataError, match=message) as caught:
        call()
    assert caught.value.code == "E-DATA-05"
