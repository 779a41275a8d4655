"""A tuned arm on stand-ins for manifest and workshop: what it plans, what it reports, what it does without memory."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from xenograft.backbones import build
from xenograft.backbones.catalog import lookup
from xenograft.backbones.graph import PixelGraph
from xenograft.data.preprocess import Preprocess
from xenograft.errors import UsageError
from xenograft.study.arm import Arm
from xenograft.study.tuned import TunedArm, check_trainable, engine_facts, planned_machine
from xenograft.study.watch import Silent
from xenograft.train.images import ImageSet
from xenograft.train.loop import predict
from xenograft.train.machine import Machine
from xenograft.train.network import Classifier
from xenograft.train.objective import Binary
from xenograft.train.recipes import lookup as recipe_of

SPEC = lookup("resnet18")
PREPROCESS = Preprocess(size=32, mean=SPEC.mean, std=SPEC.std, channels=1, fit="squash")
MANIFEST: Any = SimpleNamespace(classes=["a", "b"], multi_label=False)


def arm(**more: Any) -> Arm:
    return Arm(SPEC, replace(recipe_of("scratch"), epochs=1, **more), 0, 1.0, PREPROCESS)


def workshop(machine: Machine, **more: Any) -> Any:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (36, 1, 32, 32), dtype=np.uint8)
    held = ImageSet(pixels, np.arange(36) % 2, tuple(f"{k + 1:016x}" for k in range(36)))
    return SimpleNamespace(
        machine=machine,
        threads=1,
        watcher=Silent(),
        images=lambda *_: held,
        backbone=lambda arm: build.build(arm.spec, tensors=None, seed=arm.seed),
        **{"precision": "f32", **more},
    )


def test_a_plan_takes_parts_on_a_processor() -> None:
    planned = planned_machine(arm(), workshop(Machine("cpu")))
    assert planned == Machine("cpu", bf16=False, micro_batch=16)
    assert engine_facts(arm(), planned) == {"name": "torch", "precision": "f32", "device": "cpu", "micro_batch": 16}


def test_what_the_user_asks_for_is_planned() -> None:
    planned = planned_machine(arm(), workshop(Machine("cpu", micro_batch=8), precision="bf16"))
    assert planned == Machine("cpu", bf16=True, micro_batch=8)


def test_a_whole_batch_is_its_own_part() -> None:
    small = arm(batch_size=12)
    planned = planned_machine(small, workshop(Machine("cpu")))
    assert planned.micro_batch is None
    assert engine_facts(small, planned)["micro_batch"] == 12


def test_a_trained_arm_says_what_it_used() -> None:
    trained = TunedArm(arm(batch_size=24), MANIFEST, MANIFEST, workshop(Machine("cpu")), None, "")
    assert trained.engine == {"name": "torch", "precision": "f32", "device": "cpu", "micro_batch": 16}
    assert trained.notices == []
    assert trained.predict(MANIFEST).shape == (36, 2)


def test_findings_are_trained_and_answered_one_by_one() -> None:
    labels = np.random.default_rng(1).integers(-1, 2, (36, 3))
    shop = workshop(Machine("cpu"))
    held = replace(shop.images(), labels=labels)
    shop.images = lambda *_: held
    manifest: Any = SimpleNamespace(classes=["a", "b", "c"], multi_label=True)
    trained = TunedArm(arm(batch_size=24), manifest, manifest, shop, None, "")
    assert trained.tensors()["head.weight"].shape[0] == 3
    probabilities = trained.predict(manifest)
    assert probabilities.shape == (36, 3)
    assert not np.allclose(probabilities.sum(axis=1), 1.0)
    assert trained.history[0].keys() >= {"train_loss", "train_accuracy", "val_auroc", "selection_loss"}


def test_p11_parts_that_shrank_are_in_the_facts_and_the_notices(monkeypatch: pytest.MonkeyPatch) -> None:
    real = build.Backbone.forward

    def narrow(self: build.Backbone, images: torch.Tensor) -> torch.Tensor:
        if self.training and len(images) > 7:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(self, images)

    monkeypatch.setattr(build.Backbone, "forward", narrow)
    trained = TunedArm(arm(batch_size=24), MANIFEST, MANIFEST, workshop(Machine("cpu")), None, "")
    assert trained.engine["micro_batch"] == 6
    assert [notice.code for notice in trained.notices] == ["W-PROC-11"]


def small(name: str, backbone: str, **more: Any) -> Arm:
    spec = lookup(backbone)
    # most vision transformers take one size
    preprocess = replace(PREPROCESS, size=spec.size if "vit" in backbone else 32, mean=spec.mean, std=spec.std)
    return Arm(spec, replace(recipe_of(name), epochs=2, batch_size=12, **more), 0, 1.0, preprocess)


def shop_of(size: int) -> Any:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 1, size, size), dtype=np.uint8)
    held = ImageSet(pixels, np.arange(24) % 2, tuple(f"{k + 1:016x}" for k in range(24)))
    shop = workshop(Machine("cpu"))
    shop.images = lambda *_: held
    return shop


@pytest.mark.parametrize("name", ["full", "gradual", "layerwise", "l2_sp", "norm_only", "lora"])
def test_what_a_recipe_moves_and_that_its_tensors_are_the_model(name: str) -> None:
    todo = small(name, "timm:test_vit" if name == "lora" else "timm:test_resnet")
    shop = shop_of(todo.preprocess.size)
    trained = TunedArm(todo, MANIFEST, MANIFEST, shop, None, "")
    tensors = trained.tensors()
    # the names are those of a network that no recipe has touched, and its answers those of the trained one
    plain = Classifier(shop.backbone(todo), Binary())
    first = {key: tensor.clone() for key, tensor in plain.state_dict().items()}
    plain.load_state_dict(tensors)
    held = shop.images()
    answers = predict(PixelGraph(plain, todo.preprocess), held.in_order(24), Machine(), Binary())[1]
    np.testing.assert_allclose(answers, trained.predict(MANIFEST), atol=1e-6)
    moved = {key for key, tensor in tensors.items() if not torch.equal(tensor, first[key])}
    modules = dict(plain.named_modules())

    def may_move(key: str) -> bool:
        owner = key.rpartition(".")[0]
        if key.startswith("head."):
            return True
        if name == "norm_only":
            return "Norm" in type(modules[owner]).__name__
        return name != "lora" or (".attn." in key and key.endswith("weight"))

    expected = {key for key in first if may_move(key)}
    if trained.best_epoch == 1 and name == "gradual":
        expected = {key for key in first if key.startswith("head.")}
    if name == "l2_sp":  # a step of SGD is as small as its gradient, and some of a new network's are 0
        assert moved <= expected
        assert any(key.startswith("backbone.") and "running_" not in key for key in moved)
    else:
        assert moved == expected


def test_a_recipe_that_a_backbone_cannot_have_is_refused_before_training() -> None:
    with pytest.raises(UsageError, match="E-USAGE-26"):
        check_trainable(small("norm_only", "squeezenet1_1"))
    with pytest.raises(UsageError, match="E-USAGE-27"):
        check_trainable(small("lora", "timm:test_resnet"))
    check_trainable(small("norm_only", "timm:test_resnet"))
    check_trainable(small("full", "squeezenet1_1"))
