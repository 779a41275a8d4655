"""Scorecards of one run, and what was chosen on validation -> the sections of a model card that hold results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xenograft.evaluation.choices import ARGMAX, Choices
from xenograft.evaluation.rules import in_words
from xenograft.model_card.markdown import interval, number, table, text

Json = Mapping[str, Any]
_RANKING = {"auroc": "AUROC", "average_precision": "average precision", "loss": "log-loss"}
_DECIDING = {
    "recall": "sensitivity",
    "specificity": "specificity",
    "precision": "positive predictive value",
    "accuracy": "accuracy",
    "f1": "F1",
}
_NO_NETWORK = "without a network"


def policy_words(name: str) -> str:
    """A policy as a row of a table names it."""
    return "the most probable class" if name == ARGMAX else text(in_words(name))


def on_test(test: Json, classes: Sequence[str], policy: str, *, opened: str, baseline: Json | None) -> list[str]:
    """What the model reached on test, at every policy, beside a classifier that sees no anatomy."""
    size = f"{test['n']:,} images of {test['patients']:,} patients"
    several = "known" in test
    lines = [
        "## Results on test",
        "",
        f"{size}. The test split was opened at {text(opened)}, after every choice was made. Intervals are "
        f"{100 * test['level']:g} %, from a bootstrap of patients ({test['resamples']:,} resamples): how much the "
        "numbers would move with other patients of the same kind. They say nothing about another hospital.",
    ]
    if several:
        lines += ["", "Means over findings; each finding's own numbers stand below."]
    first = next(iter(test["policies"].values()))["metrics"]
    columns = [("this model", first)]
    if baseline is not None:
        columns.append((_NO_NETWORK, next(iter(baseline["test"]["policies"].values()))["metrics"]))
    lines += table(
        ["ranking and probabilities", *(name for name, _ in columns)],
        [[words, *(interval(metrics[m]) for _, metrics in columns)] for m, words in _RANKING.items() if m in first],
    )
    lines += _at_policies(test, policy, baseline)
    if baseline is not None:
        seen = ", ".join(text(family) for family in baseline["families"])
        lines += [
            f"*{_NO_NETWORK.capitalize()}*: a logistic regression on {seen} and nothing else of the image. What it "
            "reaches needs no anatomy; a model is worth what it reaches beyond that.",
            "",
        ]
    return lines + (_findings(test, classes, policy) if several else _confusion(test, classes, policy))


def _at_policies(test: Json, policy: str, baseline: Json | None) -> list[str]:
    rows = []
    sources = [("", test), *([(f"{_NO_NETWORK}, ", baseline["test"])] if baseline is not None else [])]
    for prefix, card in sources:
        for name, entry in card["policies"].items():
            used = " **(in use)**" if name == policy and not prefix else ""
            cut = entry["threshold"]
            cut_text = "one each" if isinstance(cut, list) else "" if cut is None else number(cut)
            cells = [interval(entry["metrics"][m]) for m in _DECIDING]
            rows.append([f"{prefix}{policy_words(name)}{used}", cut_text, *cells])
    headings = ["decided by", "threshold", *_DECIDING.values()]
    note = "Positive predictive value and accuracy hold at the share of positives in this test set only."
    if ARGMAX in test["policies"]:
        note = "Sensitivity, specificity, predictive value and F1 are means over classes, each against the rest."
    return [*table(headings, rows), note, ""]


def _confusion(test: Json, classes: Sequence[str], policy: str) -> list[str]:
    entry = test["policies"].get(policy) or next(iter(test["policies"].values()))
    names = [text(name) for name in classes]
    rows = [[f"is {name}", *map(str, counts)] for name, counts in zip(names, entry["confusion"], strict=True)]
    lines = table([f"images ({policy_words(policy)})", *(f"called {name}" for name in names)], rows)
    if test["per_class"]:
        own = [[name, *(interval(test["per_class"][str(k)][m]) for m in ("auroc", "recall", "specificity"))]
               for k, name in enumerate(names)]  # fmt: skip
        lines += table(["class against the rest", "AUROC", "sensitivity", "specificity"], own)
    return lines


def _findings(test: Json, classes: Sequence[str], policy: str) -> list[str]:
    entry = test["policies"].get(policy) or next(iter(test["policies"].values()))
    cuts = entry["threshold"] if isinstance(entry["threshold"], list) else [entry["threshold"]] * len(classes)
    rows = []
    for k, name in enumerate(classes):
        own, known = entry["per_class"][str(k)], test["known"][str(k)]
        numbers = [interval(own[m]) for m in ("auroc", "recall", "specificity")]
        rows.append([text(name), str(known["n"]), str(known["positive"]), number(cuts[k]), *numbers])
    return table(["finding", "known", "present", "threshold", "AUROC", "sensitivity", "specificity"], rows)


def operating_point(choices: Choices, thresholds: Json, test: Json) -> list[str]:
    """Where the thresholds come from, and how far they would move with other validation patients."""
    lines = ["## Operating points", ""]
    if choices.policy == ARGMAX:
        return [*lines, "None: the most probable class is the answer.", ""]
    lines.append(
        f"Chosen on validation ({choices.images:,} images of {choices.patients:,} patients), never on test. In use: "
        f"**{policy_words(choices.policy)}**. A probability at or above the threshold is positive."
    )
    rows = []
    for name, cards in choices.points.items():
        for k, card in enumerate(cards):
            of = f", {text(choices.classes[k])}" if choices.multi_label else ""
            if card is None:
                rows.append([f"{policy_words(name)}{of}", "0.500, not chosen", "", "", "", ""])
                continue
            reached = [cell for what in ("sensitivity", "specificity") for cell in _reached(card[what])]
            rows.append([f"{policy_words(name)}{of}", interval(card["threshold"]), *reached])
            if card["everything"]:
                lines += ["", f"{policy_words(name)}{of}: this threshold calls every image {card['everything']}."]
    headings = ["rule", "threshold", "sensitivity, same images", "other patients", "specificity, same images",
                "other patients"]  # fmt: skip
    lines += table(headings, rows)
    if rows:
        lines += [
            "*Same images*: the ones that chose the threshold, so a little too good. *Other patients*: validation "
            "patients left out when the rule chose anew, with the range over such draws."
            + _then_on_test(choices, test),
            "",
        ]
    elif isinstance(thresholds.get("fixed"), float):
        lines += ["", f"Validation was too small to choose one; the threshold is {number(thresholds['fixed'])}.", ""]
    return lines


def _then_on_test(choices: Choices, test: Json) -> str:
    """What the point in use came to on test, to be read beside what validation let one hope."""
    entry = test["policies"].get(choices.policy)
    if entry is None or choices.multi_label:
        return ""
    reached = (f"{_DECIDING[m]} {interval(entry['metrics'][m])}" for m in ("recall", "specificity"))
    return f" On test, the point in use reached {' and '.join(reached)}."


def _reached(entry: Json) -> tuple[str, str]:
    return number(entry["chosen_on"]), interval(entry, key="left_out")
