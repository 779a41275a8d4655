"""The methods section: from the record, good to read, citing only what was used."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from xenograft.reporting.data_words import SYNTHETIC
from xenograft.reporting.groups import View
from xenograft.reporting.methods import Methods, methods
from xenograft.study.record import Study

from .finding_makers import make_findings_study
from .guideline_makers import changed, completed, guideline_study, with_data


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return guideline_study(tmp_path_factory.mktemp("methods") / "s", recipes=("scratch", "probe", "logistic"))


def part(made: Methods, title: str) -> str:
    return next(p.text for p in made.parts if p.title == title)


def with_runs(study: Study, **fields: Any) -> View:
    return View.of(dataclasses.replace(study, runs=tuple(dataclasses.replace(r, **fields) for r in study.runs)))


def test_every_number_has_its_reference_and_every_reference_its_number(study: Study) -> None:
    made = methods(View.of(study))
    text = " ".join(p.text for p in made.parts)
    cited = [int(n) for found in re.findall(r"\[(\d+(?:, \d+)*)\]", text) for n in found.split(", ")]
    assert list(dict.fromkeys(cited)) == list(range(1, len(made.references) + 1))
    assert len(set(made.references)) == len(made.references)
    assert made.text().isprintable() is False  # line breaks
    assert "\ue000" not in made.text()


def test_parts_and_sentences(study: Study) -> None:
    made = methods(View.of(study))
    titles = [p.title for p in made.parts]
    assert titles == ["Data", "Splits", "Preprocessing", "Models", "Training", "Selection", "Statistics", "Software"]
    for found in made.parts:
        assert found.text.endswith(".")
        assert ".." not in found.text
        assert "  " not in found.text
        assert " ," not in found.text


def test_given_splits_and_made_ones(study: Study) -> None:
    given = part(methods(View.of(study)), "Splits")
    assert "The split into training and test images came with the data; 20% of the training images were drawn" in given
    assert "(seed 3)" in given
    rule = (
        "test: 20% of all images, by patient, stratified by class; validation: 15% of the training images, by patient, "
    )
    made = part(methods(with_data(study, split_rule=f"{rule}stratified by class (seed 0)")), "Splits")
    assert made.startswith("20% of all images were drawn for test, by patient and stratified by class; 15% of")
    assert "came with the data" not in made
    whole = part(methods(with_data(study, split_rule="splits as given (seed 0)")), "Splits")
    assert whole.startswith("The split into training, validation and test images came with the data.")
    other = part(methods(with_data(study, split_rule="by the calendar")), "Splits")
    assert other.startswith("The splits were made as follows: by the calendar.")


def test_synthetic_and_leaking_data_are_said_first(study: Study) -> None:
    assert part(methods(with_data(study, synthetic=True)), "Data").startswith(SYNTHETIC)
    assert "leaks were allowed" in part(methods(with_data(study, leak_allowed=True)), "Data")
    assert "phantom" not in methods(View.of(study)).text()


def test_one_seed_and_several(study: Study, tmp_path: Path) -> None:
    several = methods(View.of(study))
    assert "each with 2 seeds (0 to 1)" in part(several, "Training")
    assert "means over 2 runs" in part(several, "Statistics")
    single = methods(View.of(guideline_study(tmp_path / "s", seeds=1)))
    assert "variation over seeds was not measured" in part(single, "Training")
    assert "means over" not in part(single, "Statistics")


def test_folds_are_told(study: Study) -> None:
    view = with_data(study, folds={"folds": 5, "test": "fixed", "rule": "5 folds by patient.", "sizes": []})
    assert "Cross-validation: 5 folds by patient." in part(methods(view), "Splits")
    assert "seed or fold" in part(methods(view), "Statistics")
    assert "fold" not in part(methods(View.of(study)), "Splits")


def test_dicom_windows_and_input(study: Study) -> None:
    base = study.runs[0].preprocess
    window = {"frame": "middle", "centre": -600.0, "width": 1500.0}
    text = part(methods(with_runs(study, preprocess=base | {"dicom": window})), "Preprocessing")
    assert "the window of centre -600 and width 1500" in text
    assert "frame: middle" in text
    named = part(methods(with_runs(study, preprocess=base | {"dicom": {"window": "lung"}})), "Preprocessing")
    assert "the window named lung" in named
    plain = part(methods(View.of(study)), "Preprocessing")
    assert "DICOM" not in plain
    assert "224 × 224 pixels without keeping the aspect ratio" in plain
    colour = part(
        methods(with_runs(study, preprocess=base | {"channels": 3, "size": 96, "fit": "pad"})), "Preprocessing"
    )
    assert "in colour" in colour
    assert "96 × 96 pixels keeping the aspect ratio, with black borders" in colour


def test_recipes_are_described_by_their_settings(study: Study) -> None:
    text = part(methods(View.of(study)), "Training")
    assert "Recipe scratch (random start, everything trained): at most 20 epochs in batches of 64" in text
    assert "0.001 for the head and 0.001 for the network" in text
    assert "stopped after 8 epochs without a better validation loss" in text
    assert "rotation up to 10 degrees" in text
    assert "class-balanced logistic regression" in text
    bare = part(methods(with_runs(study, settings={"name": "x"})), "Training")
    assert "settings not recorded" in bare
    assert "inverse frequency" not in bare


def test_only_methods_in_use_are_cited(study: Study) -> None:
    def references(view: View) -> str:
        return " ".join(methods(view).references)

    bare = changed(study, comparisons=[], evidence=None)
    assert "Holm" not in references(bare)
    assert "DeLong" not in references(bare)
    assert "Vovk" not in references(bare)
    row = {"family": "recipes", "metric": "auroc", "p_holm": 0.1, "test": "DeLong with patients as clusters", "of": 1}
    full = changed(study, comparisons=[row], evidence={"models": [{"conformal": {"x": 1}, "calibration": {"x": 1}}]})
    for name in ("Holm", "DeLong", "Obuchowski", "Vovk", "Van Calster"):
        assert name in references(full)
    assert "Kermany" not in references(bare)
    assert "Kermany" in references(with_data(study, catalog="chest_xray"))


def test_an_unknown_network_is_named_without_a_reference(tmp_path: Path) -> None:
    made = methods(View.of(guideline_study(tmp_path / "s", backbones=("timm:vit_tiny",), seeds=1)))
    assert "The networks were timm:vit_tiny." in part(made, "Models")


def test_findings_say_what_became_of_unknown_labels(tmp_path: Path) -> None:
    made = methods(View.of(completed(make_findings_study(tmp_path / "f", seeds=1, n=60, examples=0))))
    assert "an unknown finding counts neither in the loss nor in any measure" in part(made, "Data")
    assert "one logit for each of the 6 findings" in part(made, "Models")
    assert "stratified by class" not in part(made, "Statistics")


def test_hostile_names_are_kept_as_text(tmp_path: Path) -> None:
    names = ("<b>a</b> & \\frac", "b\n\ue000holm\ue001")
    text = methods(View.of(guideline_study(tmp_path / "s", classes=names, seeds=1))).text()
    assert "<b>a</b> & \\frac" in text
    assert "b\\n\\ue000holm\\ue001" in text


def test_networks_that_differ_in_input_are_told_apart(study: Study) -> None:
    sizes = {"resnet18": (224, [0.5, 0.5, 0.5]), "mobilenet_v2": (299, [0.4, 0.5, 0.6])}
    runs = []
    for run in study.runs:
        side, mean = sizes[run.backbone]
        window = {"size": side, "mean": mean, "std": mean, "window": [100, 900]}
        runs.append(dataclasses.replace(run, preprocess=run.preprocess | window))
    text = part(methods(View.of(dataclasses.replace(study, runs=tuple(runs)))), "Preprocessing")
    assert "224 × 224 pixels for ResNet18 and 299 × 299 pixels for MobileNet v2" in text
    assert "mean (0.4, 0.5, 0.6), standard deviation (0.4, 0.5, 0.6) for MobileNet v2" in text
    assert "Stored values from 100 to 900 were mapped to 8 bits." in text


def test_learning_rate_scales_folds_and_rules_of_the_runs(study: Study, tmp_path: Path) -> None:
    scaled = methods(View.of(guideline_study(tmp_path / "s", scales=(1.0, 0.1), seeds=1)))
    assert "Every learning rate was multiplied by 1 and 0.1 in turn." in part(scaled, "Training")
    runs = tuple(
        dataclasses.replace(run, fold=run.seed, thresholds={"fixed": 0.5, "sensitivity=0.95": 0.2})
        for run in study.runs
    )
    made = methods(View.of(dataclasses.replace(study, runs=runs)))
    assert "in 2 folds by patient" in part(made, "Training")
    assert "sensitivity=0.95; beside them stands the fixed 0.5" in part(made, "Selection")


def test_slices_sgd_and_views_are_told(study: Study) -> None:
    view = changed(study, config=study.record.config | {"slices": "2:middle", "frame": None})
    assert "slices 2:middle" in part(methods(view), "Data")
    settings = study.runs[0].settings | {"optimiser": "sgd", "views": 4, "augment": "paper", "standardise": True}
    text = part(methods(with_runs(study, settings=settings | {"solver": "gradient"})), "Training")
    assert "SGD (momentum 0.9)" in text
    assert "augmented in 4 random views of each image" in text
    assert "features standardised" in text


def test_mcnemar_and_the_bootstrap_are_named_as_tests(study: Study) -> None:
    rows = [
        {"family": "recipes", "metric": "accuracy", "test": name} for name in ("McNemar", "paired patient bootstrap")
    ]
    text = part(methods(changed(study, comparisons=rows)), "Statistics")
    assert re.search(r"McNemar's exact test \[\d+\] and a paired bootstrap of patients \[\d+, \d+\]\.", text)
    assert "Holm" not in text
