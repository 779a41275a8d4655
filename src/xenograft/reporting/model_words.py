"""A study's view -> sentences about its models: input, networks, training, what chose. None: not in the record."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from xenograft.backbones.catalog import CATALOG
from xenograft.data.augment import PRESETS
from xenograft.errors import printable
from xenograft.reporting import style
from xenograft.reporting.citations import mark
from xenograft.reporting.data_words import joined
from xenograft.reporting.groups import Group, View
from xenograft.study.record import RunRecord

Json = dict[str, Any]

_PAPERS = {
    "resnet18": "resnet",
    "resnet50": "resnet",
    "densenet161": "densenet",
    "shufflenet_v2_x1_0": "shufflenet",
    "mobilenet_v2": "mobilenet",
    "resnext50_32x4d": "resnext",
    "wide_resnet50_2": "wide_resnet",
    "inception_v3": "inception",
    "squeezenet1_1": "squeezenet",
    "efficientnet_lite0": "efficientnet",
}
_FITS = {
    "squash": "without keeping the aspect ratio",
    "pad": "keeping the aspect ratio, with black borders",
    "crop": "after cutting out the central square",
}
_OPTIMISERS = {"adamw": f"AdamW{mark('adamw')}", "sgd": "SGD (momentum 0.9)"}


def preprocessing(view: View) -> list[str]:
    """How an image became a network's input, as sentences; empty where no run recorded it."""
    if not all(run.preprocess for run in view.study.runs):
        return []
    parts = [_channels(view), _geometry(view), _gray_window(view), _dicom(view), _normalisation(view)]
    return [part for part in parts if part]


def _channels(view: View) -> str:
    channels = {run.preprocess.get("channels") for run in view.study.runs}
    if channels == {1}:
        return (
            "Images were read as one gray channel (luminance where a file holds colour), which was repeated for the "
            f"networks' three input channels{mark('transfer')}."
        )
    return "Images were read in colour, gray ones with three equal channels." if channels == {3} else ""


def _geometry(view: View) -> str:
    sizes = _shared(view, lambda run: run.preprocess.get("size"))
    if None in sizes:
        return ""
    fits = {run.preprocess.get("fit") for run in view.study.runs}
    how = _FITS.get(str(next(iter(fits))), "") if len(fits) == 1 else ""
    many = len(sizes) > 1
    text = joined(
        f"{size} × {size} pixels" + (f" for {joined(names)}" if many else "") for size, names in sizes.items()
    )
    return f"Images were resized to {text}{' ' + how if how else ''}."


def _gray_window(view: View) -> str:
    windows = [run.preprocess.get("window") for run in view.study.runs]
    if all(window == "auto" for window in windows):
        return (
            "The full range of 8-bit images was used; deeper images were mapped to 8 bits between their 0.5th and "
            "99.5th percentiles."
        )
    first = windows[0]
    if isinstance(first, list) and all(window == first for window in windows):
        return f"Stored values from {first[0]:g} to {first[1]:g} were mapped to 8 bits."
    return ""


def _dicom(view: View) -> str:
    found = view.study.runs[0].preprocess.get("dicom") or {}
    said = []
    if found.get("centre") is not None:
        said.append(f"the window of centre {found['centre']:g} and width {found['width']:g}")
    elif found.get("window") is not None:
        said.append(f"the window named {printable(found['window'])}")
    if found.get("frame") is not None:
        said.append(f"frame: {printable(found['frame'])}")
    return f"DICOM files were read with {joined(said)}." if said else ""


def _normalisation(view: View) -> str:
    means = _shared(view, lambda run: (_triple(run.preprocess.get("mean")), _triple(run.preprocess.get("std"))))
    if any("" in pair for pair in means):
        return ""
    many = len(means) > 1
    values = "; ".join(
        f"mean {mean}, standard deviation {std}" + (f" for {joined(names)}" if many else "")
        for (mean, std), names in means.items()
    )
    own = view.study.record.config.get("normalise") == "weights"
    network = "the network's" if len(view.backbones) == 1 else "each network's"
    whose = f" by the mean and standard deviation of {network} own pretraining" if own else ""
    return f"Values between 0 and 1 were normalised by channel{whose}: {values}."


def _triple(values: Any) -> str:
    if not values:
        return ""
    same = len(set(values)) == 1
    return f"{values[0]:g}" if same else f"({', '.join(f'{value:g}' for value in values)})"


def networks(view: View) -> str:
    """The networks, with their size where the catalog knows it."""
    return f"The networks were {joined(_network(name) for name in view.backbones)}."


