"""Records -> the answer in plain sentences. Every sentence is made of recorded facts; nothing is judged beyond them."""

from __future__ import annotations

from statistics import fmean
from typing import Any

from xenograft.reporting import style
from xenograft.reporting.findings import Finding, auroc, gap_note, ranked
from xenograft.reporting.groups import Group, Score, View

_WITH = {
    "scratch": "trained from scratch",
    "random": "with frozen random weights (control)",
    "probe": "with frozen {kind} features and a trained head",
    "logistic": "with frozen {kind} features and a logistic head",
    "partial": "with {kind} weights, the last stages fine-tuned",
    "full": "with {kind} weights, everything fine-tuned",
    "lp_ft": "with {kind} weights, first the head and then everything trained",
}


def sentences(view: View) -> list[str]:
    """The answer: the combination that validation chose, its reference, their paired difference."""
    chosen = view.chosen()
    metric = _metric(view, chosen)
    if metric is None:
        return [f"{style.plural(len(view.study.runs), 'run')} finished, but none recorded a test result."]
    said = [_headline(view, chosen, metric)]
    said += _extremes(view, chosen)
    reference = _reference(view, chosen)
    if reference is not None:
        said += _compared(view, chosen, reference, metric)
    elif not any(group.transfer for group in view.groups):
        said.append("No run used pretrained weights, so this study says nothing about transfer.")
    else:
        said.append("No run without pretrained weights is there to compare it with.")
    said += _overall(view, metric)
    said += _without_anatomy(view, metric)
    if view.most_seeds == 1:
        said.append("Each combination was run with one seed, so how much results vary between seeds is unknown.")
    return said


def _without_anatomy(view: View, metric: str) -> list[str]:
    """What the same test images give away without being looked at."""
    score = view.baseline(view.main_policy, metric)
    if score is None:
        return []
    ends = style.interval(score.low, score.high, metric=metric).replace("–", " to ")
    unit = " %" if metric in style.PERCENT else ""
    return [
        f"A classifier that sees no anatomy, only properties such as file size and gray-value statistics, reaches "
        f"{_called(view, metric)} {style.number(score.value, metric=metric)}{unit} ({view.level} CI {ends}) "
        "on the same images."
    ]


def _metric(view: View, group: Group) -> str | None:
    found = (m for m in ("auroc", "accuracy", "f1") if group.score(view.main_policy, m))
    return next(found, None)


def _reference(view: View, chosen: Group) -> Group | None:
    """The same network without pretrained weights: from scratch, else the random control."""
    if not chosen.transfer:
        return None
    others = [g for g in view.at(chosen.lr_scale) if g.backbone == chosen.backbone and not g.transfer]
    return min(others, key=lambda g: style.recipe_order(g.recipe)) if others else None


def _described(group: Group) -> str:
    origin = " ".join(str(run.weights) for run in group.runs).lower()
    kind = "ImageNet" if "imagenet" in origin else "pretrained"
    words = _WITH.get(group.recipe, f"(recipe {style.recipe_name(group.recipe)})").format(kind=kind)
    scale = "" if group.lr_scale == 1.0 else f" (learning rate × {group.lr_scale:g})"
    return words + scale


def _figure(view: View, group: Group, metric: str) -> str:
    score = group.score(view.main_policy, metric)
    if score is None:
        return f"no {style.metric_name(metric)}"
    unit = " %" if metric in style.PERCENT else ""
    ends = style.interval(score.low, score.high, metric=metric).replace("–", " to ")
    interval = f" ({view.level} CI {ends})" if ends else ""
    return f"{_called(view, metric)} {style.number(score.value, metric=metric)}{unit}{interval}"


def _called(view: View, metric: str) -> str:
    return f"a mean {_short(metric)} of" if view.multi_label else _short(metric)


def _short(metric: str) -> str:
    return style.metric_name(metric) if metric in {"auroc", "f1"} else style.metric_name(metric).lower()


