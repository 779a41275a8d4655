"""An evaluation's view -> the table of subgroups, by finding where there are findings."""

from __future__ import annotations

from collections.abc import Iterator

from xenograft.errors import printable
from xenograft.reporting import style
from xenograft.reporting.evaluation_view import EvaluationView, Json
from xenograft.reporting.tables.evaluation_cells import (
    Cells,
    blank,
    cell,
    count,
    named,
    numbers,
    p_cell,
    single,
    table,
    words,
)
from xenograft.reporting.tables.model import Cell, Table

_SHOWN = ("auroc", "recall", "specificity")


def subgroups(view: EvaluationView) -> Table | None:
    """Each level of each fact and its gap to the rest; None where no facts were asked for."""
    found = list(_levels(view))
    if not found:
        return None
    rows: list[Cells] = []
    before = ""
    for name, group, finding, entry in found:
        what = [finding] if view.multi_label else []
        policy, card = next(iter(entry["policies"].items()), ("", None))
        cells = [Cell("too few", raw=("", "", "")), blank(), blank()]
        gap: Json | None = None
        if card is not None:
            cells = [cell(card["metrics"].get(m), metric=m) for m in _SHOWN]
            gap = card["gap"].get("auroc")
        size = count(entry["n"], style.plural(entry["patients"], "patient"))
        ends = [cell(gap, key="difference", signed=True), p_cell(gap["p_holm"])] if gap else [blank(), blank()]
        rows.append((named(name, name != before), group, *what, size, *cells, *ends))
        before = name
    card = next(model["subgroups"] for _, _, model in view.models if model["subgroups"])
    policy = next((p for _, _, _, entry in found for p in entry["policies"]), "")
    rule = f"threshold {view.record['models'][0]['thresholds']['fixed']:g}" if policy == "fixed" else "the first one"
    at = ", means over classes" if policy == "argmax" else f" at {rule}"
    of = "with or without the finding" if view.multi_label else "of a class"
    return table(
        "subgroups",
        "Results in subgroups",
        f"Sensitivity and specificity{at}. Gap: AUROC of the group minus that of all other images; its p is of the "
        f"same resamples, so not below {card['smallest_p']:.2g}, and adjusted by Holm over the {card['comparisons']} "
        f"comparisons of each model. Too few: under {card['fewest']} patients {of}. A gap that is not shown is not one "
        f"that is absent. {view.size}; {view.bootstrap}.",
        [
            words("Model"),
            words("Group"),
            *([words("Finding")] if view.multi_label else []),
            single("Images"),
            numbers("AUROC"),
            numbers("Sensitivity (%)" if view.binary or view.multi_label else "Recall (%)", "recall"),
            numbers("Specificity (%)"),
            numbers("Gap of AUROC"),
            single("p, Holm"),
        ],
        rows,
    )


def _levels(view: EvaluationView) -> Iterator[tuple[str, str, str, Json]]:
    """(model, group, finding or "", entry) of every level; of findings, those that have too few are left out."""
    for name, _, model in view.models:
        for fact, of in (model["subgroups"] or {"groups": {}})["groups"].items():
            for level, entry in of["levels"].items():
                group = f"{printable(fact)}: {printable(level)}"
                if not view.multi_label:
                    yield name, group, "", entry
                for k, one in entry.get("findings", {}).items():
                    if one["policies"]:
                        yield name, group, view.classes[int(k)], one
