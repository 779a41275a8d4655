"""The text of a page -> what a browser would make of it: tags, identifiers, links, captions and words in order."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Self

_EMPTY = {"meta", "img", "br", "path", "use", "rect", "line", "circle"}


class Page(HTMLParser):
    """Collects, in the order of the page.

    Args:
        tags, ids: of elements. loads: everything a browser would fetch or follow. handlers: attributes that hold code.
        captions: text of every caption. text: all words outside of style and figures.
    """

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.loads: list[str] = []
        self.handlers: list[str] = []
        self.captions: list[str] = []
        self.words: list[str] = []
        self._open: list[tuple[str, bool]] = []

    @classmethod
    def of(cls, html: str) -> Self:
        """Parse a page."""
        made = cls()
        made.feed(html)
        return made

    @property
    def text(self) -> str:
        """All words in one line."""
        return re.sub(r"\s+", " ", " ".join(self.words))

    def numbered(self, kind: str) -> list[int]:
        """Numbers of the captions of figures or tables: ``Figure`` or ``Table``."""
        return [int(found[1]) for caption in self.captions if (found := re.match(rf"\s*{kind} (\d+)\. ", caption))]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See `HTMLParser`."""
        self.tags.append(tag)
        told = dict(attrs)
        caption = tag == "figcaption" or (told.get("class") or "") == "caption"
        if tag not in _EMPTY:
            self._open.append((tag, caption))
        if caption:
            self.captions.append("")
        for name, value in attrs:
            if name == "id":
                self.ids.append(str(value))
            if name.startswith("on"):
                self.handlers.append(name)
            if name in {"src", "srcset", "data", "xlink:href", "href", "action", "poster"}:
                self.loads.append(str(value))

    def handle_endtag(self, tag: str) -> None:
        """See `HTMLParser`."""
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        """See `HTMLParser`."""
        tags = {tag for tag, _ in self._open}
        if not tags & {"style", "svg"}:
            self.words.append(data)
        if any(caption for _, caption in self._open):
            self.captions[-1] += data
