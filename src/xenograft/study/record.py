"""Runs and studies on disk: the only thing a report reads. Records hold facts; they never draw or judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from xenograft.data.label_sets import MISSING
from xenograft.errors import DataError, printable
from xenograft.storage import atomic_path, read_json, write_json

RECORD_VERSION = 3
Json = dict[str, Any]
Thresholds = dict[str, float | list[float]]


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One finished training run: one backbone, one recipe, one seed, one learning-rate scale.

    Args:
        id: folder name below ``runs/``; unique in the study.
        transfer: whether pretrained weights were used (solid lines; scratch and random are dashed).
        settings: the recipe's fields as they ran, after every override.
        weights: ``file``, ``sha256``, ``origin``, ``licence``; None where the weights are random.
        preprocess: the Preprocess record as a mapping.
        engine: ``name``, ``precision``, ``device``.
        history: one mapping per epoch: ``epoch`` (from 1), ``train_loss``, ``train_accuracy``, ``val_loss``,
            ``val_accuracy``, ``val_f1``, ``val_auroc``; empty for heads that are solved in one go.
        best_epoch: the epoch validation chose; 0 where there are no epochs.
        thresholds: ``fixed`` (0.5) and, for two classes, ``youden`` (chosen on validation; absent if it was too small);
            for findings, ``youden`` is a list, one for each.
        validation, test: scorecards, see `xenograft.evaluation.scorecard`.
        test_opened: ISO time at which the test split was first read by this run, after every choice.
        timings: seconds for ``read``, ``embed``, ``fit``, ``evaluate``.
        peak_memory_mb: highest resident memory of the process so far, in MiB.
        fingerprint: hash of everything the run depends on; a run with another one is never taken for this one.
        fold: of cross-validation, from 0; None without it.
    """

    id: str
    backbone: str
    recipe: str
    seed: int
    lr_scale: float
    transfer: bool
    settings: Json
    weights: Json | None
    preprocess: Json
    engine: Json
    history: list[Json]
    best_epoch: int
    thresholds: Thresholds
    validation: Json
    test: Json
    test_opened: str
    timings: dict[str, float]
    peak_memory_mb: float
    created: str
    notices: list[Json] = field(default_factory=list)
    fingerprint: str = ""
    fold: int | None = None
    version: int = RECORD_VERSION

    @classmethod
    def from_json(cls, value: Mapping[str, Any], source: Path) -> Self:
        """Build from a mapping; DataError when fields are missing or the version is another."""
        return cls(**_checked(cls, value, source))


@dataclass(frozen=True, slots=True)
class StudyRecord:
    """What a whole study was: data, configuration, machine, and what its finished runs together show.

    An *arm* is one backbone, recipe and learning-rate scale: ``{"backbone", "recipe", "lr_scale"}``.

    Args:
        title: one line for a page's heading.
        command: the command line that makes the study again.
        config: StudyConfig as a mapping.
        classes: class names in index order; for two classes the second is the positive one. Of findings, any number may
            be present in one image.
        data: ``name``, ``catalog`` (name or None), ``synthetic``, ``leak_allowed``, ``manifest_sha256``, ``counts``
            (`Manifest.counts`), ``sizes`` (`Manifest.sizes`), ``multi_label`` (whether the classes are findings),
            ``patient_rule``, ``split_rule``, ``skipped``
            ([{"path", "code", "reason"}]), ``notices`` ([{"code", "message", "count", "items"}]),
            ``facts`` (sentences that every report on this data set must carry),
            ``examples`` ({class: [file below the study folder, ...]}), ``audit`` (`xenograft.auditing.record.summary`),
            ``baseline`` (`xenograft.study.baseline`; None until the runs are finished),
            ``folds`` (`xenograft.study.folding.facts`; None without cross-validation).
        environment: ``python``, ``platform``, ``cpu``, ``cores``, ``memory_gb``, ``gpu``, ``packages``.
        arms: an arm's results over its seeds and folds, see `xenograft.study.comparing`.
        comparisons: paired differences on test between arms, see `xenograft.study.comparing`.
        ensembles: averaged answers of several runs, see `xenograft.study.ensembles`.
        evidence: `xenograft.study.evidence`: calibration, abstention, subgroups of the arm that validation chose, and
            of what it is compared with. failures: `xenograft.study.failures`, its most confident mistakes on test.
        robustness: `xenograft.study.robustness` of the same run; None where it was not asked for.
        seconds: wall-clock time of the study, all sessions together.
    """

    title: str
    command: str
    created: str
    config: Json
    classes: list[str]
    data: Json
    environment: Json
    arms: list[Json] = field(default_factory=list)
    comparisons: list[Json] = field(default_factory=list)
    ensembles: list[Json] = field(default_factory=list)
    evidence: Json | None = None
    failures: Json | None = None
    robustness: Json | None = None
    seconds: float = 0.0
    version: int = RECORD_VERSION

    @classmethod
    def from_json(cls, value: Mapping[str, Any], source: Path) -> Self:
        """Build from a mapping; DataError when fields are missing or the version is another."""
        return cls(**_checked(cls, value, source))


