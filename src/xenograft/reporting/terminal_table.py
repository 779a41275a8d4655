"""A table of a page -> headings and rows of plain text that fit a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from xenograft.reporting.tables.model import Cell, Table


def plain(table: Table, *, without: Sequence[str] = ()) -> tuple[list[str], list[list[str]]]:
    """Headings and cells, each with its first note: ``0.953 (0.935–0.968)``.

    Args:
        without: names of columns in CSV that are left out.
    """
    kept = [k for k, column in enumerate(table.columns) if column.names[0] not in without]
    rows = [[_text(row.cells[k]) for k in kept] for block in table.blocks for row in block.rows]
    return [table.columns[k].label for k in kept], rows


def _text(cell: Cell) -> str:
    return f"{cell.text} ({cell.notes[0]})" if cell.notes else cell.text
