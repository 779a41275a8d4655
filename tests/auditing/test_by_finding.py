"""Several findings an image: each check looks at each, the worst speaks, and all their numbers are kept."""

import json

import numpy as np
import pytest

from xenograft.auditing.by_finding import for_each_finding
from xenograft.auditing.finding import Finding
from xenograft.auditing.run import ALL_IMAGES, CHEAP, mean_histograms, run_checks
from xenograft.auditing.shortcuts import check as shortcuts
from xenograft.auditing.splits import check as splits
from xenograft.auditing.suspects import check as suspects

NAMES = ("mass", "edema", "nodule")


def found_in(findings):
    return {f.code: f for f in findings}


def many(several_findings, count=600, **columns):
    """Every image its own patient, findings at random (30 %), 60 % train, 20 % val, 20 % test."""
    rng = np.random.default_rng(3)
    values = columns.pop("values", None)
    if values is None:
        values = (rng.random((count, 3)) < 0.3).astype(int)
    split = np.array(["train", "train", "train", "val", "test"])[np.arange(count) % 5]
    given = {"patient": [f"P{k}" for k in range(count)], "split": split.tolist()} | columns
    return several_findings(count, values=dict(enumerate(values.tolist())), **given)


def said(severity, message, **numbers):
    return Finding("A-X-01", severity, "Title", message, count=1, total=2, items=((message,),), numbers=numbers)


def merged(several_findings, *each):
    return for_each_finding(several_findings(12), lambda _, k: [each[k]], size=lambda f: f.numbers.get("size", 0))[0]


def test_the_worst_finding_speaks_with_its_name_and_all_numbers_are_kept(several_findings):
    each = [said("note", "a.", size=1), said("warning", "b.", size=2), said("warning", "c.", size=3)]
    found = merged(several_findings, *each)
    assert found.severity == "warning"
    assert found.message == "nodule: c. Found for 3 of 3 findings (also edema, mass)."
    assert found.items == (("c.",), ("b.",), ("a.",))
    assert found.numbers["finding"] == "nodule"
    assert found.numbers["findings"]["mass"] == {"severity": "note", "size": 1}


def test_what_could_not_be_looked_at_is_not_counted_as_looked_at(several_findings):
    found = merged(several_findings, said("not_applicable", "few."), said("passed", "b."), said("note", "c."))
    assert found.message == "nodule: c. Found for 1 of 2 findings; 1 of 3 findings could not be looked at."
    found = merged(several_findings, *[said("not_applicable", "The files do not tell it.")] * 3)
    assert (found.severity, found.message) == ("not_applicable", "The files do not tell it.")


def test_nothing_found_is_told_by_the_strongest(several_findings):
    found = merged(several_findings, said("passed", "a.", size=1), said("passed", "b.", size=2), said("passed", "c."))
    assert (found.severity, found.message) == (
        "passed",
        "edema: b. The strongest of 3 findings, none of which stands out.",
    )


def test_every_check_runs_on_several_findings_and_tells_json_what_it_found(several_findings):
    findings, _ = run_checks(many(several_findings, 300))
    json.dumps([f.as_json() for f in findings], allow_nan=False)
    assert not [f for f in findings if f.severity == "error"]
    assert len({(f.code, f.title) for f in findings}) == len(findings)


def test_a_shortcut_to_one_finding_is_found_and_named(several_findings):
    data = many(several_findings)
    size = np.where(data.labels[:, 1] == 1, 60_000, 30_000) + np.random.default_rng(0).integers(0, 40_000, len(data))
    found = found_in(shortcuts(many(several_findings, bytes=size)))["A-SHORT-01"]
    assert found.severity == "warning"
    assert found.message.startswith("edema: File size alone: AUROC 0.")
    assert "Found for 1 of 3 findings" in found.message
    assert set(found.numbers["findings"]) == set(NAMES)
    assert found.numbers["pooled"] == found.numbers["findings"]["edema"]["pooled"]


