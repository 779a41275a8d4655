"""Facts by path -> the same, with large JPEGs comparable to other formats where there is something to compare with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from xenograft.data.facts import Facts, facts
from xenograft.data.readers import decode_picture, read_bytes
from xenograft.errors import FileError

_NEAR = 0.01  # of the full range: rounding and overshoot at a reduced scale move the mean far less


def comparable(root: Path, found: Mapping[str, Facts]) -> dict[str, Facts]:
    """Give a JPEG that was hashed at a reduced scale its full-scale hash, where another format may hold its twin.

    Two files can hold the same picture only if their sizes are equal and their means nearly so; without such a file
    among the other formats, nothing is decoded.
    """
    means: dict[tuple[int, int], list[float]] = defaultdict(list)
    for fact in found.values():
        if not fact.reduced:
            means[fact.width, fact.height].append(fact.mean)
    done = dict(found)
    for path, fact in found.items():
        near = means.get((fact.width, fact.height), ()) if fact.reduced else ()
        if any(abs(fact.mean - mean) < _NEAR for mean in near):
            done[path] = _in_full(root / path, fact)
    return done


def _in_full(path: Path, reduced: Facts) -> Facts:
    try:
        data = read_bytes(path)
        full = facts(data, decode_picture(data, suffix=path.suffix, min_side=1))
    except FileError:
        return reduced  # it changed since it was inspected; reading its pixels will say so
    if full.sha256 != reduced.sha256:
        return reduced
    return replace(reduced, pixels_sha256=full.pixels_sha256)
