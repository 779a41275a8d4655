"""The record of a ranking -> one sentence that says which backbone it chooses, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xenograft.errors import listed, printable


def reason(record: Mapping[str, Any]) -> str:
    """``MobileNet v2 was chosen: ...``, without a full stop; "" where nothing could be chosen."""
    choice = record["choice"]
    if choice is None:
        return ""
    rows = {row["backbone"]: row for row in record["candidates"]}
    chosen, best = rows[choice["backbone"]], rows[choice["best"]]
    label, title = record["scores"][record["score"]]["label"], printable(chosen["title"])
    score = f"{label} {chosen['value']:.3f}{_interval(chosen)} on train and validation"
    if choice["candidates"] == 1:
        return f"{title} was chosen: it is the only candidate ({score})"
    unknown = [printable(row["title"]) for row in rows.values() if row["tied"] is None]
    doubt = f"; no interval of the difference to {listed(unknown)} could be computed, so chance may explain it"
    end = doubt if unknown else ""
    if len(choice["tied"]) == 1:
        sure = "" if unknown else ", and no other could be its equal"
        return f"{title} was chosen: the best of {choice['candidates']} by {score}{sure}{end}"
    speed = f"{chosen['images_per_second']:.0f} images/s, {chosen['basis']}"
    others = [printable(rows[name]["title"]) for name in choice["tied"] if name != choice["backbone"]]
    if chosen is best:
        return (
            f"{title} was chosen: the best of {choice['candidates']} by {score}, and the quickest ({speed}) of those "
            f"that cannot be told apart from it ({listed(others)}){end}"
        )
    return (
        f"{title} was chosen: by {score} it cannot be told apart from the best, {printable(best['title'])} "
        f"({best['value']:.3f}), and is the quickest of {len(choice['tied'])} such ({speed}){end}"
    )


def _interval(row: Mapping[str, Any]) -> str:
    return "" if row["low"] is None else f" ({row['low']:.3f} to {row['high']:.3f})"
