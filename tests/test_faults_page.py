"""The fault page knows every code in the source, and no other."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_every_code_is_documented() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    used = set(re.findall(r"\"([EWS]-[A-Z]+-\d+)\"", source))
    page = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    page = re.sub(r"([EWS]-[A-Z]+-)(\d+)((?:, -\d+)+)", _spelled, page)
    known = set(re.findall(r"[EWS]-[A-Z]+-\d+", page))
    assert {code for code in used - known if "-USAGE-" not in code} == set()
    dynamic = {"E-LABEL-14", "W-LABEL-14", "E-LABEL-15"}  # the severity is put before "LABEL-14" at run time
    assert known - used - dynamic == set()


def _spelled(found: re.Match[str]) -> str:
    return ", ".join(found[1] + number for number in [found[2], *re.findall(r"\d+", found[3])])
