"""One thing that an audit looked at: what was found, how many, which, and what to do. Records only."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Severity = Literal["error", "warning", "note", "passed", "not_applicable"]

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note", "passed", "not_applicable")
"""From the worst; an error would make results wrong, a check that could not be made is never passed."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One check and its result.

    Args:
        code: stable, ``A-<group>-<number>``; docs/audit.md lists them.
        severity: see `SEVERITIES`.
        title: what was looked for, e.g. ``Identical pictures across splits``.
        message: what was found, with numbers; for ``not_applicable`` why it could not be looked for.
        advice: what to do about it; empty for ``passed`` and ``not_applicable``.
        count: images (or patients, or pairs, as `message` says) concerned, of `total` looked at.
        items: up to 20 examples; each is a tuple of paths, e.g. the two of a pair.
        numbers: what JSON readers and figures need, e.g. an AUROC with its interval.
    """

    code: str
    severity: Severity
    title: str
    message: str
    advice: str = ""
    count: int = 0
    total: int = 0
    items: tuple[tuple[str, ...], ...] = ()
    numbers: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """A mapping that JSON can hold."""
        return asdict(self) | {"items": [list(item) for item in self.items]}
