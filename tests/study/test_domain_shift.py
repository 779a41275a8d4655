"""A domain-shift report: no label of the target reaches what is adapted, and what cannot be done is said first."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import xenograft
from xenograft.data.ingest import IngestOptions, ingest
from xenograft.errors import DataError, LabelError, UsageError
from xenograft.evaluation.metrics import binary_metrics
from xenograft.study.arm import Arm
from xenograft.study.config import make_config
from xenograft.study.domain_shift_data import without_labels
from xenograft.study.domain_shift_models import still_frozen
from xenograft.study.domain_shift_plan import parse_adaptations
from xenograft.study.run import plan

SPLITS = ["train"] * 12 + ["val"] * 4 + ["test"] * 6


def domain(folder: Path, *, seed: int, dark: float = 1.0, classes: tuple[str, str] = ("NORMAL", "PNEUMONIA")) -> Path:
    """A table of 44 made images with splits, one a patient; the second class is brighter."""
    rng = np.random.default_rng(seed)
    folder.mkdir()
    rows = []
    for number, split in enumerate(SPLITS * 2):
        label = number >= len(SPLITS)
        pixels = dark * rng.integers(60 + 40 * label, 160 + 40 * label, (32, 32))
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
        rows.append([f"{number}.png", classes[label], f"{folder.name}{number}", split])
    return write(folder / "table.csv", rows)


def write(path: Path, rows: list[list[str]]) -> Path:
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([["path", "label", "patient", "split"], *rows])
    return path


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def domains(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("domains")
    return domain(root / "ours", seed=0), domain(root / "theirs", seed=1, dark=0.5)


@pytest.fixture(scope="module")
def settings(made_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return {
        "backbones": "resnet18", "epochs": 2, "size": 32, "resamples": 100, "seeds": 1, "offline": True,
        "weights_dir": made_weights, "cache_dir": tmp_path_factory.mktemp("cache"), "precision": "f32",
    }  # fmt: skip


@pytest.fixture(scope="module")
def result(
    domains: tuple[Path, Path], settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> xenograft.shifting.ShiftResult:  # type: ignore[name-defined]
    return xenograft.domain_shift(*domains, output=tmp_path_factory.mktemp("out") / "shift", **settings)


def probabilities(folder: Path) -> dict[str, list[tuple[str, str]]]:
    """File -> (id, probability as it was printed), of every arm but the reference."""
    return {
        path.name: [(row["id"], row["p_PNEUMONIA"]) for row in read(path)]
        for path in sorted(folder.glob("*.csv"))
        if "reference" not in path.name
    }


def test_every_arm_is_measured_on_both_domains(result: Any) -> None:
    group = result.record["groups"][0]
    assert [arm["adaptation"] for arm in group["arms"]] == ["none", "adabn", "coral", "reference"]
    for arm in group["arms"]:
        assert (arm["source"] is None) == (arm["adaptation"] == "reference")
        assert 0 <= arm["target"]["ranking"]["auroc"]["value"] <= 1
    seen = [arm["facts"]["images"] for arm in group["arms"] if arm["adaptation"] in ("adabn", "coral")]
    assert seen == [24, 24]
    assert json.loads(result.json.read_text(encoding="utf-8"))["tests"] == 6
    assert result.page.is_file()


def test_the_record_is_what_the_predictions_say(result: Any) -> None:
    for arm in result.record["groups"][0]["arms"]:
        file = next(name for name in arm["predictions"] if name.endswith("-target.csv"))
        rows = read(result.predictions.parent / file)
        truth = np.array([row["label"] == "PNEUMONIA" for row in rows])
        scores = np.array([float(row["p_PNEUMONIA"]) for row in rows])
        expected = binary_metrics(truth, scores, threshold=0.5)
        assert arm["target"]["ranking"]["auroc"]["value"] == pytest.approx(expected["auroc"])
        assert arm["target"]["decisions"]["fixed"]["accuracy"]["value"] == pytest.approx(expected["accuracy"])
        brier = float(np.mean((scores - truth) ** 2))
        assert arm["target"]["calibration"]["brier"]["value"] == pytest.approx(brier, abs=1e-6)


def test_differences_are_those_of_the_arms_and_adjusted_together(result: Any) -> None:
    group = result.record["groups"][0]
    arms = {arm["adaptation"]: arm["target"]["ranking"]["auroc"]["value"] for arm in group["arms"]}
    rows = [row for row in group["differences"] if row["metric"] == "auroc"]
    assert [row["difference"] for row in rows] == pytest.approx(
        [arms[name] - arms["none"] for name in ("adabn", "coral")]
    )
    tested = [row for row in group["differences"] if row["p"] is not None]
    assert len(tested) == 6
    smallest = min(tested, key=lambda row: row["p"])
    assert smallest["p_holm"] == pytest.approx(min(1.0, 6 * smallest["p"]))


def test_adaptation_brings_the_domains_together(result: Any) -> None:
    found = {arm["adaptation"]: arm["apart"]["ratio"]["value"] for arm in result.record["groups"][0]["arms"][:3]}
    assert found["none"] > 1.05
    assert found["adabn"] < found["none"]
    assert found["coral"] < found["none"]


def test_other_target_labels_give_the_same_answers_bit_for_bit(
    domains: tuple[Path, Path], settings: dict[str, Any], result: Any, tmp_path: Path
) -> None:
    rows = [list(row.values()) for row in read(domains[1])]
    swapped = {"NORMAL": "PNEUMONIA", "PNEUMONIA": "NORMAL"}
    for place, row in enumerate(rows):
        row[1] = swapped[row[1]] if place % 3 else row[1]
        row[0] = str(domains[1].parent / row[0])
    for row in rows:
        row[0] = Path(row[0]).name
    table = write(domains[1].parent / "permuted.csv", rows)
    again = xenograft.domain_shift(domains[0], table, output=tmp_path / "x", **settings)
    assert probabilities(again.predictions) == probabilities(result.predictions)
    assert again.record["groups"][0]["arms"][0]["thresholds"] == result.record["groups"][0]["arms"][0]["thresholds"]
    cards = [each.record["groups"][0]["arms"][0]["target"]["ranking"] for each in (again, result)]
    assert cards[0] != cards[1]  # they measure


def test_images_without_labels_have_none_in_any_column(domains: tuple[Path, Path]) -> None:
    made = without_labels(ingest(domains[1], IngestOptions()).subset("train"))
    assert set(made.column("label")) == {"unlabelled"}
    assert made.column("sha256") == sorted(made.column("sha256"))


def test_the_transductive_setting_sees_the_test_images(
    domains: tuple[Path, Path], settings: dict[str, Any], tmp_path: Path
) -> None:
    found = xenograft.domain_shift(
        *domains, output=tmp_path / "x", adapt="coral", adapt_on="test", reference=False, align_means=False, **settings
    )
    arms = found.record["groups"][0]["arms"]
    assert [arm["adaptation"] for arm in arms] == ["none", "coral"]
    assert arms[1]["facts"]["images"] == 12
    assert arms[1]["facts"]["align_means"] is False
    assert "the very 12 images" in found.page.read_text(encoding="utf-8")


def test_a_network_that_was_trained(domains: tuple[Path, Path], settings: dict[str, Any], tmp_path: Path) -> None:
    found = xenograft.domain_shift(*domains, output=tmp_path / "x", recipes="full", **settings | {"epochs": 1})
    arms = {arm["adaptation"]: arm for arm in found.record["groups"][0]["arms"]}
    assert list(arms) == ["none", "adabn", "coral"]
    assert arms["adabn"]["source"] == arms["none"]["source"]  # on the source it keeps the source's statistics
    assert arms["adabn"]["target"] != arms["none"]["target"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"adapt": "adabm"}, "unknown adaptation 'adabm'"),
        ({"adapt_on": "val"}, "adapt_on is 'val'"),
        ({"recipes": "partial"}, "adabn cannot adapt partial"),
        ({"folds": 3}, "takes no folds"),
    ],
)
def test_what_cannot_be_asked(
    domains: tuple[Path, Path], settings: dict[str, Any], tmp_path: Path, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        xenograft.domain_shift(*domains, output=tmp_path / "x", **settings | given)
    assert not (tmp_path / "x").exists()


def test_a_backbone_without_batch_norm(domains: tuple[Path, Path], settings: dict[str, Any], tmp_path: Path) -> None:
    given = settings | {"backbones": "squeezenet1_1", "recipes": "random", "size": 64}
    with pytest.raises(UsageError, match="squeezenet1_1 has no batch norm, so adabn cannot adapt it"):
        xenograft.domain_shift(*domains, output=tmp_path / "x", **given)


def test_domains_that_are_not_two(domains: tuple[Path, Path], settings: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="44 of 44 images of the target are also in the source"):
        xenograft.domain_shift(domains[0], domains[0], output=tmp_path / "x", **settings)
    other = domain(tmp_path / "other", seed=5, classes=("healthy", "ill"))
    with pytest.raises(LabelError, match="until they are the same"):
        xenograft.domain_shift(domains[0], other, output=tmp_path / "x", **settings)


def test_adaptations_by_name() -> None:
    assert parse_adaptations("coral, none") == ("none", "coral")
    assert parse_adaptations(["adabn", "adabn"]) == ("none", "adabn")


def test_an_interrupted_report_can_be_made_again(
    domains: tuple[Path, Path], settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    given = settings | {"output": tmp_path / "x", "reference": False}
    with monkeypatch.context() as patched:
        patched.setattr("xenograft.reporting.domain_shift_page.render", stop)
        with pytest.raises(KeyboardInterrupt):
            xenograft.domain_shift(*domains, adapt="coral", **given)
    assert (tmp_path / "x" / "predictions").is_dir()
    again = xenograft.domain_shift(*domains, adapt="none", **given)
    assert again.json.is_file()
    assert not [path.name for path in again.predictions.iterdir() if "coral" in path.name]


def test_what_cannot_be_trained_is_refused_first(
    domains: tuple[Path, Path], settings: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as refused:
        xenograft.domain_shift(*domains, output=tmp_path / "x", **settings | {"recipes": "lora", "adapt": "coral"})
    assert refused.value.code == "E-USAGE-27"
    given = settings | {"backbones": "inception_v3", "recipes": "random", "size": 64, "adapt": "coral"}
    with pytest.raises(UsageError) as refused:
        xenograft.domain_shift(*domains, output=tmp_path / "x", **given)
    assert refused.value.code == "E-USAGE-05"
    assert not (tmp_path / "x").exists()


def test_norm_only_takes_adabn(domains: tuple[Path, Path], settings: dict[str, Any], tmp_path: Path) -> None:
    given = settings | {"epochs": 1, "recipes": "norm_only", "adapt": "adabn"}
    found = xenograft.domain_shift(*domains, output=tmp_path / "x", **given)
    assert [arm["adaptation"] for arm in found.record["groups"][0]["arms"]] == ["none", "adabn"]


def test_stages_that_never_trained_are_told() -> None:
    (arm,) = plan(make_config({"data": "x", "backbones": "resnet18", "recipes": "gradual", "seeds": 1}))
    assert isinstance(arm, Arm)
    (notice,) = still_frozen(arm, 3, 5)
    assert "3 of 5 stages had not begun" in notice.message
    assert still_frozen(arm, 6, 5) == ()
    (full,) = plan(make_config({"data": "x", "backbones": "resnet18", "recipes": "full", "seeds": 1}))
    assert still_frozen(full, 1, 5) == ()
