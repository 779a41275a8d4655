"""Records -> the answer in plain sentences. Every sentence is made of recorded facts; nothing is judged beyond them."""

from __future__ import annotations

from statistics import fmean
from typing import Any

from xenograft.reporting import pairs, shortcut, style
from xenograft.reporting.answer_trust import trusted
from xenograft.reporting.findings import Finding, auroc, gap_note, ranked
from xenograft.reporting.groups import Group, Score, View
from xenograft.reporting.phrases import p_phrase

_MOST_NAMED = 5
_WITH = {
    "scratch": "trained from scratch",
    "random": "with frozen random weights (control)",
    "probe": "with frozen {kind} features and a trained head",
    "logistic": "with frozen {kind} features and a logistic head",
    "partial": "with {kind} weights, the last stages fine-tuned",
    "full": "with {kind} weights, everything fine-tuned",
    "lp_ft": "with {kind} weights, first the head and then everything trained",
    "gradual": "with {kind} weights, unfrozen stage by stage",
    "layerwise": "with {kind} weights, everything fine-tuned, early stages more slowly",
    "l2_sp": "with {kind} weights, everything fine-tuned and drawn back to them",
    "norm_only": "with {kind} weights, the normalisation layers fine-tuned",
    "lora": "with frozen {kind} weights and trained low-rank adapters",
}


def sentences(view: View) -> list[str]:
    """The answer: the combination that validation chose, its reference, their paired difference, what to beware of.

    Where a classifier without anatomy comes near, that is said first.
    """
    chosen = view.chosen()
    metric = _metric(view, chosen)
    if metric is None:
        return [f"{style.plural(len(view.study.runs), 'run')} finished, but none recorded a test result."]
    anatomy = shortcut.headline(view, metric)
    suspect = shortcut.near(view)
    said = [*(anatomy if suspect else ()), _headline(view, chosen, metric)]
    said += _extremes(view, chosen)
    reference = _reference(view, chosen)
    if reference is not None:
        said += _compared(view, chosen, reference, metric)
    elif not any(group.transfer for group in view.groups):
        said.append("No run used pretrained weights, so this study says nothing about transfer.")
    else:
        said.append("No run without pretrained weights is there to compare it with.")
    said += _overall(view, metric)
    said += _backbones(view, metric)
    said += _ensembles(view)
    said += trusted(view)
    said += () if suspect else anatomy
    if view.most_seeds == 1:
        said.append("Each combination was run with one seed, so how much results vary between seeds is unknown.")
    return said


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
    seeds = f", mean of {len(chosen.runs)} {view.runs_are}" if len(chosen.runs) > 1 else ""
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
    start = f"The same network {_described(reference)} reached {_figure(view, reference, metric)}."
    c = _comparison(view, chosen, reference, metric)
    if c is None:
        return [f"{start} No paired difference of the two was recorded."]
    of = "The paired difference" + (f" of the mean {_short(metric)}" if view.multi_label else "")
    value = style.number(c["difference"], metric=metric, signed=True) + (" points" if metric in style.PERCENT else "")
    if c.get("low") is None or c.get("high") is None:
        return [f"{start} {of} is {value}, without an interval."]
    ends = style.interval(c["low"], c["high"], metric=metric, signed=True)
    p = f", adjusted {p_phrase(c['p_holm'])}" if c.get("p_holm") is not None else ""
    higher = "first" if c["difference"] > 0 else "second"
    verdict = f"the {higher} is higher on this test set" if pairs.shown(c) else "these data do not show a difference"
    return [f"{start} {of} is {value} ({view.level} CI {ends}{p}): {verdict}."]


def _comparison(view: View, chosen: Group, reference: Group, metric: str) -> dict[str, Any] | None:
    """That of chosen minus reference, turned round where it was recorded the other way."""
    for c in view.study.record.comparisons:
        if c["metric"] != metric or c.get("difference") is None:
            continue
        arms = pairs.arms(c)
        if arms == (chosen.key, reference.key):
            return c
        if arms == (reference.key, chosen.key):
            ends = {"low": c.get("high"), "high": c.get("low"), "difference": c["difference"]}
            return {**c, **{name: None if end is None else -end for name, end in ends.items()}}
    return None


def _overall(view: View, metric: str) -> list[str]:
    """How the same comparison came out over all backbones and learning rates."""
    transfer = {group.recipe for group in view.groups if group.transfer}
    tally = {"higher": 0, "lower": 0, "unclear": 0}
    for c in view.study.record.comparisons:
        recipes = c["family"] == "recipes" and c["a"]["recipe"] in transfer and c["b"]["recipe"] == "scratch"
        if c["metric"] == metric and recipes and c.get("low") is not None:
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


def _backbones(view: View, metric: str) -> list[str]:
    """Whether backbones differ, by the p adjusted for everything that was compared."""
    known = [
        c
        for c in view.study.record.comparisons
        if c["family"] == "backbones" and c["metric"] == metric and c.get("p_holm") is not None
    ]
    if not known:
        return []
    if len(known) == 1:
        return [_one_pair(known[0], metric)]
    differ = [c for c in known if pairs.shown(c)]
    of = f"Of {style.plural(len(known), 'comparison')} of one backbone with another by the same recipe"
    mean = "mean " if view.multi_label else ""
    adjusted = pairs.adjusted(known[0]["of"])
    if not differ:
        return [f"{of}, none shows a difference in {mean}{_short(metric)}, {adjusted}."]
    named = [f"{pairs.reading(c)} ({pairs.name(c)})" for c in sorted(differ, key=lambda c: c["p_holm"])[:_MOST_NAMED]]
    more = f" and {len(differ) - len(named)} more" if len(differ) > len(named) else ""
    return [f"{of}, {len(differ)} show a difference in {mean}{_short(metric)}, {adjusted}: {', '.join(named)}{more}."]


def _one_pair(c: dict[str, Any], metric: str) -> str:
    a, b = (pairs.side(c, arm) for arm in pairs.arms(c))
    value = style.number(c["difference"], metric=metric, signed=True)
    said = f"{pairs.reading(c)} in {_short(metric)} ({value}, {p_phrase(c['p_holm'])}, {pairs.adjusted(c['of'])})"
    return f"{a} and {b} by the same recipe ({pairs.head(c)}): {said}."


def _ensembles(view: View) -> list[str]:
    """The mean answer of several backbones, where it differs from the chosen combination."""
    said = []
    for row in view.study.record.ensembles:
        against = row["against"]
        if row["kind"] != "backbones" or against["p_holm"] is None or against["p_holm"] > pairs.SIGNIFICANT:
            continue
        value = row["test"]["policies"][view.main_policy]["metrics"]["auroc"]["value"]
        ends = style.interval(against["low"], against["high"], signed=True)
        where = "above" if against["difference"] > 0 else "below"
        said.append(
            f"The mean answer of all backbones ({style.recipe_name(row['recipe'])}) reaches {_called(view, 'auroc')} "
            f"{style.number(value)}: {where} the combination named first by {style.number(abs(against['difference']))} "
            f"(paired difference, {view.level} CI {ends}, adjusted {p_phrase(against['p_holm'])})."
        )
    return said


def _side(c: dict[str, Any]) -> str:
    if not pairs.shown(c):
        return "unclear"
    return "higher" if c["difference"] > 0 else "lower"
