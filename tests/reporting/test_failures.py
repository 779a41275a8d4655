"""The gallery of mistakes: kinds in their order, pictures where they can be read, and words where they cannot."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from xenograft.reporting import page
from xenograft.reporting.failures import gallery
from xenograft.reporting.figures import canvas
from xenograft.reporting.groups import View
from xenograft.study.record import Study

from .completing import complete
from .conftest import Rendered
from .makers import make_study
from .reading import Page

Made = Callable[[str], Rendered]


def test_pictures_stand_by_kind_with_their_numbers(rendered: Made) -> None:
    study = rendered("stamped").study
    kinds = gallery(View.of(study))
    told = study.record.failures["kinds"]
    assert [(kind.count, kind.of) for kind in kinds] == [(one["count"], one["of"]) for one in told]
    assert [kind.count for kind in kinds] == sorted((kind.count for kind in kinds), reverse=True)
    assert {kind.title for kind in kinds} == {"normal taken for pneumonia", "pneumonia taken for normal"}
    for kind, one in zip(kinds, told, strict=True):
        assert len(kind.pictures) == min(6, kind.count)
        for (uri, text), shown in zip(kind.pictures, one["shown"], strict=True):
            assert uri.startswith("data:image/png;base64,")
            assert text == f"no. {shown['number']}, probability {shown['probability']:.3f}"


def test_numbers_are_those_of_the_list_of_all_mistakes(rendered: Made) -> None:
    study = rendered("stamped").study
    with (study.folder / study.record.failures["file"]).open(encoding="utf-8", newline="") as stream:
        rows = {int(row["number"]): row for row in csv.DictReader(stream)}
    assert len(rows) == study.record.failures["mistakes"]
    for kind in study.record.failures["kinds"]:
        for shown in kind["shown"]:
            assert rows[shown["number"]]["truth"] == kind["truth"]
            assert float(rows[shown["number"]]["probability of the answer"]) == pytest.approx(
                shown["probability"], abs=1e-6
            )
    assert not any(row["id"] in rendered("stamped").html for row in rows.values() if len(row["id"]) > 6)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    made = make_study(tmp_path / "s", backbones=("resnet18",), recipes=("probe",), seeds=1, n=60, epochs=1, examples=0)
    return complete(made, pictures=False, facts=False)


def test_kinds_without_pictures_are_told_in_words(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """The images could not be read again when the study ended."""
    monkeypatch.setattr(canvas, "_pdf", lambda _: b"%PDF")
    assert all(kind.pictures == () for kind in gallery(View.of(study)))
    text = Page.of(page.render(study).read_text(encoding="utf-8")).text
    first = study.record.failures["kinds"][0]
    assert f"{first['truth']} taken for {first['answer']}, {first['count']} of {first['of']}" in text


@pytest.mark.parametrize("file", ["failures/gone.png", "../../secret.png", "failures/failures.csv"])
def test_a_picture_that_is_missing_or_elsewhere_is_left_out(study: Study, file: str) -> None:
    for kind in study.record.failures["kinds"]:
        for shown in kind["shown"]:
            shown["file"] = file
    assert all(kind.pictures == () for kind in gallery(View.of(study)))


def test_a_record_without_mistakes_has_no_gallery(study: Study) -> None:
    record = dataclasses.replace(study.record, failures=None)
    assert gallery(View.of(dataclasses.replace(study, record=record))) == ()
