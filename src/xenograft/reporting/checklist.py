"""A study's view -> the rows of CLAIM 2024 and TRIPOD+AI: what the record answers, and what people must supply."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from xenograft.reporting import claim, tripod_ai
from xenograft.reporting.checklist_item import NOT_APPLICABLE, NOT_RECORDED, NOT_SUPPLIED, Item
from xenograft.reporting.groups import View

NOTE = (
    "Items are summarised in our words, not quoted; consult the guideline itself. Answers are facts from this study's "
    f"record. {NOT_SUPPLIED.capitalize()}: only people can answer. {NOT_RECORDED.capitalize()}: the record lacks it."
)
ANSWERED, IN_PART = "answered", "in part"
STATUSES = (ANSWERED, IN_PART, NOT_SUPPLIED, NOT_RECORDED, NOT_APPLICABLE)
_HEADER = ("guideline", "item", "section", "asks", "status", "answer", "where", "people_must_add", "page_in_manuscript")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]#|~$])")


@dataclass(frozen=True, slots=True)
class Row:
    """One item of a guideline, answered.

    Args:
        guideline: its short name. number, section, asks: see `Item`.
        answer, still: see `xenograft.reporting.checklist_item.Answer`.
        where: names of what a page has of its places.
    """

    guideline: str
    number: str
    section: str
    asks: str
    answer: str
    where: tuple[str, ...]
    still: str

    @property
    def status(self) -> str:
        """One of `STATUSES`; in part: facts that people must add to."""
        for plain in (NOT_SUPPLIED, NOT_RECORDED):
            if self.answer == plain:
                return plain
        if self.answer.startswith(NOT_APPLICABLE):
            return NOT_APPLICABLE
        return IN_PART if self.still else ANSWERED


def claim_rows(view: View, on_page: Container[str] | None = None) -> tuple[Row, ...]:
    """The 44 items of the Checklist for Artificial Intelligence in Medical Imaging, 2024 update.

    Args:
        on_page: names of the tables, figures and sections that can be pointed to; None for all.
    """
    return _rows(claim.NAME, claim.ITEMS, view, on_page)


def tripod_rows(view: View, on_page: Container[str] | None = None) -> tuple[Row, ...]:
    """The 27 items of TRIPOD+AI, 52 with their sub-items; arguments as `claim_rows`."""
    return _rows(tripod_ai.NAME, tripod_ai.ITEMS, view, on_page)


CHECKLISTS = {
    "checklist-claim": (claim.NAME, claim.CITATION, claim_rows),
    "checklist-tripod-ai": (tripod_ai.NAME, tripod_ai.CITATION, tripod_rows),
}
"""File stem -> name, citation and rows of a guideline."""


def _rows(name: str, items: Sequence[Item], view: View, on_page: Container[str] | None) -> tuple[Row, ...]:
    answers = [(item, item.answer(view)) for item in items]
    return tuple(Row(name, i.number, i.section, i.asks, a.text, _there(a.where, on_page), a.still) for i, a in answers)


def _there(where: tuple[str, ...], on_page: Container[str] | None) -> tuple[str, ...]:
    return where if on_page is None else tuple(place for place in where if place in on_page)


def tally(rows: Sequence[Row]) -> dict[str, int]:
    """How many rows there are of each status, zeros included."""
    found = Counter(row.status for row in rows)
    return {status: found[status] for status in STATUSES}


def as_csv(rows: Sequence[Row], labels: Mapping[str, str] | None = None) -> tuple[list[str], list[list[object]]]:
    """(header, rows) for `xenograft.storage.write_csv`; the last column is empty, for the manuscript's pages.

    Args:
        labels: name of a place -> how it is cited, such as ``Table 1``; else its name stands there.
    """
    lines: list[list[object]] = [
        [r.guideline, r.number, r.section, r.asks, r.status, r.answer, _places(r, labels), _must_add(r), ""]
        for r in rows
    ]
    return list(_HEADER), lines


def as_markdown(rows: Sequence[Row], labels: Mapping[str, str] | None = None) -> str:
    """A table in Markdown with the note; names of classes and files cannot break out of a cell. See `as_csv`."""
    lines = [NOTE, "", "| Item | Asks for | Answer | Where | People must add |", "|---|---|---|---|---|"]
    for row in rows:
        cells = (row.number, row.asks, row.answer, _places(row, labels), _must_add(row))
        lines.append(f"| {' | '.join(map(_cell, cells))} |")
    return "\n".join(lines) + "\n"


def _places(row: Row, labels: Mapping[str, str] | None) -> str:
    return "; ".join((labels or {}).get(place, place) for place in row.where)


def _must_add(row: Row) -> str:
    if row.answer == NOT_SUPPLIED:
        return "all of it"
    return row.still or ("what was done, if anything" if row.answer == NOT_RECORDED else "")


def _cell(text: str) -> str:
    harmless = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKDOWN.sub(r"\\\1", " ".join(harmless.split()))
