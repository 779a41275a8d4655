"""The report of a study whose images may have several findings: what it counts, says, tabulates and draws."""

from __future__ import annotations

import csv
import dataclasses
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from xenograft.reporting import answer, figures, page, style, tables
from xenograft.reporting.figures import canvas
from xenograft.reporting.findings import findings, ranked
from xenograft.reporting.groups import View
from xenograft.reporting.tables.model import Table
from xenograft.storage import write_csv
from xenograft.study.record import Study

from .finding_makers import FOURTEEN, SIX, make_findings_study


@pytest.fixture(scope="module")
def six(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return make_findings_study(tmp_path_factory.mktemp("six") / "study")


@pytest.fixture(scope="module")
def fourteen(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return make_findings_study(tmp_path_factory.mktemp("fourteen") / "study", findings=FOURTEEN, examples=4)


@pytest.fixture(scope="module")
def one_sided(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """No test image has a mass."""
    folder = tmp_path_factory.mktemp("gap") / "study"
    return make_findings_study(folder, backbones=("resnet18",), seeds=1, without=("Mass",), missing=0, examples=0)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No PDF files: embedding fonts takes most of the time."""
    monkeypatch.setattr(canvas, "_pdf", lambda _: b"%PDF")


def read(table: Table | None, folder: Path) -> list[dict[str, str]]:
    assert table is not None
    header, rows = table.csv()
    with write_csv(folder / "t.csv", header, rows).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def drawn(kind: str, study: Study, scale: float = 1.0) -> canvas.Drawing:
    with style.drawing():
        drawing = getattr(figures, kind)(View.of(study), scale)
    assert isinstance(drawing, canvas.Drawing)
    return drawing


def test_counts_are_shares_of_the_known_and_do_not_add_up(six: Study, tmp_path: Path) -> None:
    rows = read(tables.counts(View.of(six)), tmp_path)
    assert [row["Finding"] for row in rows] == [*SIX, "All images"]
    for name, row in zip(SIX, rows, strict=False):
        own = six.record.data["counts"]["train"][name]
        assert int(row["train_images"]) == own["images"]
        assert float(row["train_share_of_known"]) == pytest.approx(own["images"] / own["of"], abs=1e-6)
        assert int(row["train_not_known"]) == 6720 - own["of"]
    assert (rows[-1]["train_images"], rows[-1]["train_patients"]) == ("6720", "2100")
    assert (rows[-1]["test_images"], rows[-1]["train_share_of_known"]) == ("400", "")


def test_counts_without_gaps_have_no_column_for_them(one_sided: Study) -> None:
    table = tables.counts(View.of(one_sided))
    assert table is not None
    assert "not known" not in {column.label for column in table.columns}
    assert "No label is missing." in table.caption


def test_counts_without_sizes_show_dashes(six: Study) -> None:
    record = dataclasses.replace(six.record, data=six.record.data | {"sizes": {}})
    table = tables.counts(View.of(dataclasses.replace(six, record=record)))
    assert table is not None
    assert [cell.text for cell in table.blocks[0].rows[-1].cells] == ["All images", *["–"] * 6]


def test_results_are_called_means_and_list_both_policies(six: Study) -> None:
    table = tables.results(View.of(six))[0]
    assert "mean over 6 findings" in table.title
    assert "labels that are missing are left out" in table.caption
    assert [block.key for block in table.blocks] == ["fixed", "youden"]
    assert "one a finding" in table.blocks[1].heading
    assert {block.rows[0].kind for block in table.blocks} == {"baseline"}
    cells = table.blocks[1].rows[1].cells
    group = View.of(six).groups[0]
    values = [run.test["policies"]["youden"]["metrics"]["recall"]["value"] for run in group.runs]
    place = [column.label for column in table.columns].index("Recall %")
    assert cells[place].raw[0] == pytest.approx(np.mean(values))


def test_each_finding_has_its_figures_at_its_own_threshold(six: Study, tmp_path: Path) -> None:
    rows = read(tables.findingwise(View.of(six)), tmp_path)
    assert len(rows) == 6 + 6 * 2 * 2  # the baseline, and two backbones with two recipes
    row = next(r for r in rows if (r["backbone"], r["recipe"], r["finding"]) == ("MobileNet v2", "probe", "Effusion"))
    runs = [run for run in six.runs if (run.backbone, run.recipe) == ("mobilenet_v2", "probe")]
    own = [run.test["policies"]["youden"]["per_class"]["2"] for run in runs]
    cuts = [run.thresholds["youden"][2] for run in runs]
    for metric in ("auroc", "average_precision", "recall", "specificity"):
        assert float(row[metric]) == pytest.approx(np.mean([o[metric]["value"] for o in own]), abs=1e-6)
        assert float(row[f"{metric}_low"]) == pytest.approx(np.mean([o[metric]["low"] for o in own]), abs=1e-6)
    assert (float(row["threshold_low"]), float(row["threshold_high"])) == pytest.approx(
        (min(cuts), max(cuts)), abs=1e-6
    )
    known = six.runs[0].test["known"]["2"]
    assert (int(row["known"]), int(row["positive"])) == (known["n"], known["positive"])
    assert float(row["prevalence"]) == pytest.approx(known["positive"] / known["n"], abs=1e-6)
    assert (rows[0]["recipe"], rows[0]["finding"]) == ("baseline", SIX[0])


def test_a_finding_too_rare_to_choose_a_threshold_is_marked(fourteen: Study) -> None:
    view = View.of(fourteen)
    kept = np.all([np.equal(run.thresholds["youden"], 0.5) for run in fourteen.runs], axis=0)
    rare = {name for name, half in zip(FOURTEEN, kept, strict=True) if half}
    assert 0 < len(rare) < 14
    table = tables.findingwise(view)
    assert table is not None
    marked = {
        finding.name
        for finding, row in zip(findings(view), table.blocks[0].rows, strict=True)
        if row.cells[5].text == "0.500†"
    }
    assert marked == rare
    assert "†" in table.caption


def test_single_label_studies_have_no_table_of_findings(six: Study) -> None:
    record = dataclasses.replace(six.record, data=six.record.data | {"multi_label": False})
    view = View.of(dataclasses.replace(six, record=record))
    assert tables.findingwise(view) is None
    assert figures.finding_results(view, 1.0) is None
    assert figures.finding_roc(view, 1.0) is None


def test_thresholds_of_a_run_are_their_range_on_the_page_and_all_in_the_file(six: Study, tmp_path: Path) -> None:
    table = tables.runs(View.of(six))
    chosen = six.runs[0].thresholds["youden"]
    row = next(r for r in read(table, tmp_path) if r["run"] == six.runs[0].id)
    assert [float(value) for value in row["youden_threshold"].split()] == pytest.approx(chosen, rel=1e-5)
    texts = [cell.text for r in table.blocks[0].rows for cell in r.cells]
    assert f"{min(chosen):.3f}–{max(chosen):.3f}" in texts


def test_every_csv_is_rectangular_and_every_latex_row_complete(six: Study) -> None:
    view = View.of(six)
    for table in (tables.counts(view), tables.findingwise(view), tables.runs(view), *tables.results(view)):
        assert table is not None
        header, rows = table.csv()
        assert {len(row) for row in rows} == {len(header)}
        lines = [line for line in table.latex().splitlines() if line.endswith(r" \\") and "multicolumn" not in line]
        assert {len(re.findall(r"(?<!\\)&", line)) for line in lines} == {len(table.columns) - 1}


def test_answer_speaks_of_the_mean_and_of_the_best_and_worst_finding(six: Study) -> None:
    view = View.of(six)
    text = " ".join(answer.sentences(view))
    chosen = view.chosen()
    score = chosen.score("fixed", "auroc")
    assert score is not None
    assert f"reached a mean AUROC of {score.value:.3f} (95\u00a0% CI" in text
    assert "over 6 findings, mean of 2 seeds" in text
    order = ranked(view, [chosen])
    assert re.search(rf"AUROC is highest for {order[0].name} \(.*? lowest for {order[-1].name} \(", text)
    assert f"{order[0].positive} positive images" in text
    assert "sees no anatomy" in text
    assert "The paired difference of the mean AUROC is" in text


def test_an_undefined_mean_is_said_and_the_rest_is_shown(one_sided: Study) -> None:
    view = View.of(one_sided)
    text = " ".join(answer.sentences(view))
    assert "reached a mean accuracy of" in text
    assert "Mass: all test images have it or none has" in text
    assert "Over the other 5 findings the mean AUROC is 0." in text
    assert ranked(view, view.groups)[-1].name == "Mass"
    drawing = drawn("finding_results", one_sided)
    assert ">Mass (0)</text>" not in drawing.svg
    assert "Not defined, and so not drawn: Mass." in drawing.caption
    assert ">Mass</text>" not in drawn("finding_roc", one_sided).svg


def test_validation_chooses_by_single_findings_where_their_mean_is_undefined(tmp_path: Path) -> None:
    study = make_findings_study(
        tmp_path / "s", backbones=("resnet18", "resnet50"), recipes=("probe",), seeds=1, n=150, examples=0
    )
    for run in study.runs:
        fixed = run.validation["policies"]["fixed"]
        fixed["metrics"]["auroc"] = {"value": None, "low": None, "high": None}
        fixed["metrics"]["accuracy"]["value"] = 0.9 if run.backbone == "resnet18" else 0.8
        for own in run.validation["per_class"].values():
            own["auroc"]["value"] = 0.7 if run.backbone == "resnet18" else 0.8
    assert View.of(study).chosen().backbone == "resnet50"


def test_findings_are_drawn_from_the_best_to_the_worst(fourteen: Study) -> None:
    view = View.of(fourteen)
    drawing = drawn("finding_results", fourteen)
    found = re.findall(r">([A-Z]\w+) \((\d+)\)</text>", drawing.svg)
    order = ranked(view, [group for group in view.groups if group.transfer])
    assert sorted(found) == sorted((f.name, str(f.positive)) for f in order)
    values = [
        np.mean([s.value for g in view.groups if g.transfer and (s := g.score("fixed", "auroc", label=f.key))])
        for f in order
    ]
    assert values == sorted(values, reverse=True)
    assert drawing.svg.count("no anatomy (baseline)") == 1


def test_beyond_a_page_only_the_most_frequent_findings_are_drawn(tmp_path: Path) -> None:
    names = tuple(f"Finding{k}" for k in range(34))
    study = make_findings_study(
        tmp_path / "s", findings=names, backbones=("resnet18",), seeds=1, n=300, examples=0, baseline=False
    )
    drawing = drawn("finding_results", study)
    assert len(re.findall(r">Finding\d+ \(\d+\)</text>", drawing.svg)) == 30
    assert "The 4 findings with the fewest positive images: in the table only." in drawing.caption
    assert len(re.findall(r">Finding\d+</text>", drawn("finding_roc", study).svg)) == 15
    assert "no anatomy" not in drawing.svg


def test_curves_have_a_panel_for_each_finding(fourteen: Study) -> None:
    for kind in ("finding_roc", "finding_precision_recall"):
        drawing = drawn(kind, fourteen)
        ElementTree.fromstring(drawing.file)
        assert all(drawing.svg.count(f">{name}</text>") == 1 for name in FOURTEEN)
        assert drawing.svg.count(">ResNet18 probe</text>") == 1  # one key for all panels
    assert figures.curves(View.of(fourteen), 1.0) is None
    assert figures.confusion(View.of(fourteen), 1.0) is None


def test_curves_of_many_runs_keep_the_network_that_validation_chose(tmp_path: Path) -> None:
    study = make_findings_study(
        tmp_path / "s", backbones=("resnet18", "resnet50", "densenet161"), seeds=1, n=200, examples=0
    )
    drawing = drawn("finding_roc", study)
    chosen = View.of(study).chosen()
    shown = set(re.findall(r">(\S+) (?:probe|scratch)</text>", drawing.svg))
    assert shown == {chosen.name}
    assert f"Only {chosen.name} scratch, {chosen.name} probe" in drawing.caption


def test_missing_labels_do_not_enter_a_curve(six: Study) -> None:
    from xenograft.reporting.figures import finding_curves

    table = six.predictions(six.runs[0].id, "test")
    curve = finding_curves._one(table, 0, finding_curves._ROC)
    unknown = table.labels[:, 0] < 0
    assert unknown.any()
    table.probabilities[unknown, 0] = 1.0
    assert np.array_equal(curve, finding_curves._one(table, 0, finding_curves._ROC))


def test_examples_stand_in_pairs_of_strips(fourteen: Study) -> None:
    with style.drawing():
        drawing, strips, lost = figures.examples(View.of(fourteen))
    assert drawing is not None
    assert lost == 0
    assert [strip.name for strip in strips] == list(FOURTEEN)
    assert {len(strip.pictures) for strip in strips} == {3}
    assert drawing.title == "Example images by finding"
    height = float(re.search(r'viewBox="0 0 [\d.]+ ([\d.]+)"', drawing.svg)[1]) / 72
    assert height < 11


def test_page_has_the_findings_and_no_confusion_matrix(six: Study) -> None:
    html = page.render(six).read_text(encoding="utf-8")
    titles = re.findall(r"<h2 id=\"\w+\">\d+\. ([^<]+)</h2>", html)
    assert titles == [
        "Is there a difference?",
        "How good is it?",
        "Can the probabilities be trusted?",
        "Where does it fail?",
        "Is it a shortcut?",
        "What was done to the data?",
        "How was it trained?",
        "How to make it again",
        "Reporting guidelines",
    ]
    assert re.findall(r"<h3 id=\"\w+\">([^<]+)</h3>", html)[:2] == ["By finding", "Curves"]
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', html)) <= set(ids)
    assert "6, of which an image may have several or none" in html
    assert "figure-precision-recall" in ids
    assert not list((six.folder / "report" / "figures").glob("*confusion*"))
    assert "Pneumothorax" in (six.folder / "report" / "tables" / "table-findings.csv").read_text(encoding="utf-8")


def test_two_learning_rates_have_figures_of_their_own(tmp_path: Path) -> None:
    study = make_findings_study(
        tmp_path / "s", backbones=("resnet18",), seeds=1, scales=(1.0, 0.1), n=150, examples=0, baseline=False
    )
    html = page.render(study).read_text(encoding="utf-8")
    for name in ("figure-findings-lr0.1", "figure-roc-lr0.1", "figure-precision-recall-lr0.1"):
        assert f'id="{name}"' in html
    table = tables.findingwise(View.of(study))
    assert table is not None
    assert [block.heading for block in table.blocks] == ["ResNet18, lr × 1", "ResNet18, lr × 0.1"]


def test_hostile_finding_names_stay_text(tmp_path: Path) -> None:
    names = ("<img src=x onerror=alert(1)>", "Mass $\\frac{", "肺炎")
    study = make_findings_study(tmp_path / "s", findings=names, backbones=("resnet18",), seeds=1, n=150, examples=1)
    html = page.render(study).read_text(encoding="utf-8")
    assert "<img src=x" not in html
    for drawing in (study.folder / "report" / "figures").glob("*.svg"):
        ElementTree.fromstring(drawing.read_text(encoding="utf-8"))


def test_totals_of_a_single_label_study_come_from_its_sizes(tmp_path: Path) -> None:
    from .makers import make_study

    sizes = {split: {"images": n, "patients": n // 2} for split, n in (("train", 960), ("val", 240), ("test", 120))}
    study = make_study(tmp_path / "s", backbones=("resnet18",), seeds=1, n=120, examples=0, data={"sizes": sizes})
    table = tables.counts(View.of(study))
    assert table is not None
    assert [cell.text for cell in table.blocks[0].rows[-1].cells][2::2] == ["480", "120", "60"]
    assert "in the totals once" in table.caption
