"""The error tree, the notices, and the one helper that asks for an optional package.

    XenograftError                 exit code 2, one line, a stable code
      ├── UsageError      E-USAGE    an option or a configuration value
      ├── FileError       S-FILE     one image file (skipped, counted)
      ├── LabelError      E-LABEL    labels, splits, patients
      ├── DataError       E-DATA     a data set as a whole
      ├── WeightsError    E-MODEL    weights, bundles, exported models
      ├── ProcessError    E-PROC     disk, memory, locks, interrupted work
      └── MissingPackage  E-PACKAGE  an optional package

Codes are `<severity>-<group>-<number>`; the numbers are those of the project's fault catalogue (docs/faults.md) and
never change meaning. Severities: E stops, S skips one file, W warns.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any


class XenograftError(Exception):
    """Base of everything this package raises on purpose.

    Args:
        message: what was got, what is allowed, what to do next. One line.
        code: stable code such as ``E-LABEL-04``.
    """

    exit_code = 2

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code

    def __str__(self) -> str:
        return f"{self.code} {self.args[0]}"

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), code=self.code), self.args  # so that it comes whole out of another process


class UsageError(XenograftError, ValueError):
    """An option or configuration value that cannot be used."""


class FileError(XenograftError, ValueError):
    """One image file that cannot be read; importers turn it into a counted skip."""


class LabelError(XenograftError, ValueError):
    """Labels, splits or patients that contradict each other."""


class DataError(XenograftError, ValueError):
    """A data set that cannot be worked with as a whole."""


class WeightsError(XenograftError, ValueError):
    """Weights, bundles or exported models that are missing, foreign or damaged."""


class ProcessError(XenograftError, RuntimeError):
    """Disk, memory, lock or interruption."""


class MissingPackage(XenograftError, ImportError):  # noqa: N818 - reads as what it is
    """An optional package is not installed."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A warning that the terminal shows once and the report repeats.

    Args:
        code: stable code, ``W-...``.
        message: one line for a person.
        count: how many items it concerns.
        items: up to five examples, already escaped for display.
    """

    code: str
    message: str
    count: int = 1
    items: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.code} {self.message}"


def printable(name: object) -> str:
    """A file name as one safe line: control characters and undecodable bytes become escapes (fault F18)."""
    text = str(name).encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def listed(items: Sequence[object] | Iterable[object], *, most: int = 5) -> str:
    """``a, b, c and 4 more``: the first few items of a list, for a message."""
    names = [printable(item) for item in items]
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def require(module: str, *, extra: str) -> ModuleType:
    """Import an optional module, or say which extra brings it.

    Raises:
        MissingPackage: the module is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingPackage(
            f"{module} is not installed; run: uv pip install 'xenograft[{extra}]'", code="E-PACKAGE-01"
        ) from error