def _headline(view: View, chosen: Group, metric: str) -> str:
    seeds = f", mean of {len(chosen.runs)} seeds" if len(chosen.runs) > 1 else ""
    over = f" over {len(view.classes)} findings" if view.multi_label else ""
    rivals = [g for g in view.groups if g.transfer == chosen.transfer]
    kind = "combinations with transfer" if chosen.transfer else "combinations"
    rule = (
        f" Of {len(rivals)} {kind}, it is the one that the validation images rated highest." if len(rivals) > 1 else ""
    )
    return (
        f"On the held-out test set ({view.test_size()}), {chosen.name} {_described(chosen)} reached "
        f"{_figure(view, chosen, metric)}{over}{seeds}.{rule}"
    )


def _extremes(view: View, chosen: Group) -> list[str]:
    """Of several findings the best and the worst told apart, and why a mean is not defined."""
    if not view.multi_label:
        return []
    scores = [(f, score) for f in ranked(view, [chosen]) if (score := auroc(view, chosen, f)) is not None]
    gap = gap_note(view)
    if len(scores) < 2:
        return [gap] if gap else []
    if gap:
        value = style.number(fmean(score.value for _, score in scores))
        gap = f"{gap} Over the other {len(scores)} findings the mean AUROC is {value}."
    (best, most), (worst, least) = scores[0], scores[-1]
    said = [gap] if gap else []
    return [*said, f"AUROC is highest for {_one(view, best, most)} and lowest for {_one(view, worst, least)}."]


def _one(view: View, finding: Finding, score: Score) -> str:
    ends = style.interval(score.low, score.high).replace("–", " to ")
    interval = f", {view.level} CI {ends}" if ends else ""
    return f"{finding.name} ({style.number(score.value)}{interval}; {style.plural(finding.positive, 'positive image')})"


def _compared(view: View, chosen: Group, reference: Group, metric: str) -> list[str]:
    said = [f"The same network {_described(reference)} reached {_figure(view, reference, metric)}."]
    found = _difference(view, chosen, reference, metric)
    if found is None:
        return [*said, "No paired difference of the two was recorded."]
    value, low, high = found
    of = "The paired difference" + (f" of the mean {_short(metric)}" if view.multi_label else "")
    text = style.number(value, metric=metric, signed=True) + (" points" if metric in style.PERCENT else "")
    if low is None or high is None:
        return [*said, f"{of} is {text}, without an interval."]
    ends = style.interval(low, high, metric=metric, signed=True)
    verdict = (
        "the interval includes 0: these data do not show a difference"
        if low <= 0 <= high
        else f"the interval excludes 0: the {'first' if low > 0 else 'second'} is higher on this test set"
    )
    return [*said, f"{of} is {text} ({view.level} CI {ends}); {verdict}."]


def _difference(
    view: View, chosen: Group, reference: Group, metric: str
) -> tuple[float, float | None, float | None] | None:
    """(difference, low, high) of chosen minus reference, turned round where it was recorded the other way."""
    for c in view.study.record.comparisons:
        if (c["backbone"], float(c["lr_scale"]), c["metric"]) != (chosen.backbone, chosen.lr_scale, metric):
            continue
        value, low, high = c.get("difference"), c.get("low"), c.get("high")
        if value is None:
            continue
        if (c["a"], c["b"]) == (chosen.recipe, reference.recipe):
            return value, low, high
        if (c["b"], c["a"]) == (chosen.recipe, reference.recipe):
            return -value, None if high is None else -high, None if low is None else -low
    return None


def _overall(view: View, metric: str) -> list[str]:
    """How the same comparison came out over all backbones and learning rates."""
    transfer = {group.recipe for group in view.groups if group.transfer}
    tally = {"higher": 0, "lower": 0, "unclear": 0}
    for c in view.study.record.comparisons:
        if c["metric"] == metric and c["a"] in transfer and c["b"] == "scratch" and c.get("low") is not None:
            tally[_side(c)] += 1
    count = sum(tally.values())
    mean = "mean " if view.multi_label else ""
    if count < 2:
        return []
    return [
        (
            f"Over all {count} comparisons of transfer with scratch by {mean}{_short(metric)}, transfer was higher in "
            f"{tally['higher']} and lower in {tally['lower']}; in {tally['unclear']} the data do not show a difference."
        )
    ]


def _side(c: dict[str, Any]) -> str:
    if c["low"] <= 0 <= c["high"]:
        return "unclear"
    return "higher" if c["low"] > 0 else "lower"
