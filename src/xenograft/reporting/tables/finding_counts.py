"""Data facts of a multi-label set -> a table: images and patients per finding and split."""

from __future__ import annotations

from typing import Any

from xenograft.errors import printable
from xenograft.reporting import style
from xenograft.reporting.groups import View
from xenograft.reporting.tables.model import Block, Cell, Column, Row, Table


def finding_counts(view: View) -> Table | None:
    """The table of a multi-label set; None where the record holds no counts."""
    splits: dict[str, Any] = view.data.get("counts") or {}
    if not splits:
        return None
    sizes: dict[str, Any] = view.data.get("sizes") or {}
    gaps = any(_missing(sizes, split, own) for split, entry in splits.items() for own in entry.values())
    columns = [Column("Finding", words=True)]
    whole = [Cell("All images")]
    for split in splits:
        size = sizes.get(split, {})
        columns += [
            Column(f"{style.split_name(split)}: images", csv=(f"{split}_images", f"{split}_share_of_known")),
            Column("patients", csv=(f"{split}_patients",)),
            *([Column("not known", csv=(f"{split}_not_known",))] if gaps else []),
        ]
        whole += [
            Cell(_count(size.get("images")), raw=(size.get("images"), None)),
            Cell(_count(size.get("patients")), raw=(size.get("patients"),)),
            *([Cell("", raw=(None,))] if gaps else []),
        ]
    rows = [_row(splits, sizes, name, gaps=gaps) for name in view.study.record.classes]
    return Table(
        name="table-data",
        title="Images and patients with each finding, by split",
        caption="An image may have several findings or none, so the rows do not add up to all images. In brackets: "
        f"share of the images whose label is known. Patients: those with at least one such image. {_gaps_note(gaps)}",
        columns=tuple(columns),
        blocks=(Block("", (*rows, Row(tuple(whole), "total"))),),
        small=True,
    )


def _row(splits: dict[str, Any], sizes: dict[str, Any], name: str, *, gaps: bool) -> Row:
    cells = [Cell(printable(name))]
    for split, entry in splits.items():
        own = entry.get(name) or {"images": 0, "of": 0}
        share = own["images"] / own["of"] if own.get("of") else None
        bracket = "" if share is None else f" ({100 * share:.1f} %)"
        missing = _missing(sizes, split, own)
        cells += [
            Cell(f"{own['images']:,}{bracket}", raw=(own["images"], share)),
            Cell(_count(own.get("patients")), raw=(own.get("patients"),)),
            *([Cell(_count(missing), raw=(missing,))] if gaps else []),
        ]
    return Row(tuple(cells))


def _gaps_note(gaps: bool) -> str:
    if gaps:
        return "Not known: images without a label for the finding, left out of training and of every figure about it."
    return "No label is missing."


def _missing(sizes: dict[str, Any], split: str, own: dict[str, Any]) -> int | None:
    """Images of the split of which nobody said whether they have the finding; None where that was not recorded."""
    size = sizes.get(split, {}).get("images")
    return None if size is None or own.get("of") is None else int(size) - int(own["of"])


def _count(number: int | None) -> str:
    return "–" if number is None else f"{number:,}"
