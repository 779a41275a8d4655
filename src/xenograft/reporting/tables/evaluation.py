"""An evaluation's view -> the tables of how good its models are, and of how they differ."""

from __future__ import annotations

from collections.abc import Mapping

from xenograft.evaluation.rules import in_words
from xenograft.reporting import style
from xenograft.reporting.evaluation_view import EvaluationView
from xenograft.reporting.tables.evaluation_cells import (
    Cells,
    blank,
    cell,
    counts,
    named,
    numbers,
    p_cell,
    single,
    table,
    words,
)
from xenograft.reporting.tables.model import Cell, Column, Table

_RANKS = frozenset({"auroc", "average_precision"})
AVERAGES = {
    "auroc_ovo": "AUROC, pairs of classes",
    "auroc_weighted": "AUROC, weighted",
    "auroc_micro": "AUROC, micro",
    "average_precision_weighted": "AP, weighted",
    "average_precision_micro": "AP, micro",
    "f1_weighted": "F1, weighted",
    "f1_micro": "F1, micro",
}
_OF_FINDINGS = frozenset({"average_precision_weighted", "average_precision_micro", "f1_micro"})
"""Left to the record for classes, where micro F1 is the accuracy."""
AGREEMENT = {"kappa": "Cohen's kappa", "matthews": "Matthews correlation"}


def results(view: EvaluationView) -> Table:
    """A row for each model and threshold."""
    mean = "" if view.binary else ", mean"
    metrics = (
        ("auroc", f"AUROC{mean}"),
        ("average_precision", f"Average precision{mean}"),
        ("recall", "Sensitivity (%)" if view.binary else "Recall, mean (%)"),
        ("specificity", f"Specificity{mean} (%)"),
        ("precision", f"Precision{mean} (%)"),
        ("f1", f"F1{mean}"),
        ("accuracy", "Accuracy, mean (%)" if view.multi_label else "Accuracy (%)"),
    )
    rows: list[Cells] = []
    for name, _, model in view.models:
        for i, (policy, entry) in enumerate(view.policies(model)):
            whole = counts(entry["confusion"]) if view.binary else {}
            cells = [
                cell(entry["metrics"][m], metric=m, note=whole.get(m, "")) if i == 0 or m not in _RANKS else blank()
                for m, _ in metrics
            ]
            rows.append((named(name, i == 0), policy, *cells))
    return table(
        "results",
        "Results on the test images",
        f"{_meaning(view)} {view.size}; {view.bootstrap}.",
        [
            words("Model"),
            words("Answer" if not view.binary and not view.multi_label else "Threshold"),
            *(numbers(label, metric) for metric, label in metrics),
        ],
        rows,
    )


def _meaning(view: EvaluationView) -> str:
    """What the columns of `results` are shares of."""
    if view.binary:
        positive, negative = view.classes[1], view.classes[0]
        return (
            f"Sensitivity: of images that are {positive}; specificity: of those that are {negative}; precision: of "
            f"those called {positive}, at the {100 * view.share:.1f} % {positive} of these images."
        )
    if view.multi_label:
        return (
            f"Plain means over {len(view.classes)} findings, each on the images where it is known; a rare finding "
            "counts as much as a frequent one."
        )
    return "Means over classes, each against the rest; a rare class counts as much as a frequent one."


def overall(view: EvaluationView) -> Table:
    """Other averages over classes or findings, and agreement with the truth."""
    first = next(iter(view.models[0][2]["overall"].values()))
    left_out = frozenset() if view.multi_label else _OF_FINDINGS
    averages = {name: label for name, label in AVERAGES.items() if name in first["averages"] and name not in left_out}
    agreement = {name: label for name, label in AGREEMENT.items() if name in first["agreement"]}
    rows: list[Cells] = []
    for name, _, model in view.models:
        labels = [label for label, _ in view.policies(model)]
        for i, (policy, entry) in enumerate(zip(labels, model["overall"].values(), strict=True)):
            cells = [blank() if i and name.startswith(tuple(_RANKS)) else cell(entry["averages"][name])
                     for name in averages]  # fmt: skip
            rows.append((named(name, i == 0), policy, *cells, *(cell(entry["agreement"][a]) for a in agreement)))
    said = []
    if averages:
        said.append(
            f"Weighted: each of the {view.kinds} counts by its images. Micro: all answers pooled into one question."
        )
    if "auroc_ovo" in averages:
        said.append("Pairs of classes: Hand and Till (2001), the mean over pairs, whatever the class sizes.")
    if agreement:
        said.append("Kappa and Matthews correlation: 0 is what chance gives, 1 is perfect.")
    return table(
        "overall",
        "Averages, and agreement with the truth" if averages and agreement
        else "Other averages over findings" if averages else "Agreement with the truth",
        f"{' '.join(said)} {view.size}; {view.bootstrap}.",
        [
            words("Model"),
            words("Answer" if agreement and averages else "Threshold"),
            *(numbers(label, key) for key, label in {**averages, **agreement}.items()),
        ],
        rows,
    )  # fmt: skip


def areas(view: EvaluationView) -> Table | None:
    """AUROC with three intervals; two classes only."""
    if not view.binary:
        return None
    rows: list[Cells] = []
    for name, _, model in view.models:
        found, drawn = model["auroc"], next(iter(model["scorecard"]["policies"].values()))["metrics"]["auroc"]
        clustered, alone = found["patients_as_clusters"], found["images_independent"]
        value = Cell(style.number(clustered["value"]), raw=(clustered["value"],))
        rows.append((name, value, *(_ends(entry) for entry in (clustered, drawn, alone))))
    return table(
        "areas",
        "AUROC and three intervals of it",
        f"{view.size}; {view.level} intervals. By patient: Obuchowski's variance on the logit scale, the one quoted on "
        f"this page. Bootstrap: patients drawn anew, {view.record['resamples']:,} resamples. By image: DeLong, which "
        "takes images of one patient for independent and is printed because papers print it.",
        [words("Model"), single("AUROC"), *(_two_ends(label) for label in ("By patient", "Bootstrap", "By image"))],
        rows,
    )


