"""A path that the user gives -> a split, checked Manifest. The order of the checks is the order of this file."""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from xenograft.data import catalog as known
from xenograft.data.decoding import Keeper
from xenograft.data.dicom_patients import RULE as DICOM_RULE
from xenograft.data.dicom_patients import dicom_patients, salt_for
from xenograft.data.facts import Facts, Skip
from xenograft.data.findings import usable
from xenograft.data.identity import comparable
from xenograft.data.importers import Listing, RawRow, folded
from xenograft.data.inspect import inspect
from xenograft.data.label_names import is_negative
from xenograft.data.label_sets import decode
from xenograft.data.leaks import check_splits
from xenograft.data.manifest import SCHEMA, SPLITS, Manifest
from xenograft.data.options import IngestOptions
from xenograft.data.patients import with_patients
from xenograft.data.readers import NOTE_TEXT
from xenograft.data.split import assign, linked_groups
from xenograft.data.unlabelled import unlabelled_listing
from xenograft.errors import DataError, LabelError, Notice, UsageError, listed, printable
from xenograft.storage import write_csv

__all__ = ["IngestOptions", "ingest", "write_skips"]

Progress = Callable[[int, int], None]

_MIN_PER_CLASS = 10


def ingest(
    data: Path,
    options: IngestOptions | None = None,
    *,
    cache: Path | None = None,
    threads: int | None = None,
    skip_report: Path | None = None,
    progress: Progress | None = None,
    unpacking: Progress | None = None,
    keepers: Sequence[Keeper] = (),
    meanwhile: Callable[[], None] | None = None,
    labelled: bool = True,
) -> Manifest:
    """Read, check and split a data set.

    Args:
        data: folder, CSV, TSV or Parquet. cache: folder where facts about files are kept between runs.
        skip_report: file for the list of skipped images, written also when the run stops because of them.
        progress, unpacking: called as ``progress(done, total)`` while files are inspected, and while an archive,
            volumes or frames are unpacked before.
        keepers, meanwhile: see `inspect`.
        labelled: False for images that are only measured: a folder of any depth will do, one class is enough, skipped
            files take no class away, and splits are kept as given; where none are, all images are ``test``.

    Raises:
        DataError, LabelError, UsageError: see the fault catalogue, groups F and L.
    """
    options = options or IngestOptions()
    listed_by = options.listing if labelled else partial(unlabelled_listing, options=options)
    listing = _merge_label_variants(_utf8_only(listed_by(Path(data), cache=cache, progress=unpacking)))
    threads = threads or min(4, os.cpu_count() or 1)
    paths = [row.path for row in listing.rows]
    facts, unreadable = inspect(
        listing.root,
        paths,
        threads=threads,
        cache=cache,
        progress=progress,
        min_side=options.min_side,
        keepers=keepers,
        dicom=options.dicom,
        salt=salt_for(listing.root, paths, cache),
        meanwhile=meanwhile,
    )
    facts = comparable(listing.root, facts)
    skipped = [*listing.skipped, *unreadable]
    rows = [row for row in listing.rows if row.path in facts]
    if skip_report is not None:
        write_skips(skip_report, skipped)
    _check_skips(listing, rows, skipped, options, labelled=labelled)
    classes = _findings(listing, options) if listing.findings else _classes(rows, options, least=2 if labelled else 1)
    spec = _dataset(Path(data), listing, rows, options)
    rows, patient_rule, patient_notices = _patients(listing, rows, facts, spec, options)
    if spec is not None and spec.merge_validation and _too_small(rows):
        rows = [replace(row, split="train" if row.split == "val" else row.split) for row in rows]
    manifest = _assemble(Path(data), listing, rows, facts, classes, spec, patient_rule, options, labelled=labelled)
    about_classes = _positive_notices(classes, options) if labelled and not manifest.multi_label else []
    notices = (*listing.notices, *about_classes, *_file_notices(rows, facts), *patient_notices)
    manifest = replace(manifest, notices=notices, skipped=tuple(skipped))
    if not labelled:
        return manifest
    if manifest.multi_label:
        manifest = usable(manifest)
    return check_splits(manifest, allow_leak=options.allow_leak)


def _patients(
    listing: Listing,
    rows: Sequence[RawRow],
    facts: Mapping[str, Facts],
    spec: known.DatasetSpec | None,
    options: IngestOptions,
) -> tuple[list[RawRow], str, list[Notice]]:
    """As `with_patients`; where nothing else tells patients apart, DICOM files may."""
    if options.patient_regex is None and options.patient_column is None and spec is None:
        named = dicom_patients(rows, facts)
        if named is not None:
            return named, DICOM_RULE, []
    return with_patients(
        rows, spec, regex=options.patient_regex, column=options.patient_column, given=listing.patient_rule
    )


def write_skips(target: Path, skipped: Sequence[Skip]) -> None:
    """The list of skipped images as CSV."""
    write_csv(target, ("path", "code", "reason"), ((s.path, s.code, s.reason) for s in skipped))


