"""A p as papers print it: the same in terminal, tables and pages."""

from __future__ import annotations


def p_text(p: float | None) -> str:
    """``0.225``, ``< 0.001``, or ``n/a`` where it is undefined."""
    if p is None:
        return "n/a"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
