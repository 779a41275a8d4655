"""One point of a learning curve, trained and measured, on disk: its facts as JSON, its test scores beside them."""

from __future__ import annotations

import io
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xenograft.data.manifest import Manifest
from xenograft.errors import DataError, printable
from xenograft.storage import atomic_write, read_json, sha256_bytes, sha256_of, write_json
from xenograft.study import runs
from xenograft.study.arm import Arm
from xenograft.study.config import GROWING, INCIDENTAL, StudyConfig
from xenograft.study.describe import now
from xenograft.study.learning_subsets import Subset
from xenograft.study.workshop import Workshop, weights_facts
from xenograft.train.images import steps_of

Json = dict[str, Any]

_VERSION = 1


class Points:
    """The points of a curve in a folder, each written once and never repeated.

    Args:
        folder: holds ``points/``. common: hash of what all points of a folder share.
    """

    def __init__(self, folder: Path, common: str) -> None:
        self._folder = folder / "points"
        self._common = common

    def every(self) -> list[Json]:
        """The facts of all points on disk, in the order of their names.

        Raises:
            DataError: one is damaged, or was made from other data or by other settings.
        """
        found = [self._read(path) for path in sorted(self._folder.glob("*.json"))]
        return [facts for facts in found if facts is not None]

    def finished(self, arm: Arm, subset: Subset, identity: str) -> bool:
        """Whether a point is on disk.

        Raises:
            DataError: it is there, but made otherwise; it is neither taken nor overwritten.
        """
        path = self._folder / f"{name_of(arm, subset)}.json"
        facts = self._read(path)
        if facts is not None and facts["fingerprint"] != identity:
            raise _other(path)
        return facts is not None

    def scores(self, facts: Json) -> NDArray[np.float64]:
        """(N, C) probabilities of the test images.

        Raises:
            DataError: the file is damaged.
        """
        path = self._folder / f"{facts['id']}.npy"
        try:
            data = path.read_bytes()
            if sha256_bytes(data) == facts["scores_sha256"]:
                loaded: NDArray[np.float64] = np.load(io.BytesIO(data), allow_pickle=False)
                return loaded
        except (OSError, ValueError):
            pass
        raise DataError(
            f"{printable(path)} is damaged or gone; remove {printable(facts['id'])}.json to make this point again",
            code="E-DATA-02",
        )

    def make(self, arm: Arm, subset: Subset, test: Manifest, workshop: Workshop, identity: str) -> Json:
        """Train on the subset, let its validation part choose, then open test; the facts are written last."""
        name = name_of(arm, subset)
        checkpoint = self._folder / f"{name}.checkpoint.safetensors"
        trained = runs.train_arm(arm, subset.train, subset.val, workshop, checkpoint=checkpoint, fingerprint=identity)
        # every choice of this point is made: epoch or strength. Only now is the test split read.
        opened = now()
        scores = io.BytesIO()
        np.save(scores, trained.predict(test), allow_pickle=False)
        batch = arm.recipe.batch_size
        facts: Json = {
            "version": _VERSION,
            "id": name,
            "backbone": arm.spec.name,
            "recipe": arm.recipe.name,
            "transfer": arm.recipe.pretrained,
            "frozen": arm.recipe.frozen,
            "seed": arm.seed,
            "size": subset.size,
            "repeat": subset.repeat,
            "train": counts(subset.train),
            "val": counts(subset.val),
            "settings": {**arm.recipe.as_json(), **trained.chosen},
            "epochs": len(trained.history),
            "best_epoch": trained.best_epoch,
            "steps": len(trained.history) * steps_of(len(subset.train), batch) if batch else None,
            "weights": weights_facts(arm, workshop),
            "preprocess": arm.preprocess.as_json(),
            "engine": dict(trained.engine),
            "timings": {stage: round(seconds, 3) for stage, seconds in trained.timings.items()},
            "notices": [asdict(notice) for notice in trained.notices],
            "test_opened": opened,
            "created": now(),
            "scores_sha256": sha256_bytes(scores.getvalue()),
            "fingerprint": identity,
            "common": self._common,
        }
        atomic_write(self._folder / f"{name}.npy", scores.getvalue())
        write_json(self._folder / f"{name}.json", facts)
        with suppress(OSError):
            checkpoint.unlink()
        return facts

    def commands(self) -> list[str]:
        """The calls that made what is in the folder, as far as they came to their end."""
        path = self._folder.parent / "learning.json"
        return list(read_json(path)["commands"]) if path.is_file() else []

    def _read(self, path: Path) -> Json | None:
        if not path.is_file():
            return None
        facts = read_json(path)
        if not isinstance(facts, dict) or facts.get("version") != _VERSION:
            raise DataError(
                f"{printable(path)} was written by another version; choose another folder", code="E-DATA-04"
            )
        if facts["common"] != self._common:
            raise _other(path)
        return dict(facts)


def common_of(config: StudyConfig, manifest: Manifest, *, least_steps: int | None) -> str:
    """Hash of the data and of every setting that all points of a folder share."""
    free = {*GROWING, *INCIDENTAL, "resamples"}
    shared = {key: value for key, value in config.as_json().items() if key not in free}
    return sha256_of({"data": manifest.sha256, "settings": shared, "least_steps": least_steps})


def identity_of(arm: Arm, subset: Subset, manifest: Manifest, workshop: Workshop) -> str:
    """Hash of everything that a point's result depends on, library versions aside."""
    return sha256_of(
        {
            "run": runs.fingerprint(arm, manifest, workshop),
            "train": subset.train.sha256,
            "val": subset.val.sha256,
        }
    )


def name_of(arm: Arm, subset: Subset) -> str:
    """File stem: unique in a folder, and in the order of sizes."""
    return f"{arm.id}-n{subset.size:07d}"


def counts(manifest: Manifest) -> Json:
    """Patients and images, in all and of each class; of findings those of which they are present.

    ``lacking``: findings that are never present, or never absent.
    """
    labels, patients = manifest.labels, manifest.patients
    of_class = {
        name: (labels[:, k] == 1 if manifest.multi_label else labels == k) for k, name in enumerate(manifest.classes)
    }
    lacking = []
    if manifest.multi_label:
        known = [(labels[:, k] == 1).any() and (labels[:, k] == 0).any() for k in range(labels.shape[1])]
        lacking = [name for name, both in zip(manifest.classes, known, strict=True) if not both]
    return {
        "patients": len(np.unique(patients)),
        "images": len(manifest),
        "classes": {
            name: {"patients": len(np.unique(patients[mine])), "images": int(mine.sum())}
            for name, mine in of_class.items()
        },
        "lacking": lacking,
    }


def _other(path: Path) -> DataError:
    return DataError(
        f"{printable(path)} was made from other data, weights or settings; choose another output folder, or remove "
        "that point to make it again",
        code="E-DATA-11",
    )
