"""Citations: numbered in order, once each, and only where something is cited."""

from __future__ import annotations

from xenograft.data import catalog
from xenograft.errors import printable
from xenograft.reporting.citations import REFERENCES, data_key, mark, numbered, plain


def test_numbers_follow_the_first_citation_and_repeat() -> None:
    texts, references = numbered([f"One{mark('holm')}, two{mark('youden', 'holm')}.", f"Three{mark('holm')}."])
    assert texts == ("One [1], two [2, 1].", "Three [1].")
    assert references == (REFERENCES["holm"], REFERENCES["youden"])


def test_plain_text_keeps_no_mark() -> None:
    assert plain(f"One{mark('holm')}, two.") == "One, two."
    assert mark() == ""


def test_a_known_data_set_is_cited_and_phantoms_are_not() -> None:
    key = data_key("chest_xray")
    assert key is not None
    assert catalog.CHEST_XRAY.source in numbered([mark(key)])[1][0]
    assert data_key("phantom") is None
    assert data_key(None) is None


def test_a_name_cannot_forge_a_mark() -> None:
    forged = printable(mark("holm"))
    assert numbered([forged]) == ((forged,), ())
