"""A labelled data set and another domain -> what the change of domain costs a model, and what adaptation gives back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xenograft.api import cache_folder
from xenograft.errors import UsageError
from xenograft.storage import check_output, write_json
from xenograft.study.alone import alone
from xenograft.study.config import INCIDENTAL, StudyConfig, make_config
from xenograft.study.domain_shift import run_domain_shift
from xenograft.study.domain_shift_plan import ADAPTATIONS, ShiftPlan, parse_adaptations
from xenograft.study.watch import Silent, Watcher


@dataclass(frozen=True, slots=True)
class ShiftResult:
    """What `domain_shift` made.

    Args:
        record: see `xenograft.study.domain_shift`. json: the same on disk. page: for a browser. figure: SVG; a PDF lies
            beside it. predictions: folder of a CSV for each arm, seed and test set, as `xenograft evaluate` reads them.
    """

    record: dict[str, Any]
    json: Path
    page: Path
    figure: Path
    predictions: Path


def domain_shift(
    source: str | Path,
    target: str | Path,
    *,
    adapt: Iterable[str] | str = ADAPTATIONS,
    adapt_on: str = "train",
    align_means: bool = True,
    reference: bool = True,
    output: str | Path = "domain-shift",
    watcher: Watcher | None = None,
    command: str = "",
    **settings: Any,
) -> ShiftResult:
    """Train on one domain, measure on it and on another, before and after unsupervised adaptation (Def. 5).

    The target's labels measure at the end, and train the reference; nothing that is adapted ever sees them.

    Args:
        source: labelled data, as for `compare`: trains and chooses. target: the other domain, of the same classes.
        adapt: of ``adabn`` (batch-norm statistics of the target) and ``coral`` (covariance of the target); ``none`` is
            always measured.
        adapt_on: ``train``: adaptation sees the target's training images, so that its test images are new to it;
            ``test``: it sees the very images that are measured, without labels, as Definition 5 allows.
        align_means: of CORAL: give source features the target's mean too.
        reference: train frozen recipes on the target's own training labels too, as an upper yardstick.
        output: folder for ``index.html``, ``domain-shift.json``, tables, figure and predictions.
        settings: fields of `StudyConfig` and `IngestOptions`, of both data sets; ``recipes`` is ``probe`` where not
            given.

    Raises:
        XenograftError: data that cannot be read, other classes, images in both, or a backbone that cannot be adapted.

    Example:
        >>> result = domain_shift("ours", "theirs", backbones="mobilenet_v2", adapt="adabn,coral")  # doctest: +SKIP
    """
    if wrong := {"folds", "operating_point", "robustness", "recalibration"} & settings.keys():
        raise UsageError(f"domain_shift takes no {', '.join(sorted(wrong))}", code="E-USAGE-37")
    values = {"recipes": "probe"} | {key: value for key, value in settings.items() if value is not None}
    configs = [make_config(values | {"data": data}) for data in (source, target)]
    asked = ShiftPlan(configs[0], configs[1], parse_adaptations(adapt), adapt_on, align_means, reference)
    folder = Path(output)
    check_output(folder, "a domain-shift report", "domain-shift.json", ".lock")
    with alone(folder):
        record = run_domain_shift(
            asked,
            folder,
            cache=cache_folder(configs[0].cache_dir),
            watcher=watcher or Silent(),
            command=command or _call(asked),
        )
        from xenograft.reporting.domain_shift_page import render  # late: it loads the plotting library

        page = render(record, folder)
        written = write_json(folder / "domain-shift.json", record)  # last: a folder with it is a report
    return ShiftResult(record, written, page, folder / "domain-shift.svg", folder / "predictions")


def _call(asked: ShiftPlan) -> str:
    """The Python call that makes the report again, for records of programs."""
    left_out = {*INCIDENTAL, "folds", "operating_point", "recalibration"}
    config: StudyConfig = asked.source
    values: dict[str, Any] = {
        key: value for key, value in config.as_json().items() if value is not None and key not in left_out
    }
    values |= {
        "adapt": list(asked.adaptations), "adapt_on": asked.adapt_on, "align_means": asked.align_means,
        "reference": asked.reference,
    }  # fmt: skip
    arguments = ", ".join(f"{key}={value!r}" for key, value in values.items())
    return f"xenograft.domain_shift({config.data.name!r}, {asked.target.data.name!r}, {arguments})"