def _network(name: str) -> str:
    spec = CATALOG.get(name)
    paper = mark(_PAPERS[name]) if name in _PAPERS else ""
    size = f" ({spec.params_m:g} million parameters, {spec.width:,} features)" if spec is not None else ""
    return f"{style.backbone_name(name)}{size}{paper}"


def initialisation(view: View) -> str:
    """Where the first weights came from; random ones are named too."""
    pretrained = {run.backbone: run.weights for run in view.study.runs if run.weights}
    said = []
    if pretrained:
        origins: dict[str, list[str]] = {}
        for name in view.backbones:
            if found := pretrained.get(name):
                origin = f"{printable(found.get('origin') or 'origin not recorded')}"
                licence = printable(found.get("licence") or "not recorded")
                origins.setdefault(f"{origin}, licence {licence}", []).append(style.backbone_name(name))
        listed = "; ".join(f"{joined(names)}: {text}" for text, names in origins.items())
        cited = mark("imagenet") if "imagenet" in listed.lower() else ""
        said.append(f"Networks began with pretrained weights{cited} ({listed}).")
    fresh = [style.recipe_name(r) for r in view.recipes if any(g.recipe == r and not g.transfer for g in view.groups)]
    if fresh:
        said.append(
            f"The {_plural(fresh, 'recipe')} {joined(fresh)} began at random weights, drawn anew for each seed."
        )
    return " ".join(said)


def outputs(view: View) -> str:
    """What a model answers, and the loss that follows from it."""
    count = len(view.classes)
    if view.multi_label:
        return (
            f"A linear layer gave one logit for each of the {count} findings; a sigmoid made it a probability. The "
            "loss was binary cross-entropy over the known labels."
        )
    if count == 2:
        return (
            f"A linear layer gave one logit, and a sigmoid made it the probability of {view.classes[1]}. The loss was "
            "binary cross-entropy."
        )
    return (
        f"A linear layer gave one logit for each of the {count} classes; a softmax made them probabilities that sum to "
        "one. The loss was cross-entropy."
    )


def imbalance(view: View) -> str | None:
    """How the loss was weighted by class; None where the record does not tell how the head was fitted."""
    solvers = {run.settings.get("solver") for run in view.study.runs}
    if None in solvers:
        return None
    each = "value of each finding" if view.multi_label else "class"
    return f"The loss was weighted by inverse frequency, so that every {each} counts equally in training."


def training(view: View) -> list[str]:
    """One sentence for each recipe, and one for learning-rate scales and seeds."""
    said = []
    for recipe in view.recipes:
        group = next(g for g in view.groups if g.recipe == recipe)
        said.append(_recipe(recipe, group.runs[0].settings, scaled=group.lr_scale))
    if len(view.scales) > 1:
        scales = joined(f"{scale:g}" for scale in view.scales)
        said.append(f"Every learning rate was multiplied by {scales} in turn.")
    return [*said, repetitions(view)]


def _recipe(name: str, settings: Json, *, scaled: float) -> str:
    note = style.RECIPE_NOTES.get(name, "").replace("the paper's head", "a linear head")
    note = note or printable(settings.get("summary") or "")
    cited = _cite_recipe(name)
    return f"Recipe {style.recipe_name(name)}{f' ({note})' if note else ''}{cited}: {_steps(settings, scaled)}."


def _cite_recipe(name: str) -> str:
    papers = {"probe": "transfer", "gradual": "ulmfit", "layerwise": "ulmfit"}
    own = {name: name for name in ("lp_ft", "l2_sp", "norm_only", "lora")}
    found = {**papers, **own}.get(name)
    return mark(found) if found else ""


def _steps(settings: Json, scaled: float) -> str:
    if settings.get("solver") == "logistic":
        return (
            "a class-balanced logistic regression on standardised features, its strength chosen by cross-validation "
            f"within the training images, by patient{mark('sklearn')}"
        )
    if "optimiser" not in settings:
        return "settings not recorded"
    rates = {"head": settings.get("head_lr"), "network": settings.get("backbone_lr")}
    at_most = "at most " if settings.get("patience") else ""
    known = [f"{rate / scaled:g} for the {part}" for part, rate in rates.items() if rate]
    parts = [
        f"{at_most}{style.plural(int(settings['epochs']), 'epoch')} in batches of {settings['batch_size']}",
        f"{_OPTIMISERS.get(settings['optimiser'], printable(settings['optimiser']))} with a peak learning rate of "
        f"{joined(known)} and a weight decay of {settings['weight_decay']:g}",
        f"a linear warm-up over {100 * settings['warmup']:g} % of the steps, then a cosine decay{mark('cosine')}",
    ]
    parts += _limits(settings)
    if settings.get("patience"):
        parts.append(f"stopped after {settings['patience']} epochs without a better validation loss")
    if settings.get("standardise"):
        parts.append("features standardised")
    parts.append(_augmentation(settings))
    return ", ".join(parts)


