"""Figures: what is drawn where, direct labels apart, files without dates."""

from __future__ import annotations

import itertools
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from xenograft.reporting import figures, style
from xenograft.reporting.figures import canvas
from xenograft.reporting.figures.canvas import apart
from xenograft.reporting.figures.rates import GRID, precision_recall, roc
from xenograft.reporting.groups import View

from .makers import make_study

EIGHT = (
    "resnet18",
    "resnet50",
    "densenet161",
    "shufflenet_v2",
    "mobilenet_v2",
    "resnext50_32x4d",
    "wide_resnet50_2",
    "inception_v3",
)


def test_labels_move_apart_as_little_as_possible() -> None:
    assert apart([1.0, 1.0], 0.5, 0.0, 2.0) == pytest.approx([0.75, 1.25])
    assert apart([0.9, 0.1], 0.2, 0.0, 1.0) == pytest.approx([0.9, 0.1])
    assert apart([], 0.2, 0.0, 1.0) == []


def test_labels_stay_inside_even_when_crowded() -> None:
    places = sorted(apart([0.99] * 16, 0.1, 0.0, 1.0))
    assert places[0] >= 0
    assert places[-1] <= 1 + 1e-9
    assert min(b - a for a, b in itertools.pairwise(places)) == pytest.approx(1 / 15)


def test_curves_have_the_areas_of_an_independent_library() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(400) < 0.3
    scores = np.round(rng.normal(truth * 1.2, 1), 2)  # with ties
    assert np.trapezoid(roc(truth, scores), GRID) == pytest.approx(roc_auc_score(truth, scores), abs=0.01)
    assert precision_recall(truth, scores)[1:].mean() == pytest.approx(average_precision_score(truth, scores), abs=0.01)


def test_many_backbones_become_small_multiples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canvas, "_pdf", lambda _: b"%PDF")
    view = View.of(make_study(tmp_path / "s", backbones=EIGHT, seeds=1, n=40, epochs=3, examples=0))
    with style.drawing():
        drawing = figures.training(view, 1.0)
    assert drawing is not None
    assert drawing.svg.count(">probe</text>") == 8 * 4
    assert drawing.svg.count(">Wide ResNet50-2</text>") == 1


def test_scratch_is_dashed_and_transfer_solid(tmp_path: Path) -> None:
    view = View.of(make_study(tmp_path / "s", backbones=("resnet18",), seeds=1, n=40, epochs=3, examples=0))
    with style.drawing():
        drawing = figures.training(view, 1.0)
    assert drawing is not None
    assert drawing.svg.count("stroke-dasharray") == 4  # one scratch line a panel
    assert style.line("probe", transfer=True)["linestyle"] == "-"
    assert style.marker("scratch", "#000000", transfer=False)["markerfacecolor"] == "white"


def test_files_are_xml_without_dates(tmp_path: Path) -> None:
    view = View.of(make_study(tmp_path / "s", backbones=("resnet18",), seeds=1, n=40, epochs=3))
    with style.drawing():
        first, strips, lost = figures.examples(view)
        kinds = (figures.training, figures.results, figures.curves, figures.confusion)
        drawn = [first, figures.forest(view, "recipes"), *(kind(view, 1.0) for kind in kinds)]
    assert lost == 0
    assert [len(strip.pictures) for strip in strips] == [3, 3]
    for drawing in drawn:
        assert drawing is not None
        ElementTree.fromstring(drawing.file)
        assert "date" not in drawing.file
        assert b"CreationDate" not in drawing.pdf
        assert drawing.pdf.startswith(b"%PDF")


def test_numbers_as_text() -> None:
    assert style.number(0.9573) == "0.957"
    assert style.number(0.9573, metric="accuracy") == "95.7"
    assert style.number(-0.0004, signed=True) == "0.000"
    assert style.number(-0.012, signed=True) == "−0.012"
    assert style.number(None) == "n/a"
    assert style.interval(0.9, 0.95) == "0.900–0.950"
    assert style.interval(-0.1, 0.1, signed=True) == "−0.100 to +0.100"
    assert style.interval(None, 0.1) == ""
    assert [style.duration(s) for s in (4.24, 192, 7500)] == ["4.2 s", "3 min 12 s", "2 h 05 min"]
