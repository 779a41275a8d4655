"""How things look and are called: colours, line styles, names, and numbers as text."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl

from xenograft.errors import printable

# Okabe & Ito (2008), safe for colour-blind readers; their yellow is too pale for lines on white, so grey stands for it.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F")
_DARKER = {"#E69F00": "#9A6A00", "#56B4E9": "#2679AB", "#CC79A7": "#A34B7C", "#7F7F7F": "#5F5F5F"}
INK, SOFT, FAINT = "#1a1a1a", "#6b6b6b", "#dcdcdc"
ALARM = "#B00020"

RC: Any = {  # Any: the keys are typed in some versions of matplotlib and not in others
    "font.family": "DejaVu Sans",
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 7.5,
    "axes.edgecolor": "#4d4d4d",
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.color": "#4d4d4d",
    "ytick.color": "#4d4d4d",
    "text.color": INK,
    "text.parse_math": False,  # a class may be called "$5"
    "lines.solid_capstyle": "round",
    "svg.fonttype": "none",
    "svg.hashsalt": "xenograft",
    "pdf.fonttype": 42,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}

BACKBONES = {
    "resnet18": "ResNet18",
    "resnet50": "ResNet50",
    "densenet161": "DenseNet161",
    "shufflenetv2": "ShuffleNet v2",
    "shufflenetv2x10": "ShuffleNet v2",
    "mobilenetv2": "MobileNet v2",
    "resnext50": "ResNeXt50 (32x4d)",
    "resnext5032x4d": "ResNeXt50 (32x4d)",
    "wideresnet502": "Wide ResNet50-2",
    "inceptionv3": "Inception v3",
    "squeezenet11": "SqueezeNet 1.1",
    "efficientnetlite0": "EfficientNet-Lite0",
    "efficientnetlite1": "EfficientNet-Lite1",
    "efficientnetlite2": "EfficientNet-Lite2",
}
RECIPES = (
    *("scratch", "random", "probe", "logistic", "norm_only", "lora", "partial"),
    *("gradual", "layerwise", "l2_sp", "full", "lp_ft"),
)
RECIPE_NOTES = {
    "scratch": "random start, everything trained",
    "random": "frozen random weights, trained head (control)",
    "probe": "frozen pretrained weights, the paper's head",
    "logistic": "frozen pretrained weights, logistic head",
    "partial": "pretrained weights, last stages fine-tuned",
    "full": "pretrained weights, everything fine-tuned",
    "lp_ft": "pretrained weights, first the head, then everything",
    "gradual": "pretrained weights, stages unfrozen one after the other from the output",
    "layerwise": "pretrained weights, everything fine-tuned, early stages more slowly",
    "l2_sp": "pretrained weights, everything fine-tuned, drawn back to them",
    "norm_only": "pretrained weights, normalisation layers fine-tuned",
    "lora": "frozen pretrained weights, low-rank adapters trained",
}
_MARKERS = {
    "scratch": "o",
    "random": "s",
    "probe": "o",
    "logistic": "s",
    "partial": "^",
    "full": "D",
    "lp_ft": "v",
    "gradual": "<",
    "layerwise": ">",
    "l2_sp": "p",
    "norm_only": "h",
    "lora": "X",
}
_DASHES: dict[str, Any] = {"scratch": (0, (4, 1.6)), "random": (0, (1, 1.3))}
_WIDTHS = {"logistic": 1.3, "partial": 1.7, "full": 2.2, "lp_ft": 2.6}

METRICS = {
    "loss": "Loss",
    "accuracy": "Accuracy",
    "precision": "Precision",
    "recall": "Recall",
    "specificity": "Specificity",
    "f1": "F1",
    "g_mean": "G-mean",
    "auroc": "AUROC",
    "average_precision": "Average precision",
}
PERCENT = frozenset({"accuracy", "precision", "recall", "specificity"})
SPLITS = {"train": "Training", "val": "Validation", "validation": "Validation", "test": "Test"}
MISSING = "n/a"


@contextmanager
def drawing() -> Iterator[None]:
    """Matplotlib set up for print; names in scripts that its font lacks pass silently (they print as boxes in PDF)."""
    with warnings.catch_warnings(), mpl.rc_context(RC):
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        yield


def backbone_key(name: str) -> str:
    """A backbone's name without case and punctuation: ``MobileNet v2`` and ``mobilenet_v2`` are one."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def backbone_name(name: str) -> str:
    """The paper's spelling where it has one, else the name itself."""
    return BACKBONES.get(backbone_key(name), printable(name))


