"""The record of an evaluation -> tables of text: results with intervals, what can be trusted, and comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xenograft.errors import printable
from xenograft.reporting.p_values import p_text

Json = Mapping[str, Any]
Table = tuple[tuple[str, ...], list[list[str]]]

_METRICS = {
    "auroc": "AUROC",
    "average_precision": "AP",
    "accuracy": "accuracy",
    "recall": "sensitivity",
    "specificity": "specificity",
    "precision": "precision",
    "f1": "F1",
}
SHORT = ("auroc", "accuracy", "recall", "specificity", "f1")
"""Metrics that fit a terminal."""

_COMPARED = ("auroc", "accuracy", "f1")


def results(record: Json, metrics: Sequence[str] = tuple(_METRICS)) -> Table:
    """A row for each model and threshold policy, intervals by patient-cluster bootstrap."""
    several = len(record["classes"]) > 2
    rows = []
    for model in record["models"]:
        for policy, entry in model["scorecard"]["policies"].items():
            cut = "" if entry["threshold"] is None else f"{entry['threshold']:.3f}"
            found = [interval(entry["metrics"][name]) for name in metrics]
            rows.append([printable(model["name"]), policy, cut, *found])
    names = ["recall" if several and name == "recall" else _METRICS[name] for name in metrics]
    return ("predictions", "threshold", "at", *names), rows


def calibration(record: Json) -> Table:
    """Calibration of each model, as given and, where validation was at hand, recalibrated."""
    names = _calibration_names(record)
    rows = []
    for model in record["models"]:
        after = model["recalibration"]
        cards = {"as given": model["calibration"]} | (
            {after["fitted"]["method"]: after["calibration"]} if after else {}
        )
        for what, card in cards.items():
            rows.append([printable(model["name"]), what, *(interval(card["metrics"].get(name)) for name in names)])
    return ("predictions", "scores", *(name.replace("_", " ") for name in names)), rows


def comparisons(record: Json) -> Table:
    """Differences of every pair with intervals; tests of AUROC and accuracy for two classes."""
    rows = []
    for pair in record["comparisons"]:
        tests = [p_text((pair[name] or {}).get("p")) for name in ("clustered_delong", "delong", "mcnemar")]
        margin = pair["margin"]["verdict"] if pair["margin"] else ""
        differences = [interval(pair["metrics"][name], key="difference", sign=True) for name in _COMPARED]
        pairing = f"{printable(pair['a'])} - {printable(pair['b'])}"
        rows.append([pairing, *differences, tests[0], p_text(pair["adjusted_p"]), *tests[1:], margin])
    head = (
        "difference", *(_METRICS[name] for name in _COMPARED), "p AUROC, patients (Obuchowski)", "p after Holm",
        "p AUROC, images (DeLong)", "p accuracy, images (McNemar)", "margin",
    )  # fmt: skip
    return head, rows


def subgroups(record: Json) -> Table:
    """A row for each model and level: its size, AUROC and gap to the rest, at the first threshold policy."""
    rows = []
    for model in record["models"]:
        for fact, of in (model["subgroups"] or {"groups": {}})["groups"].items():
            for name, entry in of["levels"].items():
                found: Json = next(iter(entry["policies"].values()), {"metrics": {}, "gap": {}})
                gap = found["gap"].get("auroc")
                rows.append(
                    [
                        printable(model["name"]), f"{fact}: {name}", f"{entry['n']} ({entry['patients']})",
                        *(interval(found["metrics"].get(metric)) for metric in ("auroc", "recall", "specificity")),
                        interval(gap, key="difference", sign=True), p_text(gap["p_holm"] if gap else None),
                    ]
                )  # fmt: skip
    head = (
        "predictions",
        "subgroup",
        "images (patients)",
        "AUROC",
        "sensitivity",
        "specificity",
        "AUROC minus the rest",
    )
    return (*head, "p after Holm"), rows


def interval(entry: Json | None, *, key: str = "value", sign: bool = False) -> str:
    """``0.953 (0.935-0.968)``; ``n/a`` where it is undefined."""
    if entry is None or entry.get(key) is None:
        return "n/a"
    form = "+.3f" if sign else ".3f"
    if entry.get("low") is None or entry.get("high") is None:
        return f"{entry[key]:{form}}"
    between = " to " if sign else "-"
    return f"{entry[key]:{form}} ({entry['low']:{form}}{between}{entry['high']:{form}})"


def _calibration_names(record: Json) -> Sequence[str]:
    wanted = ("log_loss", "brier", "slope", "in_the_large", "smooth_ece", "top_label_smooth_ece")
    return [name for name in wanted if name in record["models"][0]["calibration"]["metrics"]]
