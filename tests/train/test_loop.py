from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from xenograft.backbones import build, catalog
from xenograft.data.augment import PAPER
from xenograft.errors import ProcessError
from xenograft.study import arm
from xenograft.train.images import ImageSet
from xenograft.train.loop import Fitted, Machine, TrainingData, fit, predict
from xenograft.train.network import Classifier
from xenograft.train.objective import Binary, MultiLabel, Objective
from xenograft.train.recipes import Recipe, lookup
from xenograft.train.schedule import share_of_peak

RECIPE = replace(lookup("probe"), epochs=6, batch_size=16, head_lr=0.05)


def measure(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    return {"loss": 0.0, "accuracy": float((probabilities.argmax(1) == labels).mean()), "f1": 0.0, "auroc": 0.0}


def data(seed: int = 0, *, noise: float = 0.5) -> TrainingData:
    rng = np.random.default_rng(seed)
    labels = torch.from_numpy(rng.integers(0, 2, 80))
    inputs = torch.from_numpy(rng.normal(size=(80, 5)).astype(np.float32) * noise) + labels[:, None]

    def epoch(number: int) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(80, generator=torch.Generator().manual_seed(number))
        for part in torch.split(order, 16):
            yield inputs[part], labels[part]

    return TrainingData(epoch, 5, lambda: iter([(inputs, labels)]), Binary(), Binary().class_weights(labels))


def layer() -> nn.Linear:
    made = nn.Linear(5, 1)
    nn.init.zeros_(made.weight)
    nn.init.zeros_(made.bias)
    return made


def train(network: nn.Module, recipe: Recipe = RECIPE, source: TrainingData | None = None, **more: object) -> Fitted:
    return fit(network, source or data(), recipe=recipe, measure=measure, machine=Machine(), **more)  # type: ignore[arg-type]


def test_it_learns_and_keeps_the_best_epoch() -> None:
    network = layer()
    fitted = train(network)
    losses = [row["selection_loss"] for row in fitted.history]
    assert len(losses) == 6
    assert losses[-1] < losses[0]
    assert fitted.history[fitted.best_epoch - 1]["selection_loss"] == min(losses)
    assert fitted.history[-1]["val_accuracy"] > 0.9


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_p2_resume_equals_the_uninterrupted_run(tmp_path: Path, optimiser: str) -> None:
    recipe = replace(RECIPE, optimiser=optimiser)  # type: ignore[arg-type]
    whole = layer()
    expected = train(whole, recipe)

    class Stop(Exception):  # noqa: N818
        pass

    steps = 0

    def killed(_images: int) -> None:
        nonlocal steps
        steps += 1
        if steps == 13:  # in the third epoch
            raise Stop

    checkpoint = tmp_path / "checkpoint.safetensors"
    with pytest.raises(Stop):
        train(layer(), recipe, checkpoint=checkpoint, on_step=killed)
    resumed = layer()
    fitted = train(resumed, recipe, checkpoint=checkpoint)
    assert torch.equal(whole.weight, resumed.weight)
    assert torch.equal(whole.bias, resumed.bias)
    for a, b in zip(expected.history, fitted.history, strict=True):
        assert {k: v for k, v in a.items() if k != "seconds"} == {k: v for k, v in b.items() if k != "seconds"}


def test_patience_stops_and_the_best_epoch_is_restored() -> None:
    network = layer()
    recipe = replace(RECIPE, epochs=30, head_lr=5.0, patience=3)
    fitted = train(network, recipe, data(noise=3.0))
    assert len(fitted.history) < 30
    assert len(fitted.history) - fitted.best_epoch == 3


def test_p15_a_loss_that_is_not_finite_keeps_the_best_epoch() -> None:
    source = data()

    def poisoned(number: int) -> Iterator[tuple[Tensor, Tensor]]:
        for inputs, labels in source.epoch(number):
            yield (inputs * float("nan") if number == 2 else inputs), labels

    network = layer()
    fitted = train(network, source=replace(source, epoch=poisoned))
    assert len(fitted.history) == 2
    assert "epoch 3" in fitted.stopped
    assert torch.isfinite(network.weight).all()


def test_p15_from_the_first_epoch_on_is_an_error() -> None:
    source = data()

    def poisoned(number: int) -> Iterator[tuple[Tensor, Tensor]]:
        for inputs, labels in source.epoch(number):
            yield inputs * float("nan"), labels

    with pytest.raises(ProcessError, match="E-PROC-15"):
        train(layer(), source=replace(source, epoch=poisoned))


def images() -> ImageSet:
    rng = np.random.default_rng(0)
    labels = np.arange(12) % 2
    pixels = (
        rng.integers(0, 100, (12, 1, 32, 32), dtype=np.uint8) + (labels * 100).astype(np.uint8)[:, None, None, None]
    )
    return ImageSet(pixels, labels, tuple(f"{k:064x}" for k in range(12)))


def normalised(batches: Iterator[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
    for pixels, labels in batches:
        yield pixels.float().expand(-1, 3, -1, -1) / 255, labels


def trained_network(trainable: str | int) -> tuple[Classifier, dict[str, Tensor]]:
    network = Classifier(build.build(catalog.lookup("resnet18"), tensors=None, seed=0), Binary())
    network.backbone.freeze(trainable)  # type: ignore[arg-type]
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    held = images()
    source = TrainingData(
        lambda number: normalised(held.epoch(number, batch_size=4, augment=PAPER, seed=0, threads=1)),
        held.steps(4),
        lambda: normalised(held.in_order(12)),
        Binary(),
        Binary().class_weights(torch.from_numpy(held.labels)),
    )
    recipe = replace(lookup("full"), epochs=2, batch_size=4, backbone_lr=1e-2)
    fit(network, source, recipe=recipe, measure=measure, machine=Machine())
    return network, before


def test_frozen_batch_norm_does_not_drift() -> None:
    network, before = trained_network("none")
    for name, tensor in network.state_dict().items():
        assert name.startswith("head.") or torch.equal(tensor, before[name]), name


def test_partial_moves_the_last_stage_alone() -> None:
    network, before = trained_network(1)
    moved = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved
    assert all("layer4" in name or name.startswith("head.") for name in moved)
    assert any("running_mean" in name for name in moved)


def test_full_moves_everything_that_can_move() -> None:
    network, before = trained_network("all")
    still = [name for name, p in network.named_parameters() if torch.equal(p, before[name])]
    assert still == []


def test_epochs_differ_and_repeat() -> None:
    held = images()
    first, again, second = (
        torch.cat([x for x, _ in held.epoch(n, batch_size=5, augment=PAPER, seed=1, threads=2)]) for n in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


def test_a_last_batch_of_one_is_left_out() -> None:
    held = images()
    sizes = [len(y) for _, y in held.epoch(0, batch_size=11, augment=PAPER, seed=1, threads=1)]
    assert sizes == [11]
    assert held.steps(11) == 1
    assert held.steps(5) == 3


@pytest.mark.parametrize("damage", ["other settings", "cut"])
def test_a_checkpoint_of_another_run_is_not_taken(tmp_path: Path, damage: str) -> None:
    checkpoint = tmp_path / "checkpoint.safetensors"
    train(layer(), replace(RECIPE, epochs=3), checkpoint=checkpoint, fingerprint="a")
    if damage == "cut":
        checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    fresh, resumed = layer(), layer()
    train(fresh)
    fitted = train(resumed, checkpoint=checkpoint, fingerprint="a" if damage == "cut" else "b")
    assert torch.equal(fresh.weight, resumed.weight)
    assert len(fitted.history) == 6


def test_answers_that_are_not_finite_count_as_a_diverged_epoch() -> None:
    with pytest.raises(ProcessError, match="E-PROC-15"):
        train(layer(), replace(RECIPE, head_lr=1e38, optimiser="sgd", epochs=4))


def convolutional(outputs: int = 1) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 6, 3), nn.Flatten(), nn.Linear(6 * 144, outputs)
        )


def pictures(count: int = 45, batch: int = 16) -> TrainingData:
    generator = torch.Generator().manual_seed(3)
    labels = torch.arange(count) % 2
    inputs = torch.randn(count, 3, 16, 16, generator=generator) + labels[:, None, None, None]
    return source_of(inputs, labels, Binary(), batch)


def pictures_with_findings(count: int = 45, batch: int = 16) -> TrainingData:
    """Three findings, half of them unknown, and all of some images."""
    generator = torch.Generator().manual_seed(4)
    labels = torch.randint(0, 2, (count, 3), generator=generator)
    inputs = torch.randn(count, 3, 16, 16, generator=generator) + labels[:, :, None, None]
    labels[torch.rand(labels.shape, generator=generator) < 0.5] = -1
    return source_of(inputs, labels, MultiLabel(3), batch)


def source_of(inputs: Tensor, labels: Tensor, objective: Objective, batch: int) -> TrainingData:
    def epoch(number: int) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(number))
        for part in torch.split(order, batch):
            yield inputs[part], labels[part]

    steps = -(-len(labels) // batch)
    return TrainingData(epoch, steps, lambda: iter([(inputs, labels)]), objective, objective.class_weights(labels))


SMALL = replace(RECIPE, epochs=3, head_lr=1e-3)


def fit_pictures(
    machine: Machine, recipe: Recipe = SMALL, source: TrainingData | None = None, **more: object
) -> tuple[nn.Sequential, Fitted]:
    source = source or pictures()
    network = convolutional(source.objective.outputs)
    return network, fit(network, source, recipe=recipe, measure=arm.measure, machine=machine, **more)  # type: ignore[arg-type]


# every step is small and the sums are the same but for their order; Adam divides by gradients near 0, SGD does not
@pytest.mark.parametrize(("optimiser", "atol"), [("adamw", 1e-5), ("sgd", 1e-6)])
@pytest.mark.parametrize("micro_batch", [2, 3, 7, 15])
@pytest.mark.parametrize("source", [pictures(), pictures_with_findings()], ids=["classes", "findings"])
def test_parts_of_a_batch_train_as_the_whole_batch(
    source: TrainingData, optimiser: str, atol: float, micro_batch: int
) -> None:
    recipe = replace(SMALL, optimiser=optimiser)  # type: ignore[arg-type]
    whole, expected = fit_pictures(Machine(), recipe, source)
    parts, fitted = fit_pictures(Machine(micro_batch=micro_batch), recipe, source)
    for a, b in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=atol, rtol=1e-5)
    for first, second in zip(expected.history, fitted.history, strict=True):
        assert first["train_loss"] == pytest.approx(second["train_loss"], abs=1e-4)
        assert first["train_accuracy"] == pytest.approx(second["train_accuracy"])


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_the_fused_optimiser_equals_the_plain_one_on_convolutions(optimiser: str) -> None:
    recipe = replace(SMALL, optimiser=optimiser, epochs=2, warmup=0.0)  # type: ignore[arg-type]
    trained, fitted = fit_pictures(Machine(), recipe)
    assert fitted.best_epoch == 2
    network, source = convolutional(), pictures()
    options = {"lr": recipe.head_lr, "weight_decay": recipe.weight_decay, "foreach": False, "fused": False}
    plain: torch.optim.Optimizer = torch.optim.AdamW(network.parameters(), **options)  # type: ignore[arg-type]
    if optimiser == "sgd":
        plain = torch.optim.SGD(network.parameters(), momentum=0.9, **options)  # type: ignore[arg-type]
    for step, (inputs, labels) in enumerate([*source.epoch(0), *source.epoch(1)]):
        plain.param_groups[0]["lr"] = recipe.head_lr * share_of_peak(step, 6, warmup=0.0)
        weights = source.class_weights[labels]
        loss = nn.functional.binary_cross_entropy_with_logits(network(inputs)[:, 0], labels.float(), weight=weights)
        plain.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        plain.step()
    for a, b in zip(network.parameters(), trained.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
@pytest.mark.parametrize("source", [pictures(), pictures_with_findings()], ids=["classes", "findings"])
def test_p2_convolutions_resume_exactly(tmp_path: Path, source: TrainingData, optimiser: str) -> None:
    """Channels last: the state of a fused optimiser has to lie in memory as its parameters do."""
    recipe = replace(SMALL, optimiser=optimiser)  # type: ignore[arg-type]
    whole, _ = fit_pictures(Machine(micro_batch=6), recipe, source)
    checkpoint = tmp_path / "checkpoint.safetensors"

    class Stop(Exception):  # noqa: N818
        pass

    met: list[int] = []

    def killed(images: int) -> None:
        met.append(images)
        if len(met) == 5:
            raise Stop

    with pytest.raises(Stop):
        fit_pictures(Machine(micro_batch=6), recipe, source, checkpoint=checkpoint, on_step=killed)
    resumed, fitted = fit_pictures(Machine(micro_batch=6), recipe, source, checkpoint=checkpoint)
    assert len(fitted.history) == 3
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_row_of_an_epoch_counts_what_is_known() -> None:
    """No step is taken, so the loss of the epoch is that of the network as it was."""
    source = pictures_with_findings()
    recipe = replace(SMALL, optimiser="sgd", head_lr=0.0, epochs=1)
    network, fitted = fit_pictures(Machine(micro_batch=5), recipe, source)
    row = fitted.history[0]
    inputs, labels = next(source.validation())
    with torch.no_grad():
        logits = network(inputs)
    known = labels >= 0
    assert row["train_loss"] == pytest.approx(row["selection_loss"], rel=1e-5)
    assert row["train_accuracy"] == pytest.approx(((logits > 0) == labels)[known].float().mean().item())
    probabilities = torch.sigmoid(logits.double()).numpy()
    aurocs = [roc_auc_score(labels[known[:, k], k], probabilities[known[:, k], k]) for k in range(3)]
    assert row["val_auroc"] == pytest.approx(np.mean(aurocs))


def test_predictions_of_findings_keep_their_labels() -> None:
    network, source = convolutional(3), pictures_with_findings()
    labels, probabilities, logits = predict(network, source.epoch(0), Machine(micro_batch=5), source.objective)
    np.testing.assert_array_equal(labels, torch.cat([truth for _, truth in source.epoch(0)]).numpy())
    np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-logits.double().numpy())))


