"""Every kind of study has a whole page: numbers in order, nothing cited that is not there, no link to nowhere."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from xml.etree import ElementTree

import pytest

from xenograft.reporting import page, style
from xenograft.reporting.groups import View
from xenograft.reporting.study_evidence import StudyEvidence

from .conftest import HOSTILE, Rendered

Made = Callable[[str], Rendered]


def test_figures_and_tables_are_numbered_as_they_stand(each: Rendered) -> None:
    for kind in ("Figure", "Table"):
        found = each.page.numbered(kind)
        assert found == list(range(1, len(found) + 1))
        assert len(found) >= 2
    assert each.page.captions
    assert not re.search(r"\b(Figure|Table) S\d", each.page.text)


def test_every_place_that_is_cited_is_on_the_page(each: Rendered) -> None:
    for kind in ("Figure", "Table"):
        cited = {int(number) for number in re.findall(rf"\b{kind} (\d+)\b", each.page.text)}
        assert cited == set(each.page.numbered(kind))


def test_files_are_those_of_the_page(each: Rendered) -> None:
    linked = {load for load in each.page.loads if load.startswith(("figures/", "tables/"))}
    written = {
        f"{path.parent.name}/{path.name}" for part in ("figures", "tables") for path in (each.folder / part).iterdir()
    }
    assert linked == written
    assert len(each.page.numbered("Figure")) == sum(name.endswith(".svg") for name in linked)
    assert len(each.page.numbered("Table")) == sum(name.endswith(".csv") for name in linked)


def test_links_lead_somewhere_and_identifiers_are_unique(each: Rendered) -> None:
    ids = each.page.ids
    assert len(ids) == len(set(ids))
    anchors = {load[1:] for load in each.page.loads if load.startswith("#")}
    assert anchors <= set(ids)
    rest = [load for load in each.page.loads if not load.startswith(("#", "data:image/"))]
    assert all((each.folder / load).is_file() for load in rest)


def test_it_is_one_page_without_scripts_or_network(each: Rendered) -> None:
    assert not {"script", "link", "iframe", "object", "embed", "base"} & set(each.page.tags)
    assert each.page.handlers == []
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in each.html
    assert not re.search(r"@import|url\(['\"]?http", each.html)
    assert len(each.html.encode()) < 5_000_000


def test_no_word_of_python_is_printed(each: Rendered) -> None:
    assert not re.search(r"\bNone\b|\bnan\b|Undefined|\{\{|<bound|Markup\(", each.page.text)


def test_every_csv_is_rectangular(each: Rendered) -> None:
    for path in (each.folder / "tables").glob("*.csv"):
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.reader(stream))
        assert len(rows) > 1
        assert {len(row) for row in rows} == {len(rows[0])}


def test_figures_are_xml(each: Rendered) -> None:
    for path in (each.folder / "figures").glob("*.svg"):
        ElementTree.fromstring(path.read_text(encoding="utf-8"))


def test_the_page_lists_what_it_orders(each: Rendered) -> None:
    """A figure or table that `_ORDER` does not know would have no place on the page."""
    view = View.of(each.study)
    with style.drawing():
        evidence = StudyEvidence.of(view)
    names = [*(evidence.panels if evidence else ()), *(evidence.tables if evidence else ()), *page._tables(view)]
    numbers = page._numbers((), names)
    assert len(set(numbers.values())) == len(names)
    with pytest.raises(LookupError, match="no place"):
        page._numbers(["figure-unheard-of"], ())


def test_one_run_says_what_it_cannot_show(rendered: Made) -> None:
    text = rendered("one").page.text
    assert "Nothing was compared in this study" in text
    assert "No run was trained in epochs" in text
    assert "No run without pretrained weights is there to compare it with." in text
    assert "run with one seed" in text
    assert "Age, sex, view, site or device of the test images: not supplied" in text
    assert "If training were repeated" not in text
    assert "No baseline without a network was recorded." in text


def test_recipes_and_learning_rates_have_tables_and_figures_of_their_own(rendered: Made) -> None:
    made = rendered("recipes")
    assert {"figure-differences", "figure-results", "figure-results-lr0.1", "table-results-lr0.1"} <= set(made.page.ids)
    assert "figure-differences-backbones" not in made.page.ids
    assert "ResNet18 (lr × 0.1)" in made.html
    assert "starts from random weights" in made.page.text


def test_folds_that_test_on_different_images_are_told_apart_from_seeds(rendered: Made) -> None:
    made = rendered("backbones")
    assert "mean of 3 folds" in made.page.text
    assert "SD between folds" in made.page.text
    assert "figure-differences-backbones" in made.page.ids
    assert "figure-differences" not in made.page.ids
    assert "by the same recipe" in made.page.text


def test_stamps_are_on_every_caption_and_every_file(rendered: Made) -> None:
    made = rendered("stamped")
    assert '<div class="banner">LEAK ALLOWED' in made.html
    assert 'class="banner synthetic"' in made.html
    assert len(made.page.captions) > 15
    mistakes = [caption for caption in made.page.captions if caption.startswith("no. ")]
    for caption in set(made.page.captions) - set(mistakes):
        assert "Synthetic phantom images, not patients." in caption
        assert "LEAK ALLOWED." in caption
    headings = re.findall(r"<h2 id=.*?</h2>", made.html)
    assert len(headings) == 9
    assert all("LEAK ALLOWED" in heading for heading in headings)
    assert "@top-center" in made.html  # and on every printed page
    for name in ("figure-results", "figure-differences", "figure-flow", "figure-training"):
        drawn = (made.folder / "figures" / f"{name}.svg").read_text(encoding="utf-8")
        assert "synthetic phantom images, not patients" in drawn
        assert "LEAK ALLOWED" in drawn


def test_facts_about_the_data_stand_with_every_headline(rendered: Made) -> None:
    made = rendered("stamped")
    assert made.page.text.count("One hospital only.") == 5  # the answer, and what differs, is reached, trusted, fails
    assert "figure-robustness" in made.page.ids


def test_several_classes_have_their_own_table_and_hostile_names_stay_text(rendered: Made) -> None:
    made = rendered("classes")
    assert "Test results of each class against the rest" in made.page.text
    assert "Class with the largest probability" in made.page.text
    assert HOSTILE in made.page.text
    assert "<img src=x" not in made.html
    assert "x" not in made.page.loads
    assert "taken for" in made.page.text
    assert "decision" not in made.page.ids


def test_findings_have_theirs_and_no_confusion_matrix(rendered: Made) -> None:
    made = rendered("findings")
    assert {"figure-findings", "figure-roc", "figure-precision-recall", "table-findings"} <= set(made.page.ids)
    assert "figure-confusion" not in made.page.ids
    assert "a mean AUROC of" in made.page.text
    assert "(one a finding) are answered wrongly" in made.page.text
    assert re.search(r"Mass taken for no Mass|no Mass taken for Mass", made.page.text)


def test_an_older_study_says_what_its_record_lacks(rendered: Made) -> None:
    text = rendered("older").page.text
    assert "No evidence on calibration was recorded." in text
    assert "No mistakes were recorded." in text
    assert "Ensembles: mean probability" not in text
    assert "ResNet18" in text
