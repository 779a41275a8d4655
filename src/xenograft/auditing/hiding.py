"""Findings -> the same without paths and keys that may tell who a patient is: stand-ins, as `image 000123`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from xenograft.auditing.finding import Finding
from xenograft.auditing.material import Material
from xenograft.auditing.telling import telling
from xenograft.errors import printable


class StandIn(NamedTuple):
    """What is shown instead of a path or of a patient's key, and the codes of what may be told by it."""

    shown: str
    codes: tuple[str, ...]


def stand_ins(material: Material) -> dict[str, StandIn]:
    """Path of an image, path of a file that was left out, or patient's key -> what is shown instead.

    Numbers are places in the manifest, in the list of what was left out, and among all patients, from 1: the same data
    give the same ones. What tells nothing has none.
    """
    left_out = [skip.path for skip in material.manifest.skipped]
    patients = np.unique(material.patients).tolist() if material.has_patients else []
    found = _named("image", material.paths, material.telling) | _named("file", left_out, telling(left_out))
    keys = _named("patient", patients, telling(patients))
    return {text: stand_in for text, stand_in in keys.items() if text not in found} | found


def hidden(finding: Finding, names: Mapping[str, StandIn]) -> Finding:
    """A finding whose texts, examples and numbers hold none of these names."""
    if not names:
        return finding
    fields = ("message", "advice", "items", "numbers")
    return replace(finding, **{name: hide(getattr(finding, name), names) for name in fields})


def hide(value: Any, names: Mapping[str, StandIn]) -> Any:
    """A text, or texts inside tuples, lists and mappings, with each name that it holds replaced by its stand-in."""
    if not names:
        return value
    # the longest first, so that no name is cut by a shorter one inside it
    ordered = sorted(((name, stand_in.shown) for name, stand_in in names.items()), key=lambda pair: -len(pair[0]))
    return _replaced(value, dict(ordered))


def _replaced(value: Any, shown: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        if value in shown:
            return shown[value]
        for name, instead in shown.items():
            if name in value:
                value = value.replace(name, instead)
        return value
    if isinstance(value, Mapping):
        return {_replaced(key, shown): _replaced(one, shown) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_replaced(one, shown) for one in value)
    return value


def _named(kind: str, texts: Sequence[str], codes: Mapping[str, Any]) -> dict[str, StandIn]:
    found: dict[str, StandIn] = {}
    for k in np.flatnonzero(np.any(list(codes.values()), axis=0)).tolist():
        stand_in = StandIn(f"{kind} {k + 1:06}", tuple(code for code, mask in codes.items() if mask[k]))
        found.setdefault(printable(texts[k]), stand_in)
    return found
