"""The record of an evaluation -> ``index.html``: one page without scripts or network, with its figures inside."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from markupsafe import Markup

from xenograft import storage
from xenograft.errors import printable
from xenograft.reporting import evaluation_words as words
from xenograft.reporting import style
from xenograft.reporting.evaluation_view import EvaluationView, Json, span
from xenograft.reporting.figures.decision import decision_panels
from xenograft.reporting.figures.reliability import reliability_panels
from xenograft.reporting.figures.risk_coverage import risk_coverage_panels
from xenograft.reporting.p_values import p_text
from xenograft.reporting.tables import evaluation as tables
from xenograft.reporting.templating import environment


def render(record: Json, folder: Path) -> Path:
    """Write the page of an evaluation and return its path; the same record gives the same bytes.

    Args:
        record: of `xenograft.study.evaluated.evaluate_tables`, with ``command`` and ``program``.
        folder: gets ``index.html``.

    Raises:
        ProcessError: the folder cannot be written.
    """
    view = EvaluationView.of(record)
    with style.drawing():
        figures = {
            "reliability": reliability_panels(view),
            "decision": decision_panels(view),
            "coverage": risk_coverage_panels(view),
        }
    templates = environment()
    templates.filters["inline"] = Markup
    html = templates.get_template("evaluation.html.j2").render(
        view=view,
        record=record,
        words=words,
        figures=figures,
        tables=_tables(view),
        differences=differences(view),
        files=_files(view),
        counts=list(zip(view.classes, record["counts"].values(), strict=True)),
    )
    return storage.atomic_write(folder / "index.html", html)


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
    accuracy = pair["metrics"]["accuracy"]
    return {
        "a": a,
        "b": b,
        "value": shown["difference"],
        "low": shown["low"],
        "high": shown["high"],
        "text": style.number(shown["difference"], signed=True),
        "ends": style.interval(shown["low"], shown["high"], signed=True),
        "drawn": style.interval(drawn["low"], drawn["high"], signed=True),
        "p": p_text(tested and tested["p"]),
        "adjusted": p_text(pair["adjusted_p"]),
        "delong": p_text(pair["delong"] and pair["delong"]["p"]),
        "accuracy": span(accuracy, metric="accuracy", signed=True, key="difference"),
        "mcnemar": p_text(pair["mcnemar"]["p"]),
        "only": f"{pair['mcnemar']['b']:,} / {pair['mcnemar']['c']:,}",
        "verdict": "" if pair["margin"] is None else pair["margin"]["verdict"],
    }


def _step(reach: float) -> float:
    """A round number somewhat below the reach of an axis: 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(reach))
    return max(factor * power for factor in (0.5, 1, 2, 5) if factor * power <= 0.9 * reach)


def _tables(view: EvaluationView) -> dict[str, Any]:
    makers = (
        tables.results, tables.areas, tables.per_class, tables.chosen, tables.subgroups, tables.calibration,
        tables.answered, tables.cuts, tables.sets, tables.predictive,
    )  # fmt: skip
    made = {make.__name__: make(view) for make in makers}
    return {name: table for name, table in made.items() if table is not None}


def _files(view: EvaluationView) -> list[dict[str, str]]:
    """A row for each table that was read."""
    rows = []
    for name, _, model in view.models:
        images = f"{view.record['images']:,}"
        rows.append(
            {
                "model": name,
                "role": "test",
                "file": printable(model["name"]),
                "images": images,
                "sha256": model["sha256"],
            }
        )
        val = model["validation"]
        rows.append(
            {"model": "", "role": "validation", "file": "not supplied", "images": "", "sha256": ""}
            if val is None
            else {
                "model": "",
                "role": "validation",
                "file": printable(val["name"]),
                "images": f"{val['images']:,}",
                "sha256": val["sha256"],
            }
        )
    return rows
