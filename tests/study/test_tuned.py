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
from xenograft.data.preprocess import Preprocess
from xenograft.study.arm import Arm
from xenograft.study.tuned import TunedArm, engine_facts, planned_machine
from xenograft.study.watch import Silent
from xenograft.train.images import ImageSet
from xenograft.train.machine import Machine
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
