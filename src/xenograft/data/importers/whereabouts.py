"""Paths as a table names them -> where the files lie, for tables whose images were sorted into folders afterwards."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

_FIRST = 20


def found_below(root: Path, paths: Sequence[str]) -> dict[str, list[str]]:
    """Where files lie that are not at ``root/path``: the places of each path, empty where the first paths are in place.

    Two habits are known. Every path begins with the root's own name (CheXpert). Or it is a bare file name, while the
    files lie in folders below (NIH ChestX-ray14's ``images_001/images``): one walk looks for all of them.
    """
    first = paths[:_FIRST]
    if not first or _any_there(root, first):
        return {}
    within = root.resolve().name + "/"
    if all(path.startswith(within) for path in paths) and _any_there(root, [p.removeprefix(within) for p in first]):
        return {path: [path.removeprefix(within)] for path in paths}
    bare = {path for path in paths if len(PurePosixPath(path).parts) == 1}
    places: dict[str, list[str]] = defaultdict(list)
    for folder, _, names in os.walk(root) if bare else ():
        below = PurePosixPath(Path(folder).relative_to(root).as_posix())
        for name in bare.intersection(names):
            places[name].append(str(below / name))
    return {name: sorted(found) for name, found in places.items()}


def _any_there(root: Path, paths: Sequence[str]) -> bool:
    return any(os.path.exists(root / path) for path in paths)  # noqa: PTH110 - Path.exists raises for long names
