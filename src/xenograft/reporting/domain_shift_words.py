"""A domain-shift view -> sentences: what the shift costs, what adaptation gives back, what the numbers do not mean."""

from __future__ import annotations

import math

from xenograft.reporting import style
from xenograft.reporting.domain_shift_view import ADAPTATIONS, POLICIES, Json, ShiftView, entry, text
from xenograft.reporting.p_values import p_text

SIGNIFICANT = 0.05
_APART = 0.05  # of prevalence; only the words depend on it


def answers(view: ShiftView) -> list[str]:
    """What the record shows, the most wanted first, for each backbone and recipe."""
    return [sentence for group in view.record["groups"] for sentence in _of(view, group)]


def _of(view: ShiftView, group: Json) -> list[str]:
    plain = view.arm(group, "none")
    if plain is None:
        return []
    name = view.model(group)
    said = [_cost(view, name, group, plain), *_decisions(view, plain)]
    said += [_gain(view, group, arm["adaptation"]) for arm in group["arms"] if arm["adaptation"] in ("adabn", "coral")]
    reference = view.arm(group, "reference")
    if reference is not None:
        said.append(
            "The same recipe trained on the target's own labels has AUROC "
            f"{text(entry(reference['target'], 'auroc', ''), 'auroc')} on the target."
        )
    return said


def _cost(view: ShiftView, name: str, group: Json, plain: Json) -> str:
    source, target = (text(entry(plain[domain], "auroc", group["policy"]), "auroc") for domain in ("source", "target"))
    drop = next(row for row in plain["drop"] if row["metric"] == "auroc")
    shown = _verdict(drop["low"], drop["high"], "lower on the target", "higher on the target")
    return (
        f"{name}, trained on {view.domain('source')}: AUROC {source} on its own test patients and {target} on those of "
        f"{view.domain('target')}, a change of {text(drop, 'auroc', key='difference', signed=True)}; {shown}."
    )


def _decisions(view: ShiftView, plain: Json) -> list[str]:
    policy = plain["policy"]
    if not view.two_classes:
        both = [text(entry(plain[d], "accuracy", policy), "accuracy") for d in ("source", "target")]
        return [f"Accuracy of the most probable class: {both[0]} % on the source, {both[1]} % on the target."]
    numbers = {
        metric: [entry(plain[d], metric, policy) for d in ("source", "target")]
        for metric in ("accuracy", "recall", "specificity")
    }
    parts = [
        f"{word} {style.number(_value(numbers[metric][0]), metric=metric)} and "
        f"{style.number(_value(numbers[metric][1]), metric=metric)} %"
        for metric, word in (("accuracy", "accuracy"), ("recall", "sensitivity"), ("specificity", "specificity"))
    ]
    return [f"At {POLICIES[policy]}, on the source and on the target: {', '.join(parts)}."]


def _gain(view: ShiftView, group: Json, adaptation: str) -> str:
    rows = {row["metric"]: row for row in group["differences"] if row["adaptation"] == adaptation}
    auroc, accuracy, brier = rows["auroc"], rows["accuracy"], rows["brier"]
    shown = [
        f"{word} {'rises' if row['difference'] > 0 else 'falls'}"
        for row, word in ((auroc, "AUROC"), (accuracy, "accuracy"), (brier, "the Brier score"))
        if row["p_holm"] is not None and row["p_holm"] <= SIGNIFICANT and row["difference"]
    ]
    verdict = ", ".join(shown) if shown else _nothing_shown(view)
    return (
        f"{ADAPTATIONS[adaptation]} changes AUROC on the target by "
        f"{text(auroc, 'auroc', key='difference', signed=True)}, adjusted p {p_text(auroc['p_holm'])}, accuracy by "
        f"{text(accuracy, 'accuracy', key='difference', signed=True)} points, adjusted p "
        f"{p_text(accuracy['p_holm'])}, and the Brier score (lower is better) by "
        f"{text(brier, 'brier', key='difference', signed=True)}, adjusted p {p_text(brier['p_holm'])}: {verdict}."
    )


