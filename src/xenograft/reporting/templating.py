"""The environment that all pages are rendered in: escaped, and an unknown name is an error."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

from xenograft.errors import printable


def environment() -> Environment:
    """With the filter ``printable``; names of files and classes must pass through it."""
    made = Environment(
        loader=PackageLoader("xenograft.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["printable"] = printable
    return made
