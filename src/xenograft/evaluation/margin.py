"""(interval of a difference, margin stated beforehand) -> non-inferior, superior, inferior or inconclusive."""

from __future__ import annotations

import math
from typing import Literal, TypedDict

from xenograft.evaluation.metrics import wrong
from xenograft.evaluation.uncertainty import LEVEL


class Verdict(TypedDict):
    """What an interval says about a margin; `noninferiority` explains the keys."""

    verdict: Literal["superior", "non-inferior", "inferior", "inconclusive"]
    equivalent: bool
    worse: bool
    margin: float
    one_sided_level: float


def noninferiority(
    low: float | None, high: float | None, *, margin: float, level: float = LEVEL, higher_is_better: bool = True
) -> Verdict:
    """Reads the interval of a difference, new arm minus reference, against a margin (CONSORT, Piaggio et al. 2012).

    The scenarios are those of the figure in Piaggio et al. (2012, doi:10.1001/jama.2012.87802). Written for a metric of
    which more is better:

    - ``"superior"``: the whole interval is above 0 (and so the arm is non-inferior too).
    - ``"non-inferior"``: the whole interval is above -margin. If it is also below 0, ``worse`` says so: the arm loses,
      but by less than the margin.
    - ``"inferior"``: the whole interval is below -margin.
    - ``"inconclusive"``: the interval holds -margin, or is undefined. That is never a proof of equality. With ``worse``
      a loss is shown, not its size.

    An interval that touches a limit has not passed it. The margin must be fixed, and reasoned, before the data are
    seen: read the same interval against several margins and the levels below no longer hold.

    Args:
        low: lower limit of the difference; `high` the upper one; None where it is undefined.
        margin: the largest loss that would not matter, above 0, in units of the difference.
        level: of the interval.
        higher_is_better: False for a loss or an error rate.

    Returns:
        ``verdict``; ``equivalent`` if the whole interval is within +-margin (two one-sided tests); ``worse`` if it is
        all on the losing side of 0; ``margin``; ``one_sided_level`` of each reading, (1 - level) / 2: 0.025 for a 95 %
        interval, 0.05 for a 90 % one.

    Raises:
        DataError: margin not above 0, level outside (0, 1), or limits that are nan or in the wrong order.
    """
    if not 0 < margin < math.inf:
        raise wrong("margin", f"{margin}", "a finite number above 0")
    if not 0 < level < 1:
        raise wrong("level", f"{level}", "above 0 and below 1")
    if low is None or high is None:
        low, high = -math.inf, math.inf
    if not low <= high:
        raise wrong("low and high", f"{low} and {high}", "low at most high, or None")
    worst, best = (low, high) if higher_is_better else (-high, -low)
    return {
        "verdict": _verdict(worst, best, margin),
        "equivalent": -margin < worst and best < margin,
        "worse": best < 0,
        "margin": margin,
        "one_sided_level": (1 - level) / 2,
    }


def _verdict(
    worst: float, best: float, margin: float
) -> Literal["superior", "non-inferior", "inferior", "inconclusive"]:
    if worst > 0:
        return "superior"
    if worst > -margin:
        return "non-inferior"
    return "inferior" if best < -margin else "inconclusive"
