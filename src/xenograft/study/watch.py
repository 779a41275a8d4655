"""What a long job tells whoever watches it. The command line draws it; a program may leave it silent."""

from __future__ import annotations

from typing import Protocol


class Watcher(Protocol):
    """Receives progress in units of work (one image through one network, weighted by the network's size)."""

    def total(self, units: float) -> None:
        """The whole job is this much."""

    def begin(self, text: str, units: float) -> None:
        """A part starts: at most `units` of the total."""

    def advance(self, units: float) -> None:
        """So much of the current part is done."""

    def end(self, text: str) -> None:
        """The current part is done, whatever of it was left; `text` says with what result."""

    def say(self, text: str) -> None:
        """A line for the user."""


class Silent:
    """Watches nothing."""

    def total(self, units: float) -> None:
        """Ignore."""

    def begin(self, text: str, units: float) -> None:
        """Ignore."""

    def advance(self, units: float) -> None:
        """Ignore."""

    def end(self, text: str) -> None:
        """Ignore."""

    def say(self, text: str) -> None:
        """Ignore."""
