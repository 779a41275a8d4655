"""Evidence of the run that stands for the chosen arm, from predictions on disk."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from xenograft.evaluation.recalibration import Platt
from xenograft.evaluation.rules import parse_rule
from xenograft.evaluation.scorecard import scorecard
from xenograft.evaluation.threshold import thresholds_for
from xenograft.study.chosen import arms_of
from xenograft.study.evaluated import evaluate_tables
from xenograft.study.evidence import evidence, standing_for, subgroups_of
from xenograft.study.record import Predictions, RunRecord, Study, StudyRecord, write_predictions
from xenograft.study.scored import Scored

N = 240
TEST, VAL = np.arange(120), np.arange(120, N)
IDS = np.array([f"i{k:03}" for k in range(N)])
PATIENTS = np.array([f"p{k // 2:03}" for k in range(N)])
TWO = np.arange(N) // 2 % 2
FACTS = [
    {"sex": "F" if k % 4 < 2 else "M", "age": str(20 + k % 70), "view": "PA", "site": f"s{k}", "name": "x"}
    for k in range(N)
]


def table(labels: NDArray[np.int64], skill: float, key: list[int]) -> NDArray[np.float64]:
    noise = np.random.default_rng(key).normal(size=(N, 3))
    if labels.ndim == 2:
        return 1 / (1 + np.exp(-(skill * (2 * labels - 1) + noise[:, : labels.shape[1]])))
    raw = np.exp(skill * np.eye(labels.max() + 1)[labels] + noise[:, : labels.max() + 1])
    return raw / raw.sum(axis=1, keepdims=True)


def make(
    folder: Path,
    labels: NDArray[np.int64] = TWO,
    *,
    folds: tuple[int | None, ...] = (None,),
    facts: list[dict[str, Any]] = FACTS,
    rule: str | None = None,
    leak: bool = False,
    known: bool = True,
) -> Study:
    """probe and scratch, two seeds a fold; validation rates the last fold nearest the median."""
    folder.mkdir(parents=True, exist_ok=True)
    told = [json.dumps(fact) for fact in facts]
    pq.write_table(
        pa.table({"id": IDS.tolist(), "acquisition": told, "path": IDS.tolist()}), folder / "manifest.parquet"
    )
    runs = []
    for (recipe, skill), fold, seed in product((("probe", 1.5), ("scratch", 0.7)), folds, (0, 1)):
        name = f"{recipe}-{fold}-{seed}"
        (folder / "runs" / name).mkdir(parents=True)
        answers = table(labels, skill, [len(recipe), fold or 0, seed])
        owner = PATIENTS.copy()
        if leak:
            owner[VAL[:10]] = owner[TEST[:10]]
        found = {
            split: Predictions(IDS[at], labels[at], owner[at], answers[at], split)
            for split, at in (("test", TEST), ("val", VAL))
        }
        write_predictions(folder / "runs" / name / "predictions.parquet", found)
        last = fold in (None, folds[-1])
        auroc = 0.8 if last else 0.9 if seed else 0.7
        card = {"policies": {"fixed": {"metrics": {"auroc": {"value": auroc}, "accuracy": {"value": 0.5}}}}}
        runs.append(
            RunRecord(
                id=name,
                backbone="net",
                recipe=recipe,
                seed=seed,
                lr_scale=1.0,
                transfer=recipe == "probe",
                settings={},
                weights=None,
                preprocess={},
                engine={},
                history=[],
                best_epoch=0,
                thresholds={"fixed": 0.5},
                validation=card,
                test={},
                test_opened="",
                timings={},
                peak_memory_mb=0.0,
                created="",
                fold=fold,
            )
        )
    classes = ["normal", "ill", "other"][: labels.shape[1] if labels.ndim == 2 else labels.max() + 1]
    data = {"multi_label": labels.ndim == 2, "patients_known": known, "leak_allowed": leak}
    record = StudyRecord("", "", "", {"recipes": ["probe", "scratch"], "operating_point": rule}, classes, data, {})
    return Study(folder, record, tuple(runs))


def found(study: Study) -> dict[str, Any]:
    record = evidence(study, standing_for(arms_of(study.runs)), resamples=100)
    kept: dict[str, Any] = json.loads(json.dumps(record, allow_nan=False))  # as it will be read again
    return kept


def test_the_reference_is_of_the_same_fold(tmp_path: Path) -> None:
    study = make(tmp_path, folds=(0, 1, 2))
    runs = standing_for(arms_of(study.runs))
    assert [(run.recipe, run.fold) for run in runs] == [("probe", 2), ("scratch", 2)]
    arms = arms_of(study.runs)
    key = next(key for key in arms if key.recipe == "scratch")
    arms[key] = tuple(run for run in arms[key] if run.fold != 2)
    assert [run.recipe for run in standing_for(arms)] == ["probe"]
    del arms[key]
    assert [run.recipe for run in standing_for(arms)] == ["probe"]


def test_the_record_is_that_of_an_evaluation(tmp_path: Path) -> None:
    """But for the pairs, which a study compares over all its runs."""
    study = make(tmp_path)
    record = found(study)
    assert [run["id"] for run in record["runs"]] == ["probe-None-0", "scratch-None-0"]
    assert record["runs"][0]["recipe"] == "probe"
    tables = {
        split: [
            Scored.of_predictions(
                run["id"], study.record.classes, study.predictions(run["id"], split),
                groups=subgroups_of(study, IDS[TEST]) if split == "test" else None,
            )
            for run in record["runs"]
        ]
        for split in ("test", "val")
    }  # fmt: skip
    wanted = evaluate_tables(tables["test"], tables["val"], resamples=100)
    assert record["models"] == json.loads(json.dumps(wanted["models"]))
    assert record["comparisons"] == []
    for name in set(wanted) & set(record) - {"models", "comparisons", "notices"}:
        assert record[name] == wanted[name]
    assert set(wanted) - set(record) == {"adjusted"}


def test_what_is_fitted_is_fitted_on_validation(tmp_path: Path) -> None:
    study = make(tmp_path, rule="sensitivity=0.9")
    model = found(study)["models"][0]
    val = study.predictions("probe-None-0", "val")
    assert model["thresholds"] == thresholds_for(val.labels, val.probabilities, parse_rule("sensitivity=0.9"))
    assert model["recalibration"]["fitted"] == Platt.fit(val.labels, val.probabilities[:, 1]).as_json()
    assert set(model["chosen"]) == {"youden", "sensitivity=0.9"}
    assert model["validation"]["images"] == len(VAL)


def test_subgroups_are_what_acquisition_tells(tmp_path: Path) -> None:
    """One level is no subgroup; more than twenty are too many; only known facts are looked at."""
    study = make(tmp_path)
    groups = subgroups_of(study, IDS[[5, 0, 2]])
    assert groups["sex"].tolist() == ["F", "F", "M"]
    groups = subgroups_of(study, IDS[TEST])
    assert set(groups) == {"sex", "age"}
    ages = {int(fact["age"]) for fact in FACTS[:120]}
    assert len(ages) > 20
    assert 2 <= len(set(groups["age"].tolist())) <= 6
    card = found(study)["models"][0]["subgroups"]
    assert set(card["groups"]) == {"sex", "age"}
    assert set(card["groups"]["sex"]["levels"]) == {"F", "M"}
    women = TWO[TEST][groups["sex"] == "F"]
    assert card["groups"]["sex"]["levels"]["F"]["n"] == women.size


@pytest.mark.parametrize(
    ("ages", "wanted"),
    [
        (["old", "young", ""], {"age": ["old", "young", ""]}),
        (["7", "7", ""], {}),
        ([None, "", ""], {}),
        (["-3", "nan", "inf"], {}),
    ],
)
def test_ages_of_any_kind(tmp_path: Path, ages: list[Any], wanted: dict[str, list[str]]) -> None:
    facts = [{"age": ages[k]} if k < 3 and ages[k] is not None else {} for k in range(N)]
    groups = subgroups_of(make(tmp_path, facts=facts), IDS[:3])
    assert {name: levels.tolist() for name, levels in groups.items()} == wanted


@pytest.mark.parametrize("unknown", [None, "", "  "])
def test_an_unknown_fact_is_no_level(tmp_path: Path, unknown: Any) -> None:
    facts = [{"sex": ("F", "M", unknown)[k % 3]} for k in range(N)]
    assert subgroups_of(make(tmp_path, facts=facts), IDS[:4])["sex"].tolist() == ["F", "M", "", "F"]


def test_ages_become_bands(tmp_path: Path) -> None:
    facts = [{"age": str(5 if k % 2 else 70.5)} for k in range(N)]
    groups = subgroups_of(make(tmp_path, facts=facts), IDS[:4])
    assert len(set(groups["age"].tolist())) == 2
    assert not {"5", "70.5"} & set(groups["age"].tolist())


def test_a_study_without_facts_has_no_subgroups(tmp_path: Path) -> None:
    record = found(make(tmp_path, facts=[{}] * N, known=False))
    assert record["models"][0]["subgroups"] is None
    assert record["patients_known"] is False


def test_a_study_with_an_allowed_leak_is_measured(tmp_path: Path) -> None:
    record = found(make(tmp_path, leak=True))
    assert record["images"] == len(TEST)
    assert record["models"][0]["recalibration"] is not None


THREE = np.arange(N) // 2 % 3
FINDINGS = np.where(
    np.random.default_rng(0).random((N, 3)) < 0.2, -1, np.random.default_rng(1).integers(0, 2, size=(N, 3))
)


@pytest.mark.parametrize("labels", [TWO, THREE, FINDINGS], ids=["two", "three", "findings"])
def test_counts_and_sizes(labels: NDArray[np.int64], tmp_path: Path) -> None:
    record = found(make(tmp_path, labels))
    test = labels[TEST]
    assert list(record["counts"].values()) == [
        int((test[:, k] == 1).sum() if labels.ndim == 2 else (test == k).sum()) for k in range(len(record["classes"]))
    ]
    assert (record["images"], record["patients"], record["validation_patients"]) == (120, 60, 60)
    assert record["multi_label"] is (labels.ndim == 2)
    assert len(record["models"]) == 2


@pytest.mark.parametrize("split", [TEST, VAL])
@pytest.mark.parametrize("value", [0, 1, -1])
def test_a_finding_that_a_split_has_nothing_of_is_measured_as_far_as_it_goes(
    split: NDArray[np.intp], value: int, tmp_path: Path
) -> None:
    labels = FINDINGS.copy()
    labels[split, 1] = value
    record = found(make(tmp_path, labels))
    model = record["models"][0]
    assert model["findings"]["0"]["auroc"] is not None
    # what is drawn of a finding is there for each that is named
    assert len(record["classes"]) == len(model["findings"]) == (2 if split is TEST else 3)
    assert all(entry["reliability"] is not None for entry in model["findings"].values())
    assert len(record["notices"]) == (split is TEST)
    assert len(record["choices"]["classes"]) == 3


def test_nothing_is_said_where_no_finding_can_be_measured(tmp_path: Path) -> None:
    labels = FINDINGS.copy()
    labels[TEST] = 0
    assert found(make(tmp_path, labels)) is None


@pytest.mark.parametrize("split", [TEST, VAL])
def test_a_class_that_a_split_has_no_image_of_is_measured_as_far_as_it_goes(
    split: NDArray[np.intp], tmp_path: Path
) -> None:
    """Folds of few patients may hold none of a rare class whose images are their patients' second ones."""
    for name, labels in (("two", TWO), ("three", THREE)):
        lacking = labels.copy()
        lacking[split] = np.where(labels[split] == 1, 0, labels[split])
        lacking[N - 1 if split is TEST else 0] = labels.max()  # or the classes of the study would be fewer
        record = found(make(tmp_path / name, lacking))
        assert record["models"][0]["scorecard"]["policies"]


def test_intervals_are_those_of_the_runs_record(tmp_path: Path) -> None:
    study = make(tmp_path)
    run = next(run for run in study.runs if run.seed == 1)
    test = study.predictions(run.id, "test")
    given = (test.labels, test.probabilities, test.patients)
    rng = np.random.default_rng([run.seed, len(test.ids)])
    val = study.predictions(run.id, "val")
    own = scorecard(*given, thresholds=thresholds_for(val.labels, val.probabilities), resamples=100, rng=rng)
    record = evidence(study, (run,), resamples=100)
    assert record is not None
    metrics = record["models"][0]["scorecard"]["policies"]["fixed"]["metrics"]
    assert metrics["auroc"] == own["policies"]["fixed"]["metrics"]["auroc"]
    assert record["seed"] == 1
