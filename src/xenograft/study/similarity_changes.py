"""A backbone, recipes and training patients -> what training does to the features of images that it never saw."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from xenograft.backbones.build import Backbone
from xenograft.data.manifest import Manifest
from xenograft.storage import sha256_of
from xenograft.study import runs
from xenograft.study.arm import Arm, Trained
from xenograft.study.learning_subsets import make_subsets
from xenograft.study.similarity_material import Material, Stages
from xenograft.study.similarity_sets import SETS
from xenograft.study.workshop import Workshop

Json = dict[str, Any]


def train_and_measure(arm: Arm, material: Material, before: Stages, *, checkpoints: Path) -> list[Json]:
    """The changes (Proposition 5) of every recipe and seed; none where nothing is to be trained.

    The images that are measured are those of `before`: of the medical ones the test split, which neither trains nor
    chooses an epoch.

    Args:
        before: features of the network with ImageNet weights.
        checkpoints: folder in which an interrupted training is found again.
    """
    arms = material.asked.trained_arms(arm)
    if not arms:
        return []
    found = []
    watcher = material.workshop.watcher
    for each in arms:
        train, val = _patients(material, each.seed)
        label = f"{each.spec.title} {each.recipe.name}, seed {each.seed}"
        watcher.begin(label, each.cost(len(train)))
        with material.clock("training"):
            trained = _trained(each, train, val, material.workshop, checkpoints)
            network = _backbone(each, trained, material)
        after = material.features(network, each.preprocess, noise=False)
        with material.measuring():
            stages = [_stage(name, before[name], after[name], material) for name in after]
        best = next(entry for entry in trained.history if entry["epoch"] == trained.best_epoch)
        found.append(
            {
                "backbone": each.spec.name,
                "title": each.spec.title,
                "recipe": each.recipe.name,
                "seed": each.seed,
                "training": {
                    "images": len(train),
                    "patients": len(np.unique(train.patients)),
                    "epochs": len(trained.history),
                    "best_epoch": trained.best_epoch,
                    "val_auroc": None if np.isnan(best["val_auroc"]) else best["val_auroc"],
                },
                "stages": stages,
            }
        )
        watcher.end(label)
    return found


def _patients(material: Material, seed: int) -> tuple[Manifest, Manifest]:
    """Training and validation images; under a limit those of a stratified draw of patients, another for every seed."""
    manifest, limit = material.sets["medical"].whole, material.asked.train_limit
    train = manifest.subset("train")
    if limit is None or limit >= len(np.unique(train.patients)):
        return train, manifest.subset("val")
    subset = make_subsets(manifest, sizes=(limit,), repeats=material.asked.config.seeds).at(limit, seed)
    return subset.train, subset.val


def _trained(arm: Arm, train: Manifest, val: Manifest, workshop: Workshop, checkpoints: Path) -> Trained:
    parts = [runs.fingerprint(arm, part, workshop) for part in (train, val)]
    return runs.train_arm(
        arm,
        train,
        val,
        workshop,
        checkpoint=checkpoints / f"{arm.id}.safetensors",
        fingerprint=sha256_of({"train": parts[0], "val": parts[1]}),
    )


def _backbone(arm: Arm, trained: Trained, material: Material) -> Backbone:
    """The network without its head."""
    prefix = "backbone."
    network = material.workshop.backbone(arm)
    tensors = trained.tensors()
    network.load_state_dict({name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)})
    return network


def _stage(name: str, before: Mapping[str, Any], after: Mapping[str, Any], material: Material) -> Json:
    ruler = material.ruler
    return {
        "name": name,
        "measures": ruler.change(before, after),
        "cka": {each: ruler.alignment(before[each], after[each], each) for each in SETS},
    }
