"""The checklists: complete, computed from the record, and silent where only people can answer."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import pytest

from xenograft.reporting.checklist import (
    CHECKLISTS,
    NOTE,
    STATUSES,
    Row,
    as_csv,
    as_markdown,
    claim_rows,
    tally,
    tripod_rows,
)
from xenograft.reporting.checklist_item import NOT_APPLICABLE, NOT_RECORDED, NOT_SUPPLIED
from xenograft.reporting.groups import View
from xenograft.storage import write_csv
from xenograft.study.record import Study

from .finding_makers import FOURTEEN, make_findings_study
from .guideline_makers import changed, completed, guideline_study, with_data

LETTERS = {3: "abc", 5: "ab", 6: "abc", 8: "abc", 9: "abc", 12: "abcdefg", 18: "abcdef", 20: "abc", 23: "ab", 27: "abc"}
SUBITEMS = [f"{number}{letter}".strip() for number in range(1, 28) for letter in LETTERS.get(number, " ")]
CLAIM_PEOPLE = {*map(str, (*range(2, 7), 8, *range(13, 19), 34, 40, 41, 44))}
TRIPOD_PEOPLE = {
    *("2", "3a", "3b", "3c", "4", "5b", "6a", "6b", "6c", "8a", "8b", "8c", "9b", "14", "17"),
    *("18a", "18b", "18c", "18d", "19", "25", "26", "27a", "27b", "27c"),
}
HOSTILE = ("<script>alert(1)</script> | a", "=cmd()|'x'!A1 & $\\frac{1}{2}$ _b_ \n*c*")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return guideline_study(tmp_path_factory.mktemp("checklist") / "s")


def one(rows: tuple[Row, ...], number: str) -> Row:
    return next(row for row in rows if row.number == number)


def test_every_item_of_claim_once_and_in_order(study: Study) -> None:
    assert [row.number for row in claim_rows(View.of(study))] == [str(k) for k in range(1, 45)]


def test_every_item_of_tripod_once_and_in_order(study: Study) -> None:
    rows = tripod_rows(View.of(study))
    assert [row.number for row in rows] == SUBITEMS
    assert {int(re.sub(r"\D", "", row.number)) for row in rows} == set(range(1, 28))


@pytest.mark.parametrize(("rows_of", "people"), [(claim_rows, CLAIM_PEOPLE), (tripod_rows, TRIPOD_PEOPLE)])
def test_exactly_the_items_of_people_are_not_supplied(study: Study, rows_of: Any, people: set[str]) -> None:
    rows = rows_of(View.of(study))
    assert {row.number for row in rows if row.answer == NOT_SUPPLIED} == people
    assert not any(NOT_SUPPLIED in row.answer for row in rows if row.number not in people)


@pytest.mark.parametrize(
    ("facts", "claim", "tripod", "words"),
    [
        ({"manifest_sha256": "cd" * 32}, "7", "18e", "cd" * 32),
        ({"name": "other pictures"}, "7", "5a", "other pictures"),
        ({"catalog": "chest_xray"}, "43", "18e", "CC BY 4.0"),
        ({"synthetic": True}, "7", "5a", "synthetic phantoms"),
        ({"split_rule": "test: 20% of all images, by patient, stratified by class (seed 8)"}, "19", "12a", "seed 8"),
        ({"sizes": {"train": {"images": 77, "patients": 55}}}, "21", "21", "77 images of 55 patients"),
        ({"skipped": [{"path": "a", "code": "S-FILE-01", "reason": "zero bytes"}] * 3}, "35", "20a", "S-FILE-01 × 3"),
        ({"counts": {"test": {"normal": {"images": 9, "patients": 8}}}}, "36", "20b", "normal 9"),
        ({"notices": []}, "35", "20a", "1 was left out"),
    ],
)
def test_other_facts_give_other_answers(
    study: Study, facts: dict[str, Any], claim: str, tripod: str, words: str
) -> None:
    view, before = with_data(study, **facts), View.of(study)
    for rows_of, number in ((claim_rows, claim), (tripod_rows, tripod)):
        answer = one(rows_of(view), number).answer
        assert words in answer
        assert answer != one(rows_of(before), number).answer or facts == {"notices": []}


def test_copies_are_told_only_where_reading_found_some(study: Study) -> None:
    assert "5 extra" in one(claim_rows(View.of(study)), "35").answer
    assert "dentical" not in one(claim_rows(with_data(study, notices=[])), "35").answer


def test_the_level_of_disjointness_is_that_of_the_record(study: Study) -> None:
    def level(**facts: Any) -> str:
        return one(claim_rows(with_data(study, **facts)), "20").answer

    assert "No patient" in level()
    assert "whether by patient is not known" in level(patient_rule="none: every image counts as its own patient")
    assert "leaks were allowed" in level(leak_allowed=True)
    assert "No patient and no" not in level(leak_allowed=True)


@pytest.mark.parametrize(
    ("taken", "claim"),
    [("audit", "11"), ("name", ""), ("counts", "36"), ("split_rule", ""), ("skipped", "10")],
)
def test_what_the_record_lacks_is_not_recorded(study: Study, taken: str, claim: str) -> None:
    rows = claim_rows(with_data(study, **{taken: None}))
    assert [row.number for row in rows] == [str(k) for k in range(1, 45)]
    if claim:
        assert one(rows, claim).answer == NOT_RECORDED


def test_an_almost_empty_record_is_answered_without_guesses(study: Study) -> None:
    view = changed(study, data={}, environment={}, config={}, command="", arms=[], comparisons=[])
    claim, tripod = claim_rows(view), tripod_rows(view)
    assert {one(claim, n).answer for n in ("7", "10", "11", "12", "19", "20", "23", "35", "36")} == {NOT_RECORDED}
    assert {one(tripod, n).answer for n in ("5a", "11", "12a", "16", "18e", "18f", "20a", "21")} == {NOT_RECORDED}


def test_versions_machine_and_weights_come_from_the_record(study: Study) -> None:
    environment = study.record.environment | {"packages": {"torch": "9.9.9"}, "gpu": "Example GPU"}
    answer = one(claim_rows(changed(study, environment=environment)), "23").answer
    assert "torch 9.9.9" in answer
    assert "Example GPU" in answer
    assert "no GPU" in one(claim_rows(View.of(study)), "23").answer
    assert "IMAGENET1K_V1" in one(claim_rows(View.of(study)), "24").answer


def test_comparisons_ensembles_robustness_failures_and_evidence_when_there_are_some(study: Study) -> None:
    arm = {"backbone": "resnet18", "recipe": "probe", "lr_scale": 1.0}
    row = {
        "family": "backbones",
        "a": arm,
        "b": arm,
        "metric": "auroc",
        "p": 0.1,
        "p_holm": 0.2,
        "of": 7,
        "test": "DeLong",
    }
    full = changed(
        study,
        comparisons=[row] * 7,
        ensembles=[{"kind": "runs"}] * 3,
        robustness={"changes": [{"name": "blur"}, {"name": "jpeg_quality"}]},
        failures={"mistakes": 11, "kinds": [{"truth": "normal", "answer": "pneumonia", "count": 8, "of": 20}]},
        evidence={"models": [{"calibration": {"a": 1}, "recalibration": {"a": 1}, "subgroups": {"sex": 1}}]},
    )
    bare = changed(study, comparisons=[], ensembles=[], robustness=None, failures=None, evidence=None)
    said, unsaid = claim_rows(full), claim_rows(bare)
    for number, words in (
        ("29", "7 paired differences between backbones"),
        ("27", "3 ensembles"),
        ("30", "jpeg quality"),
    ):
        assert words in one(said, number).answer
        assert words not in one(unsaid, number).answer
    assert "normal taken for pneumonia 8 of 20" in one(said, "39").answer
    assert one(unsaid, "27").status == NOT_APPLICABLE
    assert one(tripod_rows(full), "14").status == "in part"
    assert one(tripod_rows(full), "12f").answer.startswith("Recalibration")
    assert one(tripod_rows(bare), "12f").answer == NOT_RECORDED


def test_results_are_those_of_the_arm_that_validation_rates_highest(study: Study) -> None:
    view = View.of(study)
    chosen = view.chosen()
    score = chosen.score("fixed", "auroc")
    assert score is not None
    answer = one(claim_rows(view), "37").answer
    assert chosen.label in answer
    assert f"AUROC {score.value:.3f}" in answer


def test_places_that_a_page_lacks_are_left_out_and_the_rest_is_cited(study: Study) -> None:
    labels = {"table-data": "Table 4"}
    rows = claim_rows(View.of(study), labels)
    assert {place for row in rows for place in row.where} == {"table-data"}
    _, lines = as_csv(rows, labels)
    assert lines[6][6] == "Table 4"
    assert "| Table 4 |" in as_markdown(rows, labels)


def test_the_tally_counts_every_row(study: Study) -> None:
    for _, citation, rows_of in CHECKLISTS.values():
        rows = rows_of(View.of(study))
        assert sum(tally(rows).values()) == len(rows)
        assert set(tally(rows)) == set(STATUSES)
        assert "doi:" in citation
    assert "consult the guideline itself" in NOTE


def test_hostile_class_names_stay_in_their_cells(tmp_path: Path) -> None:
    rows = claim_rows(View.of(guideline_study(tmp_path / "s", classes=HOSTILE, seeds=1)))
    header, lines = as_csv(rows)
    path = write_csv(tmp_path / "c.csv", header, lines)
    with path.open(encoding="utf-8", newline="") as stream:
        read = list(csv.reader(stream))
    assert [line[1] for line in read[1:]] == [str(k) for k in range(1, 45)]
    assert not any(cell.startswith(("=", "+", "@")) for line in read for cell in line)
    assert "<script>" in read[36][5]
    table = [line for line in as_markdown(rows).splitlines() if line.startswith("| ")]
    assert len(table) == 45
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {6}
    assert not any("<script" in line for line in table)


def test_findings_and_classes_are_answered_too(tmp_path: Path) -> None:
    findings = View.of(completed(make_findings_study(tmp_path / "f", findings=FOURTEEN, seeds=1, n=60, examples=0)))
    rows = claim_rows(findings)
    assert "are unknown" in one(rows, "12").answer
    assert "14 findings" in one(rows, "7").answer
    assert "sigmoid" in one(rows, "22").answer
    three = View.of(guideline_study(tmp_path / "c", classes=("a", "b", "c"), seeds=1, data={"sizes": None}))
    assert "softmax" in one(claim_rows(three), "22").answer
    assert "No threshold was chosen" in one(tripod_rows(three), "15").answer


def test_trained_models_are_counted_on_disk(tmp_path: Path) -> None:
    made = guideline_study(tmp_path / "s", seeds=1)
    row = one(tripod_rows(View.of(made)), "12g")
    assert "trained parameters" not in row.answer
    (made.folder / "runs" / made.runs[0].id / "model.safetensors").write_bytes(b"x")
    assert "trained parameters of 1 of 4 runs" in one(tripod_rows(View.of(made)), "12g").answer


def test_what_may_identify_people_is_named_by_its_check_alone(study: Study) -> None:
    found = {"code": "A-PHI-01", "severity": "warning", "title": "Names of persons in paths", "message": "Jane Doe"}
    audit = study.record.data["audit"] | {"findings": [found]}
    row = one(claim_rows(with_data(study, audit=audit)), "11")
    assert row.answer == "Found: A-PHI-01 Names of persons in paths."
    assert row.status == "in part"


def test_rows_without_a_label_are_missing_data(study: Study) -> None:
    skipped = [{"path": "a", "code": "S-LABEL-01", "reason": "no label"}] * 2
    assert one(claim_rows(with_data(study, skipped=skipped)), "12").answer.startswith(
        "2 rows without a label were left"
    )
