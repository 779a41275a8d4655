"""A comparison of a study's record -> how it is called, where it stands, and what may be read from it."""

from __future__ import annotations

from typing import Any

from xenograft.reporting import style
from xenograft.study.chosen import ArmKey

Json = dict[str, Any]
SIGNIFICANT = 0.05


def arms(c: Json) -> tuple[ArmKey, ArmKey]:
    """The two arms; the difference is the first minus the second."""
    return ArmKey.of(c["a"]), ArmKey.of(c["b"])


def head(c: Json) -> str:
    """What both arms share: the backbone of two recipes, or the recipe of two backbones; and the learning rate."""
    a, _ = arms(c)
    name = style.backbone_name(a.backbone) if c["family"] == "recipes" else style.recipe_name(a.recipe)
    return name if a.lr_scale == 1.0 else f"{name} (lr × {a.lr_scale:g})"


def name(c: Json) -> str:
    """``probe − scratch`` or ``MobileNet v2 − ResNet18``."""
    return " − ".join(side(c, arm) for arm in arms(c))


def side(c: Json, arm: ArmKey) -> str:
    """What one arm is called within its comparison."""
    return style.recipe_name(arm.recipe) if c["family"] == "recipes" else style.backbone_name(arm.backbone)


def adjusted(of: int) -> str:
    """What p was adjusted for."""
    if of == 1:
        return "not adjusted, as it is the only comparison of the study"
    return f"adjusted for all {of} comparisons of the study (Holm)"


def order(c: Json) -> tuple[object, ...]:
    """Recipes before backbones, then as tables and figures are ordered."""
    a, b = arms(c)
    places = [(style.backbone_order(arm.backbone), style.recipe_order(arm.recipe)) for arm in (a, b)]
    by = places if c["family"] == "recipes" else [(recipe, backbone) for backbone, recipe in places]
    metrics = list(style.METRICS)
    metric = metrics.index(c["metric"]) if c["metric"] in metrics else len(metrics)
    return (c["family"] != "recipes", -a.lr_scale, *by, metric)


def reading(c: Json) -> str:
    """What may be said: by the adjusted p where there is one, else by the interval."""
    if c.get("low") is None or c.get("high") is None:
        return "no interval"
    return f"{side(c, arms(c)[0 if c['difference'] > 0 else 1])} higher" if shown(c) else "no difference shown"


def shown(c: Json) -> bool:
    """Whether a difference is shown: one rule for sentences, tables and figures."""
    low, high, p = c.get("low"), c.get("high"), c.get("p_holm")
    if low is None or high is None:
        return False
    return bool(p <= SIGNIFICANT) if p is not None else not low <= 0 <= high
