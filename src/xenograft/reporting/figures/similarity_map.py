"""A similarity view -> its maps as points, a panel each, and the places of the thumbnails that a page sets on a map."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from xenograft.reporting import style
from xenograft.reporting.figures.panels import HEAD, LEFT, SIDE, Panels, Spot, assemble
from xenograft.reporting.similarity_view import MAPS, SETS, STATES, Json, SimilarityView

ACROSS = 20
"""Thumbnails in a row of a contact sheet."""

_HIGH, _FOOT = SIDE, 0.12
_HEIGHT = HEAD + 0.14 + _HIGH + _FOOT
_MARKS = {"natural": "o", "medical": "^"}
_MARGIN = 0.04


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """One picture on a map: left and top of its corner in per cent of the map; row and column on its set's sheet."""

    kind: str
    left: float
    top: float
    column: int
    row: int


def similarity_map(view: SimilarityView, method: str) -> Panels | None:
    """Every network's map by one method, both sets coloured; None if there is none.

    Call it inside `xenograft.reporting.style.drawing`.
    """
    shown = [s for s in view.subjects if method in s["maps"]]
    if not shown:
        return None
    drawn = assemble(
        [(f"{MAPS[method]} of {view.name(s)}", partial(_draw, view, s, s["maps"][method])) for s in shown],
        _HEIGHT,
        name=f"figure-similarity-map-{method}",
        title=f"Both sets on one map by {MAPS[method]}, features of the last stage",
        caption=_caption(view, shown, method),
    )
    return replace(drawn, svgs=tuple(_short(svg) for svg in drawn.svgs))


def thumbnails(found: Json, *, across: int, down: int) -> list[Thumbnail]:
    """Pictures at their places, as many as lie beside each other without hiding each other by more than half.

    The sets take turns, so that neither hides the other. A picture that finds no room is left out.

    Args:
        found: map of a subject. across, down: pictures that fit side by side in the width and the height.
    """
    places = _places(found)
    size = np.array([1 / across, 1 / down])
    taken: list[NDArray[np.float64]] = []
    kept = []
    turns = [[(kind, k) for k in range(len(rows))] for kind, rows in places.items()]
    for kind, k in (turn for pair in zip_longest(*turns) for turn in pair if turn is not None):
        corner = places[kind][k] * (1 - size)
        near = np.abs(np.array(taken) - corner) < 0.7 * size if taken else np.zeros((0, 2), dtype=bool)
        if near.all(axis=1).any():
            continue
        taken.append(corner)
        left, top = (100 * corner).round(2).tolist()
        kept.append(Thumbnail(kind, left, top, k % ACROSS, k // ACROSS))
    return kept


def _places(found: Json) -> Mapping[str, NDArray[np.float64]]:
    """(rows, 2) of each set, stretched to the unit square, its origin top left."""
    sets = {kind: np.array(found[kind], dtype=np.float64).reshape(-1, 2) for kind in SETS}
    joint = np.concatenate(list(sets.values()))
    low, reach = joint.min(axis=0), np.ptp(joint, axis=0)
    reach[reach == 0] = 1
    unit = {kind: (rows - low) / reach for kind, rows in sets.items()}
    return {kind: np.column_stack([rows[:, 0], 1 - rows[:, 1]]) for kind, rows in unit.items()}


def _draw(view: SimilarityView, subject: Json, found: Json, spot: Spot) -> None:
    sheet, left = spot.sheet, spot.left + LEFT
    spot.head(view.backbone(subject), style.INK)
    state = STATES[subject["state"]]
    if subject["state"] == "random" and len(view.random_of(subject)) > 1:
        state += f", seed {subject['seed']}"
    sheet.text(left, spot.top + 0.27, state, fontsize=7, color=style.SOFT)
    if view.stamps:
        sheet.text(left + SIDE, spot.top + 0.13, "SYNTHETIC", color=style.ALARM, weight="bold", fontsize=6, ha="right")
    axes = spot.axes(_HIGH, below=0.14)
    for kind, places in _places(found).items():
        axes.plot(
            places[:, 0], 1 - places[:, 1], linestyle="none", marker=_MARKS[kind], markersize=2.3, color=SETS[kind],
            markeredgewidth=0, alpha=0.75,
        )  # fmt: skip
    axes.set(xlim=(-_MARGIN, 1 + _MARGIN), ylim=(-_MARGIN, 1 + _MARGIN), xticks=[], yticks=[])
    for side in ("top", "right"):
        axes.spines[side].set_visible(True)


def _caption(view: SimilarityView, shown: Sequence[Json], method: str) -> str:
    rows = shown[0]["maps"][method]
    counts = " and ".join(f"{len(rows[kind])} {kind}" for kind in SETS)
    return (
        f"Circles, blue: {view.set_name('natural')}; triangles, orange: {view.set_name('medical')}; {counts} images. "
        "Each map is made by itself and stretched to a square; its axes have no meaning across networks. "
        f"{rows['facts']['caution']}"
    )


def _short(svg: str) -> str:
    """Half of the bytes: a hundredth of a point is enough for a place, and all marks of a panel look alike."""
    svg = re.sub(r'\b([xy])="(-?\d+\.\d{2})\d+"', r'\1="\2"', svg)
    return re.sub(r'(<use [^>]*?) style="fill: (#\w+); fill-opacity: [\d.]+"', r'\1 fill="\2"', svg)
