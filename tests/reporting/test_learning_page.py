"""The page of a learning curve: its answers, that it loads nothing, and that it never claims more than was seen."""

from __future__ import annotations

import csv
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from xenograft.reporting import learning_page, learning_words
from xenograft.reporting.figures.learning_curve import ticks
from xenograft.reporting.learning_view import LearningView, rounded
from xenograft.reporting.tables import learning as tables

from .learning_makers import record

HOSTILE = '<img src=x onerror="alert(1)">'
BEYOND = ", by the fitted law beyond the data"


class Tags(HTMLParser):
    """Every start tag with its attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def said(made: dict[str, Any]) -> str:
    return "\n".join(f"{q} {s}" for q, s in learning_words.answers(LearningView(made)))


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_page_answers_first_and_loads_nothing(tmp_path: Path) -> None:
    page = learning_page.render(record(), tmp_path).read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(page)
    assert not {"script", "link", "iframe"} & {tag for tag, _ in tags.seen}
    assert not [a for _, a in tags.seen for key in ("src", "href") if str(a.get(key, "")).startswith("http")]
    ids = [a["id"] for _, a in tags.seen if "id" in a]
    assert len(ids) == len(set(ids))
    assert page.index('id="answer"') < page.index('id="curve"') < page.index('id="conduct"')
    answer = page[page.index('id="answer"') : page.index("<nav>")]
    for question in ("How many labels?", "Would more labels help?", "How many would scratch need?"):
        assert answer.count(question) == 1
    for name in ("learning-curve.svg", "learning-curve.pdf", "points.csv", "laws.csv", "catch-up.csv", "subsets.csv"):
        assert (tmp_path / name).stat().st_size > 100
        assert f'href="{name}"' in page


def test_the_same_record_gives_the_same_bytes(tmp_path: Path) -> None:
    made = record()
    pages = [learning_page.render(made, tmp_path / name).read_bytes() for name in "ab"]
    assert pages[0] == pages[1]


def test_answers_are_the_records_numbers() -> None:
    made = record()
    entry = made["curves"][0]["targets"][0]
    text = said(made)
    assert f"MobileNet v2 probe needs for AUROC 0.90: about {rounded(entry['value'])}" in text
    assert f"interval {rounded(entry['low'])} to {rounded(entry['high'])}" in text
    needs = made["catch_up"][0]["needs"][0]
    assert f"To equal MobileNet v2 probe with 30 patients ({needs['target']:.3f})" in text
    assert "(960 to 1,920 patients)" in text
    assert "MobileNet v2 scratch was trained for 30 to 240 steps" in text


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (("smallest", 30.0, 30.0, 30.0), "30 or fewer"),
        (("smallest", 30.0, 30.0, 75.0), "30 or fewer (95 % interval up to 75)"),
        (("within", 512.4, 60.0, None), "about 510 (95 % interval 60 to more than 3,800)"),
        (("beyond", 1234.0, 900.0, 3000.0), f"about 1,200{BEYOND} (95 % interval 900 to 3,000)"),
        (("too_far", None, None, None), "more than 3,800, by the fitted law"),
        (("never", None, 700.0, None), "never, by the fitted law (95 % interval from 700 on)"),
        (("unknown", None, None, None), "more than 960; how many cannot be said"),
    ],
)  # fmt: skip
def test_every_way_of_knowing_has_its_words(entry: tuple[Any, ...], expected: str) -> None:
    named = dict(zip(("status", "value", "low", "high"), entry, strict=True))
    assert LearningView(record()).reached(named, 960) == expected


def test_nothing_is_extrapolated_beyond_four_times_the_data() -> None:
    made = record({("resnet18", "probe"): ((30, 60, 120, 240), 0.0, 2.0)})
    curve = made["curves"][0]
    assert curve["targets"][1]["value"] is None  # 0.95 needs 1,600 by the law
    assert "0.95: more than 960, by the fitted law" in said(made)
    assert max(curve["law"]["drawn"]["sizes"]) == pytest.approx(960)


def test_without_scratch_and_without_a_law_it_says_so(tmp_path: Path) -> None:
    made = record({("resnet18", "probe"): ((30, 60, 120), 0.03, 0.4)})
    text = said(made)
    assert "four sizes or more are needed" in text
    assert "Training from scratch was not measured" in text
    page = learning_page.render(made, tmp_path).read_text(encoding="utf-8")
    assert "catch-up" not in page
    assert not (tmp_path / "laws.csv").exists()


def test_one_size_and_one_repeat_can_be_drawn(tmp_path: Path) -> None:
    made = record({("resnet18", "probe"): ((30,), 0.03, 0.4)})
    point = made["curves"][0]["points"][0]
    point |= {"values": point["values"][:1], "repeats": 1, "sd": None, "low": None, "high": None}
    assert learning_page.render(made, tmp_path).is_file()


def test_verdicts_follow_the_interval() -> None:
    made = record()
    doubling = made["curves"][0]["law"]["doubling"]
    for low, high, words in ((0.001, 0.009, "little, less than 0.01"), (0.02, 0.04, "yes:"), (0.0, 0.02, "")):
        doubling |= {"low": low, "high": high}
        sentence = learning_words.doubling(LearningView(made))[0]
        assert (words in sentence) if words else ("little" not in sentence and "yes" not in sentence)


def test_names_cannot_break_out_of_the_page(tmp_path: Path) -> None:
    made = record(classes=(HOSTILE, "b"), name=HOSTILE, facts=[HOSTILE], notices=[HOSTILE], patient_rule=HOSTILE)
    page = learning_page.render(made, tmp_path).read_text(encoding="utf-8")
    assert "<img" not in page
    assert "&lt;img" in page


def test_stamps_patients_and_findings_are_told(tmp_path: Path) -> None:
    made = record(
        classes=("effusion", "nodule", "mass"), multi_label=True, not_measured=["mass"], patients_known=False,
        synthetic=True, leak_allowed=True,
    )  # fmt: skip
    page = learning_page.render(made, tmp_path).read_text(encoding="utf-8")
    assert page.count('class="banner"') == 2
    assert "Patients are not known" in page
    assert "mean AUROC over 2 findings" in page
    assert "Findings not learnt" in page
    assert "none without it: mass" in page
    assert "patients that" not in said(made).lower()


def test_tables_hold_raw_values(tmp_path: Path) -> None:
    made = record()
    learning_page.render(made, tmp_path)
    rows = read(tmp_path / "points.csv")
    assert [(r["recipe"], int(r["size"])) for r in rows][-1] == ("scratch", 240)
    point = made["curves"][0]["points"][0]
    assert float(rows[0]["auroc"]) == pytest.approx(point["value"], abs=1e-6)
    assert float(rows[0]["low"]) == pytest.approx(point["low"], abs=1e-6)
    needs = read(tmp_path / "catch-up.csv")
    assert {row["status"] for row in needs} <= {"smallest", "within", "beyond", "too_far", "never"}


def test_least_steps_change_the_caution() -> None:
    made = record()
    assert any("keeps its epochs" in line for line in learning_words.cautions(LearningView(made)))
    made["conduct"]["least_steps"] = 200
    assert any("fewer than 200 steps" in line for line in learning_words.cautions(LearningView(made)))


def test_few_repeats_are_told() -> None:
    made = record()
    assert not any("Fewer than 3 repeats" in line for line in learning_words.cautions(LearningView(made)))
    made["curves"][1]["points"][0]["repeats"] = 2
    told = [line for line in learning_words.cautions(LearningView(made)) if "Fewer than 3 repeats" in line]
    assert "(MobileNet v2 scratch)" in told[0]


def test_the_terminal_has_a_row_for_each_point() -> None:
    head, rows = tables.brief(LearningView(record()))
    assert len(rows) == 10
    assert all(len(row) == len(head) for row in rows)
    assert re.fullmatch(r"0\.\d{3} \(0\.\d{3}–[01]\.\d{3}\)", rows[0][3])


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(25, 700, [50, 100, 200, 500]), (8, 30, [10, 20]), (1, 2e6, [1, 10, 100, 1000, 10_000, 100_000, 1_000_000])],
)
def test_ticks(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)
