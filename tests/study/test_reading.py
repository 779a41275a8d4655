"""Reading the data of a study tells whoever waits how far unpacking has come."""

from __future__ import annotations

import pytest

from xenograft.study import reading
from xenograft.study.watch import Silent


class Heard(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def test_unpacking_is_told_every_few_seconds_and_not_when_it_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(reading, "monotonic", lambda: now[0])
    heard = Heard()
    tell = reading._every_few_seconds(heard)
    for done in range(1, 11):  # two seconds each
        now[0] += 2
        tell(done, 10)
    assert heard.lines == ["unpacked 3 of 10", "unpacked 6 of 10", "unpacked 9 of 10"]
    for done in range(1, 11):
        tell(done, 10)
    assert len(heard.lines) == 3