def backbone_order(name: str) -> tuple[int, str]:
    """Sort key: the paper's order, then by name."""
    keys = list(BACKBONES)
    key = backbone_key(name)
    return (keys.index(key) if key in BACKBONES else len(keys), name)


def recipe_order(name: str) -> tuple[int, str]:
    """Sort key: scratch and controls first, then from least to most trained."""
    return (RECIPES.index(name) if name in RECIPES else len(RECIPES), name)


def recipe_name(name: str) -> str:
    """A recipe as a label."""
    return {"lp_ft": "LP-FT", "l2_sp": "L2-SP", "lora": "LoRA"}.get(name, printable(name))


def metric_name(name: str) -> str:
    """A metric as a heading."""
    return METRICS.get(name, printable(name))


def split_name(name: str) -> str:
    """A split as a heading."""
    return SPLITS.get(name, printable(name).capitalize())


def colours(backbones: Sequence[str]) -> dict[str, str]:
    """One colour per backbone; beyond eight they repeat and the direct labels tell them apart."""
    return {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(backbones)}


def ink(colour: str) -> str:
    """The colour for words: the paler colours are darkened until small type is readable on white."""
    return _DARKER.get(colour, colour)


def shade(recipe: str, colour: str) -> str:
    """A paler tone for the second of the solid lines that share a backbone's colour."""
    if recipe not in {"logistic", "partial"}:
        return colour
    parts = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(part + 0.45 * (255 - part)):02x}" for part in parts)


def line(recipe: str, *, transfer: bool) -> dict[str, Any]:
    """Line style: solid for transfer, dashed without; frozen random weights are dotted."""
    plain = "-" if transfer else (0, (4, 1.6))
    return {"linestyle": "-" if transfer else _DASHES.get(recipe, plain), "linewidth": _WIDTHS.get(recipe, 1.3)}


def marker(recipe: str, colour: str, *, transfer: bool) -> dict[str, Any]:
    """Marker style: filled for transfer, open without."""
    return {
        "marker": _MARKERS.get(recipe, "P"),
        "markerfacecolor": colour if transfer else "white",
        "markeredgecolor": colour,
        "markeredgewidth": 1.0,
        "markersize": 4.6,
    }


def number(value: float | None, *, metric: str = "", signed: bool = False) -> str:
    """A metric as text: percentages with one decimal, the rest with three; a true minus sign."""
    if value is None:
        return MISSING
    scaled, digits = (100 * value, 1) if metric in PERCENT else (value, 3)
    text = f"{scaled:+.{digits}f}" if signed else f"{scaled:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", "−")


def interval(low: float | None, high: float | None, *, metric: str = "", signed: bool = False) -> str:
    """Interval ends as text: ``0.941–0.970``, with "to" where a sign could be read as a dash."""
    if low is None or high is None:
        return ""
    joint = " to " if signed or min(low, high) < 0 else "–"
    return joint.join(number(end, metric=metric, signed=signed) for end in (low, high))


def duration(seconds: float) -> str:
    """Seconds as ``4.2 s``, ``3 min 12 s`` or ``2 h 05 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def plural(count: int, noun: str) -> str:
    """``1 image``, ``624 images``, ``5,216 images``."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def flat(value: Any) -> str:
    """A settings value as one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{printable(k)} {flat(v)}" for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(flat(v) for v in value)
    return "none" if value is None else printable(value)
