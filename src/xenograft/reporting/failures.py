"""A study's record of mistakes -> the gallery of its page: pictures by kind of mistake, most confident first."""

from __future__ import annotations

from dataclasses import dataclass

from xenograft.errors import printable
from xenograft.reporting.figures.examples import picture_uri
from xenograft.reporting.groups import View


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of mistake.

    Args:
        title: ``PNEUMONIA taken for NORMAL``. count, of: how many of how many. pictures: (data URI, caption).
    """

    title: str
    count: int
    of: int
    pictures: tuple[tuple[str, str], ...]


def gallery(view: View) -> tuple[Kind, ...]:
    """Kinds of mistakes, most frequent first; empty where the record holds none."""
    record = view.study.record.failures
    if record is None:
        return ()
    return tuple(
        Kind(
            f"{printable(kind['truth'])} taken for {printable(kind['answer'])}",
            kind["count"],
            kind["of"],
            tuple(
                (uri, f"no. {one['number']}, probability {one['probability']:.3f}")
                for one in kind["shown"]
                if one["file"] is not None and (uri := picture_uri(view, one["file"])) is not None
            ),
        )
        for kind in record["kinds"]
    )
