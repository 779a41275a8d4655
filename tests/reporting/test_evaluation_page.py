"""The page of an evaluation: what it says of good and poor models, that it loads nothing, and never overclaims."""

from __future__ import annotations

import copy
import csv
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xenograft.cli.main import main
from xenograft.reporting import evaluation_page, evaluation_words
from xenograft.reporting.comparison_words import compared
from xenograft.reporting.evaluation_differences import differences
from xenograft.reporting.evaluation_view import EvaluationView, short_names
from xenograft.reporting.figures.decision import harms, helps
from xenograft.study.evaluated import evaluate_tables
from xenograft.study.scored import Scored

HOSTILE = '<img src=x onerror="alert(1)">'
BINARY = ("normal", "pneumonia")
SECTIONS = ("good", "differ", "trust", "gain", "abstain", "predictive", "conduct")


def scored(
    name: str, skill: float, *, classes: Sequence[str] = BINARY, who: str = "t", tilt: float = 0.0, known: bool = True
) -> Scored:
    """300 images of 150 patients; `tilt` moves the scores of the last class, and of nobody else's truth."""
    count, size = 300, len(classes)
    labels = np.random.default_rng(sum(map(ord, who))).integers(0, size, count)
    noise = np.random.default_rng(sum(map(ord, name + who))).normal(size=(count, size))
    noise[np.arange(count), labels] += skill
    noise[:, -1] += tilt
    odds = np.exp(noise)
    ids = tuple(f"{who}{k}" for k in range(count))
    return Scored(
        name=name,
        sha256="ab" * 32,
        classes=tuple(classes),
        ids=ids,
        labels=labels,
        patients=np.array([f"{who}-{k // 2}" if known else ids[k] for k in range(count)]),
        probabilities=odds / odds.sum(axis=1, keepdims=True),
        patients_known=known,
    )


def made(tables: Sequence[Scored], validation: Sequence[Scored] = (), **options: Any) -> dict[str, Any]:
    return {
        "command": "xenograft evaluate a.csv",
        "program": "xenograft 0",
        **evaluate_tables(tables, validation, resamples=60, **options),
    }


@pytest.fixture(scope="module")
def full() -> dict[str, Any]:
    skills = {"good.csv": 2.5, "fair.csv": 1.2, "alike.csv": 1.2}
    tests = [scored(name, skill) for name, skill in skills.items()]
    validation = [scored(name, skill, who="v") for name, skill in skills.items()]
    return made(tests, validation, prevalence=0.5, margin=0.02)


@pytest.fixture(scope="module")
def several() -> dict[str, Any]:
    classes = ("normal", "bacteria", "virus")
    tests = [scored(name, skill, classes=classes) for name, skill in (("a.csv", 0.5), ("b.csv", 2.5))]
    validation = [scored(name, skill, classes=classes, who="v") for name, skill in (("a.csv", 0.5), ("b.csv", 2.5))]
    return made(tests, validation)


@pytest.fixture(scope="module")
def single() -> dict[str, Any]:
    return made([scored("lone.csv", 1.5, known=False)])


def text(record: dict[str, Any], folder: Path) -> str:
    return evaluation_page.write(record, folder).page.read_text(encoding="utf-8")


def words_of(html: str) -> str:
    body = re.sub(r"<svg.*?</svg>|<style>.*?</style>", " ", html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))


