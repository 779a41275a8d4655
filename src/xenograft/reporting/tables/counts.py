"""Data facts -> a table: images and patients per class and split."""

from __future__ import annotations

from typing import Any

from xenograft.errors import printable
from xenograft.reporting import style
from xenograft.reporting.groups import View
from xenograft.reporting.tables.finding_counts import finding_counts
from xenograft.reporting.tables.model import Block, Cell, Column, Row, Table


def counts(view: View) -> Table | None:
    """The table; None where the record holds no counts."""
    if view.multi_label:
        return finding_counts(view)
    splits: dict[str, Any] = view.data.get("counts") or {}
    if not splits:
        return None
    columns = [Column("Class", words=True)]
    for split in splits:
        name = style.split_name(split)
        columns += [
            Column(f"{name}: images", csv=(f"{split}_images", f"{split}_share")),
            Column("patients", csv=(f"{split}_patients",)),
        ]
    extra = [c for entry in splits.values() for c in entry if c not in view.study.record.classes]
    rows = [_row(splits, name) for name in [*view.study.record.classes, *dict.fromkeys(extra)]]
    total = [Cell("All")]
    for split, entry in splits.items():
        patients = _patients(view, split)
        total += [
            Cell(f"{_images(entry):,}", raw=(_images(entry), 1.0)),
            Cell("–" if patients is None else f"{patients:,}", raw=(patients,)),
        ]
    share = "prevalence" if len(view.classes) == 2 else "share"
    return Table(
        name="table-data",
        title="Images and patients by class and split",
        caption=f"In brackets: {share} of the class within the split. A patient with images of two classes is "
        f"counted in each; {_totals_note(view)}",
        columns=tuple(columns),
        blocks=(Block("", (*rows, Row(tuple(total), "total"))),),
    )


def _row(splits: dict[str, Any], name: str) -> Row:
    cells = [Cell(printable(name))]
    for entry in splits.values():
        own = entry.get(name) or {"images": 0, "patients": 0}
        share = own["images"] / max(1, _images(entry))
        patients = own.get("patients")
        cells += [
            Cell(f"{own['images']:,} ({100 * share:.1f} %)", raw=(own["images"], share)),
            Cell("–" if patients is None else f"{patients:,}", raw=(patients,)),
        ]
    return Row(tuple(cells))


def _images(entry: dict[str, Any]) -> int:
    return sum(int(own["images"]) for own in entry.values())


def _totals_note(view: View) -> str:
    if view.data.get("sizes"):
        return "in the totals once."
    return "totals of patients are those of the evaluated images, and a dash where no run recorded them."


def _patients(view: View, split: str) -> int | None:
    if size := (view.data.get("sizes") or {}).get(split):
        return int(size["patients"])
    run = view.study.runs[0]
    card = {"test": run.test, "val": run.validation, "validation": run.validation}.get(split, {})
    patients = card.get("patients")
    return None if patients is None else int(patients)
