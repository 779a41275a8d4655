"""Example images of the study folder -> a figure, as pictures for the page and as a figure."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from xenograft.errors import XenograftError, printable
from xenograft.reporting.figures.canvas import Drawing, Sheet
from xenograft.reporting.groups import View
from xenograft.storage import safe_join

_SIDE = 192  # pixels: sharp at three centimetres in print
_MOST_A_CLASS = 6
_MOST = 48
_MOST_A_FINDING = 3  # two findings stand side by side


@dataclass(frozen=True, slots=True)
class Strip:
    """One class and its pictures as data URIs; `most`: pictures of the class that has the most."""

    name: str
    pictures: tuple[str, ...]
    most: int


def examples(view: View) -> tuple[Drawing | None, tuple[Strip, ...], int]:
    """(the figure or None, the same as strips of PNG data URIs, how many example files could not be read)."""
    listed = view.data.get("examples") or {}
    each = max(1, min(_MOST_A_FINDING if view.multi_label else _MOST_A_CLASS, _MOST // max(1, len(listed))))
    found: list[tuple[str, list[Image.Image]]] = []
    lost = 0
    for name, files in listed.items():
        pictures = [_picture(view, file) for file in files[:each]]
        readable = [picture for picture in pictures if picture is not None]
        lost += len(pictures) - len(readable)
        if readable:
            found.append((printable(name), readable))
    if not found:
        return None, (), lost
    most = max(len(pictures) for _, pictures in found)
    strips = tuple(Strip(name, tuple(_uri(picture) for picture in pictures), most) for name, pictures in found)
    return _sheet(view, found), strips, lost


def picture_uri(view: View, file: str) -> str | None:
    """A small copy of a picture of the study folder as a PNG data URI; None where it cannot be read."""
    picture = _picture(view, file)
    return None if picture is None else _uri(picture)


def _sheet(view: View, found: list[tuple[str, list[Image.Image]]]) -> Drawing:
    columns = max(len(pictures) for _, pictures in found)
    beside = 2 if view.multi_label else 1
    side = min(1.5, (7.1 - 0.2 * (beside - 1)) / (beside * columns) - 0.06)
    pitch = side + 0.26
    sheet = Sheet(-(-len(found) // beside) * pitch, stamps=view.stamps)
    for i, (name, pictures) in enumerate(found):
        row, left = i // beside, i % beside * (columns * (side + 0.06) + 0.2)
        sheet.text(left + 0.02, row * pitch + 0.12, name, weight="bold", fontsize=8)
        for column, picture in enumerate(pictures):
            axes = sheet.axes(left + column * (side + 0.06), row * pitch + 0.22, side, side)
            grey = picture.mode == "L"
            axes.imshow(np.asarray(picture), cmap="gray" if grey else None, vmin=0, vmax=255, interpolation="none")
            axes.set_axis_off()
    others = " Those of one finding may have others too." if view.multi_label else ""
    return sheet.finish(
        name="figure-examples",
        title=f"Example images by {'finding' if view.multi_label else 'class'}",
        caption=f"Training images drawn at random, as the networks see them.{others}",
    )


def _picture(view: View, file: str) -> Image.Image | None:
    """A small copy, or None where the file is missing, outside the study folder, or no picture."""
    try:
        with Image.open(safe_join(view.study.folder, file)) as image:
            image.draft("RGB", (2 * _SIDE, 2 * _SIDE))
            copy = image.convert("L" if image.mode in {"L", "1", "I;16", "I", "F"} else "RGB")
            copy.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
            return copy
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Warning, XenograftError):
        return None


def _uri(picture: Image.Image) -> str:
    data = io.BytesIO()
    picture.save(data, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode("ascii")
