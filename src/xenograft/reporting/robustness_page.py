"""The record of robustness -> ``index.html``, and its figure and tables as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from markupsafe import Markup

from xenograft import storage
from xenograft.errors import printable
from xenograft.reporting import robustness_words as words
from xenograft.reporting import style
from xenograft.reporting.figures.robustness import robustness_panels
from xenograft.reporting.tables.robustness import every_level, summary
from xenograft.reporting.templating import environment

Json = dict[str, Any]

RELATIONS = {
    "own": "The test split of the data that the model was trained on. It had no part in training or in any choice.",
    "unseen": "Other data than the model was trained on. No file of them is in its training record.",
    "unknown": "Other data than the model was trained on, as far as can be told: its training record is not here, so "
    "that single images could not be compared.",
}


def render(record: Json, folder: Path) -> tuple[Path, tuple[Path, ...]]:
    """Write the page, then return its path and those of the figure and the tables.

    Args:
        record: of `xenograft.study.robustness`, with ``command``, ``program``, ``model`` and ``data``, see
            `xenograft.perturbing.robustness`. The same record gives the same bytes.
        folder: gets ``index.html``, ``figures`` and ``tables``.

    Raises:
        ProcessError: the folder cannot be written.
    """
    stamps = _stamps(record)
    tables = [summary(record), every_level(record)]
    with style.drawing():
        panels = robustness_panels(record)
    templates = environment()
    templates.filters["inline"] = Markup
    html = templates.get_template("robustness.html.j2").render(
        record=record,
        words=words,
        panels=panels,
        tables={table.name: table for table in tables},
        strips=strips(record),
        stamps=stamps,
        relation=RELATIONS[record["data"]["relation"]],
        facts=_facts(record),
    )
    files = []
    if panels.drawing is not None:
        for kind, data in (("svg", panels.drawing.file), ("pdf", panels.drawing.pdf)):
            files.append(storage.atomic_write(folder / "figures" / f"{panels.name}.{kind}", data))
    for table in tables:
        header, rows = table.csv()
        files.append(storage.write_csv(folder / "tables" / f"{table.name}.csv", header, rows))
        files.append(storage.atomic_write(folder / "tables" / f"{table.name}.tex", table.latex()))
    return storage.atomic_write(folder / "index.html", html), tuple(files)


def strips(record: Json) -> list[dict[str, Any]]:
    """The example image: for each change its pictures from level 0 on, with the strength and the probability below."""
    example = record["example"]
    found = []
    for change in record["changes"]:
        labels = ["as it is", *(f"{row['strength']:g}" for row in change["levels"])]
        pictures = [example["clean"], *example["changes"][change["name"]]]
        shown = [
            {"picture": picture["picture"], "strength": label, "probability": f"{picture['probability']:.2f}"}
            for label, picture in zip(labels, pictures, strict=True)
        ]
        found.append(
            {
                "name": change["name"],
                "title": words.heading(change),
                "measure": change["measure"],
                "pictures": shown,
            }
        )
    return found


def _stamps(record: Json) -> list[str]:
    stamps = []
    if record["data"]["synthetic"]:
        stamps.append("SYNTHETIC IMAGES")
    if record["data"]["leak_allowed"]:
        stamps.append("SPLITS LEAK")
    return stamps


def _facts(record: Json) -> list[tuple[str, str]]:
    """How it was done, as terms and descriptions."""
    model, data = record["model"], record["data"]
    of = "" if data["split"] == "all" else f", split {data['split']}"
    rows = [
        ("Model", f"{model['name']}: {style.backbone_name(model['backbone'])}, {style.recipe_name(model['recipe'])}"),
        ("Trained on", printable(model["trained_on"])),
        ("Images", f"{printable(data['name'])}{of}; {words.size(record)}"),
        ("Skipped", f"{style.plural(data['skipped'], 'file')} could not be read") if data["skipped"] else None,
        ("Answers by", _decided(record)),
        ("Prepared image", f"{record['side']} x {record['side']} pixels, {_channels(record)}"),
        (
            "Intervals",
            f"{100 * record['level']:g} %, {record['resamples']:,} resamples of patients within classes, seed "
            f"{record['seed']}",
        ),
        (
            "Computed at",
            f"{model['precision']}; {record['passes']:,} images through the model in "
            f"{style.duration(record['seconds'])}",
        ),
        ("Model files", ", ".join(f"{printable(name)} {digest}" for name, digest in model["hashes"].items())),
        ("Data", f"manifest {data['manifest_sha256']}"),
        ("Program", printable(record["program"])),
    ]
    return [(term, printable(text)) for term, text in (row for row in rows if row is not None)]


def _decided(record: Json) -> str:
    threshold, rule = record["threshold"], record["model"]["threshold_rule"]
    if threshold is None:
        return "the class of highest probability"
    if isinstance(threshold, list | tuple):
        return f"a threshold for each finding, {rule}"
    return f"threshold {threshold:.3f}, {rule}"


def _channels(record: Json) -> str:
    return "gray" if record["channels"] == 1 else "colour"