def _nothing_shown(view: ShiftView) -> str:
    """No change, unless so few resamples could not have shown one: p of a bootstrap is at least 2 / (B + 1)."""
    tests, resamples = view.record["tests"], view.record["resamples"]
    if tests * 2 / (resamples + 1) <= SIGNIFICANT:
        return "these data show no change"
    needed = math.ceil(tests * 2 / SIGNIFICANT)
    return (
        f"{resamples:,} resamples cannot show a change, whatever the data hold: adjusted over {tests} tests, no p of "
        f"theirs is below {SIGNIFICANT:g}. Run it again with --resamples {needed} or more"
    )


def cautions(view: ShiftView) -> list[str]:
    """What the numbers do not mean."""
    record = view.record
    lines = [seen(view)]
    source, target = view.share("source", "train"), view.share("target", record["adaptation"]["adapt_on"])
    if view.two_classes and record["adaptation"]["asked"] != ["none"]:
        text_of = (
            f"The positive class is {100 * source:.0f} % of the source's training images and {100 * target:.0f} % of "
            "the target images that adaptation was given."
        )
        if abs(source - target) >= _APART:
            text_of += (
                " Adaptation takes the whole difference of the domains for a difference of appearance. Where "
                "prevalence differs, part of it is not, and adapting can move answers the wrong way."
            )
        lines.append(text_of)
    lines.append(
        "The change from source to target mixes what was done to the images with who the patients are: other disease, "
        "ages or labelling move it as well. It is a difference between two groups of patients, not a paired one."
    )
    if any(view.arm(group, "reference") for group in record["groups"]):
        lines.append(
            "Trained on the target's labels is a yardstick, not a bound: it has as many labelled images as the "
            "target's training split, fewer or more than the source."
        )
    if record["seeds"] < 3:
        lines.append(f"With {style.plural(record['seeds'], 'seed')} the variation over seeds cannot be told.")
    if any(view.arm(group, "coral") and not group["frozen"] for group in record["groups"]):
        lines.append(
            "Of a network that was trained, CORAL fits a new head on its aligned features: its difference holds the "
            "effect of refitting the head too."
        )
    return lines


def seen(view: ShiftView) -> str:
    """What adaptation saw of the target."""
    found = view.record["adaptation"]
    if found["asked"] == ["none"]:
        return "Nothing was adapted: no model but one trained on the target's own labels saw an image of the target."
    unit = "images" if not view.record["target"]["patients_known"] else f"images of {found['patients']:,} patients"
    if found["adapt_on"] == "test":
        return (
            f"Adaptation was given the very {found['images']:,} {unit} that are measured, without their labels "
            f"(transductive, Definition 5 of the paper).{_drawn(view)} "
            "That fits a closed archive; for images that come later, adapt on train."
        )
    return (
        f"Adaptation was given {found['images']:,} training {unit} of the target, without labels, and none of its test "
        f"patients.{_drawn(view)} The target's labels measure at the end; where the target names no splits, they also "
        "stratify its split."
    )


def _drawn(view: ShiftView) -> str:
    """How many of many images AdaBN took."""
    arms = [view.arm(group, "adabn") for group in view.record["groups"]]
    taken = next((arm["facts"]["images"] for arm in arms if arm is not None), None)
    if taken is None or taken >= view.record["adaptation"]["images"]:
        return ""
    return f" AdaBN took {taken:,} of these images, drawn at random."


def how(arm: Json) -> str:
    """How one adaptation was made."""
    facts = arm["facts"]
    if arm["adaptation"] == "coral":
        means = "means aligned" if facts["align_means"] else "the source's means kept"
        return (
            f"CORAL (Sun, Feng and Saenko 2016, arXiv:1511.05547): covariances of the source's training and of "
            f"{facts['images']:,} target images, ridge {facts['ridge']:g} of the mean variance, {means}; head "
            f"{facts['head']}."
        )
    source = (
        "" if facts["source_images"] is None else f", and of {facts['source_images']:,} training images of the source"
    )
    return (
        f"AdaBN (Li et al. 2016, arXiv:1603.04779): batch-norm statistics of {facts['images']:,} target "
        f"images{source}, in batches of {facts['batch']}; head {facts['head']}."
    )


def _verdict(low: float | None, high: float | None, below: str, above: str) -> str:
    if low is None or high is None:
        return "no interval can be given"
    if high < 0:
        return below
    return above if low > 0 else "these data do not show a difference"


def _value(found: Json | None) -> float | None:
    return None if found is None else found["value"]