def _limits(settings: Json) -> list[str]:
    """What keeps the network near its first weights; records leave out what a recipe does not use."""
    said = []
    if every := settings.get("unfreeze_every"):
        said.append(
            f"the head alone for {style.plural(every, 'epoch')}, then further stages of the network from the output on "
            f"every {style.plural(every, 'epoch')}, all of them from half of the epochs on at the latest"
        )
    if (decay := settings.get("lr_decay", 1.0)) != 1:
        said.append(f"that rate for the last stage, each earlier one at {decay:g} times the rate of the next")
    if pull := settings.get("l2_sp"):
        said.append(f"a penalty of {pull:g} / 2 times the squared distance of the network from its first weights")
    if shrink := settings.get("l2_head"):
        said.append(f"one of {shrink:g} / 2 times the squared norm of the head")
    if rank := settings.get("lora_rank"):
        said.append(
            f"adapters of rank {rank} (alpha {settings['lora_alpha']:g}) on the linear layers of attention, merged "
            "into the weights after training"
        )
    return said


def _augmentation(settings: Json) -> str:
    preset = PRESETS.get(str(settings.get("augment")))
    if preset is None or preset.name == "none":
        return "no augmentation"
    low, high = (100 * share for share in preset.scale)
    views = f" in {settings['views']} random views of each image" if settings.get("views") else ""
    return (
        f"augmented{views} (crops of {low:g} to {high:g} % of the area, rotation up to {preset.rotation:g} degrees, "
        f"horizontal flips with probability {preset.flip:g}, brightness and contrast changed by up to "
        f"{100 * preset.brightness:g} and {100 * preset.contrast:g} %)"
    )


def repetitions(view: View) -> str:
    """How many models were trained, over which seeds and folds."""
    seeds = sorted({run.seed for run in view.study.runs})
    folds = sorted({fold for run in view.study.runs if (fold := getattr(run, "fold", None)) is not None})
    said = f"In all, {style.plural(len(view.study.runs), 'model')} {_was(len(view.study.runs))} trained"
    said += f": {style.plural(len(view.groups), 'combination')} of network and recipe" if len(view.groups) > 1 else ""
    if folds:
        said += f", in {style.plural(len(folds), 'fold')} by patient"
    if len(seeds) == 1:
        return f"{said}, with one seed ({seeds[0]}): variation over seeds was not measured."
    listed = f"{seeds[0]} to {seeds[-1]}" if seeds == list(range(seeds[0], seeds[-1] + 1)) else joined(map(str, seeds))
    return f"{said}, each with {len(seeds)} seeds ({listed})."


def selection(view: View) -> str | None:
    """What validation chose: the epoch, the strength of a logistic head, the threshold."""
    said = []
    runs = view.study.runs
    trained = [run for run in runs if run.history]
    if trained:
        ends = sorted(run.best_epoch for run in trained)
        chosen = f"epoch {ends[0]}" if ends[0] == ends[-1] else f"epochs {ends[0]} to {ends[-1]}"
        said.append(
            "The epoch with the lowest class-weighted loss on the validation images was kept "
            f"({chosen} of at most {max(len(run.history) for run in trained)})."
        )
    policies = sorted({name for run in runs for name in run.thresholds if name != "fixed"})
    if policies:
        names = joined(_policy(name) for name in policies)
        said.append(f"Thresholds were chosen on the validation images: {names}; beside them stands the fixed 0.5.")
    elif view.multiclass:
        said.append("No threshold was chosen: the most probable class is the answer.")
    if all(run.test_opened for run in runs):
        said.append("Each run read the test images once, after its own choices.")
    return " ".join(said) or None


def _policy(name: str) -> str:
    return f"the largest Youden index{mark('youden')}" if name == "youden" else printable(name)


def engines(view: View) -> str | None:
    """What computed features and answers."""
    found = [
        " ".join(printable(run.engine[k]) for k in ("name", "precision", "device") if run.engine.get(k))
        for run in view.study.runs
    ]
    return joined(dict.fromkeys(filter(None, found))) or None


def _shared(view: View, value: Callable[[RunRecord], Any]) -> dict[Any, list[str]]:
    """Value -> names of the networks that have it, in order."""
    found: dict[Any, list[str]] = {}
    for name in view.backbones:
        own: Iterable[Group] = (g for g in view.groups if g.backbone == name)
        found.setdefault(value(next(iter(own)).runs[0]), []).append(style.backbone_name(name))
    return found


def _plural(items: list[str], noun: str) -> str:
    return noun if len(items) == 1 else f"{noun}s"


def _was(count: int) -> str:
    return "was" if count == 1 else "were"
