"""The page of robustness: what it says first, that it loads nothing, and that any task renders."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xenograft.data.perturbations import PERTURBATIONS
from xenograft.evaluation.robustness import robustness_card
from xenograft.reporting import robustness_page, style
from xenograft.reporting.figures.robustness import robustness_panels
from xenograft.reporting.robustness_words import MEANS, robustness_words
from xenograft.reporting.tables.robustness import every_level, summary

HOSTILE = '<img src=x onerror="alert(1)">'
PICTURE = {"picture": "data:image/jpeg;base64,/9j/", "probability": 0.25}
COUNT = 160


def record(
    task: str = "binary", *, changes: tuple[str, ...] = ("blur", "noise", "jpeg"), **more: Any
) -> dict[str, Any]:
    """Noise turns the order round, JPEG only moves all scores up, blur does nothing."""
    rng = np.random.default_rng(3)
    classes = {"binary": 2, "multiclass": 3, "multilabel": 2}[task]
    labels = rng.integers(0, classes, COUNT)
    odds = rng.normal(size=(COUNT, classes))
    odds[np.arange(COUNT), labels] += 2.5
    if task == "multilabel":
        labels = (odds + rng.normal(size=odds.shape) > 1).astype(np.int64)

    def answers(x: np.ndarray) -> np.ndarray:
        found = np.exp(x)
        return 1 / (1 + np.exp(-x)) if task == "multilabel" else found / found.sum(axis=1, keepdims=True)

    up = np.zeros(classes)
    up[-1] = 1.0
    kinds = {
        "noise": lambda k: odds + 1.5 * k * rng.normal(size=odds.shape),
        "jpeg": lambda k: odds + k * up,
    }
    changed = {(name, k): answers(kinds.get(name, lambda _: odds)(k)) for name in changes for k in range(1, 6)}
    threshold: Any = {"binary": 0.5, "multiclass": None, "multilabel": [0.5, 0.4]}[task]
    card = robustness_card(
        labels, answers(odds), changed, np.arange(COUNT) // 2, threshold=threshold, resamples=60,
        rng=np.random.default_rng(0),
    )  # fmt: skip
    for change in card["changes"]:
        change["measure"] = PERTURBATIONS[change["name"]].measure
        for row in change["levels"]:
            row["strength"] = PERTURBATIONS[change["name"]].strengths[row["level"] - 1]
    names = ["normal", "ill", "third"][:classes]
    return {
        "command": "xenograft robustness model data",
        "program": "xenograft 0",
        "model": {
            "name": "model", "backbone": "resnet18", "recipe": "probe", "trained_on": "chest", "created": "",
            "threshold_rule": "youden", "precision": "f32", "hashes": {"model.onnx": "ab" * 32},
        },
        "data": {
            "name": "chest", "split": "test", "relation": "own", "manifest_sha256": "cd" * 32, "synthetic": False,
            "leak_allowed": False, "skipped": 0, "notices": [],
        },
        "task": task, "classes": names, "side": 224, "channels": 1, "patients_known": True, "sampled_from": None,
        "seed": 0,
        **card,
        "example": {"class": names[0], "clean": PICTURE, "changes": {name: [PICTURE] * 5 for name in changes}},
        "seconds": 12.0, "passes": 16 * COUNT,
    } | more  # fmt: skip


@pytest.fixture(scope="module")
def binary() -> dict[str, Any]:
    return record()


def page(made: dict[str, Any], folder: Path) -> str:
    return robustness_page.render(made, folder)[0].read_text(encoding="utf-8")


def test_words_name_what_hurts_first_what_it_means_and_what_is_spared(binary: dict[str, Any]) -> None:
    text = " ".join(robustness_words(binary))
    assert re.search(r"AUROC falls by more than 0\.02 first under noise 0\.01 \(level 1: 0\.\d+ to 0\.\d+, −", text)
    assert f"Noise stands for {MEANS['noise']}" in text
    assert "Not by as much at any level tried: blur, jpeg." in text
    assert re.search(r"Answers by the threshold suffer earlier .* under jpeg \d+ \(−", text)
    assert "Images of normal are called ill more and more: specificity" in text
    sensitivity = next(words for words in robustness_words(binary) if words.startswith("Images of ill are called"))
    assert "jpeg" not in sensitivity
    assert "no proof for another hospital" in text
    assert "the 15 losses were not adjusted" in text


def test_words_where_nothing_hurts() -> None:
    text = " ".join(robustness_words(record(changes=("blur",))))
    assert "No change costs more than 0.02 of AUROC" in text
    assert "suffer earlier" not in text


def test_the_words_quote_the_record(binary: dict[str, Any]) -> None:
    noise = next(change for change in binary["changes"] if change["name"] == "noise")
    row = noise["levels"][noise["first"]["auroc"] - 1]
    value = style.number(row["metrics"]["auroc"]["value"])
    assert f"to {value}, {style.number(row['differences']['auroc']['difference'], signed=True)}" in " ".join(
        robustness_words(binary)
    )


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel"])
def test_every_task_renders_without_script_or_network(task: str, tmp_path: Path) -> None:
    html = page(record(task), tmp_path)
    assert "<script" not in html
    assert not re.search(r"(src|href)=\"https?:", html)
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in html
    assert html.count('<img src="data:image/jpeg') == 3 * 6
    assert ("mean AUROC of the" in html) == (task != "binary")
    assert html.count("<svg role") == 3
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))


def test_files_beside_the_page_hold_every_level(binary: dict[str, Any], tmp_path: Path) -> None:
    _, files = robustness_page.render(binary, tmp_path)
    names = {file.relative_to(tmp_path).as_posix() for file in files}
    assert names == {
        "figures/figure-robustness.svg", "figures/figure-robustness.pdf",
        "tables/table-robustness.csv", "tables/table-robustness.tex",
        "tables/table-robustness-summary.csv", "tables/table-robustness-summary.tex",
    }  # fmt: skip
    rows = list(csv.DictReader((tmp_path / "tables" / "table-robustness.csv").read_text("utf-8").splitlines()))
    assert len(rows) == 1 + 15
    assert (rows[0]["change"], rows[0]["level"]) == ("none", "0")
    row = next(row for row in rows if (row["change"], row["level"]) == ("noise", "3"))
    entry = next(change for change in binary["changes"] if change["name"] == "noise")["levels"][2]
    assert float(row["auroc_difference"]) == pytest.approx(entry["differences"]["auroc"]["difference"], abs=1e-6)
    assert float(row["flips_high"]) == pytest.approx(entry["flips"]["high"], abs=1e-6)


def test_the_same_record_gives_the_same_bytes(binary: dict[str, Any], tmp_path: Path) -> None:
    assert page(binary, tmp_path / "a") == page(binary, tmp_path / "b")


def test_hostile_names_are_escaped(tmp_path: Path) -> None:
    made = record(changes=("noise",))
    made["classes"] = [HOSTILE, "ill\n"]
    made["example"]["class"] = HOSTILE
    made["data"] = made["data"] | {"name": HOSTILE, "notices": [HOSTILE]}
    made["model"] = made["model"] | {"name": HOSTILE, "trained_on": HOSTILE}
    made["command"] = HOSTILE
    assert "<img src=x" not in page(made, tmp_path)


def test_what_a_reader_must_know_is_said(tmp_path: Path) -> None:
    plain = page(record(changes=("blur",)), tmp_path / "plain")
    for words in ("Synthetic images", "The splits leak", "A sample was measured", "No patients are named"):
        assert words not in plain
    made = record(changes=("blur",), sampled_from=900, patients_known=False)
    made["data"] = made["data"] | {
        "synthetic": True, "leak_allowed": True, "relation": "unknown", "skipped": 2, "notices": ["W-FILE-05 x"],
    }  # fmt: skip
    html = page(made, tmp_path / "warned")
    for words in (
        "Synthetic images: these numbers say nothing", "The splits leak", "A sample was measured", "from 900",
        "No patients are named", "could not be checked", "2 files could not be read", "W-FILE-05 x", "SYNTHETIC",
    ):  # fmt: skip
        assert words in html


def test_undefined_values_are_said_and_drawn_around() -> None:
    made = record(changes=("noise",))
    nothing = {"value": None, "low": None, "high": None}
    made["clean"]["auroc"] = nothing
    for row in made["changes"][0]["levels"]:
        row["metrics"]["auroc"] = nothing
        row["differences"]["auroc"] = {"difference": None, "low": None, "high": None}
    made["changes"][0]["first"]["auroc"] = None
    with style.drawing():
        assert len(robustness_panels(made).svgs) == 1
    assert "AUROC n/a" in robustness_words(made)[0]
    assert every_level(made).blocks[0].rows[1].cells[2].text == style.MISSING
    assert summary(made).blocks[0].rows[0].cells[2].text == "none"
