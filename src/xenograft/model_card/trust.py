"""What was chosen on validation, and what it did on test -> the sections of a model card about trust in an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xenograft.evaluation.choices import Choices
from xenograft.evaluation.recalibration import Platt, Temperature
from xenograft.model_card.markdown import interval, percent, table, text

Json = Mapping[str, Any]


def calibration(choices: Choices, measured: Json | None) -> list[str]:
    """Whether probabilities can be taken at their word, before and after the map that validation gave."""
    lines = ["## Can the probabilities be taken at their word?", ""]
    fitted = [made for made in choices.recalibration if made is not None]
    if fitted:
        lines.append(
            f"{_map_words(choices)} was fitted on validation. Predictions carry both the raw and the recalibrated "
            "probability. Answers use the raw one, as the thresholds were chosen on it. A recalibrated probability "
            "holds where positives are as frequent as in validation"
            + (f" ({percent(choices.counts[1] / choices.images)})." if _binary(choices) else ".")
        )
    else:
        lines.append("No recalibration was fitted: probabilities are the network's own.")
    if measured is None:
        return [*lines, ""]
    before, after = measured["calibration"], measured["recalibrated"]
    if choices.multi_label:
        return lines + _calibrated_findings(choices, before, after)
    names = {"log_loss": "log-loss", "brier": "Brier score"}
    if _binary(choices):
        names |= {"slope": "slope (1: neither too extreme nor too timid)", "in_the_large": "in the large (0: right on "
                  "average; below 0: scores too high)"}  # fmt: skip
    columns = [("raw", before), *([("recalibrated", after)] if after else [])]
    lines += table(
        ["on test", *(name for name, _ in columns)],
        [[words, *(interval(card["metrics"][m]) for _, card in columns)] for m, words in names.items()],
    )
    return lines + ([_better(before["metrics"]["log_loss"], after["metrics"]["log_loss"]), ""] if after else [])


def warnings(choices: Choices, measured: Json | None) -> list[str]:
    """What test showed to be worse than validation let one hope, in one sentence each."""
    if measured is None:
        return []
    found = []
    before, after = measured["calibration"], measured["recalibrated"]
    if after and not choices.multi_label and _worse(before["metrics"]["log_loss"], after["metrics"]["log_loss"]):
        found.append("On test, recalibrated probabilities were worse than raw ones.")
    names = [text(name) for name in broken_promises(choices, measured)]
    if names:
        found.append(
            "On test, the prediction sets behind `refer` held the truth less often than promised for "
            f"{', '.join(names)}."
        )
    return found


def broken_promises(choices: Choices, measured: Json) -> list[str]:
    """Classes, or findings, whose coverage on test lies below the promise with its whole interval."""
    card = measured["conformal"]
    if choices.conformal is None or card is None:
        return []
    parts = (
        {k: [card["findings"][str(k)]["per_class"][side] for side in ("0", "1")] for k in range(len(choices.classes))}
        if choices.multi_label
        else {k: [card["per_class"][str(k)]] for k in range(len(choices.classes))}
    )
    return [
        choices.classes[k]
        for k, entries in parts.items()
        if choices.offered[k] and any(_short(entry["coverage"], choices.conformal.coverage) for entry in entries)
    ]


def _worse(before: Json, after: Json) -> bool:
    return before["value"] is not None and after["value"] is not None and bool(after["value"] > before["value"])


def _better(before: Json, after: Json) -> str:
    if before["value"] is None or after["value"] is None:
        return ""
    if not _worse(before, after):
        return "On test, recalibration lowered the log-loss."
    return (
        "**On test, recalibration raised the log-loss: the test images differ from validation, and the map does not "
        "carry over to them.** Recalibrate on images of the place where the model is used."
    )


def _map_words(choices: Choices) -> str:
    made = next(m for m in choices.recalibration if m is not None)
    if choices.multi_label:
        count = sum(m is not None for m in choices.recalibration)
        return f"Platt scaling, for {count} of {len(choices.classes)} findings,"
    if isinstance(made, Platt):
        return f"Platt scaling (slope {made.slope:.2f}, intercept {made.intercept:+.2f} on log-odds)"
    return f"A temperature ({made.temperature:.2f})" if isinstance(made, Temperature) else "Isotonic regression"


def _calibrated_findings(choices: Choices, before: Json, after: Json | None) -> list[str]:
    rows = [
        [text(name), *(interval(card["per_class"][str(k)]["log_loss"]) for card in (before, after) if card)]
        for k, name in enumerate(choices.classes)
    ]
    return table(["finding", "log-loss on test, raw", *(["recalibrated"] if after else [])], rows)


def referring(choices: Choices, measured: Json | None) -> list[str]:
    """What prediction sets promise, and what they did on test."""
    lines = ["## When a person has to look", ""]
    sets = choices.conformal
    if sets is None:
        why = next((sentence for sentence in choices.missing if sentence.startswith("prediction sets")), "")
        return [*lines, f"Not offered. {text(why)}".strip(), ""]
    promise = percent(sets.coverage).replace(".0", "")
    has = (
        "Every finding of an image has a prediction set: those of absent and present"
        if choices.multi_label
        else "Every image has a prediction set: the classes"
    )
    lines.append(
        f"{has} that its probability does not rule out. The advice is `refer` where that set is not exactly the answer "
        "given. The promise: for a new patient like those of validation, the set holds the true answer with a "
        f"probability of at least {promise}, class by class. It is an average over patients, and it does not hold for "
        "another hospital, another device, or a group that validation had few of."
    )
    if measured is None or measured["conformal"] is None:
        return [*lines, ""]
    return lines + (_covered_findings if choices.multi_label else _covered)(choices, measured)


def _covered(choices: Choices, measured: Json) -> list[str]:
    card = measured["conformal"]
    rows = []
    for k, name in enumerate(choices.classes):
        entry = card["per_class"][str(k)]
        rows.append([text(name), str(entry["fitted_patients"]), interval(entry["coverage"], share=True),
                     interval(entry["answered"], share=True)])  # fmt: skip
    lines = table(["class", "validation patients", "held on test (by patient)", "one class in the set"], rows)
    lines += [
        f"On test {interval(measured['referred'], share=True)} of images would be referred. Of those with one class in "
        f"the set, {interval(card['accuracy'], share=True)} hold the true one.",
        "",
    ]
    return lines + _broken([text(name) for name in broken_promises(choices, measured)])


def _covered_findings(choices: Choices, measured: Json) -> list[str]:
    rows = []
    for k, name in enumerate(choices.classes):
        if not choices.offered[k]:
            rows.append([text(name), "not offered", "", ""])
            continue
        card = measured["conformal"]["findings"][str(k)]
        held = [card["per_class"][side]["coverage"] for side in ("1", "0")]
        cells = [interval(entry, share=True) for entry in (*held, measured["referred"][k])]
        rows.append([text(name), *cells])
    lines = table(["finding", "held on test where present", "where absent", "referred"], rows)
    return lines + _broken([text(name) for name in broken_promises(choices, measured)])


def _short(entry: Json, promised: float) -> bool:
    return entry["high"] is not None and bool(entry["high"] < promised)


def _broken(names: Sequence[str]) -> list[str]:
    if not names:
        return []
    return [
        f"**On test the promise was not kept for {', '.join(names)}**: the whole interval lies below it. The test "
        "images are not like those of validation; do not count on the promise before it is measured at your own place.",
        "",
    ]


def _binary(choices: Choices) -> bool:
    return not choices.multi_label and len(choices.classes) == 2
