"""A bundle and images it was not trained on -> what graded changes do to its answers, as a page, tables and figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from xenograft import __version__
from xenograft.api import cache_folder
from xenograft.bundle import Bundle
from xenograft.data.manifest import SPLITS, Manifest
from xenograft.data.perturbations import PERTURBATIONS
from xenograft.data.preprocess import Preprocess
from xenograft.errors import DataError, LabelError, UsageError, listed, printable
from xenograft.evaluation.robustness import AMOUNT
from xenograft.storage import check_output, write_json
from xenograft.study.config import StudyConfig, make_config
from xenograft.study.reading import read_data
from xenograft.study.robustness import check_changes, measure_robustness
from xenograft.study.run import open_pixels
from xenograft.study.watch import Silent, Watcher

WHOLE = "all"
OWN, UNSEEN, UNKNOWN = "own", "unseen", "unknown"
"""What the images are to the bundle: the test split of its own data; others, compared with its training record; others,
of which that cannot be said."""


@dataclass(frozen=True, slots=True)
class RobustnessResult:
    """What `robustness` made.

    Args:
        record: see `xenograft.study.robustness`, with ``command``, ``program``, ``model`` and ``data``. json: the same
            on disk. page: for a browser. files: tables and figures.
    """

    record: dict[str, Any]
    json: Path
    page: Path
    files: tuple[Path, ...]


def robustness(
    bundle: str | Path | Bundle,
    data: str | Path,
    *,
    changes: Sequence[str] | str | None = None,
    split: str | None = None,
    limit: int | None = None,
    amount: float = AMOUNT,
    precision: str = "f32",
    output: str | Path = "robustness",
    watcher: Watcher | None = None,
    command: str = "",
    **settings: Any,
) -> RobustnessResult:
    """Change images that a bundle was not trained on, by five levels of nine changes, and measure what it loses.

    Args:
        bundle: folder made by `fit`, or a loaded one, also at another of its operating points.
        data: as for `compare`; its classes are those of the bundle. Of the data it was trained on, only the test split
            is taken.
        changes: names in `xenograft.data.perturbations.PERTURBATIONS`; all by default.
        split: ``test``, or of other data also ``train``, ``val`` or ``all``; by default ``test`` where the data name
            their splits, else all images.
        limit: images to measure at most, of patients drawn at random. amount: loss that counts as too much.
        precision: of the model, where `bundle` is a folder.
        output: folder for ``index.html``, ``robustness.json``, tables and figures.
        settings: fields of `IngestOptions`, and ``threads``, ``cache_dir``, ``offline``, ``resamples``.

    Raises:
        XenograftError: data that cannot be read, that has other classes, or that the bundle was trained on.
    """
    from xenograft.reporting import robustness_page  # late: it loads the plotting library

    folder = Path(output)
    check_output(folder, "a record of robustness", "robustness.json")
    names = check_changes(_names(changes))
    opened = bundle if isinstance(bundle, Bundle) else Bundle.load(Path(bundle), precision=precision)
    config = _config(data, opened.preprocess, settings)
    cache = cache_folder(config.cache_dir)
    watcher = watcher or Silent()
    sources = open_pixels(config, cache)
    manifest = read_data(config, sources, cache=cache, watcher=watcher, preprocesses=[opened.preprocess], quiet=True)
    manifest = with_classes_of(opened, manifest)
    positions, chosen, relation = measurable(opened, manifest, split)
    record = measure_robustness(
        opened.probabilities,
        manifest.take(positions),
        sources.of(opened.preprocess),
        changes=names,
        threshold=opened.facts.threshold,
        limit=limit,
        resamples=config.resamples,
        amount=amount,
        progress=_told(watcher),
    )
    said = command or f"xenograft.robustness({str(opened.folder)!r}, {str(data)!r})"
    record = {
        "command": said,
        "program": f"xenograft {__version__}",
        "model": _model(opened),
        "data": {
            "name": manifest.name,
            "split": chosen,
            "relation": relation,
            "manifest_sha256": manifest.sha256,
            "synthetic": manifest.synthetic or bool(opened.facts.data["synthetic"]),
            "leak_allowed": manifest.leak_allowed,
            "skipped": len(manifest.skipped),
            "notices": [str(notice) for notice in manifest.notices],
        },
        **record,
    }
    page, files = robustness_page.render(record, folder)
    written = write_json(folder / "robustness.json", record)  # last: a folder with it is a record
    return RobustnessResult(record, written, page, files)


def with_classes_of(bundle: Bundle, manifest: Manifest) -> Manifest:
    """The manifest with its classes in the order of the bundle's.

    Raises:
        LabelError: they are not the same.
    """
    wanted, found = bundle.facts.classes, manifest.classes
    kinds = {True: "findings, any number an image", False: "classes, one an image"}
    if bundle.facts.multi_label != manifest.multi_label:
        raise LabelError(
            f"the data hold {kinds[manifest.multi_label]}, the bundle answers with {kinds[bundle.facts.multi_label]}; "
            "name the columns with --label-column",
            code="E-LABEL-30",
        )
    if set(wanted) != set(found):
        raise LabelError(
            f"the classes of the data are {listed(found)}, those of the bundle {listed(wanted)}; rename or select "
            "labels until they are the same",
            code="E-LABEL-30",
        )
    return replace(manifest, classes=tuple(wanted))


def measurable(bundle: Bundle, manifest: Manifest, split: str | None) -> tuple[NDArray[np.int64], str, str]:
    """Positions of the images to measure, the split they are, and what they are to the bundle.

    Args:
        manifest: of `with_classes_of`. split: as the user wants it.

    Raises:
        UsageError: no such split. DataError: images that the bundle was trained or tuned on, or that may be.
    """
    if split is not None and split not in (*SPLITS, WHOLE):
        raise UsageError(f"split {split!r}; one of {', '.join((*SPLITS, WHOLE))}", code="E-USAGE-25")
    own = manifest.sha256 == bundle.facts.data["manifest_sha256"]
    chosen = split or ("test" if own or manifest.splits_given else WHOLE)
    if own and chosen != "test":
        raise DataError(
            f"the bundle was trained on these data, and {chosen} holds images it has seen; only --split test says "
            "something about new ones",
            code="E-DATA-43",
        )
    positions = np.arange(len(manifest)) if chosen == WHOLE else manifest.where(chosen)
    if not positions.size:
        raise DataError(f"the data have no image in {chosen}; choose another --split", code="E-DATA-43")
    if own:
        return positions, chosen, OWN
    return positions, chosen, _relation(bundle, manifest, positions, tested=manifest.splits_given and chosen == "test")


def _relation(bundle: Bundle, manifest: Manifest, positions: NDArray[np.int64], *, tested: bool) -> str:
    seen = _seen(bundle)
    if seen is not None:
        hashes = manifest.column("sha256")
        known = [position for position in positions if hashes[position] in seen]
        if known:
            first = printable(manifest.column("path")[known[0]])
            raise DataError(
                f"{len(known)} of {len(positions)} images were in the bundle's training or validation data, e.g. "
                f"{first}; give the same reading options as to fit, or other images",
                code="E-DATA-43",
            )
        return UNSEEN
    if _looks_alike(bundle, manifest) and not tested:
        raise DataError(
            "these seem to be the bundle's training data, split in another way, so it may have seen any of these "
            "images; give the same reading options as to fit",
            code="E-DATA-43",
        )
    return UNKNOWN


def _seen(bundle: Bundle) -> set[str] | None:
    """Hashes of the files it was trained and tuned on, where its training record lies beside it."""
    record = bundle.folder.with_name(f"{bundle.folder.name}-training") / "manifest.parquet"
    try:
        table = pq.read_table(record, columns=["sha256", "split"]).to_pydict()
    except (OSError, ValueError, KeyError):  # pyarrow's own errors are ValueErrors and KeyErrors
        return None
    return {content for content, split in zip(table["sha256"], table["split"], strict=True) if split != "test"}


def _looks_alike(bundle: Bundle, manifest: Manifest) -> bool:
    """The same known data set, or one of the same name with as many images of each class."""
    facts = bundle.facts.data
    if facts["catalog"] is not None and facts["catalog"] == manifest.catalog:
        return True
    return bool(facts["name"] == manifest.name and _totals(facts["counts"]) == _totals(manifest.counts()))


def _totals(counts: dict[str, dict[str, dict[str, int]]]) -> dict[str, int]:
    totals: dict[str, int] = {}
    for classes in counts.values():
        for name, entry in classes.items():
            totals[name] = totals.get(name, 0) + entry["images"]
    return totals


def _config(data: str | Path, preprocess: Preprocess, settings: dict[str, Any]) -> StudyConfig:
    """How the data are read; DICOM files as the bundle reads them."""
    values = {key: value for key, value in settings.items() if value is not None} | {"data": data}
    dicom = preprocess.dicom
    window = dicom.window if dicom.centre is None else f"{dicom.centre},{dicom.width}"
    for key, value in (("frame", dicom.frame), ("window", window)):
        if value is not None:
            values.setdefault(key, value)
    config = make_config(values)
    if config.reading.dicom != dicom:
        raise UsageError(
            "the bundle reads DICOM files with another --frame or --window; leave them out, it brings its own",
            code="E-USAGE-25",
        )
    return config


def _told(watcher: Watcher) -> Callable[[int, int], None]:
    """Images done of all, for a watcher."""
    before = 0

    def tell(done: int, total: int) -> None:
        nonlocal before
        if not before:
            watcher.total(total)
            watcher.begin("asking the model about changed images", total)
        watcher.advance(done - before)
        before = done

    return tell


def _names(changes: Sequence[str] | str | None) -> Sequence[str]:
    if changes is None:
        return tuple(PERTURBATIONS)
    given = changes.split(",") if isinstance(changes, str) else changes
    return [name.strip() for name in given if name.strip()]


def _model(bundle: Bundle) -> dict[str, Any]:
    facts = bundle.facts
    return {
        "name": bundle.folder.resolve().name,
        "backbone": facts.backbone,
        "recipe": facts.recipe["name"],
        "trained_on": facts.data["name"],
        "created": facts.created,
        "threshold_rule": facts.threshold_rule,
        "precision": bundle.precision,
        "hashes": facts.hashes,
    }
