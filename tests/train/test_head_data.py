from __future__ import annotations

import numpy as np
import pytest

from xenograft.errors import ProcessError
from xenograft.train import head_data
from xenograft.train.head_data import Head, standard_of
from xenograft.train.objective import Binary


def views() -> np.ndarray:
    rng = np.random.default_rng(3)
    return (rng.normal(size=(3, 150, 13)) * 2 + np.linspace(0, 1000, 13)).astype(np.float32)


@pytest.mark.parametrize("chunk", [64, 1024])
@pytest.mark.parametrize("count", [1, 3])
def test_statistics_of_pieces_equal_those_of_the_whole(count: int, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head_data, "_CHUNK", chunk)
    standard = standard_of(views()[:count])
    flat = views()[:count].astype(np.float64).reshape(-1, 13)
    np.testing.assert_allclose(standard.mean, flat.mean(0), rtol=1e-6)
    np.testing.assert_allclose(standard.scale, flat.std(0), rtol=1e-6)


def test_a_feature_that_never_moves_keeps_scale_one() -> None:
    still = views()
    still[..., 4] = 7.0
    standard = standard_of(still)
    assert standard.scale[4] == 1.0
    assert standard.mean[4] == 7.0


def test_a_folded_layer_gives_on_raw_features_what_it_gave_on_standardised_ones() -> None:
    raw = views()[0]
    standard = standard_of(raw[None])
    weight, bias = np.random.default_rng(0).normal(size=(2, 13)).astype(np.float32), np.ones(2, dtype=np.float32)
    folded, shifted = standard.folded(weight, bias)
    np.testing.assert_allclose(raw @ folded.T + shifted, standard.apply(raw) @ weight.T + bias, rtol=1e-3, atol=2e-3)


def test_features_are_standardised_in_place_only_where_that_is_asked_for() -> None:
    raw = views()[0]
    standard = standard_of(raw[None])
    fresh = standard.apply(raw)
    np.testing.assert_array_equal(raw, views()[0])
    assert standard.apply(raw, out=raw) is raw
    np.testing.assert_array_equal(raw, fresh)


def test_a_head_without_a_finished_epoch_is_not_usable() -> None:
    zeros = np.zeros((1, 2), dtype=np.float32)
    solved = Head(zeros, zeros[0, :1], Binary())
    assert solved.usable() is solved  # a solved head has no epochs
    with pytest.raises(ProcessError, match=r"E-PROC-15.*why"):
        Head(zeros, zeros[0, :1], Binary(), stopped="why").usable()
