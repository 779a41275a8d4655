"""What validation chooses among finished runs: arms, the reference, the run that stands for an arm."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from xenograft.errors import XenograftError
from xenograft.study.chosen import ArmKey, arms_of, choose, rating, reference_of, representative, rule_of
from xenograft.study.record import RunRecord, StudyRecord

AWAY = {"policies": {"test was looked at": None}}


def card(auroc: float | None, accuracy: float | None = 0.7, *, policy: str = "fixed", singles: Any = None) -> Any:
    metrics = {"auroc": {"value": auroc}, "accuracy": {"value": accuracy}}
    per_class = {str(k): {"auroc": {"value": value}} for k, value in enumerate(singles or [])}
    return {"policies": {policy: {"metrics": metrics}}, "per_class": per_class}


def run(recipe: str = "probe", auroc: float | None = 0.8, **more: Any) -> RunRecord:
    values: dict[str, Any] = {
        "backbone": "net", "seed": 0, "lr_scale": 1.0, "transfer": recipe not in {"scratch", "random"}, "fold": None,
        "validation": card(auroc),
    } | more  # fmt: skip
    return RunRecord(
        id=f"{values['backbone']}-{recipe}-{values['fold']}-{values['seed']}", recipe=recipe, settings={}, weights=None,
        preprocess={}, engine={}, history=[], best_epoch=0, thresholds={}, test=AWAY, test_opened="", timings={},
        peak_memory_mb=0.0, created="", **values,
    )  # fmt: skip


def test_arms_hold_their_runs_by_fold_and_seed() -> None:
    runs = [
        run(fold=fold, seed=seed, lr_scale=scale) for scale in (1.0, 0.1) for seed in (10, 2) for fold in (1, 0)
    ]  # fmt: skip
    found = arms_of([*runs, *(run("scratch", fold=fold) for fold in (0, 1))])
    assert list(found) == [ArmKey("net", "probe", 1.0), ArmKey("net", "probe", 0.1), ArmKey("net", "scratch", 1.0)]
    assert [(r.fold, r.seed) for r in found["net", "probe", 1.0]] == [(0, 2), (0, 10), (1, 2), (1, 10)]


def test_an_arm_that_lacks_a_fold_waits_until_it_is_finished() -> None:
    runs = [run(fold=fold) for fold in (0, 1, 2)]
    half = [run("scratch", fold=fold) for fold in (0, 2)]
    assert list(arms_of([*half, *runs])) == [ArmKey("net", "probe", 1.0)]
    assert list(arms_of([*half, *runs, run("scratch", fold=1)])) == [
        ArmKey("net", "scratch", 1.0),
        ArmKey("net", "probe", 1.0),
    ]


def test_a_key_is_that_of_a_record() -> None:
    assert ArmKey.of({"backbone": "net", "recipe": "probe", "lr_scale": 1, "more": 2}) == ArmKey("net", "probe", 1.0)


def test_the_highest_mean_auroc_on_validation_is_chosen_and_test_is_not_looked_at() -> None:
    runs = [
        run("probe", 0.99), run("probe", 0.61, seed=1), run("full", 0.82), run("full", 0.82, seed=1),
        run("scratch", 0.95),
    ]  # fmt: skip
    for order in permutations(runs):
        assert choose(arms_of(order)) == ("net", "full", 1.0)


def test_accuracy_decides_between_equal_aurocs() -> None:
    runs = [run("probe", validation=card(0.8, 0.7)), run("full", validation=card(0.8, 0.72))]
    assert choose(arms_of(runs)).recipe == "full"
    assert choose(arms_of(runs[::-1])).recipe == "full"


def test_a_control_is_chosen_only_where_there_is_no_transfer() -> None:
    controls = [run("random", 0.9), run("scratch", 0.95)]
    assert choose(arms_of([*controls, run("probe", 0.6)])).recipe == "probe"
    assert choose(arms_of(controls)).recipe == "scratch"


def test_ratings() -> None:
    assert rating(run(auroc=0.8)) == (0.8, 0.7)
    assert rating(run(validation=card(0.6, 0.5, policy="argmax", singles=[0.9, 0.3]))) == (0.6, 0.5)
    assert rating(run(validation=card(None, None))) == (-1.0, -1.0)
    assert rating(run(validation=card(None, 0.5, singles=[0.9, None, 0.7]))) == (pytest.approx(0.8), 0.5)
    assert rating(run(validation=card(None, 0.5, singles=[None]))) == (-1.0, 0.5)
    assert choose(arms_of([run("full", None), run("probe", 0.1)])).recipe == "probe"


def test_the_reference_is_the_same_backbone_from_scratch_or_another_control() -> None:
    runs = [
        run("probe"), run("random"), run("scratch"), run("scratch", backbone="other"), run("scratch", lr_scale=0.1),
        run("full"),
    ]  # fmt: skip
    arms = arms_of(runs)
    chosen = ArmKey("net", "probe", 1.0)
    assert reference_of(chosen, arms) == ("net", "scratch", 1.0)
    assert reference_of(chosen, arms_of([runs[0], runs[1]])) == ("net", "random", 1.0)
    assert reference_of(chosen, arms_of([runs[0], *runs[3:]])) is None
    assert reference_of(ArmKey("net", "scratch", 1.0), arms) is None


def test_the_run_nearest_the_median_stands_for_its_arm() -> None:
    runs = [run(auroc=value, seed=seed) for seed, value in enumerate((0.9, 0.7, 0.81, 0.6, 0.95))]
    for order in permutations(runs):
        assert representative(order).seed == 2
    assert representative(runs[:1]) is runs[0]


def test_of_two_equally_near_the_first_fold_and_seed_stands() -> None:
    runs = [run(auroc=0.5, fold=1, seed=0), run(auroc=0.75, fold=0, seed=1)]
    for order in permutations(runs):
        assert representative(order).fold == 0
    alike = [run(auroc=0.7, seed=seed) for seed in (3, 1, 2)]
    assert representative(alike).seed == 1


def test_the_rule_is_what_the_study_was_asked_for() -> None:
    def asked(config: dict[str, Any]) -> StudyRecord:
        return StudyRecord("", "", "", config, [], {}, {})

    found = rule_of(asked({"operating_point": "sensitivity=0.95"}))
    assert found is not None
    assert found.name == "sensitivity=0.95"
    assert rule_of(asked({})) is None
    assert rule_of(asked({"operating_point": None})) is None
    with pytest.raises(XenograftError, match="E-USAGE-30"):
        rule_of(asked({"operating_point": "luck=1"}))
