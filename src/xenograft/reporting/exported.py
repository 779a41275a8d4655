"""Drawings and tables -> files beside a page: ``figures`` as SVG and PDF, ``tables`` as CSV and LaTeX."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from xenograft import storage
from xenograft.reporting.figures.canvas import Drawing
from xenograft.reporting.tables.model import Table

_OURS = re.compile(r"(figure|table)-[\w.-]+\.(svg|pdf|csv|tex)")


def export(folder: Path, drawings: Iterable[Drawing], tables: Iterable[Table]) -> None:
    """Write them all below `folder`, and remove those of an earlier page that this one does not have.

    Other files stay.

    Raises:
        ProcessError: the folder cannot be written.
    """
    kept = set()
    for drawing in drawings:
        kept.add(storage.atomic_write(folder / "figures" / f"{drawing.name}.svg", drawing.file).name)
        kept.add(storage.atomic_write(folder / "figures" / f"{drawing.name}.pdf", drawing.pdf).name)
    for table in tables:
        kept.add(storage.write_csv(folder / "tables" / f"{table.name}.csv", *table.csv()).name)
        kept.add(storage.atomic_write(folder / "tables" / f"{table.name}.tex", table.latex()).name)
    for part in ("figures", "tables"):
        for path in (folder / part).glob("*"):
            if _OURS.fullmatch(path.name) and path.name not in kept:
                path.unlink()
