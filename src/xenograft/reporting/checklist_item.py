"""One item of a reporting guideline, and what a study's record can answer to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from xenograft.reporting.citations import plain
from xenograft.reporting.groups import View

NOT_SUPPLIED = "not supplied"
NOT_RECORDED = "not recorded"
NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the record says to an item.

    Args:
        text: facts; or `NOT_SUPPLIED` where only people can answer, `NOT_RECORDED` where the record lacks the fact,
            `NOT_APPLICABLE` with its reason behind a colon.
        where: what of the report shows more: file stems of tables and figures, names of sections.
        still: the part of the item that only people can answer, where the facts do not cover all of it.
    """

    text: str
    where: tuple[str, ...] = ()
    still: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """One item.

    Args:
        number: as the guideline has it. section: of the guideline, in our words.
        asks: what the item asks for, in our words.
        answer: from a view of a study.
    """

    number: str
    section: str
    asks: str
    answer: Callable[[View], Answer]


def people(_: View) -> Answer:
    """The answer to an item that only people can answer."""
    return Answer(NOT_SUPPLIED)


def fact(*sentences: str | None, where: tuple[str, ...] = (), still: str = "") -> Answer:
    """Sentences without their citations; those that are None are left out, and with none left nothing was recorded."""
    known = [plain(sentence) for sentence in sentences if sentence]
    return Answer(" ".join(known), where, still) if known else Answer(NOT_RECORDED, (), still)
