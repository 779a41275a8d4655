"""Confident mistakes: which they are, in which order, and their list and pictures on disk."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from xenograft.data.ingest import ingest
from xenograft.data.manifest import Manifest
from xenograft.data.phantom import write_phantoms
from xenograft.data.preprocess import Preprocess
from xenograft.study.failures import KINDS, SHOWN, failures
from xenograft.study.record import Predictions, RunRecord, Study, StudyRecord, write_predictions


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = write_phantoms(tmp_path_factory.mktemp("data") / "images", count=60, size=64, seed=1)
    return ingest(folder)


def make(
    folder: Path,
    manifest: Manifest,
    labels: list[Any],
    table: list[list[float]],
    *,
    classes: tuple[str, ...] = ("normal", "ill"),
    channels: int = 1,
) -> tuple[Study, RunRecord]:
    """A study whose test images are the first of the manifest."""
    truth = np.array(labels, dtype=np.int64)
    ids = np.array(manifest.column("id")[: len(truth)])
    answers = Predictions(ids, truth, np.array([f"p{k}" for k in range(len(truth))]), np.array(table), "test")
    (folder / "runs" / "r").mkdir(parents=True)
    write_predictions(folder / "runs" / "r" / "predictions.parquet", {"test": answers})
    policy = "argmax" if truth.ndim == 1 and len(classes) > 2 else "fixed"
    run = RunRecord(
        id="r", backbone="net", recipe="probe", seed=0, lr_scale=1.0, transfer=True, settings={}, weights=None,
        preprocess=Preprocess(size=32, channels=channels).as_json(), engine={}, history=[], best_epoch=0,
        thresholds={"fixed": 0.5}, validation={}, test={"policies": {policy: {}}}, test_opened="", timings={},
        peak_memory_mb=0.0, created="",
    )  # fmt: skip
    return Study(folder, StudyRecord("", "", "", {}, list(classes), {}, {}), (run,)), run


def two(positive: list[float]) -> list[list[float]]:
    return [[1 - p, p] for p in positive]


def listed(study: Study) -> list[dict[str, str]]:
    with (study.folder / "failures" / "failures.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_mistakes_of_two_classes(manifest: Manifest, tmp_path: Path) -> None:
    scores = [0.6, 0.9, 0.49, 0.5, 0.1, 0.7, 0.3]
    study, run = make(tmp_path, manifest, [0, 0, 0, 0, 1, 1, 1], two(scores))
    found = failures(study, run, manifest)
    assert {k: found[k] for k in ("run", "policy", "images", "mistakes", "file")} == {
        "run": "r", "policy": "fixed", "images": 7, "mistakes": 5, "file": "failures/failures.csv",
    }  # fmt: skip
    assert [(k["truth"], k["answer"], k["count"], k["of"]) for k in found["kinds"]] == [
        ("normal", "ill", 3, 4),
        ("ill", "normal", 2, 3),
    ]
    shown = [[(s["number"], s["probability"]) for s in kind["shown"]] for kind in found["kinds"]]
    assert shown == [
        [(1, 0.9), (2, 0.6), (3, 0.5)],  # 0.5 is at the threshold, so it is called ill
        [(4, pytest.approx(0.9)), (5, pytest.approx(0.7))],
    ]
    ids = manifest.column("id")
    assert listed(study) == [
        {"number": str(k + 1), "id": ids[image], "truth": truth, "answer": answer, "probability of the answer": p}
        for k, (image, truth, answer, p) in enumerate(
            [
                (1, "normal", "ill", "0.900000"),
                (0, "normal", "ill", "0.600000"),
                (3, "normal", "ill", "0.500000"),
                (4, "ill", "normal", "0.900000"),
                (6, "ill", "normal", "0.700000"),
            ]
        )
    ]


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_are_what_the_network_saw(manifest: Manifest, tmp_path: Path, channels: int) -> None:
    study, run = make(tmp_path, manifest, [0, 1], two([0.9, 0.2]), channels=channels)
    found = failures(study, run, manifest)
    files = [shown["file"] for kind in found["kinds"] for shown in kind["shown"]]
    assert files == ["failures/mistake1.png", "failures/mistake2.png"]
    for at, file in enumerate(files):
        picture = cv2.imread(str(tmp_path / file), cv2.IMREAD_UNCHANGED)
        assert picture.shape == ((32, 32) if channels == 1 else (32, 32, 3))
        source = cv2.imread(str(manifest.root / manifest.column("path")[at]), cv2.IMREAD_GRAYSCALE)
        small = cv2.resize(source, (32, 32), interpolation=cv2.INTER_AREA).astype(float)
        apart = np.abs(small - (picture if channels == 1 else picture[..., 0])).mean()
        assert apart < 8  # of 255; another image is further away
        assert apart < np.abs(small[::-1] - (picture if channels == 1 else picture[..., 0])).mean() / 2


def test_several_classes_are_judged_by_the_most_probable(manifest: Manifest, tmp_path: Path) -> None:
    table = [[0.4, 0.35, 0.25], [0.2, 0.7, 0.1], [0.3, 0.45, 0.25], [0.1, 0.5, 0.4], [0.2, 0.2, 0.6]]
    study, run = make(tmp_path, manifest, [0, 0, 0, 2, 1], table, classes=("a", "b", "c"))
    found = failures(study, run, manifest)
    assert found["policy"] == "argmax"
    assert [(k["truth"], k["answer"], k["count"], k["of"]) for k in found["kinds"]] == [
        ("a", "b", 2, 3), ("b", "c", 1, 1), ("c", "b", 1, 1),
    ]  # fmt: skip
    assert [s["probability"] for s in found["kinds"][0]["shown"]] == [0.7, 0.45]
    assert [row["number"] for row in listed(study)] == ["1", "2", "3", "4"]


def test_findings_are_mistaken_one_by_one_and_unknown_ones_never(manifest: Manifest, tmp_path: Path) -> None:
    labels = [[0, 1], [0, -1], [-1, 1], [1, 0], [1, 1]]
    table = [[0.8, 0.1], [0.9, 0.0], [0.9, 0.3], [0.6, 0.2], [0.4, 0.5]]
    study, run = make(tmp_path, manifest, labels, table, classes=("mass", "fluid"))
    found = failures(study, run, manifest)
    kinds = [(k["truth"], k["answer"], k["count"], k["of"]) for k in found["kinds"]]
    assert kinds == [("no mass", "mass", 2, 2), ("fluid", "no fluid", 2, 3), ("mass", "no mass", 1, 2)]
    assert [[s["probability"] for s in kind["shown"]] for kind in found["kinds"]] == [
        pytest.approx([0.9, 0.8]), pytest.approx([0.9, 0.7]), pytest.approx([0.6]),
    ]  # fmt: skip
    ids = manifest.column("id")
    assert [row["id"] for row in listed(study)] == [ids[1], ids[0], ids[0], ids[2], ids[4]]
    assert (found["policy"], found["images"], found["mistakes"]) == ("fixed", 5, 5)


def test_a_few_are_shown_and_all_are_listed(manifest: Manifest, tmp_path: Path) -> None:
    """Counts by brute force; equal answers stand in the order of the images."""
    rng = np.random.default_rng(0)
    count, names = 50, tuple("abcd")
    labels: NDArray[np.int64] = rng.integers(0, 4, count)
    table = np.round(rng.dirichlet(np.ones(4), count), 1)
    table[:, 0] = 1 - table[:, 1:].sum(axis=1)
    study, run = make(tmp_path, manifest, labels.tolist(), table.tolist(), classes=names)
    found = failures(study, run, manifest)
    answers = table.argmax(axis=1)
    assert found["mistakes"] == len(listed(study)) == int((answers != labels).sum())
    counts = [kind["count"] for kind in found["kinds"]]
    assert counts == sorted(counts, reverse=True)
    assert len(counts) > KINDS
    ids = manifest.column("id")
    number = 0
    for rank, kind in enumerate(found["kinds"]):
        truth, answer = names.index(kind["truth"]), names.index(kind["answer"])
        mine = [k for k in range(count) if labels[k] == truth and answers[k] == answer]
        mine.sort(key=lambda k: (-table[k, answer], k))
        assert [row["id"] for row in listed(study)[number : number + len(mine)]] == [ids[k] for k in mine]
        assert [s["number"] for s in kind["shown"]] == (
            list(range(number + 1, number + 1 + min(SHOWN, len(mine)))) if rank < KINDS else []
        )
        assert (kind["count"], kind["of"]) == (len(mine), int((labels == truth).sum()))
        number += len(mine)


def test_no_mistake(manifest: Manifest, tmp_path: Path) -> None:
    study, run = make(tmp_path, manifest, [0, 1], two([0.1, 0.9]))
    found = failures(study, run, manifest)
    assert (found["mistakes"], found["kinds"], listed(study)) == (0, [], [])


@pytest.mark.parametrize("fault", ["gone", "changed", "broken"])
def test_an_image_that_cannot_be_read_again_is_listed_without_a_picture(tmp_path: Path, fault: str) -> None:
    data = write_phantoms(tmp_path / "images", count=60, size=64, seed=2)
    manifest = ingest(data)
    path = manifest.root / manifest.column("path")[0]
    if fault == "gone":
        path.unlink()
    else:
        path.write_bytes(b"not an image" if fault == "broken" else path.with_name(path.name).read_bytes() + b" ")
    study, run = make(tmp_path / "study", manifest, [0, 0], two([0.9, 0.8]))
    found = failures(study, run, manifest)
    assert [s["file"] for s in found["kinds"][0]["shown"]] == [None, "failures/mistake2.png"]
    assert len(listed(study)) == 2
    assert not (tmp_path / "study" / "failures" / "mistake1.png").exists()


def test_an_earlier_list_leaves_nothing_behind(manifest: Manifest, tmp_path: Path) -> None:
    """A study that grew may choose another run, with fewer mistakes: old pictures would carry wrong numbers."""
    study, run = make(tmp_path, manifest, [0, 0, 0], two([0.9, 0.8, 0.7]))
    failures(study, run, manifest)
    (tmp_path / "runs" / "r" / "predictions.parquet").unlink()
    answers = Predictions(
        np.array(manifest.column("id")[:3]), np.zeros(3, dtype=np.int64), np.array(["a", "b", "c"]),
        np.array(two([0.1, 0.8, 0.1])), "test",
    )  # fmt: skip
    write_predictions(tmp_path / "runs" / "r" / "predictions.parquet", {"test": answers})
    found = failures(study, run, manifest)
    assert found["mistakes"] == 1
    assert sorted(path.name for path in (tmp_path / "failures").iterdir()) == ["failures.csv", "mistake1.png"]
