"""A domain-shift view -> sentences: what the shift costs, what adaptation gives back, what the numbers do not mean."""

from __future__ import annotations

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
    said += [_gain(group, arm["adaptation"]) for arm in group["arms"] if arm["adaptation"] in ("adabn", "coral")]
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


def _gain(group: Json, adaptation: str) -> str:
    rows = {row["metric"]: row for row in group["differences"] if row["adaptation"] == adaptation}
    auroc, accuracy, brier = rows["auroc"], rows["accuracy"], rows["brier"]
    shown = [
        f"{word} {'rises' if row['difference'] > 0 else 'falls'}"
        for row, word in ((auroc, "AUROC"), (accuracy, "accuracy"), (brier, "the Brier score"))
        if row["p_holm"] is not None and row["p_holm"] <= SIGNIFICANT and row["difference"]
    ]
    verdict = ", ".join(shown) if shown else "these data show no change"
    return (
        f"{ADAPTATIONS[adaptation]} changes AUROC on the target by "
        f"{text(auroc, 'auroc', key='difference', signed=True)}, adjusted p {p_text(auroc['p_holm'])}, accuracy by "
        f"{text(accuracy, 'accuracy', key='difference', signed=True)} points, adjusted p "
        f"{p_text(accuracy['p_holm'])}, and the Brier score (lower is better) by "
        f"{text(brier, 'brier', key='difference', signed=True)}, adjusted p {p_text(brier['p_holm'])}: {verdict}."
    )


def cautions(view: ShiftView) -> list[str]:
    """What the numbers do not mean."""
    record = view.record
    lines = [seen(view)]
    source, target = view.share("source", "train"), view.share("target", record["adaptation"]["adapt_on"])
    if view.two_classes and record["adaptation"]["asked"] != ["none"]:
        text_of = (
            f"The positive class is {100 * source:.0f} % of the source's training images and {100 * target:.0f} % of "
            "the target images that adaptation saw."
        )
        if abs(source - target) >= _APART:
            text_of += (
                " Both adaptations take the whole difference of the domains for a difference of appearance. Where "
                "prevalence differs, part of it is not, and adapting can move answers the wrong way."
            )
        lines.append(text_of)
    lines.append(
        "The change from source to target mixes what was done to the images with who the patients are: other disease, "
        "ages or labelling move it as well. It is a difference between two groups of patients, not a paired one."
    )
    if record["adaptation"]["reference"]:
        lines.append(
            "Trained on the target's labels is a yardstick, not a bound: it has as many labelled images as the "
            "target's training split, fewer or more than the source."
        )
    if record["seeds"] < 3:
        lines.append(f"With {style.plural(record['seeds'], 'seed')} the variation over seeds cannot be told.")
    if any(group["recipe"] not in ("probe", "logistic", "random") for group in record["groups"]):
        lines.append(
            "Of a network that was trained, CORAL fits a new head on its aligned features: its difference holds the "
            "effect of refitting the head too."
        )
    return lines


def seen(view: ShiftView) -> str:
    """What adaptation saw of the target."""
    found = view.record["adaptation"]
    unit = "images" if not view.record["target"]["patients_known"] else f"images of {found['patients']:,} patients"
    if found["adapt_on"] == "test":
        return (
            f"Adaptation saw the very {found['images']:,} {unit} that are measured, without their labels "
            "(transductive, Definition 5 of the paper). That fits a closed archive; for images that come later, adapt "
            "on train."
        )
    return (
        f"Adaptation saw {found['images']:,} training {unit} of the target, without labels, and none of its test "
        "patients. The target's labels measure at the end; where the target names no splits, they also stratify its "
        "split."
    )


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
