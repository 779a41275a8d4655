"""An evaluation's view of findings -> the tables that go finding by finding."""

from __future__ import annotations

from xenograft.reporting import style
from xenograft.reporting.evaluation_view import EvaluationView, threshold_words
from xenograft.reporting.tables.evaluation_cells import (
    Cells,
    cell,
    count,
    counts,
    named,
    numbers,
    p_cell,
    single,
    table,
    words,
)
from xenograft.reporting.tables.model import Cell, Table


def finding_areas(view: EvaluationView) -> Table | None:
    """How well each model ranks by each finding; None for classes."""
    if not view.multi_label:
        return None
    rows: list[Cells] = []
    for k, finding in enumerate(view.classes):
        for i, (name, _, model) in enumerate(view.models):
            entry = model["findings"][str(k)]
            drawn = model["scorecard"]["per_class"][str(k)]
            share = f"{100 * entry['positive'] / entry['n']:.1f} %"
            rows.append(
                (
                    named(finding, i == 0),
                    count(entry["n"]) if i == 0 else Cell("", raw=(entry["n"],)),
                    count(entry["positive"], share) if i == 0 else Cell("", raw=(entry["positive"],)),
                    name,
                    cell(entry["auroc"]["patients_as_clusters"]),
                    cell(drawn["average_precision"]),
                )
            )
    return table(
        "findings",
        "Each finding",
        "Known: images where it is known to be present or absent; all others are left out of its row. Average "
        "precision of a model that knows nothing is the share of images with the finding. AUROC: Obuchowski's variance "
        f"on the logit scale, patients as clusters; average precision: {view.bootstrap}.",
        [
            words("Finding"),
            single("Known"),
            single("With it", "positive"),
            words("Model"),
            numbers("AUROC"),
            numbers("Average precision"),
        ],
        rows,
    )


def finding_thresholds(view: EvaluationView) -> Table | None:
    """What each threshold does by each finding; None for classes."""
    if not view.multi_label:
        return None
    metrics = {"recall": "Sensitivity (%)", "specificity": "Specificity (%)", "precision": "Precision (%)", "f1": "F1"}
    rows: list[Cells] = []
    for k, finding in enumerate(view.classes):
        first = True
        for name, _, model in view.models:
            for i, (policy, entry) in enumerate(model["scorecard"]["policies"].items()):
                at = entry["threshold"]
                label = threshold_words(policy, at[k] if isinstance(at, list) else at)
                whole, card = counts(entry["confusion"][k]), entry["per_class"][str(k)]
                cells = [cell(card[m], metric=m, note=whole.get(m, "")) for m in metrics]
                rows.append((named(finding, first), named(name, i == 0), label, *cells))
                first = False
    return table(
        "thresholds",
        "Each finding at its thresholds",
        f"Of the images where the finding is known. {view.size}; {view.bootstrap}. A finding with fewer than ten "
        "validation images with it, or without it, keeps 0.5.",
        [
            words("Finding"),
            words("Model"),
            words("Threshold"),
            *(numbers(label, metric) for metric, label in metrics.items()),
        ],
        rows,
    )


def finding_differences(view: EvaluationView) -> Table | None:
    """Every pair by each finding, the surest first; None for classes and for a single model."""
    if not view.multi_label or not view.pairs:
        return None
    found = [
        (finding, a, b, pair["findings"][str(k)]) for k, finding in enumerate(view.classes) for a, b, pair in view.pairs
    ]
    found.sort(key=lambda row: 2.0 if row[3]["p"] is None else row[3]["p"])
    rows: list[Cells] = [
        (
            finding,
            f"{a} − {b}",
            cell(entry, signed=True, key="difference"),
            p_cell(entry["p"]),
            p_cell(entry["adjusted_p"]),
        )
        for finding, a, b, entry in found
    ]
    number = view.record["adjusted"]["findings"]["comparisons"]
    return table(
        "finding-differences",
        "Differences of AUROC by finding",
        f"The smallest p first. Obuchowski's test, patients as clusters, {view.level} intervals not adjusted; p "
        f"adjusted by Holm for all {style.plural(number, 'comparison')} of this table, findings times pairs.",
        [words("Finding"), words("First − second"), numbers("Difference of AUROC", "difference"), single("p"),
         single("p, Holm")],
        rows,
    )  # fmt: skip
