"""The forest plot: its families, what is filled, what stays hollow, and how much fits."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from xenograft.reporting import figures, pairs, style
from xenograft.reporting.figures import canvas
from xenograft.reporting.figures.canvas import Drawing
from xenograft.reporting.groups import View
from xenograft.study.record import Study

from .makers import make_study


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canvas, "_pdf", lambda _: b"%PDF")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return make_study(tmp_path_factory.mktemp("forest") / "s", seeds=2, n=40, epochs=1, examples=0, scales=(1.0, 0.1))


def drawn(study: Study, family: str, comparisons: list[dict[str, Any]] | None = None) -> Drawing | None:
    if comparisons is not None:
        study = dataclasses.replace(study, record=dataclasses.replace(study.record, comparisons=comparisons))
    with style.drawing():
        return figures.forest(View.of(study), family)


def test_each_family_has_a_figure_of_its_own(study: Study) -> None:
    for family, name, pair in (
        ("recipes", "figure-differences", "probe − scratch"),
        ("backbones", "figure-differences-backbones", "ResNet18 − MobileNet v2"),
    ):
        drawing = drawn(study, family)
        assert drawing is not None
        assert drawing.name == name
        rows = [c for c in study.record.comparisons if c["family"] == family and c["metric"] == "auroc"]
        assert drawing.svg.count(f">{pair}</text>") == len(rows) == 4
        assert "all 8 comparisons of the study" in drawing.caption


def test_nothing_compared_is_nothing_drawn(study: Study) -> None:
    assert drawn(study, "recipes", []) is None
    only = [c for c in study.record.comparisons if c["family"] == "recipes"]
    assert drawn(study, "backbones", only) is None


def _faces(drawing: Drawing | None) -> tuple[int, int]:
    """(filled, hollow) dots."""
    assert drawing is not None
    uses = re.findall(r"<use [^>]*style=\"fill: (#\w+); stroke: (#\w+)", drawing.svg)
    dots = [(face, edge) for face, edge in uses if edge in {style.COLOURS[0].lower(), style.SOFT.lower()}]
    return sum(face == edge for face, edge in dots), sum(face == "#ffffff" for face, _ in dots)


def test_what_the_adjusted_p_shows_is_filled(study: Study) -> None:
    rows = [c for c in study.record.comparisons if c["family"] == "recipes" and c["metric"] == "auroc"]
    for count in range(5):
        changed = [{**c, "p_holm": 0.01 if i < count else 0.2} for i, c in enumerate(rows)]
        assert _faces(drawn(study, "recipes", changed)) == (count, 4 - count)


def test_accuracy_stands_in_where_there_is_no_auroc(study: Study) -> None:
    rows = [c for c in study.record.comparisons if c["metric"] != "auroc"]
    drawing = drawn(study, "recipes", rows)
    assert drawing is not None
    assert ">Accuracy (points)</text>" in drawing.svg


def test_many_rows_are_cut_and_said_to_be(study: Study) -> None:
    one = next(c for c in study.record.comparisons if c["family"] == "backbones" and c["metric"] == "auroc")
    rows = [{**one, "b": {**one["b"], "backbone": f"timm:net{k:03}"}} for k in range(75)]
    drawing = drawn(study, "backbones", rows)
    assert drawing is not None
    assert drawing.svg.count(" − ") == 60
    assert "The first 60 of 75; the table has all." in drawing.caption


def test_long_names_are_cut_on_both_sides(study: Study) -> None:
    one = next(c for c in study.record.comparisons if c["family"] == "backbones" and c["metric"] == "auroc")
    long = {side: {**one[side], "backbone": f"timm:{side * 40}"} for side in ("a", "b")}
    drawing = drawn(study, "backbones", [{**one, **long}])
    assert drawing is not None
    found = re.search(r">([^<]*aaa[^<]*) − ([^<]*bbb[^<]*)</text>", drawing.svg)
    assert found is not None
    assert all(len(side) < 20 and side.endswith("…") for side in found.groups())
    assert pairs.name({**one, **long}).count("a") > 30


def test_a_row_without_interval_has_a_dot_alone(study: Study, tmp_path: Path) -> None:
    one = next(c for c in study.record.comparisons if c["family"] == "recipes" and c["metric"] == "auroc")
    drawing = drawn(study, "recipes", [{**one, "low": None, "high": None, "p_holm": None}])
    assert drawing is not None
    assert "(no interval)" in drawing.svg
    assert _faces(drawing) == (0, 1)
