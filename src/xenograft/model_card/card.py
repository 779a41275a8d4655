"""(run, study, what validation chose, what it did on test) -> the text of MODEL_CARD.md."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from xenograft.backbones import catalog
from xenograft.errors import UsageError
from xenograft.evaluation.choices import ARGMAX, Choices
from xenograft.model_card import making, results, trust
from xenograft.model_card.markdown import interval, number, table, text
from xenograft.study.record import RunRecord, StudyRecord

Json = dict[str, Any]
FOR_PEOPLE = (
    "Intended use",
    "Clinical role",
    "Eligibility (which patients, which images)",
    "Reference standard and annotators",
    "Agreement between readers",
    "Ethics approval",
    "Funding",
    "Known limitations",
)
"""What the records cannot know (CLAIM, TRIPOD+AI); it is for people to fill in."""
_SYNTHETIC = "**Trained on synthetic phantom images. It says nothing about patients.**"
_SPDX = {"Apache-2.0": "apache-2.0", "BSD-3-Clause": "bsd-3-clause", "MIT": "mit", "CC-BY-4.0": "cc-by-4.0",
         "CC-BY-NC-4.0": "cc-by-nc-4.0", "apache-2.0": "apache-2.0", "mit": "mit"}  # fmt: skip
_METRICS = {"auroc": "roc_auc", "accuracy": "accuracy", "recall": "recall", "precision": "precision", "f1": "f1"}


def model_card(
    run: RunRecord,
    study: StudyRecord,
    *,
    choices: Choices | None,
    measured: Json | None = None,
    hashes: Mapping[str, str] | None = None,
    chosen_because: str = "",
) -> str:
    """A model card in Markdown, with the front matter of Hugging Face's cards.

    Args:
        run, study: records of the model and of its study.
        choices: what validation chose; None leaves those sections out. measured: `choices_on_test` of them.
        hashes: {file: sha256} of the bundle's files; None for a run that is not exported.
        chosen_because: why this backbone, where it was chosen by transferability scores.
    """
    policy = choices.policy if choices is not None else next(iter(run.test["policies"]))
    lines = [
        *_front_matter(run, study),
        f"# {text(study.data['name'])}: {text(_title(run.backbone))}, {text(run.recipe)}",
        "",
        *([_SYNTHETIC, ""] if study.data["synthetic"] else []),
        *_answers(run, study, choices, policy),
        *_beforehand(study, choices, measured),
        *(_how_to_run(choices) if hashes else []),
        *_for_people(),
        *results.on_test(
            run.test, study.classes, policy, opened=run.test_opened, baseline=study.data.get("baseline")
        ),
    ]  # fmt: skip
    if choices is not None:
        lines += results.operating_point(choices, run.thresholds, run.test)
        lines += trust.calibration(choices, measured)
        lines += trust.referring(choices, measured)
        lines += _missing(choices)
    lines += making.data(study)
    lines += making.preprocessing(run.preprocess)
    lines += making.training(run, study, chosen_because)
    lines += making.reproduction(run, study, hashes or {})
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"


def _front_matter(run: RunRecord, study: StudyRecord) -> list[str]:
    """YAML, in which a JSON text is a text."""
    licence = _SPDX.get(str((run.weights or {}).get("licence")))
    tags = ["medical-imaging", "xenograft", run.backbone, run.recipe]
    if study.data["synthetic"]:
        tags.append("synthetic-data")
    known = next(iter(run.test["policies"].values()))["metrics"]
    return [
        "---",
        *([f"license: {licence}  # of the pretrained weights"] if licence else []),
        "pipeline_tag: image-classification",
        "tags:",
        *(f"- {json.dumps(tag)}" for tag in tags),
        "metrics:",
        *(f"- {theirs}" for ours, theirs in _METRICS.items() if ours in known),
        "---",
        "",
    ]


def _title(backbone: str) -> str:
    """As tables call it; a name that is not in the catalog stays as it is."""
    try:
        return catalog.lookup(backbone).title
    except UsageError:
        return backbone


def _answers(run: RunRecord, study: StudyRecord, choices: Choices | None, policy: str) -> list[str]:
    names = [text(name) for name in study.classes]
    lines = ["## What it answers", ""]
    if study.data["multi_label"]:
        lines.append(
            f"For one image, a probability for each of {len(names)} findings, any number of which may be present: "
            f"{', '.join(names)}. A finding is called present from its own threshold on "
            f"({results.policy_words(policy)})."
        )
    elif policy == ARGMAX or len(names) > 2:
        lines.append(f"For one image, a probability for each of {', '.join(names)}; the answer is the most probable.")
    else:
        cut = run.thresholds.get(policy, 0.5)
        lines.append(
            f"For one image, the probability of **{names[1]}** against {names[0]}. From {number(float(str(cut)))} on "
            f"the answer is {names[1]} ({results.policy_words(policy)}"
            + (", chosen on validation)." if policy != "fixed" else ").")
        )
    if choices is not None and choices.conformal is not None:
        lines.append("It also says when a person should look: `refer`.")
    auroc = next(iter(run.test["policies"].values()))["metrics"]["auroc"]
    if auroc["value"] is not None:
        two = len(names) == 2 and not study.data["multi_label"]
        chance = f": the chance that it scores an image of {names[1]} above one of {names[0]}" if two else ""
        lines.append(f"On the test images its {'' if two else 'mean '}AUROC is {interval(auroc)}{chance}.")
    return [*lines, ""]


def _how_to_run(choices: Choices | None) -> list[str]:
    refer = choices is not None and choices.conformal is not None
    lines = ["## How to run it", "", "```", "pip install xenograft"]
    lines.append("xenograft predict THIS_FOLDER IMAGES -o predictions.csv")
    if refer:
        lines.append("xenograft predict THIS_FOLDER IMAGES --refer -o predictions.csv")
    return [
        *lines,
        "```",
        "",
        *(["With `--refer`, doubtful images are left to a person."] if refer else []),
        'No network, no GPU and no PyTorch are needed. In Python: `xenograft.load("THIS_FOLDER").predict([...])`.',
        "",
    ]


def _beforehand(study: StudyRecord, choices: Choices | None, measured: Json | None) -> list[str]:
    """What every report on these data must carry, and what test showed to be worse than hoped."""
    said = [*(trust.warnings(choices, measured) if choices is not None else []), *map(text, study.data["facts"])]
    return ["## Before you use it", "", *(f"- {sentence}" for sentence in said), ""] if said else []


def _for_people() -> list[str]:
    lines = ["## For what, and for whom", "", "No record can know these; people have to fill them in."]
    return lines + table(["item", ""], [[item, "not supplied"] for item in FOR_PEOPLE], numbers=False)


def _missing(choices: Choices) -> list[str]:
    if not choices.missing:
        return []
    return ["## What is missing, and why", "", *(f"- {text(sentence)}" for sentence in choices.missing), ""]
