"""An evaluation's view -> the rows of its comparisons with what their drawings need."""

from __future__ import annotations

import math
from typing import Any

from xenograft.reporting import style
from xenograft.reporting.evaluation_view import EvaluationView, Json, span
from xenograft.reporting.p_values import p_text


def differences(view: EvaluationView) -> dict[str, Any] | None:
    """Rows of the comparisons with what their drawings need; None for a single model.

    Places are in thousandths of the drawing's width; 0 lies at ``zero``.
    """
    pairs = view.pairs
    if not pairs:
        return None
    rows = [_difference(a, b, pair) for a, b, pair in pairs]
    margin = view.record["margin"]
    ends = [abs(v) for row in rows for v in (row["value"], row["low"], row["high"]) if v is not None]
    reach = 1.15 * max([0.005, *ends, *([margin] if margin is not None else [])])

    def place(value: float | None) -> float | None:
        return None if value is None else round(1000 * (value + reach) / (2 * reach), 1)

    for row in rows:
        row["places"] = tuple(place(row[key]) for key in ("low", "value", "high"))
    step = _step(reach)
    return {
        "rows": rows,
        "zero": 500,
        "margin": None if margin is None else place(-margin),
        "ticks": [(place(value), f"{value:+g}".replace("-", "−") if value else "0") for value in (-step, 0.0, step)],
    }


def _difference(a: str, b: str, pair: Json) -> dict[str, Any]:
    tested = pair["clustered_delong"]
    drawn = pair["metrics"]["auroc"]
    shown = drawn if tested is None else tested
    accuracy, answers = pair["metrics"]["accuracy"], pair["mcnemar"]
    return {
        "a": a,
        "b": b,
        "value": shown["difference"],
        "low": shown["low"],
        "high": shown["high"],
        "text": style.number(shown["difference"], signed=True),
        "ends": style.interval(shown["low"], shown["high"], signed=True),
        "drawn": style.interval(drawn["low"], drawn["high"], signed=True),
        "p": p_text(shown["p"]),
        "adjusted": p_text(pair["adjusted_p"]),
        "delong": p_text(pair["delong"] and pair["delong"]["p"]),
        "accuracy": span(accuracy, metric="accuracy", signed=True, key="difference"),
        "mcnemar": p_text(answers and answers["p"]),
        "only": "" if answers is None else f"{answers['b']:,} / {answers['c']:,}",
        "verdict": "" if pair["margin"] is None else pair["margin"]["verdict"],
    }


def _step(reach: float) -> float:
    """A round number somewhat below the reach of an axis: 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(reach))
    return max(factor * power for factor in (0.5, 1, 2, 5) if factor * power <= 0.9 * reach)