class Narrow(nn.Module):
    """Runs out of memory above a number of images while it trains."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.inner, self.most = convolutional(), most
        self.met: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        self.met.append(len(images))
        if self.training and len(images) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        output: Tensor = self.inner(images)
        return output


def test_p11_smaller_parts_last_over_a_resume_and_are_reported(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint.safetensors"
    recipe = replace(SMALL, epochs=1)
    options = {"measure": measure, "machine": Machine(), "checkpoint": checkpoint}
    fitted = fit(Narrow(10), pictures(), recipe=recipe, **options)  # type: ignore[arg-type]
    assert fitted.micro_batch == 8
    assert [notice.code for notice in fitted.notices] == ["W-PROC-11"]
    network = Narrow(10)
    again = fit(network, pictures(), recipe=SMALL, **options)  # type: ignore[arg-type]
    assert len(again.history) == 3
    assert again.micro_batch == 8
    assert again.notices == fitted.notices
    assert max(network.met) == 8  # validation takes parts as well
    with pytest.raises(ProcessError, match="E-PROC-11"):
        fit(Narrow(3), pictures(), recipe=SMALL, measure=measure, machine=Machine())


def test_predict_takes_parts_and_keeps_the_order() -> None:
    network = Narrow(10)
    batches = list(pictures().epoch(0))
    labels, probabilities, logits = predict(network, iter(batches), Machine(micro_batch=5), Binary())
    assert max(network.met) == 5
    assert labels.tolist() == [int(label) for _, truth in batches for label in truth]
    expected = predict(network, iter(batches), Machine(), Binary())
    np.testing.assert_allclose(probabilities, expected[1], atol=1e-6)
    torch.testing.assert_close(logits, expected[2])
