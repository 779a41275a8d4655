from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from xenograft.errors import ProcessError
from xenograft.study.arm import measure
from xenograft.train.head_data import Head, HeadData
from xenograft.train.head_stack import Job, fit_stack
from xenograft.train.heads import fit_linear
from xenograft.train.loop import Machine, TrainingData, fit
from xenograft.train.objective import objective_of
from xenograft.train.recipes import Recipe, lookup

RECIPE = replace(lookup("probe"), epochs=7, batch_size=16, head_lr=0.02)


def data(classes: int = 2, *, views: int = 1, count: int = 150, width: int = 13) -> HeadData:
    rng = np.random.default_rng(3)
    labels = rng.permutation(np.arange(count + 50) % classes)
    centres = rng.normal(size=(classes, width))
    features = (rng.normal(size=(views, count + 50, width)) * 2 + centres[labels] + 0.5).astype(np.float32)
    objective = objective_of(classes)
    return HeadData(
        features[:, :count], labels[:count], np.arange(count), features[0, count:], labels[count:], objective
    )


def findings(*, views: int = 1, count: int = 150, width: int = 13) -> HeadData:
    """Four findings, a third of them unknown; nothing is known of some images, and the last is never seen in train."""
    rng = np.random.default_rng(5)
    truth = (rng.random((count + 50, 4)) < [0.5, 0.3, 0.1, 0.2]).astype(np.int64)
    features = rng.normal(size=(views, count + 50, width)) * 2 + truth @ rng.normal(size=(4, width)) + 0.5
    truth[:count, 3] = 0
    labels = np.where(rng.random(truth.shape) < 1 / 3, -1, truth)
    labels[:20] = -1
    data = features.astype(np.float32)
    groups = np.arange(count)
    return HeadData(data[:, :count], labels[:count], groups, data[0, count:], labels[count:], objective_of(4, True))


def kind_of(classes: int, **more: int) -> HeadData:
    """Data of so many classes; 0 are findings."""
    return data(classes, **more) if classes else findings(**more)