class Loads(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.loads: list[str] = []
        self.handlers: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(str(value))
            if name.startswith("on"):
                self.handlers.append(name)
            if name in {"src", "srcset", "data", "xlink:href", "href", "action", "poster"}:
                self.loads.append(str(value))


def parsed(html: str) -> Loads:
    found = Loads()
    found.feed(html)
    return found


@pytest.fixture(scope="module")
def findings() -> dict[str, Any]:
    rows = [shown_findings(name, skill) for name, skill in (("one.csv", 2.0), ("two.csv", 0.7))]
    return made(rows, [shown_findings(name, 1.5, who="v") for name in ("one.csv", "two.csv")])


def shown_findings(name: str, skill: float, *, who: str = "t") -> Scored:
    """300 images of 150 patients with three findings, the last of them rare; some labels are unknown."""
    plain = scored(name, 0.0, who=who)
    rng = np.random.default_rng(sum(map(ord, who)))
    labels = (rng.random((300, 3)) < [0.5, 0.3, 0.1]).astype(np.int64)
    noise = np.random.default_rng(sum(map(ord, name + who))).normal(size=(300, 3))
    probabilities = 1 / (1 + np.exp(-(skill * (2 * labels - 1) + noise)))
    labels[rng.random((300, 3)) < 0.05] = -1
    sex = np.array(["FM"[k // 2 % 2] for k in range(300)])
    return replace(
        plain, classes=("Effusion", "Mass", "Hernia"), labels=labels, probabilities=probabilities, groups={"sex": sex}
    )


KINDS = ["full", "several", "single", "findings"]


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_one_file_that_loads_nothing(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    html = text(request.getfixturevalue(kind), tmp_path)
    found = parsed(html)
    assert "script" not in found.tags
    assert not found.handlers
    assert all(target.startswith("#") for target in found.loads)
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)


@pytest.mark.parametrize("kind", KINDS)
def test_every_section_is_there_and_every_anchor_leads_somewhere(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    found = parsed(text(request.getfixturevalue(kind), tmp_path))
    assert [name for name in found.ids if name in SECTIONS] == list(SECTIONS)
    assert len(set(found.ids)) == len(found.ids)
    assert {target.removeprefix("#") for target in found.loads} <= set(found.ids)


def test_two_classes_with_validation_have_all_figures_and_tables(full: dict[str, Any], tmp_path: Path) -> None:
    found = parsed(text(full, tmp_path))
    figures = {"figure-reliability", "figure-decision", "figure-coverage"}
    tables = {"results", "areas", "chosen", "differences", "tests", "calibration", "answered", "cuts", "sets"}
    assert figures | {f"table-{name}" for name in (*tables, "predictive")} <= set(found.ids)
    assert found.tags.count("svg") == 3 * len(full["models"]) + len(full["comparisons"])


def test_several_classes_have_no_reliability_but_each_class(several: dict[str, Any], tmp_path: Path) -> None:
    html = text(several, tmp_path)
    found = parsed(html)
    assert "figure-coverage" in found.ids
    assert "table-classes" in found.ids
    assert not {"figure-reliability", "figure-decision", "table-predictive", "table-areas"} & set(found.ids)
    assert "A reliability diagram is drawn for two classes only" in html


def test_without_validation_what_lacks_is_named(single: dict[str, Any], tmp_path: Path) -> None:
    said = words_of(text(single, tmp_path))
    for missing in (
        "Validation tables: not supplied",
        "Threshold chosen on validation: not supplied",
        "Recalibration: not supplied",
        "A cut-off for abstaining: not supplied",
        "Prediction sets: not supplied",
        "Prevalence: not supplied",
        "A second model to compare with: not supplied",
    ):
        assert missing in said


def test_images_as_their_own_patients_are_said_first_and_in_every_caption(
    single: dict[str, Any], full: dict[str, Any], tmp_path: Path
) -> None:
    html = text(single, tmp_path)
    assert html.index("No patients are named") < html.index("In short")
    assert "patients as clusters; at" not in html
    captions = re.findall(r"(?:<figcaption>|class=\"caption\").*?(?:</figcaption>|</div>)", html, flags=re.DOTALL)
    assert len(captions) == 8
    for caption in captions:
        assert "300 images, each counted as a patient of its own because none are named" in caption
    for caption in re.findall(r"<figcaption>.*?</figcaption>", text(full, tmp_path / "known"), flags=re.DOTALL):
        assert "300 images of 150 patients" in caption
        assert "95 % interval" in caption


def test_numbers_on_the_page_are_those_of_the_record(full: dict[str, Any], tmp_path: Path) -> None:
    said = words_of(text(full, tmp_path))
    for model, name in zip(full["models"], ("good", "fair", "alike"), strict=True):
        area = model["auroc"]["patients_as_clusters"]
        interval = f"{area['value']:.3f} (95 % interval {area['low']:.3f}–{area['high']:.3f})"
        assert re.search(rf"{name}\s*: AUROC {re.escape(interval)}, patients as clusters", said)
        card = model["scorecard"]["policies"]["fixed"]
        (_, _), (missed, hit) = card["confusion"]
        assert f"{hit} of {hit + missed}" in said
        assert f"{model['thresholds']['youden']:.3f}, chosen on validation" in said
    for pair in full["comparisons"]:
        assert f"{pair['clustered_delong']['difference']:+.3f}".replace("-", "−") in said


def test_a_difference_is_told_with_its_adjusted_p_and_none_is_never_called_equal(full: dict[str, Any]) -> None:
    shown, unshown, margin = compared(EvaluationView.of(full))
    assert shown.startswith("AUROC differs (Obuchowski's test, patients as clusters, p adjusted by Holm for 3 comparis")
    assert "good above fair" in shown
    assert "good above alike" in shown
    assert unshown.startswith("No difference of AUROC is shown between fair and alike")
    assert unshown.endswith("That is not evidence that they are equal.")
    assert "good against fair: superior" in margin
    adjusted = next(pair["adjusted_p"] for pair in full["comparisons"] if pair["a"] == "fair.csv")
    assert f"p = {adjusted:.3f}" in unshown.replace("\u00a0", " ")


def test_significance_is_judged_after_adjustment(full: dict[str, Any]) -> None:
    record = copy.deepcopy(full)
    for pair in record["comparisons"]:
        pair["clustered_delong"]["p"], pair["adjusted_p"] = 0.02, 0.06
    assert not any("AUROC differs" in sentence for sentence in compared(EvaluationView.of(record)))


def test_several_classes_are_compared_by_bootstrap_and_its_resolution_is_said(
    several: dict[str, Any], tmp_path: Path
) -> None:
    (sentence,) = compared(EvaluationView.of(several))
    assert sentence.startswith("Mean AUROC differs (paired bootstrap, whose p cannot be below 2/61 before adjusting, ")
    assert sentence.endswith("b above a (p\u00a0=\u00a00.033).")
    said = words_of(text(several, tmp_path))
    assert "cannot be below 2 / (60 + 1) = 0.033" in said
    kappa = several["models"][0]["overall"]["argmax"]["agreement"]["kappa"]["value"]
    assert f"{kappa:.3f}" in said


def test_findings_are_told_one_by_one(findings: dict[str, Any], tmp_path: Path) -> None:
    html = text(findings, tmp_path)
    said, found = words_of(html), parsed(html)
    ids = {"findings", "thresholds", "overall", "chosen", "finding-differences", "calibration", "subgroups"}
    assert {f"table-{name}" for name in ids} | {"figure-findings", "figure-reliability"} <= set(found.ids)
    assert not {"figure-decision", "figure-coverage", "table-tests", "table-areas"} & set(found.ids)
    for k, name in enumerate(findings["classes"]):
        entry = findings["models"][0]["findings"][str(k)]
        assert f"{entry['auroc']['patients_as_clusters']['value']:.3f}" in said
        assert f"{entry['positive']} {100 * entry['positive'] / entry['n']:.1f} %" in said
        assert name in said
    assert "over 3 findings; highest for" in said
    assert "adjusted by Holm for all 3" in said
    assert said.count("--finding &#39;Effusion&#39;") == 3
    assert "one: after Holm, a gap of AUROC to all other images is shown for no group." in said


def test_tables_and_figures_lie_beside_the_page(full: dict[str, Any], findings: dict[str, Any], tmp_path: Path) -> None:
    made = evaluation_page.write(full, tmp_path)
    assert [path.name for path in made.tables] == ["results.csv", "calibration.csv", "comparisons.csv"]
    tables = {path.name for path in (tmp_path / "tables").iterdir()}
    assert {f"table-{name}.{end}" for name in ("results", "sets", "comparisons") for end in ("csv", "tex")} <= tables
    figures = {f"figure-{name}.{end}" for name in ("reliability", "decision", "coverage") for end in ("svg", "pdf")}
    assert {path.name for path in (tmp_path / "figures").iterdir()} == figures
    assert (tmp_path / "figures" / "figure-decision.pdf").read_bytes().startswith(b"%PDF")
    with (tmp_path / "results.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row, model in zip(rows[::2], full["models"], strict=True):
        entry = model["scorecard"]["policies"]["fixed"]["metrics"]["auroc"]
        assert float(row["auroc"]) == pytest.approx(entry["value"], abs=1e-6)
        assert float(row["auroc_high"]) == pytest.approx(entry["high"], abs=1e-6)
    assert [row["model"] for row in rows] == ["good", "good", "fair", "fair", "alike", "alike"]
    (tmp_path / "tables" / "mine.csv").write_text("mine")
    evaluation_page.write(findings | {"comparisons": []}, tmp_path)  # over the old one: what is gone, goes
    assert not (tmp_path / "comparisons.csv").exists()
    assert (tmp_path / "subgroups.csv").exists()
    assert (tmp_path / "tables" / "mine.csv").exists()
    assert {path.name.partition(".")[0] for path in (tmp_path / "figures").iterdir()} == {
        "figure-findings", "figure-reliability",
    }  # fmt: skip


def test_long_tables_are_folded(findings: dict[str, Any], tmp_path: Path) -> None:
    assert "<details>" not in text(findings, tmp_path / "a")
    record = copy.deepcopy(findings)
    record["classes"] = [f"f{k}" for k in range(14)]
    record["counts"] = record["known"] = dict.fromkeys(record["classes"], 50)
    for model in record["models"]:
        model["findings"] = {str(k): model["findings"]["0"] for k in range(14)}
        model["subgroups"] = None
        model["scorecard"]["per_class"] = {str(k): model["scorecard"]["per_class"]["0"] for k in range(14)}
        for policy in model["scorecard"]["policies"].values():
            policy["per_class"] = {str(k): policy["per_class"]["0"] for k in range(14)}
            policy["confusion"] = [policy["confusion"][0]] * 14
            policy["threshold"] = [0.5] * 14
    for pair in record["comparisons"]:
        pair["findings"] = {str(k): pair["findings"]["0"] for k in range(14)}
    html = text(record, tmp_path / "b")
    assert "All 56 rows" in html
    assert len(html) < 5e6


def test_a_test_set_unlike_validation_is_told_first(full: dict[str, Any]) -> None:
    calm = evaluation_words.in_short(EvaluationView.of(full))
    assert not any("unlike validation" in sentence for _, sentence in calm)
    tilted = made([scored("m.csv", 2.5, tilt=2.5)], [scored("m.csv", 2.5, who="v")])
    view = EvaluationView.of(tilted)
    warning = evaluation_words.in_short(view)[-1][1]
    assert warning.startswith("Test looks unlike validation.")
    assert "specificity at a chosen threshold of m" in warning
    assert "the prediction sets of m" in warning
    assert "too high as a whole" in str(evaluation_page.tables_of(view)["calibration"])


def test_ranges_where_a_decision_gains_are_read_from_the_interval() -> None:
    grid = [0.1, 0.2, 0.3, 0.4, 0.5]
    curve = {
        "grid": grid,
        "model_over_default": {"low": [None, 0.1, 0.2, 0.0, 0.1], "high": [None, 1, 1, -0.1, 1]},
    }
    assert helps(curve) == [(0.2, 0.3), (0.5, 0.5)]
    assert harms(curve) == [(0.4, 0.4)]


def test_an_interval_without_width_is_not_printed_as_one(full: dict[str, Any], tmp_path: Path) -> None:
    record = copy.deepcopy(full)
    entry = record["models"][0]["scorecard"]["policies"]["fixed"]["metrics"]["f1"]
    entry.update(value=1.0, low=1.0, high=1.0)
    html = text(record, tmp_path)
    assert "1.000–1.000" not in html
    assert "no interval*" in html


def test_the_forest_lies_where_its_numbers_say(full: dict[str, Any]) -> None:
    found = differences(EvaluationView.of(full))
    assert found is not None
    ticks = {label: at for at, label in found["ticks"]}
    assert ticks["0"] == found["zero"]
    for row in found["rows"]:
        low, value, high = row["places"]
        assert 0 <= low <= value <= high <= 1000
        assert (value > found["zero"]) == (row["value"] > 0)
    assert found["margin"] < found["zero"]


def test_subgroups_are_shown_with_their_gaps_and_small_ones_named(tmp_path: Path) -> None:
    table = scored("m.csv", 1.5)
    odd = np.array([int(p.split("-")[1]) % 2 for p in table.patients])
    sex = np.where(odd == 1, "F", "M")
    sex[:4] = HOSTILE
    record = made([replace(table, groups={"sex": sex})])
    html = text(record, tmp_path)
    assert "table-subgroups" in parsed(html).ids
    levels = record["models"][0]["subgroups"]["groups"]["sex"]["levels"]
    gap = levels["F"]["policies"]["fixed"]["gap"]["auroc"]
    assert f"{gap['difference']:+.3f}".replace("-", "−") in html
    assert "img" not in parsed(html).tags
    assert "too few" in html


def test_hostile_names_are_text(tmp_path: Path) -> None:
    classes = ("normal", HOSTILE)
    tests = [scored(f"{HOSTILE}{k}\u202e\n.csv", 1.0 + k, classes=classes) for k in range(2)]
    record = made(tests, [scored(table.name, 1.0, classes=classes, who="v") for table in tests], prevalence=0.1)
    record["command"] = f"xenograft evaluate '{HOSTILE}'"
    record["notices"] = [HOSTILE]
    html = text(record, tmp_path)
    found = parsed(html)
    assert "img" not in found.tags
    assert not found.handlers
    assert "\u202e" not in html
    assert "&lt;img" in html


def test_the_same_record_gives_the_same_bytes_in_little_time(full: dict[str, Any], tmp_path: Path) -> None:
    first = text(full, tmp_path / "a")
    start = time.process_time()
    second = text(full, tmp_path / "b")
    assert time.process_time() - start < 5
    assert first == second


def test_the_verb_writes_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = scored("m.csv", 1.5)
    lines = [
        f"{i},{BINARY[k]},{p[1]:.6f}" for i, k, p in zip(table.ids, table.labels, table.probabilities, strict=True)
    ]
    (tmp_path / "m.csv").write_text("\n".join(["id,label,score", *lines]), encoding="utf-8")
    assert main(["evaluate", str(tmp_path / "m.csv"), "--resamples", "40", "-o", str(tmp_path / "out")]) == 0
    html = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "No patients are named" in html
    assert "open this page in a browser" in capsys.readouterr().out.splitlines()[-1]


def test_names_lose_only_the_ending_they_share() -> None:
    assert short_names(["a-probe-s0/predictions.parquet", "b-probe-s0/predictions.parquet"]) == ("a", "b")
    assert short_names(["ours.csv", "theirs.csv"]) == ("ours", "theirs")
    assert short_names(["x/a.csv", "a.csv"]) == ("x/a", "a")
    assert short_names(["a.csv", "-a.csv"]) == ("a", "-a")
    assert short_names(["run.v2.csv"]) == ("run.v2",)


def test_gaps_between_subgroups_are_named_once_and_only_after_holm(findings: dict[str, Any]) -> None:
    record = copy.deepcopy(findings)
    entry = record["models"][0]["subgroups"]["groups"]["sex"]["levels"]["F"]["findings"]["1"]
    entry["policies"]["fixed"]["gap"]["auroc"].update(difference=-0.2, p=0.001, p_holm=0.012)
    first, second = evaluation_words.gaps(EvaluationView.of(record))
    assert first.endswith("is shown for sex: F, Mass (\u22120.200, p\u00a0=\u00a00.012).")
    assert second.endswith("is shown for no group.")


def test_miscalibrated_findings_are_named_or_counted(findings: dict[str, Any]) -> None:
    record = copy.deepcopy(findings)
    for k, slope in (("0", 0.4), ("1", 0.5), ("2", 1.0)):
        metrics = record["models"][0]["findings"][k]["calibration"]["metrics"]
        metrics["slope"].update(value=slope, low=slope - 0.1, high=slope + 0.1)
        metrics["in_the_large"].update(value=0.0, low=-0.1, high=0.1)
    assert evaluation_words.trust(EvaluationView.of(record))[0].startswith("one: too extreme for Effusion and Mass;")


def test_a_rule_that_no_threshold_reaches_is_said(full: dict[str, Any]) -> None:
    said = evaluation_words.choices(EvaluationView.of(full | {"rule": "sensitivity=0.99"}))
    assert "No threshold with a sensitivity of at least 0.99 was found for good, fair and alike" in said