def _utf8_only(listing: Listing) -> Listing:
    """Files whose names no table can hold are skipped (F18)."""
    odd = [row for row in listing.rows if not _is_utf8(row.path)]
    if not odd:
        return listing
    reason = "its name is not UTF-8; rename it"
    skips = tuple(Skip(printable(row.path), "S-FILE-18", reason) for row in odd)
    rows = tuple(row for row in listing.rows if _is_utf8(row.path))
    labels = listing.declared_labels | {printable(row.label) for row in odd}
    return replace(listing, rows=rows, skipped=(*listing.skipped, *skips), declared_labels=labels)


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _too_small(rows: Sequence[RawRow]) -> bool:
    """A validation split with fewer than ten images of some class."""
    have = Counter(row.label for row in rows if row.split == "val")
    return any(have[label] < _MIN_PER_CLASS for label in {row.label for row in rows})


def _merge_label_variants(listing: Listing) -> Listing:
    """``Normal`` and ``normal `` are one class or finding, named as most rows name it (L8)."""
    spellings: dict[str, Counter[str]] = defaultdict(Counter)
    for row in listing.rows:
        for label in row.label.split("|") if listing.findings else (row.label,):
            spellings[folded(label)][label] += 1
    chosen = {spelling: seen.most_common(1)[0][0].strip() for seen in spellings.values() for spelling in seen}
    merged = {k: v for k, v in chosen.items() if k != v}
    if not merged:
        return listing
    message = "; ".join(f"label {printable(a)!r} was read as {printable(b)!r}" for a, b in sorted(merged.items()))
    if listing.findings:
        return _with_findings(listing, merged, message)
    count = sum(row.label in merged for row in listing.rows)
    rows = tuple(replace(row, label=chosen[row.label]) for row in listing.rows)
    return replace(listing, rows=rows, notices=(*listing.notices, Notice("W-LABEL-08", message, count)))


def _with_findings(listing: Listing, merged: Mapping[str, str], message: str) -> Listing:
    """Findings under the names that were chosen for them; one that is present under any of its names is present."""
    names = [merged.get(name, name) for name in listing.findings]
    findings = tuple(sorted(set(names), key=folded))
    rows = []
    for row in listing.rows:
        present = {merged.get(name, name) for name in row.label.split("|")}
        rows.append(replace(row, label="|".join(name for name in findings if name in present)))
    count = sum(any(name in merged for name in row.label.split("|")) for row in listing.rows)
    return replace(
        listing, rows=tuple(rows), findings=findings, notices=(*listing.notices, Notice("W-LABEL-08", message, count))
    )


def _check_skips(
    listing: Listing, rows: Sequence[RawRow], skipped: Sequence[Skip], options: IngestOptions, *, labelled: bool
) -> None:
    total = len(rows) + len(skipped)
    if len(skipped) > options.max_skip * total or not rows:
        codes = {s.code for s in skipped}
        reasons = "; ".join(f"{s.path}: {s.code} {s.reason}" for s in skipped[:5])
        code = "E-LABEL-02" if codes == {"S-LABEL-02"} else "E-DATA-01"
        raise DataError(
            f"{len(skipped)} of {total} images cannot be used ({len(skipped) / total:.1%}; --max-skip allows "
            f"{options.max_skip:.1%}): {reasons}",
            code=code,
        )
    if not labelled:
        return
    left = {folded(row.label) for row in rows}
    named = set() if listing.findings else {*(row.label for row in listing.rows), *listing.declared_labels}
    if lost := {folded(label) for label in named if label.strip()} - left:
        raise DataError(
            f"skipped files leave class {listed(sorted(lost))} without images; repair them, see: "
            f"{listed([f'{s.path}: {s.code} {s.reason}' for s in skipped])}",
            code="E-DATA-01",
        )
    if empty := listing.declared_splits - {row.split for row in rows}:
        raise LabelError(
            f"skipped files leave split {', '.join(sorted(empty))} without images; repair them", code="E-LABEL-11"
        )


def _classes(rows: Sequence[RawRow], options: IngestOptions, *, least: int = 2) -> tuple[str, ...]:
    names = sorted({row.label for row in rows}, key=lambda name: (not is_negative(name), name))
    if len(names) < least:
        raise LabelError(
            f"all {len(rows)} images have the label {printable(names[0])!r}; two classes or more are needed",
            code="E-LABEL-10",
        )
    if options.positive is None:
        return tuple(names)
    if options.positive not in names or len(names) != 2:
        raise UsageError(
            f"--positive {options.positive!r}: the classes are {listed(names)}; name one of two", code="E-USAGE-07"
        )
    return (next(n for n in names if n != options.positive), options.positive)


def _findings(listing: Listing, options: IngestOptions) -> tuple[str, ...]:
    if options.positive is not None:
        raise UsageError(
            f"--positive {options.positive!r}: an image may have any of {len(listing.findings)} findings "
            f"({listed(listing.findings)}), each of which is positive by itself; leave it out",
            code="E-USAGE-07",
        )
    return listing.findings


