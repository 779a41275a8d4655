"""(name -> p) -> name -> p adjusted for the number of comparisons (Holm)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

from xenograft.evaluation.metrics import wrong


class Holm(TypedDict):
    """Adjusted p by name, in the order given, and how many comparisons they were adjusted for and left out."""

    adjusted: dict[str, float | None]
    comparisons: int
    left_out: int


def holm(p_values: Mapping[str, float | None]) -> Holm:
    """Step-down adjustment of Holm (1979), which holds the chance of any false claim under the level, whatever the
    dependence of the tests.

    The k-th smallest of m is multiplied by m - k + 1, raised to the adjusted one before it and cut at 1. Give it every
    comparison that was made, not those that are shown.

    Args:
        p_values: name -> p in [0, 1], or None where the test is undefined.

    Returns:
        ``adjusted`` (None stays None), ``comparisons`` (m, those with a p) and ``left_out`` (those without).

    Raises:
        DataError: a p that is not a number in [0, 1].
    """
    known = {name: p for name, p in p_values.items() if p is not None}
    for name, p in known.items():
        if not 0 <= p <= 1:
            raise wrong(f"p of {name!r}", f"{p}", "a number in [0, 1], or None")
    adjusted: dict[str, float | None] = dict.fromkeys(p_values)
    highest = 0.0
    for rank, (name, p) in enumerate(sorted(known.items(), key=lambda item: item[1])):
        highest = max(highest, min(1.0, float(p) * (len(known) - rank)))
        adjusted[name] = highest
    return {"adjusted": adjusted, "comparisons": len(known), "left_out": len(p_values) - len(known)}