def test_an_unknown_finding_is_left_out_of_its_own_question_only(several_findings):
    data = many(several_findings)
    values = data.labels.copy()
    unknown = np.random.default_rng(1).random(len(data)) < 0.5
    values[unknown, 1] = -1
    # among images whose edema is unknown, large files mean nothing; where it is known they mean edema
    size = np.where(values[:, 1] == 1, 90_000, 30_000)
    found = found_in(shortcuts(many(several_findings, values=values, bytes=size)))["A-SHORT-01"]
    assert found.numbers["findings"]["edema"]["pooled"]["value"] == pytest.approx(1)
    assert f"{int((~unknown).sum())} images" in found.message


def test_drift_of_one_finding_is_told_with_the_images_where_it_is_known(several_findings):
    data = many(several_findings, 1000)
    values = data.labels.copy()
    test = data.splits == "test"
    values[test, 2] = np.random.default_rng(2).random(test.sum()) < 0.7
    values[np.flatnonzero(test)[:50], 2] = -1
    found = found_in(splits(many(several_findings, 1000, values=values)))["A-SPLIT-04"]
    assert found.severity == "warning"
    assert found.message.startswith("nodule: ")
    assert "of 150 in test" in found.message
    assert "Found for 1 of 3 findings." in found.message
    assert [row["class"] for row in found.numbers["classes"]] == list(NAMES)
    row = found.numbers["classes"][2]
    known = values[test, 2][values[test, 2] >= 0]
    assert row["other"] == pytest.approx(known.mean())
    assert row["low"] < row["difference"] < row["high"]


def test_a_finding_that_test_lacks_is_a_warning_and_is_named(several_findings):
    data = many(several_findings)
    values = data.labels.copy()
    values[data.splits == "test", 0] = 0
    found = found_in(splits(many(several_findings, values=values)))
    assert (found["A-SPLIT-02"].severity, found["A-SPLIT-02"].count, found["A-SPLIT-02"].total) == ("warning", 1, 18)
    assert "mass in test" in found["A-SPLIT-02"].message
    assert found["A-SPLIT-08"].severity == "not_applicable"


def test_prevalence_is_of_the_images_where_a_finding_is_known(several_findings):
    data = many(several_findings, 300)
    values = data.labels.copy()
    values[:100, 0] = -1
    data = many(several_findings, 300, values=values)
    found = found_in(splits(data))["A-SPLIT-06"]
    assert f"mass {(values[:, 0] == 1).sum()} of 200 (" in found.message
    assert found.numbers["unknown"] == {"mass": 100, "edema": 0, "nodule": 0}
    assert found.numbers["counts"] == data.manifest.counts()


def test_a_wrong_label_of_one_finding_is_found(several_findings):
    data = many(several_findings)
    rng = np.random.default_rng(0)
    features = np.concatenate([3.0 * data.labels, rng.normal(0, 1, (len(data), 5))], axis=1)
    features = (features + rng.normal(0, 0.3, features.shape)).astype(np.float32)
    values = data.labels.copy()
    values[:6, 1] = 1 - values[:6, 1]
    found = found_in(suspects(many(several_findings, values=values, features=features)))["A-LABEL-01"]
    assert found.message.startswith("edema: 6 of 600 labels")
    assert {item[0] for item in found.items} == set(data.paths[:6])
    assert {item[1:] for item in found.items} <= {("edema", "no edema"), ("no edema", "edema")}


def test_gray_values_are_those_of_all_images_and_of_the_most_frequent_findings(several_findings):
    data = many(several_findings, 120)
    drawn = mean_histograms(data)["train"]
    assert list(drawn) == [ALL_IMAGES, *NAMES]
    chosen = (data.splits == "train") & (data.labels[:, 1] == 1)
    assert drawn["edema"] == pytest.approx(data.glances.histograms[chosen].mean(axis=0), abs=1e-5)


def test_the_quick_checks_of_a_study_work_on_several_findings(several_findings):
    findings, _ = run_checks(many(several_findings, 300), CHEAP)
    assert {f.code for f in findings} >= {"A-DUP-03", "A-SPLIT-06", "A-PHI-01"}