def _positive_notices(classes: Sequence[str], options: IngestOptions) -> list[Notice]:
    """Sensitivity and thresholds speak of the positive class: say it when it had to be guessed by the alphabet."""
    if len(classes) != 2 or options.positive is not None or is_negative(classes[0]) != is_negative(classes[1]):
        return []
    message = f"positive class: {printable(classes[1])}, the later one in the alphabet; name another with --positive"
    return [Notice("W-LABEL-23", message)]


def _dataset(data: Path, listing: Listing, rows: Sequence[RawRow], options: IngestOptions) -> known.DatasetSpec | None:
    """The known data set that this is, or is said to be.

    Raises:
        DataError: it is said to be one whose classes or files it does not have.
    """
    if options.catalog == "none":
        return None
    classes = set(listing.findings) or {row.label for row in rows}
    paths = [row.path for row in rows]
    if options.catalog != "auto":
        spec: known.DatasetSpec | None = known.lookup(options.catalog)
    elif data.suffix.lower() == ".npz" and data.is_file():
        splits = Counter(row.split for row in listing.rows)
        spec = known.of_archive(data.name, [splits[name] for name in SPLITS])
    else:
        spec = known.recognise(listing.root, classes, paths, findings=bool(listing.findings))
    if spec is not None:
        spec.check(classes, paths)
    return spec


def _file_notices(rows: Sequence[RawRow], facts: Mapping[str, Facts]) -> list[Notice]:
    """What the readers noted, counted by code; and colour that gray processing will drop."""
    seen: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        for code in facts[row.path].notes:
            seen[code].append(row.path)
        if facts[row.path].colour:
            seen["W-FILE-21"].append(row.path)
    texts = {
        **NOTE_TEXT,
        "W-FILE-21": "images in colour are used as luminance unless --colour is given",
    }
    return [
        Notice(
            code,
            f"{len(paths)} files: {texts[code]} ({listed(paths, most=3)})",
            len(paths),
            tuple(map(printable, paths[:5])),
        )
        for code, paths in sorted(seen.items())
    ]


def _assemble(
    data: Path,
    listing: Listing,
    rows: Sequence[RawRow],
    facts: Mapping[str, Facts],
    classes: tuple[str, ...],
    spec: known.DatasetSpec | None,
    patient_rule: str,
    options: IngestOptions,
    *,
    labelled: bool,
) -> Manifest:
    groups = linked_groups([row.patient for row in rows], [facts[row.path].pixels_sha256 for row in rows])
    if listing.findings:
        labels = decode((row.label for row in rows), classes)
    else:
        index = {name: k for k, name in enumerate(classes)}
        labels = np.array([index[row.label] for row in rows], dtype=np.int64)
    splits: Sequence[str]
    if labelled:
        splits, split_rule = assign(
            labels,
            groups,
            [row.split for row in rows],
            val=options.val,
            test=options.test,
            seed=options.split_seed,
            classes=classes,
        )
    else:
        splits, split_rule = [row.split or "test" for row in rows], "as given; images without a split are only measured"
    found = [facts[row.path] for row in rows]
    # column by column: a mapping for every row would be the most that a large data set ever needs
    columns: dict[str, Iterable[Any]] = {
        "id": (printable(row.id) for row in rows),
        "path": (row.path for row in rows),
        "label": (row.label for row in rows),
        "split": splits,
        "patient": (row.patient for row in rows),
        "group": groups,
        "sha256": (fact.sha256 for fact in found),
        "pixels_sha256": (fact.pixels_sha256 for fact in found),
        "bytes": (fact.size for fact in found),
        "width": (fact.width for fact in found),
        "height": (fact.height for fact in found),
        "bits": (fact.bits for fact in found),
        "mode": (fact.mode for fact in found),
        "notes": (" ".join(fact.notes) for fact in found),
        "colour": (fact.colour for fact in found),
        "acquisition": (
            json.dumps(dict(fact.acquisition) | dict(row.acquisition), ensure_ascii=False)
            for fact, row in zip(found, rows, strict=True)
        ),
    }
    table = pa.table({field.name: pa.array(columns[field.name], field.type) for field in SCHEMA}, schema=SCHEMA)
    return Manifest(
        root=listing.root,
        name=spec.title if spec is not None else printable(listing.name or data.resolve().name),
        classes=classes,
        table=table,
        patient_rule=patient_rule,
        split_rule=split_rule,
        catalog=spec.name if spec is not None else None,
        synthetic=spec is known.PHANTOM,
        facts=(*listing.facts, *(spec.facts if spec is not None else ())),
        splits_given=any(row.split for row in rows),
        test_given=any(row.split == "test" for row in rows),
        patients_known=any(row.patient != row.id for row in rows),
        multi_label=bool(listing.findings),
    )
