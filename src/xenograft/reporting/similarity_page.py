"""The record of `xenograft similarity` -> ``index.html`` without scripts or network, and its figures and tables."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from markupsafe import Markup

from xenograft import storage
from xenograft.errors import printable
from xenograft.reporting import similarity_words as words
from xenograft.reporting import style
from xenograft.reporting.exported import export
from xenograft.reporting.figures.panels import Panels
from xenograft.reporting.figures.similarity_change import change_depth, similarity_changes
from xenograft.reporting.figures.similarity_depth import similarity_depth
from xenograft.reporting.figures.similarity_map import similarity_map, thumbnails
from xenograft.reporting.similarity_view import MAPS, SETS, Json, SimilarityView, seconds
from xenograft.reporting.tables import similarity as tables
from xenograft.reporting.templating import environment

_FITTING, _DOWN = 24, 16  # thumbnails that fit side by side on a map, and above each other
_MOST_SHEET = 1 << 20  # bytes of a contact sheet; it is carried in the page


def render(record: Json, folder: Path) -> Path:
    """Write page, figures and tables, and return the page's path; the same record and sheets give the same bytes.

    Args:
        record: of ``similarity.json``.
        folder: gets ``index.html``, ``figures`` and ``tables``. The contact sheets that the record names are read from
            it; without them the maps have points alone.

    Raises:
        ProcessError: the folder cannot be written.
    """
    view = SimilarityView(record)
    with style.drawing():
        depth = [panels for name in view.backbones if (panels := similarity_depth(view, name)) is not None]
        maps = {method: panels for method in MAPS if (panels := similarity_map(view, method)) is not None}
        forest = similarity_changes(view)
        moves = [panels for training in view.trainings if (panels := change_depth(view, *training)) is not None]
    made = tables.tables(view)
    sheets = _sheets(view, folder)
    templates = environment()
    templates.filters["inline"] = Markup
    html = templates.get_template("similarity.html.j2").render(
        view=view, record=record, words=words, answers=words.answers(record), tables={t.name: t for t in made},
        depth=depth, maps=maps, forest=forest, moves=moves, sheets=sheets,
        pictures=_pictures(view) if len(sheets) == len(SETS) else [], notes=_notes(view, maps), facts=_facts(view),
    )  # fmt: skip
    drawings = [panels.drawing for panels in [*depth, *maps.values(), *moves]]
    export(folder, [*drawings, *([] if forest is None else [forest])], made)
    return storage.atomic_write(folder / "index.html", html)


def _sheets(view: SimilarityView, folder: Path) -> dict[str, str]:
    """Set -> its contact sheet as a data address; none if it is not there, or too large for a page."""
    found = {}
    for kind in SETS:
        name = view.record[kind].get("thumbnails")
        path = folder / Path(name).name if name else None
        if path is None:
            continue
        try:
            data = path.read_bytes()
        except OSError:
            continue  # the page says that they are missing
        if len(data) <= _MOST_SHEET:
            found[kind] = "data:image/jpeg;base64," + base64.b64encode(data).decode("ascii")
    return found


def _pictures(view: SimilarityView) -> list[dict[str, Any]]:
    """Every map with thumbnails, those of ImageNet weights by t-SNE first."""
    order = [(s, m) for m in MAPS for s in view.subjects if m in s["maps"]]
    order.sort(key=lambda pair: (pair[0]["state"] != "imagenet", pair[1] != "t-sne"))
    return [
        {
            "name": f"{view.name(subject)}, {MAPS[method]}",
            "caption": words.mapped(subject["maps"][method]["facts"]),
            "open": subject["state"] == "imagenet" and method == "t-sne",
            "shown": thumbnails(subject["maps"][method], across=_FITTING, down=_DOWN),
            "rows": sum(len(subject["maps"][method][kind]) for kind in SETS),
        }
        for subject, method in order
    ]


def _notes(view: SimilarityView, maps: dict[str, Panels]) -> list[str]:
    """What each method is, as the first network's map tells it."""
    found = []
    for method in maps:
        subject = next(s for s in view.subjects if method in s["maps"])
        found.append(words.mapped(subject["maps"][method]["facts"]))
    return found


def _facts(view: SimilarityView) -> list[tuple[str, str]]:
    """How it was done, as terms and descriptions."""
    record = view.record
    rows = [(f"{kind.capitalize()} images", _set(record[kind])) for kind in SETS]
    rows += [
        ("Noise images", f"{record['noise']['images']:,}: {record['noise']['what']}"),
        *((view.name(s), _weights(s)) for s in view.subjects),
        *((f"Fine-tuned: {view.trained(c)}, seed {c['seed']}", _training(c)) for c in record["changes"]),
        ("Settings", _settings(record["settings"])),
        *(("Intervals of " + name, text) for name, text in _intervals(record["settings"]).items()),
        ("Time", ", ".join(f"{name} {span}" for name, span in seconds(record))),
    ]
    return [(printable(term), printable(text)) for term, text in rows]


def _settings(found: Json) -> str:
    """One line of what was set; what was not set is left out, and what the page says elsewhere."""
    left_out = {"natural", "medical", "backbones", "intervals"}
    return ", ".join(
        f"{name.replace('_', ' ')} {style.flat(value)}"
        for name, value in found.items()
        if name not in left_out and value is not None and value is not False and value not in ("", [])
    )


def _intervals(settings: Json) -> dict[str, str]:
    """How intervals were made, in words, where the record says so."""
    names = {"natural_medical": "two sets", "natural_natural": "halves", "cka": "CKA and dimensions"}
    return {names.get(key, key): text for key, text in settings.get("intervals", {}).items()}


def _set(found: Json) -> str:
    skipped = f"; {style.plural(found['skipped'], 'file')} could not be read" if found["skipped"] else ""
    groups = f" of {style.plural(found['patients'], 'patient')}" if found["patients_known"] else ""
    return (
        f"{found['name']}: {found['used']:,} of {style.plural(found['images'], 'image')} used{groups}{skipped}; "
        f"manifest {found['manifest_sha256']}"
    )


def _weights(subject: Json) -> str:
    if subject["state"] == "random":
        return f"drawn anew, seed {subject['seed']}"
    return style.flat(subject["weights"])


def _training(change: Json) -> str:
    done = change["training"]
    auroc = "" if done.get("val_auroc") is None else f", validation AUROC {style.number(done['val_auroc'])}"
    return (
        f"trained on {style.plural(done['images'], 'image')} of {style.plural(done['patients'], 'patient')}, "
        f"{style.plural(done['epochs'], 'epoch')}{auroc}"
    )
