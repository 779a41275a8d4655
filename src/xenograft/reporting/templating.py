"""The environment that all pages are rendered in: escaped, and an unknown name is an error."""

from __future__ import annotations

from datetime import datetime

from jinja2 import Environment, PackageLoader, StrictUndefined

from xenograft.errors import printable


def environment() -> Environment:
    """With the filters ``printable``, which names of files and classes must pass through, and ``moment``."""
    made = Environment(
        loader=PackageLoader("xenograft.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["printable"] = printable
    made.filters["moment"] = moment
    return made


def moment(iso: str) -> str:
    """An ISO time without fractions of a second: ``2026-07-01 10:00:00 UTC``; other text as it is."""
    try:
        when = datetime.fromisoformat(iso).replace(microsecond=0)
    except ValueError:
        return printable(iso)
    return when.isoformat(" ").replace("+00:00", " UTC")
