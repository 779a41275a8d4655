"""name -> Recipe: training regimes as rows of one table. The loop reads the row; it never asks for the name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from xenograft.errors import UsageError


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a classifier is trained. The paper's choices where it states them (§5.6-5.7), explicit ones elsewhere.

    Args:
        summary: one line for help and report.
        pretrained: start from ImageNet weights (Eq. 1), else from random ones.
        trainable: ``none`` freezes the backbone (Eq. 15), ``all`` trains everything (Eq. 2), a number the last stages,
            ``norm`` its normalisation layers, ``lora`` low-rank adapters beside its attention's frozen weights.
        solver: ``gradient`` (the loop) or ``logistic`` (the convex optimum on cached features).
        head_first: fit the head on frozen features before anything else moves.
        epochs, batch_size: 20 and 64 in the paper.
        head_lr, backbone_lr: peak learning rates of AdamW or SGD.
        optimiser: ``adamw`` or ``sgd`` (momentum 0.9). weight_decay: decoupled.
        warmup: share of all steps with rising learning rate; a cosine falls to zero after it.
        patience: epochs without a better validation loss before training stops; 0 never stops early.
        standardise: give every feature mean 0 and sd 1 before the head learns. The paper's head takes features as they
            are; random features can be 1e-6 small, so the control gets this help.
        augment: augmentation preset. views: of a frozen backbone, how many random views of each training image are
            embedded (epoch e uses view e mod views); 0 embeds the image itself, `epochs` is the paper's recipe exactly.
        unfreeze_every: epochs after which one more stage of the backbone, from the output on, begins to train as the
            head does from the start (Howard & Ruder 2018; see `schedule.stages_open`); 0 trains all at once. Patience
            is counted from when everything trains.
        lr_decay: the last stage learns at `backbone_lr`, each stage before it at so many times the rate of the next.
        l2_sp: strength a of the penalty a / 2 |w - w0|^2 that draws the backbone to its first weights, and
            l2_head: b of b / 2 |v|^2 on the head (Li, Grandvalet & Davoine 2018); neither is part of recorded losses.
        lora_rank, lora_alpha: rank r of the adapters B A, which count alpha / r times (Hu et al. 2022).
    """

    name: str
    summary: str
    pretrained: bool
    trainable: Literal["none", "norm", "lora", "all"] | int
    solver: Literal["gradient", "logistic"] = "gradient"
    head_first: bool = False
    epochs: int = 20
    batch_size: int = 64
    head_lr: float = 1e-3
    backbone_lr: float = 0.0
    optimiser: Literal["adamw", "sgd"] = "adamw"
    weight_decay: float = 1e-4
    warmup: float = 0.05
    patience: int = 0
    standardise: bool = False
    augment: str = "paper"
    views: int = 0
    unfreeze_every: int = 0
    lr_decay: float = 1.0
    l2_sp: float = 0.0
    l2_head: float = 0.0
    lora_rank: int = 0
    lora_alpha: float = 0.0

    @property
    def frozen(self) -> bool:
        """Whether the backbone never changes, so that its features can be computed once and kept."""
        return self.trainable == "none"

    def as_used(self) -> Recipe:
        """The same with every field that this recipe does not use at rest, so that records say what happened."""
        used = replace(self, **_at_rest(_ADAPTERS)) if self.trainable != "lora" else self
        if self.trainable != "all":
            used = replace(used, unfreeze_every=0)
        if not self.frozen:
            return replace(used, views=0)
        views = min(self.views, self.epochs) if self.augment != "none" and self.solver == "gradient" else self.views
        if self.augment == "none":
            views = 0
        plain = replace(used, views=views, augment=self.augment if views else "none", backbone_lr=0.0, patience=0)
        plain = replace(plain, **_at_rest(_LATER))
        if self.solver == "logistic":
            return replace(plain, epochs=0, batch_size=0, head_lr=0.0, weight_decay=0.0, warmup=0.0)
        return plain

    def scaled(self, lr_scale: float) -> Recipe:
        """The same with every learning rate multiplied (the paper's Table 3: 0.1)."""
        return replace(self, head_lr=self.head_lr * lr_scale, backbone_lr=self.backbone_lr * lr_scale)

    def as_json(self) -> dict[str, Any]:
        """A mapping that JSON can hold.

        Fields that came later are left out at rest: fingerprints of runs that were made before them stay true.
        """
        resting = _at_rest(_LATER)
        return {key: value for key, value in asdict(self).items() if key not in resting or value != resting[key]}


