"""The page of a ranking: its answers, what is marked, and that nothing foreign runs in it."""

from __future__ import annotations

import csv
import math
import re
from itertools import pairwise
from pathlib import Path

import pytest

from xenograft.reporting import ranking_page, ranking_words
from xenograft.reporting.ranking_view import RankingView, score_text
from xenograft.reporting.tables import ranking as tables
from xenograft.study.ranking_reason import reason

from .ranking_makers import FOUR, record


def test_a_page_answers_and_its_files_hold_the_numbers(tmp_path: Path) -> None:
    page = ranking_page.render(record(), tmp_path).read_text(encoding="utf-8")
    for words in ("Which backbone for these data?", "How sure is that?", "What does each cost?", "docs/choosing"):
        assert words in page
    assert "MobileNet v2 was chosen" in page
    assert "cannot be told apart from the best" in page
    assert "At most 5,000 images" in page
    with (tmp_path / "ranking.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["backbone"] for row in rows] == [row[0] for row in FOUR]
    assert [row["tied"] for row in rows] == ["yes", "yes", "yes", "no"]
    assert [row["chosen"] for row in rows] == ["no", "yes", "no", "no"]
    assert [row["pareto"] for row in rows] == ["yes", "yes", "no", "no"]
    assert [row["basis"] for row in rows] == ["measured", "measured", "estimated", "measured"]
    assert float(rows[3]["behind_low"]) == pytest.approx(0.0031)
    assert {"cost.csv", "scores.csv", "left-out.csv", "pareto.svg", "pareto.pdf"} <= {
        p.name for p in tmp_path.iterdir()
    }


def test_the_same_record_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        ranking_page.render(record(), tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in files)


def test_names_of_data_do_nothing(tmp_path: Path) -> None:
    hostile = '<img src=x onerror="alert(1)">'
    page = ranking_page.render(record(name=hostile, facts=[hostile]), tmp_path).read_text(encoding="utf-8")
    assert "<img" not in page
    assert "&lt;img" in page


def test_stamps_stand_on_page_and_figure(tmp_path: Path) -> None:
    page = ranking_page.render(record(synthetic=True, leak_allowed=True), tmp_path).read_text(encoding="utf-8")
    assert page.count("SYNTHETIC images") >= 2
    assert page.count("LEAK ALLOWED") >= 2


def test_labels_of_many_candidates_do_not_overlap(tmp_path: Path) -> None:
    names = ["resnet18", "resnet50", "densenet161", "shufflenet_v2_x1_0", "mobilenet_v2", "resnext50_32x4d",
             "wide_resnet50_2", "inception_v3", "squeezenet1_1"]  # fmt: skip
    rows = tuple((name, 0.99, 0.001, None if k == 0 else -0.001, 200.0, "assumed") for k, name in enumerate(names))
    ranking_page.render(record(rows), tmp_path)
    svg = (tmp_path / "pareto.svg").read_text(encoding="utf-8")
    labels = re.findall(r"<text[^>]*translate\([\d.]+ ([\d.]+)\)[^>]*>[^<]*(?:Net|NeXt|Inception)[^<]*<", svg)
    labels += re.findall(r'<text[^>]*?\by="([\d.]+)"[^>]*>[^<]*(?:Net|NeXt|Inception)[^<]*<', svg)
    heights = [float(y) for y in labels]
    assert len(set(heights)) == len(names)
    assert min(b - a for a, b in pairwise(sorted(set(heights)))) > 6.8


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (FOUR[:1], "nothing to compare it with"),
        (FOUR[:2], "MobileNet v2 cannot be told apart from the best, ResNet50"),
        ((FOUR[0], FOUR[3]), "SqueezeNet 1.1 is behind ResNet50 by more than chance explains"),
        ((("resnet50", None, 0.0, None, 10.0, "assumed"),), "undefined for every candidate"),
    ],
)
def test_how_sure(rows: tuple[tuple[str, float | None, float, float | None, float, str], ...], words: str) -> None:
    assert words in ranking_words.sure(RankingView(record(rows)))


def test_three_candidates_prove_nothing_about_a_score() -> None:
    assert any("p = 0.33" in line for line in ranking_words.trust(RankingView(record(FOUR[:3]))))
    assert not any("p = 0.33" in line for line in ranking_words.trust(RankingView(record())))


def test_no_candidate_with_a_score_has_a_page_without_a_figure(tmp_path: Path) -> None:
    made = record((("resnet50", None, 0.0, None, 10.0, "assumed"),))
    page = ranking_page.render(made, tmp_path).read_text(encoding="utf-8")
    assert "None can be chosen: one class." in page
    assert not (tmp_path / "pareto.svg").exists()
    assert reason(made) == ""


def test_reasons_say_why() -> None:
    assert "it cannot be told apart from the best, ResNet50" in reason(record())
    assert "the only candidate" in reason(record(FOUR[:1]))
    assert "no other could be its equal" in reason(record((FOUR[0], FOUR[3])))
    assert "the quickest (204 images/s, measured)" in reason(record((FOUR[0], FOUR[2])))


def test_without_an_interval_nobody_is_said_to_be_tied_or_behind(tmp_path: Path) -> None:
    rows = (FOUR[0], ("squeezenet1_1", 0.61, 0.0, math.nan, 690.0, "measured"))
    made = record(rows)
    assert made["choice"]["backbone"] == "resnet50"
    assert "SqueezeNet 1.1 could be computed, so chance may explain it" in reason(made)
    assert "no other could be its equal" not in reason(made)
    view = RankingView(made)
    said = ranking_words.sure(view)
    assert said.startswith("Whether SqueezeNet 1.1 is behind ResNet50 by more than chance explains is not known")
    assert "cannot be told apart" not in said
    assert view.verdict(view.candidates[1]) == "not known: no interval"
    ranking_page.render(made, tmp_path)
    with (tmp_path / "ranking.csv").open(encoding="utf-8", newline="") as stream:
        assert [row["tied"] for row in csv.DictReader(stream)] == ["yes", "unknown"]
    both = reason(record((*FOUR[:2], rows[1])))
    assert "MobileNet v2 was chosen" in both
    assert both.endswith("so chance may explain it")


def test_the_terminal_has_a_row_for_each_candidate() -> None:
    headings, rows = tables.brief(RankingView(record()))
    assert len(rows) == 4
    assert all(len(row) == len(headings) for row in rows)
    assert rows[1][2] == "0.996 (0.995–0.997)"


@pytest.mark.parametrize(("value", "text"), [(None, "n/a"), (0.99512, "0.995"), (-0.00583, "−0.0058"), (31.13, "31.1")])
def test_scores_as_text(value: float | None, text: str) -> None:
    assert score_text(value) == text
