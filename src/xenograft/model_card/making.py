"""Records of a run and its study -> the sections of a model card that say what it was made from, and by what."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from xenograft.model_card.markdown import code, number, table, text
from xenograft.study.record import RunRecord, StudyRecord

Json = Mapping[str, Any]
_SPLITS = {"train": "train", "val": "validation", "test": "test"}
_FITS = {
    "squash": "the whole image is resized to a square, its aspect not kept",
    "pad": "the whole image, its aspect kept, on black",
    "crop": "the central square",
}
_OPTIMISER = ("optimiser", "head_lr", "backbone_lr", "weight_decay", "batch_size", "epochs", "augment", "views")


def without_folders(command: str) -> str:
    """A command whose paths keep their last part alone: a bundle is handed on, and folders may tell who made it."""
    root = r"(?:~|[A-Za-z]:)?[/\\]"
    quoted = re.sub(rf"(['\"]){root}(?:[^'\"]*[/\\])?([^'\"/\\]*)\1", r"\1\2\1", command)
    return re.sub(rf"(?<![\w./\\:~'\"-]){root}(?:[^\s'\"/\\]+[/\\])+", "", quoted)


def data(study: StudyRecord) -> list[str]:
    """Source, hash, counts, how patients and splits were made, and what is known of the data set."""
    facts = study.data
    lines = [
        "## Data",
        "",
        f"- Source: {text(facts['name'])}"
        + (f" (known data set {code(facts['catalog'])})" if facts["catalog"] else ""),
        f"- Hash of the list of its images, labels, patients and splits: sha256 {code(facts['manifest_sha256'])}",
        f"- Patients: {text(facts['patient_rule'])}",
        f"- Splits: {text(facts['split_rule'])}. Train fitted the weights, validation chose, test only measured.",
        f"- Files left out: {len(facts['skipped'])}",
    ]
    if facts["leak_allowed"]:
        lines += ["", "**Patients or images stand in more than one split: the results are too good.**"]
    return [*lines, *_counts(study), *_known(facts)]


def _counts(study: StudyRecord) -> list[str]:
    counts = study.data["counts"]
    rows = []
    for name in study.classes:
        cells = []
        for split in _SPLITS:
            entry = counts.get(split, {}).get(name)
            known = f" of {entry['of']:,}" if entry is not None and "of" in entry else ""
            cells.append("" if entry is None else f"{entry['images']:,}{known} ({entry['patients']:,})")
        rows.append([text(name), *cells])
    return table(["images (patients)", *_SPLITS.values()], rows)


def _known(facts: Json) -> list[str]:
    """What reading and auditing the data found."""
    said = [f"{text(notice['message'])} ({notice['code']})" for notice in facts["notices"]]
    found = (facts.get("audit") or {}).get("findings", ())
    said += [f"{text(finding['title'])}: {text(finding['message'])} ({finding['code']})" for finding in found]
    return ["Found in these data:", "", *(f"- {sentence}" for sentence in said), ""] if said else []


def preprocessing(preprocess: Json) -> list[str]:
    """How an image becomes the network's input."""
    colour = "gray, one channel (replicated inside the model)" if preprocess["channels"] == 1 else "colour"
    window = preprocess["window"]
    depth = (
        "8-bit images as they are; deeper ones from their 0.5th to their 99.5th percentile"
        if window == "auto"
        else f"stored values from {window[0]:g} to {window[1]:g}"
    )
    mean, spread = (", ".join(f"{v:g}" for v in preprocess[key]) for key in ("mean", "std"))
    return [
        "## Preprocessing",
        "",
        "The bundle does all of it; give it the files as they are.",
        "",
        f"- Geometry: {preprocess['size']} x {preprocess['size']} pixels; {_FITS[preprocess['fit']]}",
        f"- Colour: {colour}",
        f"- Gray values: {depth}. DICOM: the window of the file"
        + (f", as {text(json.dumps(preprocess['dicom']))}" if preprocess.get("dicom") else ""),
        f"- Normalisation inside the model: mean {mean}, standard deviation {spread} of values from 0 to 1",
        "",
    ]


def training(run: RunRecord, study: StudyRecord, chosen_because: str = "") -> list[str]:
    """Recipe, settings, what validation chose while it ran, and where the weights come from."""
    settings = run.settings
    chosen = {k: settings[k] for k in _OPTIMISER if settings.get(k) not in (None, "", 0, 0.0)}
    machine, stages = study.environment, ", ".join(f"{stage} {seconds:g} s" for stage, seconds in run.timings.items())
    lines = [
        "## Training",
        "",
        f"- Recipe {code(run.recipe)}: {text(settings['summary'])}; seed {run.seed}",
        f"- Settings: {', '.join(f'{text(k)} {text(v)}' for k, v in chosen.items())}",
        *([f"- Backbone: {text(chosen_because)}"] if chosen_because else []),
    ]
    if run.fold is not None:
        lines.append(f"- Part {run.fold + 1} of a cross-validation: counts of images above are of its first part")
    if run.best_epoch:
        auroc = run.history[run.best_epoch - 1]["val_auroc"]
        lines.append(
            f"- Epoch {run.best_epoch} of {len(run.history)} was kept, by validation (AUROC there {number(auroc)})"
        )
    lines += [
        f"- Computed by {text(run.engine['name'])} at {text(run.engine['precision'])} on {text(machine['cpu'])}"
        + (f", {text(machine['gpu'])}" if machine["gpu"] else ""),
        f"- Time: {stages}",
        "",
        "## Pretrained weights",
        "",
    ]
    if run.weights is None:
        return [*lines, "None: training began at random numbers.", ""]
    names = {"file": "File", "origin": "Origin", "licence": "Licence", "sha256": "sha256"}
    return [*lines, *(f"- {word}: {text(run.weights.get(k) or 'not recorded')}" for k, word in names.items()), ""]


def reproduction(run: RunRecord, study: StudyRecord, hashes: Mapping[str, str]) -> list[str]:
    """Hashes, software, the command, and how to verify them."""
    packages = study.environment["packages"]
    lines = ["## Verify and reproduce", ""]
    if hashes:
        lines += [
            "The bundle refuses to open when a file is not the one it was made with. To check by hand, compare with "
            "`sha256sum`:",
            *table(["file", "sha256"], [[code(name), code(digest)] for name, digest in hashes.items()], numbers=False),
        ]
    return [
        *lines,
        "The same data, settings and machine give the same model. It was made by (paths are shortened to "
        "their last part):",
        "",
        "```",
        *without_folders(study.command).splitlines(),
        "```",
        "",
        f"- Made: {text(run.created)}",
        f"- Python {text(study.environment['python'])} on {text(study.environment['platform'])}; "
        + ", ".join(f"{text(name)} {text(version)}" for name, version in packages.items()),
        f"- Run {code(run.id)}, fingerprint {code(run.fingerprint)}",
        "",
    ]
