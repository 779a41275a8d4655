"""Parts of sentences: a p, a list of names, ranges of thresholds."""

from __future__ import annotations

from collections.abc import Sequence

from xenograft.reporting.p_values import p_text

_MOST = 6
_NARROW = 0.025  # of threshold probability


def p_phrase(p: float) -> str:
    """``p = 0.031`` or ``p < 0.001``, which no line break parts."""
    text = p_text(p)
    return (f"p {text}" if text.startswith("<") else f"p = {text}").replace(" ", "\u00a0")


def ranges(found: Sequence[tuple[float, float]]) -> str:
    """Ranges of some width; the rest, which chance makes and unmakes, in a word."""
    wide = [f"{a:.2f} to {b:.2f}" for a, b in found if b - a > _NARROW][:_MOST]
    return and_(wide) + (" and at single points" if len(wide) < len(found) else "") if wide else "single points only"


def and_(parts: Sequence[str]) -> str:
    """``a, b and c``."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
