"""Which recalibration is fitted, and what is refused before anything is trained."""

from __future__ import annotations

import numpy as np
import pytest

from xenograft.errors import UsageError
from xenograft.evaluation.recalibrating import check_method, fit_recalibration
from xenograft.evaluation.recalibration import Isotonic, Platt, Temperature

RNG = np.random.default_rng(3)
LABELS = RNG.integers(0, 2, 400)
SCORES = 1 / (1 + np.exp(-(3 * (LABELS - 0.5) + RNG.normal(0, 1, 400))))
TABLE = RNG.dirichlet(np.ones(3), 400)


@pytest.mark.parametrize(
    ("method", "kind"), [("auto", Platt), ("platt", Platt), ("temperature", Temperature), ("isotonic", Isotonic)]
)
def test_two_classes_take_any_method(method: str, kind: type) -> None:
    fitted = fit_recalibration(LABELS, SCORES, method)
    assert type(fitted) is kind
    assert fitted == kind.fit(LABELS, SCORES)


def test_more_classes_take_a_temperature_alone() -> None:
    classes = RNG.integers(0, 3, 400)
    assert isinstance(fit_recalibration(classes, TABLE), Temperature)
    assert isinstance(fit_recalibration(classes, TABLE, "temperature"), Temperature)
    for method in ("platt", "isotonic"):
        with pytest.raises(UsageError, match=r"E-USAGE-11.*two classes"):
            fit_recalibration(classes, TABLE, method)


def test_an_unknown_method_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"E-USAGE-11.*auto, temperature, platt, isotonic"):
        check_method("beta", several=False)


def test_too_few_images_or_the_wrong_order_give_none() -> None:
    few = np.r_[np.ones(9, dtype=np.int64), np.zeros(50, dtype=np.int64)]
    assert fit_recalibration(few, np.linspace(0.1, 0.9, 59)) is None
    assert fit_recalibration(LABELS, 1 - SCORES) is None
