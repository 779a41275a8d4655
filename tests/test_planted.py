"""Every defect of the fault catalogue's groups F, D and L, planted in a clean set, is met as the catalogue says."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from . import planted


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from xenograft.data.phantom import write_phantoms

    return write_phantoms(tmp_path_factory.mktemp("clean") / "phantom", count=160, size=64, seed=5)


@pytest.fixture
def data(clean: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(clean, tmp_path / "data"))


def test_a_clean_set_has_no_error_and_no_warning_about_files(data: Path, tmp_path: Path) -> None:
    _, audit = planted.outcome(data, tmp_path)
    assert audit.tally()["error"] == 0
    assert not [
        f for f in audit.findings if f.severity == "warning" and f.code.startswith(("A-QUAL", "A-PHI", "A-DUP"))
    ]
    assert audit.skipped == {}


def test_all_that_can_lie_in_one_set_is_skipped_or_noted_by_its_code(data: Path, tmp_path: Path) -> None:
    expected = planted.plant_together(data)
    found, audit = planted.outcome(data, tmp_path)
    assert set(expected) <= found
    assert audit.skipped == {code: count for code, count in expected.items() if code.startswith("S-")}
    assert audit.listed == audit.images + sum(audit.skipped.values())
    text = (tmp_path / "audit" / "audit.json").read_text(encoding="utf-8")
    assert "Mustermann" not in text + (tmp_path / "audit" / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("defect", planted.ALONE, ids=lambda defect: f"{defect.name} {defect.what}")
def test_what_needs_a_set_of_its_own_is_met_by_its_code(defect: Any, data: Path, tmp_path: Path) -> None:
    found, audit = planted.outcome(defect.plant(data), tmp_path, defect.verb)
    if defect.code:
        assert defect.code in found
    else:
        assert audit.tally()["error"] == 0


def test_every_defect_of_the_three_groups_has_its_place() -> None:
    known = {defect.name for defect in (*planted.PLACED, *planted.ALONE)} | set(planted.ELSEWHERE)
    wanted = {f"F{k}" for k in range(1, 28)} | {f"D{k}" for k in range(1, 14)} | {f"L{k}" for k in range(1, 19)}
    assert wanted - known == {"F16", "F17", "F18"}  # made by plant_together
    for where in planted.ELSEWHERE.values():
        for path in where.partition(" (")[0].split(", "):
            assert (Path(__file__).parents[1] / path).is_file()


def test_l16_the_pair_of_a_near_copy_across_splits_is_named(data: Path, tmp_path: Path) -> None:
    defect = next(alone for alone in planted.ALONE if alone.name == "L16")
    source = planted.first(data).relative_to(data).as_posix()
    _, audit = planted.outcome(defect.plant(data), tmp_path)
    found = next(f for f in audit.findings if f.code == defect.code)
    pair = {source, f"test/{source.split('/')[1]}/P9000_0.png"}
    assert any(pair <= set(item) for item in found.items)
