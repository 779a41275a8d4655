"""(sizes, errors) -> a power law error = a + b n^-c, and back: the size at which it reaches an error.

The inverse power law of learning curves of clinical classifiers (Figueroa et al. 2012, doi:10.1186/1472-6947-12-8),
fitted as there by weighted least squares in which larger sizes weigh more, because the law is used to look beyond them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar, nnls

from xenograft.errors import DataError

Floats = NDArray[np.float64]

FEWEST_SIZES = 4  # three parameters, and one point that they could miss
_FLATTEST, _STEEPEST = 0.02, 3.0
_STARTS = 12


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """error(n) = floor + scale * n^-exponent, n being the number of patients.

    Args:
        floor: in [0, inf), what no number of patients falls below. scale: in [0, inf), 0 for a flat curve.
        exponent: in [0.02, 3]. residual: weighted root mean square of measured minus fitted.
    """

    floor: float
    scale: float
    exponent: float
    residual: float

    def error(self, size: float | Floats) -> Floats:
        """The error at `size` patients, in its shape."""
        return np.asarray(self.floor + self.scale * np.asarray(size, dtype=np.float64) ** -self.exponent)

    def size(self, error: float) -> float:
        """The number of patients at which the error falls to `error`; infinite where it never does."""
        above = error - self.floor
        if above <= 0 or self.scale == 0:
            return 0.0 if above >= 0 and self.scale == 0 else math.inf
        return float(math.exp(min(700.0, (math.log(self.scale) - math.log(above)) / self.exponent)))


def fit_power_law(sizes: NDArray[np.integer] | Floats, errors: Floats) -> PowerLaw:
    """Weighted least squares; the k-th smallest of m sizes weighs k / m (Figueroa et al. 2012).

    For a given exponent the other two parameters are a linear problem with bounds at 0, so that only the exponent is
    searched for: no starting values are needed (variable projection; Golub & Pereyra 1973, doi:10.1137/0710036).

    Args:
        sizes: (K,) distinct and increasing, K >= 4. errors: (K,) finite, e.g. 1 - AUROC.

    Raises:
        DataError: fewer sizes than that, or values that cannot be used.
    """
    n, y = np.asarray(sizes, dtype=np.float64), np.asarray(errors, dtype=np.float64)
    if n.ndim != 1 or n.shape != y.shape or n.size < FEWEST_SIZES:
        raise DataError(
            f"a power law: got sizes {n.shape} and errors {y.shape}; allowed: (K,) both, K >= {FEWEST_SIZES}",
            code="E-DATA-05",
        )
    if not (n[0] > 0 and (np.diff(n) > 0).all() and np.isfinite(n).all() and np.isfinite(y).all()):
        raise DataError("a power law: allowed are increasing sizes above 0 and finite errors", code="E-DATA-05")
    roots = np.sqrt(np.arange(1, n.size + 1) / n.size)
    # sizes relative to the largest keep both columns near one, whatever the exponent
    relative = n / n[-1]

    def solved(exponent: float) -> tuple[Floats, float]:
        design = np.stack([np.ones_like(relative), relative**-exponent], axis=1) * roots[:, None]
        parameters, norm = nnls(design, y * roots)
        return parameters, float(norm)

    grid = np.geomspace(_FLATTEST, _STEEPEST, _STARTS)
    best = int(np.argmin([solved(c)[1] for c in grid]))
    around = grid[max(0, best - 1)], grid[min(_STARTS - 1, best + 1)]
    found = minimize_scalar(
        lambda log_c: solved(math.exp(log_c))[1],
        bounds=(math.log(around[0]), math.log(around[1])),
        method="bounded",
        options={"xatol": 1e-4},
    )
    exponent = min((math.exp(float(found.x)), float(grid[best])), key=lambda c: solved(c)[1])
    (floor, scale), norm = solved(exponent)
    return PowerLaw(
        floor=float(floor),
        scale=float(scale * n[-1] ** exponent),
        exponent=exponent,
        residual=norm / math.sqrt(float((roots**2).sum())),
    )