@dataclass(frozen=True, slots=True)
class Predictions:
    """Scores of one run on one split.

    Args:
        ids: image ids, N of them. split: which they are of; what chooses refuses ``test``.
        labels: (N,) class index, or (N, L) findings: 1 present, 0 absent, -1 unknown.
        patients: (N,) patient keys.
        probabilities: (N, C), each row sums to one, or (N, L), one for each finding.
    """

    ids: NDArray[np.str_]
    labels: NDArray[np.int64]
    patients: NDArray[np.str_]
    probabilities: NDArray[np.float64]
    split: str


@dataclass(frozen=True, slots=True)
class Study:
    """A study folder, read: its record and its finished runs, in the order of their ids."""

    folder: Path
    record: StudyRecord
    runs: tuple[RunRecord, ...]

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read `folder`.

        Raises:
            DataError: there is no study, or a record is damaged.
        """
        folder = Path(folder)
        source = folder / "study.json"
        if not source.is_file():
            raise DataError(f"{printable(folder)} holds no study.json; give a folder made by compare", code="E-DATA-03")
        record = StudyRecord.from_json(read_json(source), source)
        runs = tuple(RunRecord.from_json(read_json(path), path) for path in sorted(folder.glob("runs/*/run.json")))
        return cls(folder, record, runs)

    def predictions(self, run_id: str, split: str) -> Predictions:
        """Predictions of one run on ``val`` or ``test``."""
        return read_predictions(self.folder / "runs" / run_id / "predictions.parquet", split)


def write_run(folder: Path, record: RunRecord) -> None:
    """Write ``run.json``; a run exists from this moment on, so it is written last."""
    write_json(folder / "run.json", asdict(record))


def write_study(folder: Path, record: StudyRecord) -> None:
    """Write ``study.json``."""
    write_json(folder / "study.json", asdict(record))


def write_predictions(path: Path, splits: Mapping[str, Predictions]) -> None:
    """Write the predictions of several splits as one Parquet file: id, split, patient, label, p_0 ... p_{C-1}.

    Several findings have a column each, label_0 ... label_{L-1}, empty where a label is unknown.
    """
    tables = [
        pa.table(
            {
                "id": pa.array(p.ids.tolist(), pa.string()),
                "split": pa.array([split] * len(p.ids), pa.string()),
                "patient": pa.array(p.patients.tolist(), pa.string()),
                **_label_columns(p.labels),
                **{f"p_{k}": pa.array(p.probabilities[:, k], pa.float64()) for k in range(p.probabilities.shape[1])},
            }
        )
        for split, p in splits.items()
    ]
    with atomic_path(path) as temporary:
        pq.write_table(pa.concat_tables(tables), temporary)


def read_predictions(path: Path, split: str) -> Predictions:
    """Read one split back."""
    table = pq.read_table(path, filters=[("split", "==", split)])
    single = "label" in table.column_names
    return Predictions(
        ids=np.array(table["id"].to_pylist(), dtype=np.str_),
        labels=table["label"].to_numpy().astype(np.int64) if single else _numbered(table, "label_").astype(np.int64),
        patients=np.array(table["patient"].to_pylist(), dtype=np.str_),
        probabilities=_numbered(table, "p_"),
        split=split,
    )


def _label_columns(labels: NDArray[np.int64]) -> dict[str, pa.Array]:
    if labels.ndim == 1:
        return {"label": pa.array(labels, pa.int64())}
    return {f"label_{k}": pa.array(column, pa.int64(), mask=column == MISSING) for k, column in enumerate(labels.T)}


def _numbered(table: pa.Table, prefix: str) -> NDArray[Any]:
    """(N, C) of the columns prefix0 ... prefix{C-1}; missing labels are -1."""
    count = sum(name.startswith(prefix) for name in table.column_names)
    columns = [table[f"{prefix}{k}"] for k in range(count)]
    return np.stack([(pc.fill_null(c, MISSING) if c.null_count else c).to_numpy() for c in columns], axis=1)


def _checked(cls: type[Any], value: Mapping[str, Any], source: Path) -> dict[str, Any]:
    names: Sequence[str] = [f.name for f in fields(cls)]
    wrong = sorted(set(names) ^ set(value))
    if wrong or value["version"] != RECORD_VERSION:
        raise DataError(
            f"{printable(source)} was written by another version of xenograft (differing fields: {wrong or 'version'});"
            " run the study again, in another folder",
            code="E-DATA-04",
        )
    return dict(value)
