"""The flow diagram: counts of the record, boxes apart, words inside them, and the same read aloud."""

from __future__ import annotations

import html
import itertools
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from xenograft.reporting import style
from xenograft.reporting.figures import canvas
from xenograft.reporting.figures.flow import Box, Layout, fitted, flow, inches, layout, wrapped
from xenograft.reporting.groups import View
from xenograft.study.record import Study

from .finding_makers import FOURTEEN, make_findings_study
from .guideline_makers import guideline_study, with_data

REASONS = (("S-FILE-03", "not an image", 31), ("S-FILE-09", "too small " * 9, 4), ("S-DICOM-02", "no pixels", 2))
MORE = (*REASONS, ("S-LABEL-01", "no label", 1), ("S-FILE-01", "zero bytes", 1))


def skipped(*reasons: tuple[str, str, int]) -> list[dict[str, Any]]:
    return [{"path": f"{code}-{i}", "code": code, "reason": why} for code, why, n in reasons for i in range(n)]


def overlap(a: Box, b: Box) -> bool:
    across = min(a.left + a.width, b.left + b.width) - max(a.left, b.left)
    down = min(a.bottom, b.bottom) - max(a.top, b.top)
    return across > 0 and down > 0


def check(found: Layout | None) -> None:
    assert found is not None
    for a, b in itertools.combinations(found.boxes, 2):
        assert not overlap(a, b)
    for box in found.boxes:
        assert box.left >= 0
        assert box.left + box.width <= canvas.WIDTH
        assert box.top >= 0
        assert box.bottom <= found.height
        for line in box.lines:
            taken = sum(box.columns()) if line.numbers else 0
            assert inches(box.shown(line), bold=line.bold) + taken <= box.width - 0.15


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return guideline_study(tmp_path_factory.mktemp("flow") / "s", seeds=1)


@pytest.mark.parametrize("reasons", [(), REASONS, MORE])
@pytest.mark.parametrize("count", [2, 5, 14, 40])
def test_boxes_lie_apart_and_hold_their_words(tmp_path: Path, count: int, reasons: Any) -> None:
    names = tuple(f"a very long name of class {k} <&> in the left upper lobe" for k in range(count))
    made = guideline_study(tmp_path / "s", classes=names, seeds=1, backbones=("resnet18",), recipes=("probe",))
    check(layout(with_data(made, skipped=skipped(*reasons))))


def test_findings_count_positives_of_known(tmp_path: Path) -> None:
    view = View.of(make_findings_study(tmp_path / "f", findings=FOURTEEN, seeds=1, n=60, examples=0))
    found = layout(view)
    check(found)
    assert found is not None
    own = view.data["counts"]["train"]["Hernia"]
    assert ("Hernia", (f"{own['images']:,} of {own['of']:,}",)) in [(x.text, x.numbers) for x in found.splits[0].lines]


def test_the_counts_are_those_of_the_record(study: Study) -> None:
    view = with_data(study, skipped=skipped(*MORE))
    found = layout(view)
    assert found is not None
    assert found.listed is not None
    assert found.out is not None
    assert found.listed.lines[0].text == "1,359 files listed"
    assert [(line.text[:10], line.numbers) for line in found.out.lines] == [
        ("39 files l", ()),
        ("S-FILE-03 ", ("31",)),
        ("S-FILE-09 ", ("4",)),
        ("S-DICOM-02", ("2",)),
        ("other reas", ("2",)),
    ]
    assert [line.text for line in found.analysed.lines] == [
        "1,320 images analysed", "of 940 patients", "5 of them extra copies of a picture",
    ]  # fmt: skip
    test = found.splits[2].lines
    assert [line.text for line in test[:3]] == ["Test", "120 images", "of 80 patients"]
    assert [line.text for line in test[3:]] == view.classes


def test_what_is_not_recorded_is_not_drawn(study: Study) -> None:
    silent = layout(with_data(study, skipped=None))
    assert silent is not None
    assert silent.listed is None
    assert silent.out is None
    check(silent)
    assert layout(with_data(study, counts=None)) is None
    assert flow(with_data(study, counts=None)) is None
    leaking = layout(with_data(study, leak_allowed=True))
    assert leaking is not None
    assert not any("patients" in line.text for line in leaking.analysed.lines)


def test_the_drawing_is_read_aloud_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canvas, "_pdf", lambda _: b"%PDF")
    names = ('<b>"quoted" & $x^2$ of a long, long name that is cut</b>', "pneumonia")
    made = guideline_study(tmp_path / "s", classes=names, seeds=1)
    with style.drawing():
        drawing = flow(View.of(made))
        again = flow(View.of(made))
    assert drawing is not None
    assert again is not None
    assert drawing.svg == again.svg
    ElementTree.fromstring(drawing.svg.replace("xlink:", ""))
    label = html.unescape(re.findall('aria-label="([^"]*)"', drawing.svg)[0])
    assert names[0] in label
    assert "1,321 files listed" in label
    assert "measures: read once by each of 4 runs, after its choices" in label


def test_names_are_cut_in_the_middle() -> None:
    assert fitted("short", 3.0) == "short"
    cut = fitted("bacterial pneumonia of the upper lobe left", 1.0)
    assert cut.startswith("bact")
    assert cut.endswith("left")
    assert inches(cut) <= 1.0
    assert fitted("wide", 0.01) == "…"


def test_lines_break_between_words() -> None:
    lines = wrapped("chooses epochs, thresholds and the model that is named first", 1.2)
    assert " ".join(lines) == "chooses epochs, thresholds and the model that is named first"
    assert max(map(inches, lines)) <= 1.2
    assert len(lines) > 1
