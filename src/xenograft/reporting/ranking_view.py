"""The record of a ranking -> what every part of its page asks of it: names, colours, numbers as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xenograft.reporting import style

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RankingView:
    """One record of `xenograft.study.ranking_record`."""

    record: Json

    @property
    def candidates(self) -> list[Json]:
        """Best first."""
        found: list[Json] = self.record["candidates"]
        return found

    @property
    def ranked(self) -> list[Json]:
        """Those whose score is defined."""
        return [row for row in self.candidates if row["value"] is not None]

    @property
    def chosen(self) -> Json | None:
        """The one to take."""
        choice = self.record["choice"]
        return None if choice is None else next(r for r in self.candidates if r["backbone"] == choice["backbone"])

    @property
    def data(self) -> Json:
        """What is known of the data."""
        found: Json = self.record["data"]
        return found

    @property
    def label(self) -> str:
        """The name of the score that ranks."""
        return str(self.record["scores"][self.record["score"]]["label"])

    @property
    def heading(self) -> str:
        """The same at the beginning of a sentence."""
        return self.label[0].upper() + self.label[1:]

    @property
    def level(self) -> str:
        """Of the intervals, as ``95 %``."""
        return f"{100 * self.record['level']:g} %"

    @property
    def unit(self) -> str:
        """What is drawn: patients, or images where patients are not known."""
        return "patients" if self.data["patients_known"] else "images"

    @property
    def images(self) -> str:
        """What was looked at, and of how many."""
        data = self.data
        known = data["patients_known"]

        def words(images: int, patients: int) -> str:
            return style.plural(images, "image") + (f" of {style.plural(patients, 'patient')}" if known else "")

        here = words(data["images"], data["patients"])
        if data["images"] == data["of_images"]:
            return f"all {here} in train and validation"
        return f"{here}, a sample of the {words(data['of_images'], data['of_patients'])} in train and validation"

    @property
    def stamps(self) -> tuple[str, ...]:
        """Warnings that every figure carries."""
        leak = ("LEAK ALLOWED: splits share patients or images",) if self.data["leak_allowed"] else ()
        return leak + (("SYNTHETIC images",) if self.data["synthetic"] else ())

    def name(self, row: Json) -> str:
        """A candidate's name."""
        return style.backbone_name(row["title"])

    def title(self, backbone: str) -> str:
        """The name of the candidate that the catalog calls so."""
        return self.name(next(row for row in self.candidates if row["backbone"] == backbone))

    def colours(self) -> dict[str, str]:
        """One for each candidate, whatever its place."""
        return style.colours(sorted((row["backbone"] for row in self.candidates), key=style.backbone_order))

    def verdict(self, row: Json) -> str:
        """A candidate's standing in a word or two."""
        if row["value"] is None:
            return "undefined"
        if row["backbone"] == self.ranked[0]["backbone"]:
            return "best" if len(self.ranked) > 1 else "alone"
        if row["tied"] is None:
            return "not known: no interval"
        return "cannot be told apart from the best" if row["tied"] else "behind"


def score_text(value: float | None) -> str:
    """A score with as many digits as tell candidates apart: three behind the point, four near 0, none of millions."""
    if value is None:
        return style.MISSING
    digits = 1 if abs(value) >= 10 else 3 if abs(value) >= 0.1 else 4
    return f"{value:.{digits}f}".replace("-", "−")


def spread(low: float | None, high: float | None) -> str:
    """Interval ends of a score: ``0.941–0.970``."""
    if low is None or high is None:
        return ""
    return f"{score_text(low)}{' to ' if low < 0 else '–'}{score_text(high)}"


def speed(row: Json) -> str:
    """Images per second: ``379``, and ``0.42`` where it is so slow."""
    rate = row["images_per_second"]
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"
