"""Features -> centred, scaled float64 (N, D): what every measure of a representation starts with."""

from __future__ import annotations

import numpy as np

from xenograft.evaluation.metrics import Floats, wrong
from xenograft.similarity.feature_sets import Features, check_features

CONSTANT = 1e-12  # of a sum of squares: what rounding leaves where everything cancels


def check_representation(features: Features, name: str = "features", *, least: int = 2) -> Floats:
    """Features (N, D) as float64, N >= `least`, or DataError E-DATA-05 as `check_features` raises it."""
    return check_features(features, name, least=least).rows()


def check_same_images(first: Features, second: Features, *, least: int = 2) -> tuple[Floats, Floats]:
    """Two representations of the same N images, row by row, or DataError E-DATA-05."""
    one = check_representation(first, "first", least=least)
    other = check_representation(second, "second", least=least)
    if len(one) != len(other):
        raise wrong("second", f"{len(other)} rows", f"one for each of the {len(one)} images of first")
    return one, other


def centred(features: Floats) -> Floats:
    """Columns minus their means, divided by the largest magnitude: no square over- or underflows.

    Only for measures that do not change when all features are multiplied by the same number.
    """
    moved = minus_mean(features / largest(features))
    moved /= largest(moved)
    return moved


def minus_mean(features: Floats) -> Floats:
    """Columns minus their means; a column with one value becomes exactly zero, not its rounding error."""
    moved: Floats = features - features.mean(axis=0)
    moved[:, features.min(axis=0) == features.max(axis=0)] = 0.0
    return moved


def largest(features: Floats) -> float:
    """The largest magnitude, or 1 where all are zero: what to divide by."""
    return float(np.abs(features).max()) or 1.0