_ADAPTERS = ("lora_rank", "lora_alpha")
_LATER = ("unfreeze_every", "lr_decay", "l2_sp", "l2_head", *_ADAPTERS)


def _at_rest(names: Iterable[str]) -> dict[str, Any]:
    return {field.name: field.default for field in fields(Recipe) if field.name in names}


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "probe", "frozen ImageNet features, the paper's linear head", pretrained=True, trainable="none",
        ),
        Recipe(
            "logistic",
            "frozen ImageNet features, logistic head with its strength chosen by patient-grouped cross-validation",
            pretrained=True, trainable="none", solver="logistic",
        ),
        Recipe(
            "random", "frozen random features, standardised, under the paper's linear head: the control",
            pretrained=False, trainable="none", standardise=True,
        ),
        Recipe(
            "scratch", "everything trained from random weights", pretrained=False, trainable="all",
            backbone_lr=1e-3, patience=8,
        ),
        Recipe(
            "partial", "ImageNet weights, the last stage and the head trained", pretrained=True, trainable=1,
            backbone_lr=1e-4, patience=5,
        ),
        Recipe(
            "full", "ImageNet weights, everything trained", pretrained=True, trainable="all",
            backbone_lr=1e-4, patience=5,
        ),
        Recipe(
            "lp_ft", "linear probe first, then everything trained", pretrained=True, trainable="all",
            head_first=True, head_lr=1e-4, backbone_lr=1e-4, patience=5,
        ),
        Recipe(
            "gradual", "ImageNet weights, the head first, then one more stage each epoch", pretrained=True,
            trainable="all", backbone_lr=1e-4, patience=5, unfreeze_every=1,
        ),
        Recipe(
            "layerwise", "ImageNet weights, everything trained, each stage more slowly than the next", pretrained=True,
            trainable="all", backbone_lr=3e-4, patience=5, lr_decay=0.75,
        ),
        Recipe(
            # SGD as in its paper: AdamW would divide the pull by the size of each weight's gradients
            "l2_sp", "ImageNet weights, everything trained, drawn back to them (L2-SP)", pretrained=True,
            trainable="all", head_lr=1e-2, backbone_lr=1e-2, optimiser="sgd", weight_decay=0.0, patience=5,
            l2_sp=0.1, l2_head=0.01,
        ),
        Recipe(
            "norm_only", "ImageNet weights, normalisation layers and head trained", pretrained=True,
            trainable="norm", backbone_lr=1e-3, patience=5,
        ),
        Recipe(
            "lora", "ImageNet weights, low-rank adapters and head trained (transformers)", pretrained=True,
            trainable="lora", backbone_lr=1e-3, patience=5, lora_rank=16, lora_alpha=16.0,
        ),
    )
}  # fmt: skip


def lookup(name: str) -> Recipe:
    """The recipe called `name`.

    Raises:
        UsageError: there is none; names the nearest.
    """
    if name not in RECIPES:
        near = difflib.get_close_matches(name, RECIPES, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UsageError(f"unknown recipe {name!r}{hint} Recipes: {', '.join(RECIPES)}", code="E-USAGE-10")
    return RECIPES[name]


def parse_recipes(text: str | Iterable[str]) -> tuple[str, ...]:
    """``probe,scratch`` as a tuple of known names without repetition, in the given order."""
    names = text.split(",") if isinstance(text, str) else list(text)
    return tuple(dict.fromkeys(lookup(name.strip()).name for name in names if name.strip()))
