"""A study's view -> sentences about its data: source, patients, splits, what was left out. None: not in the record."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from xenograft.data import catalog
from xenograft.errors import printable
from xenograft.reporting import style
from xenograft.reporting.citations import data_key, mark
from xenograft.reporting.groups import View

ROLES = {"train": "training", "val": "validation", "test": "test"}
_COPIES = "W-LABEL-15"
_KEY = "patient key from "
_GIVEN = "splits as given"
_SHARE = re.compile(
    r"(?P<name>test|validation): (?P<share>\d+%) of (?P<whole>[^,]+), by patient, stratified by (?P<by>[^;(]+)"
)
_SEED = re.compile(r" \(seed (\d+)\)$")
SYNTHETIC = (
    "The images are synthetic phantoms drawn by a computer, not images of patients: the results say nothing about any "
    "disease."
)
LEAK = (
    "Patients or identical images may lie in more than one split (leaks were allowed), so the results can be too good "
    "and must not be read as performance on new patients."
)


def warnings(view: View) -> str | None:
    """What must be said before anything else about synthetic or leaking data."""
    said = [SYNTHETIC] if view.data.get("synthetic") else []
    said += [LEAK] if view.data.get("leak_allowed") else []
    return " ".join(said) or None


def sizes(view: View) -> dict[str, tuple[int, int | None]]:
    """``{split: (images, patients)}``; patients None where they are not recorded. Empty without counts."""
    own: dict[str, Any] = view.data.get("sizes") or {}
    if own:
        return {name: (int(size["images"]), int(size["patients"])) for name, size in own.items()}
    counts: dict[str, Any] = view.data.get("counts") or {}
    if view.multi_label:
        return {}
    return {name: (sum(int(c["images"]) for c in entry.values()), None) for name, entry in counts.items()}


def total(view: View) -> tuple[int, int | None] | None:
    """(images, patients) of all splits together; patients None where unknown, or where splits may share some."""
    found = sizes(view)
    if not found:
        return None
    patients = [number for _, number in found.values()]
    known = None if view.data.get("leak_allowed") or None in patients else sum(n for n in patients if n is not None)
    return sum(images for images, _ in found.values()), known


def amount(images: int, patients: int | None) -> str:
    """``624 images of 428 patients``."""
    counted = style.plural(images, "image")
    return counted if patients is None else f"{counted} of {style.plural(patients, 'patient')}"


def source(view: View) -> str | None:
    """Name, publication, classes."""
    name = view.data.get("name")
    if not name:
        return None
    key = data_key(view.data.get("catalog"))
    return f"The data set was {printable(name)}{mark(key) if key else ''}, with {classes(view)}."


def classes(view: View) -> str:
    """``two classes, NORMAL and PNEUMONIA, of which the second is positive``."""
    names = joined(view.classes)
    if view.multi_label:
        return f"{len(view.classes)} findings ({names}), any number of which an image may have"
    if len(view.classes) == 2:
        return f"two classes, {names}, the latter being positive"
    return f"{len(view.classes)} classes ({names}), one for each image"


def terms(view: View) -> str | None:
    """Where a known public data set lies and under which licence; None for other data."""
    spec = catalog.CATALOG.get(view.data.get("catalog") or "")
    if spec is None:
        return None
    return f"{spec.title}: {spec.address} ({spec.licence})."


def identity(view: View) -> str | None:
    """The hash by which the data can be told again."""
    found = view.data.get("manifest_sha256")
    return f"The data, with labels, patients and splits, have the SHA-256 {printable(found)}." if found else None


def patients(view: View) -> str | None:
    """How images were given to patients."""
    rule = view.data.get("patient_rule")
    if not rule:
        return None
    rule = printable(rule).rstrip(".")
    if rule.startswith("none"):
        return f"No patient keys were available, so every image counts as a patient of its own{_brackets(rule)}."
    if rule.startswith(_KEY):
        return f"Patients were told apart by a key from {rule.removeprefix(_KEY)}."
    return f"Patients were told apart as follows: {rule}."


def patients_known(view: View) -> bool | None:
    """Whether images were given to patients at all; None where the record does not say."""
    if "patients_known" in view.data:
        return bool(view.data["patients_known"])
    rule = view.data.get("patient_rule")
    return None if not rule else not str(rule).startswith("none")


def split_rule(view: View) -> str | None:
    """Which splits came with the data and which were made, and how."""
    rule = view.data.get("split_rule")
    if not rule:
        return None
    rule = printable(rule)
    seed = _SEED.search(rule)
    parts = _SEED.sub("", rule).split("; ")
    made = [found for part in parts if (found := _SHARE.fullmatch(part))]
    if len(made) + (parts[0] == _GIVEN) != len(parts):
        return f"The splits were made as follows: {rule.rstrip('.')}."
    said = [_given([found["name"] for found in made])] if parts[0] == _GIVEN else []
    said += [
        f"{found['share']} of {found['whole']} were drawn for {found['name']}, by patient and stratified by "
        f"{found['by'].strip()}"
        for found in made
    ]
    end = f" (seed {seed[1]})" if seed and made else ""
    return f"{'; '.join(said)}{end}."


def folds(view: View) -> str | None:
    """How images were dealt into folds; None without cross-validation."""
    found = view.data.get("folds")
    return f"Cross-validation: {printable(found['rule']).rstrip('.')}." if found else None


def _given(made: list[str]) -> str:
    kept = [ROLES[name] for name in ("train", "val", "test") if ROLES[name] not in made]
    return f"The split into {joined(kept)} images came with the data"


def split_sizes(view: View) -> str | None:
    """How many images and patients each split has."""
    found = sizes(view)
    if not found:
        return None
    return f"There were {joined(f'{amount(*size)} for {ROLES.get(name, name)}' for name, size in found.items())}."


def counts(view: View, *, most: int = 3) -> str | None:
    """Images of each class in each split; of many classes only the rarest and the commonest."""
    splits: dict[str, Any] = view.data.get("counts") or {}
    if not splits:
        return None
    parts = []
    for split, entry in splits.items():
        names = [name for name in view.study.record.classes if name in entry]
        if len(names) > most:
            names = sorted(names, key=lambda name: int(entry[name]["images"]))
            names = [names[0], names[-1]]
        parts.append(f"in {ROLES.get(split, split)}, {', '.join(_count(view, split, entry, name) for name in names)}")
    chosen = " (rarest and commonest)" if len(view.classes) > most else ""
    return f"Images of each {'finding' if view.multi_label else 'class'}{chosen}: {'; '.join(parts)}."


def _count(view: View, split: str, entry: dict[str, Any], name: str) -> str:
    images = int(entry[name]["images"])
    found = sizes(view).get(split)
    whole = entry[name].get("of") or (found[0] if found else 0)
    return f"{printable(name)} {images:,}" + (f" ({100 * images / whole:.1f} %)" if whole else "")


def skipped(view: View) -> list[tuple[str, str, int]]:
    """(code, reason, files) of what was left out, the most frequent first; the reason of the first such file."""
    items: list[dict[str, Any]] = view.data.get("skipped") or []
    reasons: dict[str, str] = {}
    for item in items:
        reasons.setdefault(str(item["code"]), printable(item.get("reason") or ""))
    found = Counter(str(item["code"]) for item in items)
    return [(code, reasons[code], count) for code, count in sorted(found.items(), key=lambda kv: (-kv[1], kv[0]))]


def excluded(view: View) -> str | None:
    """How many of the listed files were left out, and why."""
    everything = total(view)
    if everything is None or "skipped" not in view.data:
        return None
    out = skipped(view)
    number = sum(count for _, _, count in out)
    listed = style.plural(everything[0] + number, "listed file")
    if not number:
        return f"None of {listed} was left out."
    why = "; ".join(f"{printable(code)} × {count:,}, {reason}" for code, reason, count in out)
    return f"Of {listed}, {number:,} {'was' if number == 1 else 'were'} left out ({why})."


def copies(view: View) -> str | None:
    """What reading said of pixel-identical images; None where it said nothing of them."""
    notices: list[dict[str, Any]] = view.data.get("notices") or []
    found = [printable(n["message"]) for n in notices if n.get("code") == _COPIES]
    return f"Identical pictures: {'; '.join(found).rstrip('.')}." if found else None


def chosen_images(view: View) -> str | None:
    """Slices and frames that the configuration picked out of volumes and multi-frame files."""
    config = view.study.record.config
    picked = [f"{name} {printable(config[name])}" for name in ("slices", "frame") if config.get(name) is not None]
    return f"Picked out of volumes and multi-frame files: {', '.join(picked)}." if picked else None


def missing(view: View) -> str | None:
    """Labels that are unknown (findings), or rows that were left out for want of one."""
    if view.multi_label:
        return _missing_findings(view)
    if "skipped" not in view.data:
        return None
    out = sum(count for code, _, count in skipped(view) if code == "S-LABEL-01")
    if out:
        return f"{style.plural(out, 'row')} without a label {'was' if out == 1 else 'were'} left out."
    return "Every analysed image has a label; nothing was left out for want of one."


def _missing_findings(view: View) -> str | None:
    found, splits = sizes(view), view.data.get("counts") or {}
    if not found or not splits:
        return None
    unknown = sum(
        found[split][0] - int(own.get("of", found[split][0]))
        for split, entry in splits.items()
        for own in entry.values()
    )
    labels = sum(found[split][0] * len(entry) for split, entry in splits.items())
    if not unknown:
        return "Every finding is known in every image."
    return (
        f"{unknown:,} of {labels:,} labels ({100 * unknown / labels:.1f} %) are unknown; an unknown finding counts "
        "neither in the loss nor in any measure, and the image counts for its other findings."
    )


def audit(view: View) -> str | None:
    """How many checks the audit of the data passed, and what it found."""
    looked = view.data.get("audit")
    if not looked:
        return None
    tally = looked["tally"]
    found = "; ".join(f"{printable(f['code'])} {printable(f['message']).rstrip('.')}" for f in looked["findings"])
    return (
        f"Quick audit: {style.plural(tally['error'], 'error')}, {style.plural(tally['warning'], 'warning')}, "
        f"{style.plural(tally['note'], 'note')}, {style.plural(tally['passed'], 'check')} passed, "
        f"{tally['not_applicable']} not applicable" + (f" ({found})." if found else ".")
    )


def privacy(view: View) -> str | None:
    """What the audit's look for identifying names, tags and texts found."""
    looked = view.data.get("audit")
    if not looked:
        return None
    found = [f for f in looked["findings"] if str(f["code"]).startswith("A-PHI")]
    if found:
        named = "; ".join(f"{printable(f['code'])} {printable(f['title'])}" for f in found)
        return f"Found: {named}."
    skipped_checks = joined(printable(title) for title in looked["not_applicable"])
    beside = f" Not applicable among all its checks: {skipped_checks}." if skipped_checks else ""
    return f"The quick audit found nothing that identifies people in paths, tags or file headers.{beside}"


def joined(words: Iterable[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    found = list(words)
    return found[0] if len(found) == 1 else f"{', '.join(found[:-1])} and {found[-1]}" if found else ""


def _brackets(rule: str) -> str:
    found = re.search(r"\(.*\)$", rule)
    return f" {found[0]}" if found else ""
