"""The record of `xenograft similarity` -> the tables of the terminal: the last stage of every network, and changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from xenograft.reporting import style
from xenograft.reporting.similarity_view import MEASURES

Json = Mapping[str, Any]
Brief = tuple[str, tuple[str, ...], list[list[str]]]
"""A title, headings, and rows of text."""

NOTE = (
    "Halves: what two samples of one and the same set give; noise: images of random pixels. In brackets: 95 % "
    "intervals; of halves the range of random halvings. Measures differ between networks in their unit, but for ratio, "
    "AUROC and overlap."
)
_SHOWN = ("ratio", "frechet", "kid", "two_sample_auroc", "neighbour_overlap")
_CHANGED = ("ratio", "frechet", "two_sample_auroc")
_PAIRS = {
    "natural_medical": "natural - medical",
    "natural_natural": "natural, halves",
    "medical_medical": "medical, halves",
    "natural_noise": "natural - noise",
    "medical_noise": "medical - noise",
}


def tables(record: Json) -> Iterator[Brief]:
    """One for each backbone, and one more for what training changed in it."""
    for backbone, group in groupby(record["subjects"], key=lambda subject: subject["backbone"]):
        subjects = list(group)
        title = f"{subjects[0]['title']}, last stage"
        heads = ("weights", "images", *(MEASURES[name].name for name in _SHOWN))
        yield title, heads, [row for subject in subjects for row in _rows(subject)]
        changes = [change for change in record["changes"] if change["backbone"] == backbone]
        if changes:
            heads = ("recipe", "seed", "validation AUROC", *(f"{MEASURES[name].name}: change" for name in _CHANGED))
            yield f"{subjects[0]['title']}, last stage, after training", heads, [_change(each) for each in changes]


def _rows(subject: Json) -> Iterator[list[str]]:
    measures = subject["stages"][-1]["measures"]
    weights = "ImageNet" if subject["state"] == "imagenet" else f"random, seed {subject['seed']}"
    for at, (pair, name) in enumerate(_PAIRS.items()):
        cells = [_cell(measure, measures[measure][pair]) for measure in _SHOWN]
        yield [weights if at == 0 else "", name, *cells]


def _change(change: Json) -> list[str]:
    measures: Json = change["stages"][-1]["measures"]
    cells = [_moved(name, measures[name]) for name in _CHANGED]
    return [change["recipe"], str(change["seed"]), style.number(change["training"]["val_auroc"]), *cells]


def _moved(name: str, entry: Json) -> str:
    measure = MEASURES[name]
    ends = _cell(name, entry["difference"], signed=True)
    return f"{measure.text(entry['before'])} to {measure.text(entry['after'])}: {ends}"


def _cell(name: str, value: Json | None, *, signed: bool = False) -> str:
    if value is None or value["value"] is None:
        return "undefined"
    measure = MEASURES[name]
    return " ".join(_parts(measure.text(value["value"], signed=signed), measure.span(value, signed=signed)))


def _parts(value: str, span: str) -> Sequence[str]:
    return (value, f"({span})") if span else (value,)
