"""A study's baseline without a network -> what it means for the results."""

from __future__ import annotations

from xenograft.errors import printable
from xenograft.reporting import style
from xenograft.reporting.groups import Score, View
from xenograft.reporting.phrases import and_

NEAR = 0.05
"""AUROC from which on a classifier without anatomy is called near: a difference that test sets of hundreds of patients
rarely tell from chance."""


def sentences(view: View) -> list[str]:
    """How far results could come from properties that carry no anatomy; empty where no baseline was recorded."""
    score = view.baseline(view.main_policy, "auroc")
    chosen = view.chosen()
    model = chosen.score(view.main_policy, "auroc")
    if score is None or model is None:
        return []
    mean = "a mean AUROC of" if view.multi_label else "AUROC"
    said = [
        f"A classifier was given no anatomy, only {seen(view)}. It reaches {mean} {style.number(score.value)}"
        f"{_interval(view, score)} on the same test images; {chosen.label} reaches {style.number(model.value)}."
    ]
    if near(view):
        said.append(
            "That is near: much of what the network answers could be answered without looking at the anatomy. Find out "
            "what differs between the classes besides the disease (xenograft audit) before trusting any result here."
        )
    elif model.value > 0.5 and score.value > 0.5:
        share = (score.value - 0.5) / (model.value - 0.5)
        said.append(
            f"Of the way from guessing (0.5) to the network, such properties alone go {100 * share:.0f} %. The network "
            "may use them too; this does not show how much it does."
        )
    return said


def headline(view: View, metric: str) -> list[str]:
    """The same in one sentence, for the answer; with a warning where it is `near`."""
    score = view.baseline(view.main_policy, metric)
    if score is None:
        return []
    name = style.metric_name(metric) if metric in {"auroc", "f1"} else style.metric_name(metric).lower()
    mean = f"a mean {name} of" if view.multi_label else name
    value = style.number(score.value, metric=metric) + (" %" if metric in style.PERCENT else "")
    warning = (
        " That is near what the networks reach, so read their results as suspect: they may owe as little to anatomy."
    )
    return [
        f"A classifier that sees no anatomy, only {seen(view)}, reaches {mean} {value}"
        f"{_interval(view, score, metric)} on the same images.{warning if near(view) else ''}"
    ]


def seen(view: View) -> str:
    """What the classifier without anatomy is given: ``file size, dimensions and border``."""
    return and_([printable(name) for name in view.data["baseline"]["families"]])


def _interval(view: View, score: Score, metric: str = "auroc") -> str:
    ends = style.interval(score.low, score.high, metric=metric).replace("–", " to ")
    return f" ({view.level} CI {ends})" if ends else ""


def near(view: View) -> bool:
    """Whether the classifier without anatomy comes within `NEAR` of the chosen arm, or reaches into its interval."""
    score = view.baseline(view.main_policy, "auroc")
    model = view.chosen().score(view.main_policy, "auroc")
    if score is None or model is None or score.value <= 0.5:
        return False
    reaches = model.low is not None and score.high is not None and score.high >= model.low
    return reaches or score.value >= model.value - NEAR
