"""A finished run on disk -> the network it trained, for export."""

from __future__ import annotations

from dataclasses import fields

from safetensors import SafetensorError
from safetensors.torch import load_file

from xenograft.backbones import catalog
from xenograft.data.preprocess import Preprocess
from xenograft.errors import WeightsError, printable
from xenograft.study.arm import Arm
from xenograft.study.record import RunRecord, Study
from xenograft.study.workshop import Workshop
from xenograft.train.network import Classifier
from xenograft.train.objective import objective_of
from xenograft.train.recipes import Recipe


def restore(study: Study, run: RunRecord, workshop: Workshop) -> Classifier:
    """The trained network in evaluation mode on the CPU.

    Frozen runs keep only their head: the backbone is built again from the same weights or the same seed.

    Raises:
        WeightsError: the weights found now are not those of the run (M4), or the run's file does not fit (M1).
    """
    known = {field.name for field in fields(Recipe)}
    recipe = Recipe(**{key: value for key, value in run.settings.items() if key in known})
    spec = catalog.lookup(run.backbone)
    arm = Arm(spec, recipe, run.seed, run.lr_scale, Preprocess.from_json(run.preprocess))
    found = workshop.weights(arm) if recipe.frozen else None
    if found is not None and run.weights is not None and found.sha256 != run.weights["sha256"]:
        raise WeightsError(
            f"{printable(found.path)} is not the file that {run.id} was trained on (sha256 {run.weights['sha256']})",
            code="E-MODEL-04",
        )
    path = study.folder / "runs" / run.id / "model.safetensors"
    objective = objective_of(len(study.record.classes), study.record.data["multi_label"])
    network = Classifier(workshop.backbone(arm), objective)
    try:
        missing, unexpected = network.load_state_dict(load_file(path), strict=not recipe.frozen)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise WeightsError(
            f"{printable(path)} does not fit {run.backbone}: {str(error).splitlines()[0]}", code="E-MODEL-01"
        ) from error
    if unexpected or "head.weight" in missing:
        raise WeightsError(f"{printable(path)} holds no head of {run.backbone}", code="E-MODEL-01")
    return network.eval()