def per_class(view: EvaluationView) -> Table | None:
    """Each class against the rest; more than two classes that exclude each other only."""
    if view.binary or view.multi_label:
        return None
    names = {"auroc": "AUROC", "recall": "Recall (%)", "specificity": "Specificity (%)", "precision": "Precision (%)"}
    names |= {"f1": "F1"}
    images = list(view.record["counts"].values())
    rows: list[Cells] = []
    for name, _, model in view.models:
        for k, label in enumerate(view.classes):
            card = model["scorecard"]["per_class"][str(k)]
            cells = [cell(card[metric], metric=metric) for metric in names]
            rows.append((named(name, k == 0), label, Cell(f"{images[k]:,}", raw=(images[k],)), *cells))
    return table(
        "classes",
        "Each class against the rest",
        f"Answer: the class with the highest probability. {view.size}; {view.bootstrap}.",
        [
            words("Model"),
            words("Class"),
            single("Images"),
            *(numbers(label, metric) for metric, label in names.items()),
        ],
        rows,
    )


def chosen(view: EvaluationView) -> Table | None:
    """How firmly validation chose each threshold; None where it chose none."""
    rows: list[Cells] = []
    before = ""
    for finding, name, entry, policies in view.parts:
        for i, (policy, found) in enumerate((entry.get("chosen") or {}).items()):
            of = [named(finding, finding != before)] if view.multi_label else []
            before = finding
            rows.append(
                (
                    *of,
                    named(name, i == 0),
                    "Youden" if policy == "youden" else in_words(policy),
                    cell(found["threshold"]),
                    *(cell(found[what], metric="recall", key="left_out") for what in ("sensitivity", "specificity")),
                    *(cell(policies[policy][what], metric="recall") for what in ("recall", "specificity")),
                )
            )
    if not rows:
        return None
    resamples = next(
        found["resamples"] for _, _, entry, _ in view.parts for found in (entry.get("chosen") or {}).values()
    )
    return table(
        "chosen",
        "The thresholds that validation chose, and how far they would move",
        f"Youden: largest sensitivity + specificity. Threshold: range over {resamples:,} draws of validation patients. "
        "Left out: on validation patients outside each draw, who had no part in the choice, with the central "
        f"{100 * view.record['level']:g} % of draws. Test: {view.size}, {view.level} intervals by patient-cluster "
        "bootstrap. Where test lies outside the range of the left-out patients, test looks unlike validation.",
        [
            *([words("Finding")] if view.multi_label else []),
            words("Model"),
            words("Rule"),
            numbers("Threshold"),
            numbers("Sensitivity, left out (%)"),
            numbers("Specificity, left out (%)"),
            numbers("Sensitivity, test (%)"),
            numbers("Specificity, test (%)"),
        ],
        rows,
    )


def comparisons(view: EvaluationView) -> Table | None:
    """Every pair; None for a single model."""
    if not view.pairs:
        return None
    names = {"auroc": "AUROC", "accuracy": "Accuracy (points)", "f1": "F1"}
    means = set() if view.binary else set(names) if view.multi_label else {"auroc", "f1"}
    rows: list[Cells] = []
    for a, b, pair in view.pairs:
        drawn = [cell(pair["metrics"][m], metric=m, signed=True, key="difference") for m in names]
        tested, only = pair["clustered_delong"], pair["mcnemar"]
        p = (tested or pair["metrics"]["auroc"])["p"]
        extra: Cells = (
            [cell(tested, signed=True, key="difference"), p_cell((pair["delong"] or {}).get("p"))]
            if view.binary
            else []
        )
        answers: Cells = (
            []
            if only is None
            else [
                Cell(f"{only['b']:,} / {only['c']:,}", raw=(only["b"], only["c"])),
                p_cell(only["p"]),
            ]
        )
        margin = [] if view.record["margin"] is None else [pair["margin"]["verdict"]]
        rows.append((a, b, *drawn, *extra, p_cell(p), p_cell(pair["adjusted_p"]), *answers, *margin))
    columns = [
        words("First"),
        words("Second"),
        *(numbers(f"{label}, mean" if key in means else label, key) for key, label in names.items()),
    ]
    if view.binary:
        columns += [numbers("AUROC, patients as clusters", "auroc_by_patient"), single("p AUROC, images (DeLong)")]
    columns += [single("p AUROC"), single("p after Holm")]
    if not view.multi_label:
        columns += [
            _pair_counts("Only first / only second right"),
            single("p accuracy, images (McNemar)"),
        ]
    columns += [] if view.record["margin"] is None else [words("Margin")]
    test = "Obuchowski's test, patients as clusters" if view.binary else "the same resamples"
    return table(
        "comparisons",
        "Paired differences, first model minus second",
        f"Intervals: {view.bootstrap}, paired. p of AUROC: {test}; adjusted by Holm for "
        f"{style.plural(view.record['adjusted']['comparisons'], 'comparison')}. {view.size}.",
        columns,
        rows,
    )


def _pair_counts(label: str) -> Column:
    return Column(label, csv=("only_first_right", "only_second_right"))


def _two_ends(label: str) -> Column:
    name = label.casefold().replace(" ", "_")
    return Column(label, csv=(f"{name}_low", f"{name}_high"))


def _ends(entry: Mapping[str, float | None]) -> Cell:
    low, high = entry["low"], entry["high"]
    return Cell(style.interval(low, high), raw=(low, high))
