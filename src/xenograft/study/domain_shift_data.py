"""(source manifest, target manifest) -> domains of the same classes with no image in both; images without labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from xenograft.data.manifest import SCHEMA, Manifest
from xenograft.errors import DataError, LabelError, Notice, listed, printable
from xenograft.study.domain_shift_plan import ShiftPlan

SEEN_AT_MOST = 2048
"""Images of a domain that adaptation sees: enough for means and variances, and a bound on time and memory."""


@dataclass(frozen=True, slots=True)
class Domains:
    """Both domains, by split.

    Args:
        source, target: all of each. adapting: target images that adaptation may see; labels are blanked.
        notices: of what was found between the two. repeated: patient keys that occur in both domains.
    """

    source: Manifest
    target: Manifest
    adapting: Manifest
    notices: tuple[Notice, ...]
    repeated: int


def make_domains(source: Manifest, target: Manifest, plan: ShiftPlan) -> Domains:
    """Check that both answer the same question about different images.

    Raises:
        LabelError: other classes (E-LABEL-30), or several findings an image. DataError: images in both (E-DATA-48).
    """
    for manifest in (source, target):
        if manifest.multi_label:
            raise LabelError(
                f"{printable(manifest.name)} has several findings an image; domain-shift takes classes that exclude "
                "each other: name one finding with --label-column",
                code="E-LABEL-30",
            )
    if set(source.classes) != set(target.classes):
        raise LabelError(
            f"the classes of the source are {listed(source.classes)}, those of the target {listed(target.classes)}; "
            "rename or select labels until they are the same",
            code="E-LABEL-30",
        )
    target = replace(target, classes=source.classes)
    notices = _shared_images(source, target, allowed=bool(plan.source.reading.allow_leak))
    if notices:  # only where the user allowed it: every page is stamped
        target = replace(target, leak_allowed=True)
    repeated = _repeated_patients(source, target)
    if repeated:
        message = (
            f"{repeated} patient keys of the target are also in the source; if these are the same people, results on "
            "the target are too good"
        )
        notices.append(Notice("W-DATA-48", message, repeated))
    return Domains(source, target, without_labels(target.subset(plan.adapt_on)), tuple(notices), repeated)


def without_labels(manifest: Manifest) -> Manifest:
    """The same images, of one made-up class, in the order of their contents: nothing of a label remains."""
    blank = pa.array(["unlabelled"] * len(manifest), pa.string())
    named = manifest.column("sha256")
    table = manifest.table
    for column, values in (("label", blank), ("id", pa.array(named, pa.string()))):
        at = SCHEMA.get_field_index(column)
        table = table.set_column(at, SCHEMA.field(at), values)
    made = replace(manifest, classes=("unlabelled",), table=table)
    return made.take(np.argsort(np.array(named), kind="stable"))


def sample(manifest: Manifest, most: int = SEEN_AT_MOST) -> Manifest:
    """At most so many images, drawn at random, always the same ones."""
    if len(manifest) <= most:
        return manifest
    return manifest.take(np.sort(np.random.default_rng([0, len(manifest)]).permutation(len(manifest))[:most]))


def domain_facts(manifest: Manifest) -> dict[str, Any]:
    """What a record says of one domain."""
    return {
        "name": manifest.name,
        "classes": list(manifest.classes),
        "patients_known": manifest.patients_known,
        "patient_rule": manifest.patient_rule,
        "split_rule": manifest.split_rule,
        "sizes": manifest.sizes(),
        "counts": manifest.counts(),
        "synthetic": manifest.synthetic,
        "leak_allowed": manifest.leak_allowed,
        "skipped": len(manifest.skipped),
        "facts": list(manifest.facts),
        "notices": [str(notice) for notice in manifest.notices],
        "manifest_sha256": manifest.sha256,
    }


def _shared_images(source: Manifest, target: Manifest, *, allowed: bool) -> list[Notice]:
    mine = set(source.column("pixels_sha256"))
    both = [at for at, pixels in enumerate(target.column("pixels_sha256")) if pixels in mine]
    if not both:
        return []
    example = printable(target.column("path")[both[0]])
    message = f"{len(both)} of {len(target)} images of the target are also in the source, e.g. {example}"
    if not allowed:
        raise DataError(
            f"{message}; give two sets of different images, or --allow-leak to go on with a stamp on the page",
            code="E-DATA-48",
        )
    return [Notice("W-DATA-48", message, len(both))]


def _repeated_patients(source: Manifest, target: Manifest) -> int:
    if not (source.patients_known and target.patients_known):
        return 0
    return len(set(source.column("patient")) & set(target.column("patient")))
