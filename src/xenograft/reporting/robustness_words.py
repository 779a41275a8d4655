"""The record of robustness -> sentences: which change hurts first, what that means, and what it does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xenograft.errors import printable
from xenograft.reporting import style
from xenograft.reporting.evaluation_view import percent, span

Json = Mapping[str, Any]

MEANS = {
    "brightness": "a window whose centre lies lower, or a brighter display",
    "contrast": "a wider window, or more scattered radiation",
    "gamma": "another display curve, or values encoded for another display",
    "blur": "motion, or an enlarged focal spot",
    "noise": "a lower dose, or a noisier detector",
    "rotation": "another positioning of the patient, with black corners",
    "crop": "a narrower collimation, or another distance",
    "jpeg": "an archive or a messenger that compresses",
    "resolution": "a thumbnail, or a picture copied from a slide",
}
"""What could do to images what each change does."""

_STEEP = 0.2  # loss of sensitivity or specificity at which a reader is told what the answers have become


def robustness_words(record: Json) -> list[str]:
    """Sentences in reading order: clean, first losses of AUROC, of accuracy, what they mean, what is not shown."""
    found = [clean_words(record), *_ranking(record), *_decisions(record)]
    return [*found, caution(record)]


def clean_words(record: Json) -> str:
    """How the model does on the images as they are, and how many there are."""
    clean = record["clean"]
    auroc = f"{auroc_name(record)} {span(clean['auroc'])}"
    if record["task"] == "multiclass":
        rates = f"accuracy {percent(clean['accuracy'])}"
    else:
        of = "mean " if record["task"] == "multilabel" else ""
        rates = f"{of}sensitivity {percent(clean['recall'])}, {of}specificity {percent(clean['specificity'])}"
    return f"Images as they are: {auroc}, {rates}{_at_threshold(record)} ({size(record)})."


def caution(record: Json) -> str:
    """What these numbers are not."""
    count = sum(len(change["levels"]) for change in record["changes"])
    return (
        "Each change is simulated on the prepared image, alone and at a strength that is the same for all images. "
        f"Withstanding it is no proof for another hospital or device; the {count} losses were not adjusted for their "
        "number."
    )


def size(record: Json) -> str:
    """``624 images of 428 patients``, and of how many they are a sample."""
    images = style.plural(record["images"], "image")
    whole = record["sampled_from"]
    sample = "" if whole is None else f", drawn by patient from {whole:,}"
    if not record["patients_known"]:
        return f"{images}, each counted as a patient of its own because none are named{sample}"
    return f"{images} of {style.plural(record['patients'], 'patient')}{sample}"


def auroc_name(record: Json) -> str:
    """What is averaged over, where something is."""
    return {"binary": "AUROC", "multiclass": "mean AUROC of the classes", "multilabel": "mean AUROC of the findings"}[
        record["task"]
    ]


def heading(change: Json) -> str:
    """A change as a heading: ``Noise``, ``JPEG``."""
    name = printable(change["name"])
    return name.upper() if name == "jpeg" else name.capitalize()


def strength(change: Json, row: Json) -> str:
    """``noise 0.02``."""
    return f"{printable(change['name'])} {row['strength']:g}"


def _ranking(record: Json) -> list[str]:
    """Which changes cost AUROC, the one that does at the weakest level first, and which do not."""
    hurt = sorted((c for c in record["changes"] if c["first"]["auroc"] is not None), key=lambda c: c["first"]["auroc"])
    spared = [printable(c["name"]) for c in record["changes"] if c["first"]["auroc"] is None]
    amount = f"{record['amount']:g}"
    if not hurt:
        return [
            f"No change costs more than {amount} of AUROC with an interval that excludes 0, at any of the levels tried."
        ]
    first = [c for c in hurt if c["first"]["auroc"] == hurt[0]["first"]["auroc"]]
    losses = " and under ".join(_loss(change) for change in first)
    meanings = "; ".join(f"{heading(change)} stands for {MEANS[change['name']]}" for change in first)
    sentences = [f"AUROC falls by more than {amount} first under {losses}. {meanings}."]
    if later := hurt[len(first) :]:
        sentences.append(f"At stronger levels also under {_listed(later, 'auroc')}.")
    if spared:
        sentences.append(f"Not by as much at any level tried: {', '.join(spared)}.")
    return sentences


def _decisions(record: Json) -> list[str]:
    """Changes after which answers suffer before the order of the images does, and what becomes of them."""
    early = []
    for change in record["changes"]:
        accuracy, auroc = change["first"]["accuracy"], change["first"]["auroc"]
        if accuracy is not None and (auroc is None or accuracy < auroc):
            early.append(change)
    if not early:
        return []
    amount = f"{100 * record['amount']:g} points"
    what = "the highest probability" if record["task"] == "multiclass" else "the threshold"
    texts = _listed(sorted(early, key=lambda c: c["first"]["accuracy"]), "accuracy")
    sentences = [
        f"Answers by {what} suffer earlier than the ranking of images: accuracy falls by more than {amount} "
        f"under {texts}. There the probabilities are shifted, and "
        f"{'they' if record['task'] == 'multiclass' else 'a threshold chosen on other images'} would have to be "
        "checked on such images."
    ]
    if record["task"] == "binary":
        sentences += _one_sided(record)
    return sentences


def _one_sided(record: Json) -> list[str]:
    """Changes under which images of one class are more and more called the other."""
    sentences = []
    for metric, called, rate in (("specificity", 1, "specificity"), ("recall", 0, "sensitivity")):
        before = record["clean"][metric]["value"]
        found = []
        for change in record["changes"]:
            low = next((row for row in change["levels"] if _steep(row["differences"][metric])), None)
            if low is not None:
                found.append(f"{strength(change, low)} ({100 * low['metrics'][metric]['value']:.0f} %)")
        if found:
            name, other = printable(record["classes"][called]), printable(record["classes"][1 - called])
            sentences.append(
                f"Images of {other} are called {name} more and more: {rate}, {100 * before:.0f} % before, is more than "
                f"{100 * _STEEP:.0f} points lower from {', '.join(found)}."
            )
    return sentences


def _steep(lost: Json) -> bool:
    return lost["difference"] is not None and lost["difference"] < -_STEEP


def _listed(changes: Sequence[Json], metric: str) -> str:
    """``jpeg 15 (−0.044), blur 3 (−0.072)``: what is lost at the first level that costs too much."""
    found = []
    for change in changes:
        row = _row(change["levels"], change["first"][metric])
        lost = style.number(row["differences"][metric]["difference"], metric=metric, signed=True)
        found.append(f"{strength(change, row)} ({lost})")
    return ", ".join(found)


def _loss(change: Json) -> str:
    """``noise 0.02 (level 2: 0.951 to 0.924, −0.027, interval −0.053 to −0.007)``, of AUROC."""
    row = _row(change["levels"], change["first"]["auroc"])
    lost, now = row["differences"]["auroc"], row["metrics"]["auroc"]["value"]
    from_to = f"{style.number(now - lost['difference'])} to {style.number(now)}"
    ends = style.interval(lost["low"], lost["high"], signed=True)
    number = style.number(lost["difference"], signed=True)
    return f"{strength(change, row)} (level {row['level']}: {from_to}, {number}, interval {ends})"


def _row(levels: Sequence[Json], level: int) -> Json:
    return next(row for row in levels if row["level"] == level)


def _at_threshold(record: Json) -> str:
    threshold = record["threshold"]
    if threshold is None:
        return ""
    if isinstance(threshold, list | tuple):
        return " at a threshold for each finding"
    return f" at threshold {threshold:.3f}"
