"""A study's view -> a methods section to paste into a paper: plain text with a numbered list of references."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from xenograft.reporting import data_words, model_words, statistic_words, style
from xenograft.reporting.checklist_answers import machine, versions
from xenograft.reporting.citations import mark, numbered
from xenograft.reporting.groups import View


@dataclass(frozen=True, slots=True)
class Part:
    """One paragraph with its heading."""

    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Methods:
    """The section.

    Args:
        parts: paragraphs; what the record lacks is left out, never guessed.
        references: in the order of first citation; the first is ``[1]``.
    """

    parts: tuple[Part, ...]
    references: tuple[str, ...]

    def text(self) -> str:
        """All of it as plain text."""
        paragraphs = [f"{part.title}. {part.text}" for part in self.parts]
        listed = [f"{number}. {text}" for number, text in enumerate(self.references, start=1)]
        return "\n\n".join([*paragraphs, "\n".join(["References", *listed])] if listed else paragraphs) + "\n"


def methods(view: View) -> Methods:
    """The methods of a study, from the facts in its record alone."""
    drafted: list[tuple[str, list[str | None]]] = [
        (
            "Data",
            [
                data_words.warnings(view),
                data_words.source(view),
                _amount(view),
                data_words.patients(view),
                *_kept(view),
            ],
        ),
        ("Splits", [data_words.split_rule(view), *_dealt(view)]),
        ("Preprocessing", [*model_words.preprocessing(view)]),
        ("Models", [model_words.networks(view), model_words.initialisation(view), model_words.outputs(view)]),
        ("Training", [*model_words.training(view), model_words.imbalance(view)]),
        ("Selection", [model_words.selection(view)]),
        ("Statistics", _statistics(view)),
        ("Software", [versions(view), machine(view), _time(view)]),
    ]
    paragraphs = [(title, " ".join(_said(sentences))) for title, sentences in drafted]
    kept = [(title, text) for title, text in paragraphs if text]
    texts, references = numbered(text for _, text in kept)
    return Methods(tuple(Part(title, text) for (title, _), text in zip(kept, texts, strict=True)), references)


def _said(sentences: Iterable[str | None]) -> list[str]:
    return [sentence for sentence in sentences if sentence]


def _amount(view: View) -> str | None:
    found = data_words.total(view)
    return f"It holds {data_words.amount(*found)}." if found else None


def _dealt(view: View) -> list[str | None]:
    return [data_words.split_sizes(view), data_words.counts(view), data_words.folds(view)]


def _kept(view: View) -> list[str | None]:
    missing = data_words.missing(view) if view.multi_label else None
    return [data_words.chosen_images(view), data_words.excluded(view), data_words.copies(view), missing]


def _statistics(view: View) -> list[str | None]:
    return [
        statistic_words.measures(view),
        statistic_words.uncertainty(view),
        statistic_words.seeds(view),
        statistic_words.comparisons(view),
        *statistic_words.further(view),
        statistic_words.baseline(view, measured=False),
    ]


def _time(view: View) -> str | None:
    record = view.study.record
    if not record.seconds:
        return None
    torch = mark("pytorch") if "torch" in (record.environment.get("packages") or {}) else ""
    networks = f" Networks were built with PyTorch{torch}." if torch else ""
    data = f" {data_words.identity(view)}" if data_words.identity(view) else ""
    return f"The study took {style.duration(record.seconds)} of wall-clock time.{networks}{data}"