def by_loop(given: HeadData, recipe: Recipe, seed: int) -> tuple[nn.Linear, Any]:
    """The same head by automatic differentiation and torch's own optimisers."""
    train = np.stack([given.train[view] for view in range(len(given.train))])
    flat = train.reshape(-1, train.shape[2])
    mean, scale = (flat.mean(0), flat.std(0)) if recipe.standardise else (0.0, 1.0)
    views, val = torch.from_numpy((train - mean) / scale).float(), torch.from_numpy((given.val - mean) / scale).float()
    labels, val_labels = torch.from_numpy(given.train_labels), torch.from_numpy(given.val_labels)
    layer = nn.Linear(train.shape[2], given.objective.outputs)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=torch.Generator().manual_seed(seed)) * 0.01)
        layer.bias.zero_()

    def epoch(number: int) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed * 100_003 + number))
        for part in order.split(recipe.batch_size):
            yield views[number % len(views)][part], labels[part]

    source = TrainingData(
        epoch,
        -(-len(labels) // recipe.batch_size),
        lambda: iter([(val, val_labels)]),
        given.objective,
        given.objective.class_weights(labels),
    )
    fitted = fit(layer, source, recipe=recipe, measure=measure, machine=Machine())
    with torch.no_grad():  # back to raw features
        layer.weight /= torch.as_tensor(scale)
        layer.bias -= layer.weight @ torch.as_tensor(mean) if recipe.standardise else 0.0
    return layer, fitted


def rows(head: Head) -> list[dict[str, float]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in head.history]


@pytest.mark.parametrize("standardise", [False, True], ids=["raw", "standardised"])
@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
@pytest.mark.parametrize(("classes", "views"), [(2, 1), (2, 3), (3, 1), (3, 3), (0, 1), (0, 3)])
def test_it_equals_the_loop_with_automatic_differentiation(
    classes: int, views: int, optimiser: Any, standardise: bool
) -> None:
    given = kind_of(classes, views=views)
    recipe = replace(RECIPE, optimiser=optimiser, standardise=standardise, weight_decay=0.01)
    head = fit_stack(given, [Job(recipe, 4)], measure=measure)[0]
    layer, fitted = by_loop(given, recipe, 4)
    np.testing.assert_allclose(head.weight, layer.weight.detach().numpy(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(head.bias, layer.bias.detach().numpy(), rtol=1e-4, atol=1e-6)
    assert head.best_epoch == fitted.best_epoch
    assert [row.keys() for row in head.history] == [row.keys() for row in fitted.history]
    for mine, theirs in zip(rows(head), fitted.history, strict=True):
        assert mine == pytest.approx({k: v for k, v in theirs.items() if k != "seconds"}, rel=1e-4)


@pytest.mark.parametrize("width", [13, 1280])
@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
@pytest.mark.parametrize("classes", [2, 3, 0])
def test_a_head_does_not_depend_on_its_neighbours_to_the_last_bit(classes: int, optimiser: Any, width: int) -> None:
    given = kind_of(classes, views=2, width=width)
    recipe = replace(RECIPE, optimiser=optimiser, standardise=width == 13)
    jobs = [Job(recipe.scaled(scale), seed) for scale, seed in ((1, 0), (1, 1), (0.1, 0), (1, 2), (3, 1))]
    for job, head in zip(jobs, fit_stack(given, jobs, measure=measure), strict=True):
        alone = fit_stack(given, [job], measure=measure)[0]
        np.testing.assert_array_equal(head.weight, alone.weight)
        np.testing.assert_array_equal(head.bias, alone.bias)
        assert rows(head) == rows(alone)
        assert head.best_epoch == alone.best_epoch


def test_jobs_of_several_kinds_come_back_in_order() -> None:
    given = data()
    jobs = [Job(RECIPE, 0), Job(replace(RECIPE, batch_size=32, epochs=3), 0), Job(RECIPE, 1)]
    fitted = fit_stack(given, jobs, measure=measure)
    assert [len(head.history) for head in fitted] == [7, 3, 7]
    for job, head in zip(jobs, fitted, strict=True):
        np.testing.assert_array_equal(
            head.weight, fit_linear(given, recipe=job.recipe, seed=job.seed, measure=measure).weight
        )
    assert fit_stack(given, [], measure=measure) == []


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_an_image_of_which_nothing_is_known_never_influences_a_head(optimiser: Any) -> None:
    given = findings(views=2)
    other = np.asarray(given.train).copy()
    other[:, :20] = np.random.default_rng(9).normal(size=other[:, :20].shape) * 50
    jobs = [Job(replace(RECIPE, optimiser=optimiser), 1)]
    head = fit_stack(given, jobs, measure=measure)[0]
    same = fit_stack(replace(given, train=other), jobs, measure=measure)[0]
    np.testing.assert_array_equal(head.weight, same.weight)
    np.testing.assert_array_equal(head.bias, same.bias)
    assert rows(head) == rows(same)


def test_unknown_labels_of_one_finding_leave_the_others_rows_alone() -> None:
    """With plain steps of one batch, a row's gradient differs by the number of known labels alone."""
    given = findings()
    recipe = replace(RECIPE, optimiser="sgd", weight_decay=0.0, epochs=1, batch_size=150)
    labels = given.train_labels.copy()
    labels[:, 2] = -1
    few = replace(given, train_labels=labels)
    full, less = (fit_stack(each, [Job(recipe, 1)], measure=measure)[0].bias for each in (given, few))
    ratio = (given.train_labels >= 0).sum() / (labels >= 0).sum()
    np.testing.assert_allclose(less[[0, 1, 3]], full[[0, 1, 3]] * ratio, rtol=1e-4)
    assert less[2] == 0


def test_a_batch_of_unknown_labels_is_no_reason_to_stop() -> None:
    given = findings()
    labels = given.train_labels.copy()
    labels[1:] = -1
    labels[0] = 1
    head = fit_stack(replace(given, train_labels=labels), [Job(RECIPE, 0)], measure=measure)[0].usable()
    assert not head.stopped
    assert np.isfinite(head.weight).all()
    assert head.history[-1]["train_accuracy"] in {0.0, 0.25, 0.5, 0.75, 1.0}  # of the four labels that are known


def test_a_head_of_findings_answers_each_by_itself() -> None:
    given = findings()
    head = fit_stack(given, [Job(RECIPE, 0)], measure=measure)[0]
    logits = given.val.astype(np.float64) @ head.weight.T.astype(np.float64) + head.bias
    np.testing.assert_allclose(head.probabilities(given.val), 1 / (1 + np.exp(-logits)), rtol=1e-9)


class Lazy:
    """Views that note which of them was read."""

    def __init__(self, views: np.ndarray) -> None:
        self.views, self.read = views, list[int]()

    def __len__(self) -> int:
        return len(self.views)

    def __getitem__(self, index: int, /) -> np.ndarray:
        self.read.append(index)
        return self.views[index].copy()


def test_views_are_read_one_at_a_time_and_in_order() -> None:
    given = data(views=3)
    lazy = Lazy(np.asarray(given.train))
    jobs = [Job(RECIPE, 0), Job(RECIPE, 1)]
    head = fit_stack(replace(given, train=lazy), jobs, measure=measure)[1]
    assert lazy.read == [0, 1, 2, 0, 1, 2, 0]
    np.testing.assert_array_equal(head.weight, fit_stack(given, jobs, measure=measure)[1].weight)


def test_a_single_view_is_read_once() -> None:
    given = data()
    lazy = Lazy(np.asarray(given.train))
    fit_stack(replace(given, train=lazy), [Job(RECIPE, 0)], measure=measure)
    assert lazy.read == [0]


def test_read_only_views_are_taken_and_left_alone() -> None:
    given = data(views=2)
    train = np.asarray(given.train)
    train.flags.writeable = False
    fit_stack(given, [Job(replace(RECIPE, standardise=True), 0)], measure=measure)
    np.testing.assert_array_equal(train, data(views=2).train)


def test_p15_a_head_that_diverges_at_once_does_not_take_the_others_along() -> None:
    given = data()
    wild = replace(RECIPE, head_lr=1e38, optimiser="sgd")
    good, bad = fit_stack(given, [Job(replace(wild, head_lr=0.02), 0), Job(wild, 0)], measure=measure)
    assert len(good.usable().history) == 7
    assert not good.stopped
    with pytest.raises(ProcessError, match=r"(?s)1e\+38.*--lr-scale") as caught:
        bad.usable()
    assert caught.value.code == "E-PROC-15"
    with pytest.raises(ProcessError, match="E-PROC-15"):
        fit_linear(given, recipe=wild, seed=0, measure=measure)


def test_p15_a_head_that_diverges_later_keeps_its_best_epoch() -> None:
    given = data(views=4)
    train = np.asarray(given.train).copy()
    train[2] = np.nan
    before = fit_stack(replace(given, train=train[:2]), [Job(RECIPE, 0)], measure=measure)[0]
    head = fit_stack(replace(given, train=train), [Job(RECIPE, 0)], measure=measure)[0].usable()
    assert rows(head) == rows(before)[:2]
    assert "epoch 3" in head.stopped
    assert head.best_epoch in {1, 2}
    assert np.isfinite(head.weight).all()


def test_patience_ends_one_head_and_not_the_others() -> None:
    jobs = [Job(replace(RECIPE, epochs=12, patience=2).scaled(scale), 0) for scale in (100.0, 0.1)]
    impatient, steady = fit_stack(data(), jobs, measure=measure)
    assert len(impatient.history) < 12
    assert len(impatient.history) - impatient.best_epoch == 2
    assert len(steady.history) > len(impatient.history)


def test_the_time_is_divided_and_threads_are_given_back() -> None:
    threads = torch.get_num_threads()
    first, second = fit_stack(data(), [Job(RECIPE, 0), Job(RECIPE, 1)], measure=measure)
    assert first.seconds == second.seconds > 0
    assert sum(row["seconds"] for row in first.history) <= first.seconds + 7 * 5e-5
    assert torch.get_num_threads() == threads
