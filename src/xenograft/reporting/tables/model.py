"""One table, three spellings: cells for HTML, raw values for CSV, escaped text for LaTeX."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xenograft.errors import printable

_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "^": r"\textasciicircum{}",
    "_": r"\_",
    "%": r"\%",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "−": r"\ensuremath{-}",
    "×": r"\ensuremath{\times}",
    "–": "--",
    "…": r"\dots{}",
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell.

    Args:
        text: what a reader sees.
        notes: further lines in small type: an interval, the spread over seeds.
        raw: values for CSV, one per CSV column of its column; empty: the text.
    """

    text: str
    notes: tuple[str, ...] = ()
    raw: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class Column:
    """One column: heading, whether it holds words (left) or numbers (right), and its names in CSV."""

    label: str
    words: bool = False
    csv: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """CSV headings; the label where none are given."""
        return self.csv or (self.label,)


@dataclass(frozen=True, slots=True)
class Row:
    """One row; `kind` names its look: "", "published", "total"."""

    cells: tuple[Cell, ...]
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Block:
    """Rows under a heading of their own; an empty heading is not printed. `key` stands for it in CSV."""

    heading: str
    rows: tuple[Row, ...]
    key: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table with its caption.

    Args:
        name: file stem.
        title: the caption's first sentence.
        caption: the rest of it.
        columns: headings.
        blocks: rows, each with one cell per column.
        small: set in smaller type.
        number: as cited, ``Table 2``; a page numbers its tables in the order it shows them.
    """

    name: str
    title: str
    caption: str
    columns: tuple[Column, ...]
    blocks: tuple[Block, ...]
    small: bool = False
    number: str = ""

    def csv(self) -> tuple[list[str], list[list[object]]]:
        """(header, rows) with raw values; a leading ``block`` column where blocks have keys."""
        keyed = any(block.key for block in self.blocks)
        header = (["block"] if keyed else []) + [name for column in self.columns for name in column.names]
        rows: list[list[object]] = []
        for block in self.blocks:
            for row in block.rows:
                values: list[object] = [block.key] if keyed else []
                for cell, column in zip(row.cells, self.columns, strict=True):
                    raw = cell.raw or (cell.text,)
                    values += [_rounded(value) for value in raw]
                    values += [""] * (len(column.names) - len(raw))
                rows.append(values)
        return header, rows

    def latex(self) -> str:
        """A complete table environment; needs \\usepackage{booktabs} and UTF-8 input."""
        shape = "".join("l" if column.words else "r" for column in self.columns)
        lines = [
            r"% needs \usepackage{booktabs}; written by xenograft",
            r"\begin{table}",
            rf"\caption{{{latex_text(self.title)}. {latex_text(self.caption)}}}",
            rf"\label{{tab:{self.name}}}",
            r"\centering\scriptsize",
            rf"\begin{{tabular}}{{{shape}}}",
            r"\toprule",
            _line([latex_text(column.label) for column in self.columns]),
        ]
        for block in self.blocks:
            lines.append(r"\midrule")
            if block.heading:
                lines.append(rf"\multicolumn{{{len(self.columns)}}}{{l}}{{\textit{{{latex_text(block.heading)}}}}} \\")
            lines += [_line([_latex_cell(cell) for cell in row.cells]) for row in block.rows]
        lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}", ""]
        return "\n".join(lines)


def latex_text(text: str) -> str:
    """Text with LaTeX's special characters escaped."""
    return "".join(_LATEX.get(c, c) for c in printable(text.replace("\u00a0", " ")))


def _latex_cell(cell: Cell) -> str:
    parts = [latex_text(cell.text), *(rf"{{\tiny {latex_text(note)}}}" for note in cell.notes if note)]
    return parts[0] if len(parts) == 1 else r"\shortstack{" + r"\\".join(parts) + "}"


def _line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _rounded(value: object) -> object:
    if value is None:
        return ""
    return round(value, 6) if isinstance(value, float) else value
