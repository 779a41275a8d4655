"""Bytes of a TIFF, or of EXIF, which is built like one -> its pages of tags; the orientation."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from xenograft.data.readers.picture import cut
from xenograft.errors import FileError

SINGLE = {256, 257, 259, 262, 266, 277, 278, 284, 317, 322, 323}
"""Tags that must have exactly one value."""

_WHOLE = {1: "B", 3: "H", 4: "I", 16: "Q"}
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}


@dataclass(slots=True)
class Page:
    """One image file directory: tag -> (raw entry, values where they are whole numbers)."""

    entries: dict[int, bytes]
    tags: dict[int, tuple[int, ...]]

    def one(self, tag: int, default: int = 0) -> int:
        """First value of a tag."""
        return self.tags.get(tag, (default,))[0]


class Tiff:
    """Directories of a classic or big TIFF, either byte order. Also reads the TIFF inside EXIF."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.order = "<" if data[:2] == b"II" else ">"
        self.big = data[2:4] in {b"+\0", b"\0+"}
        self.word = "Q" if self.big else "I"
        self.first = self._unpack(self.word, 8 if self.big else 4)

    def count(self, entry: bytes) -> int:
        """How many values a raw directory entry has; text has at least its closing zero."""
        return int(struct.unpack_from(self.order + self.word, entry, 4)[0])

    def _unpack(self, form: str, at: int) -> int:
        return int(struct.unpack_from(self.order + form, self.data, at)[0])

    def page(self, at: int, *, wanted: set[int]) -> tuple[Page, int]:
        """(page, offset of the next one); struct.error when it lies outside the file."""
        width, step = (20, 8) if self.big else (12, 2)
        count = self._unpack("Q" if self.big else "H", at)
        start = at + step
        following = self._unpack(self.word, start + count * width)
        page = Page({}, {})
        for offset in range(start, start + count * width, width):
            tag, kind = struct.unpack_from(self.order + "HH", self.data, offset)
            if tag in wanted and tag not in page.entries:
                page.entries[tag] = self.data[offset : offset + width]
                self._values(page, tag, kind, offset + 4)
        return page, following

    def _values(self, page: Page, tag: int, kind: int, at: int) -> None:
        length = struct.calcsize("<" + self.word)
        count, place = self._unpack(self.word, at), at + length
        size = count * _SIZES.get(kind, 1)
        if size > length:
            place = self._unpack(self.word, place)
        if place + size > len(self.data) or count == 0 or (tag in SINGLE and count != 1):
            raise cut("tiff", f"tag {tag} lies outside the file")
        if kind in _WHOLE:
            page.tags[tag] = struct.unpack_from(f"{self.order}{count}{_WHOLE[kind]}", self.data, place)

    def lean(self, page: Page) -> bytes:
        """The same file with one directory that holds the tags of the pixels only."""
        gap = b"\0" * (len(self.data) % 2)
        at = len(self.data) + len(gap)
        body = b"".join(entry for _, entry in sorted(page.entries.items()))
        count = struct.pack(self.order + ("Q" if self.big else "H"), len(page.entries))
        none = struct.pack(self.order + self.word, 0)
        head = self.data[: 8 if self.big else 4] + struct.pack(self.order + self.word, at)
        return b"".join([head, self.data[len(head) :], gap, count, body, none])


def orientation(exif: object) -> int:
    """EXIF orientation 1..8; 1 when it is missing or unreadable (metadata never costs an image)."""
    if not isinstance(exif, bytes) or not exif:
        return 1
    try:
        file = Tiff(exif.removeprefix(b"Exif\0\0"))
        return file.page(file.first, wanted={274})[0].one(274, 1)
    except (struct.error, FileError, IndexError):
        return 1


_PLACE = 0x8825  # the directory of GPS tags
_PERSON = {0x013B: "Artist", 0x8298: "Copyright", 0x9C9C: "XPComment", 0x9C9D: "XPAuthor"}


def identifying(exif: object) -> list[str]:
    """Notes on what EXIF may tell about people: a place (W-FILE-22), a name or a comment (W-FILE-23)."""
    if not isinstance(exif, bytes) or not exif:
        return []
    try:
        file = Tiff(exif.removeprefix(b"Exif\0\0"))
        page = file.page(file.first, wanted={_PLACE, *_PERSON})[0]
    except (struct.error, FileError, IndexError):
        return []
    names = [tag for tag in _PERSON if tag in page.entries and file.count(page.entries[tag]) > 1]
    return ["W-FILE-22"] * (_PLACE in page.entries) + ["W-FILE-23"] * bool(names)
