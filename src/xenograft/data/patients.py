"""Listed images -> the same with patient keys: by a regular expression, a column, or a known data set's rule."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from xenograft.data.catalog import DatasetSpec
from xenograft.data.importers import RawRow
from xenograft.errors import LabelError, Notice, UsageError, listed

COLUMN = "patient key from the table's patient column"


def with_patients(
    rows: Sequence[RawRow], spec: DatasetSpec | None, *, regex: str | None, column: str | None, given: str = COLUMN
) -> tuple[list[RawRow], str, list[Notice]]:
    """Rows with their patient keys, how they were found (one sentence), and what to say about it.

    From the regular expression, else the table's column, else the known data set's rule, else none: a known set without
    a rule says why.

    Args:
        given: where the patients that the rows already have are from.

    Raises:
        LabelError: the rule finds no key for some images. UsageError: the expression is not one.
    """
    if regex is not None:
        rule, keys = _regex_keys(rows, regex)
    elif column is not None or any(row.patient for row in rows):
        rule, keys = given, [row.patient for row in rows]
    elif spec is not None and spec.patient_pattern is not None:
        rule, keys = spec.patient_rule, [spec.patient(row.path) or "" for row in rows]
    else:
        why = "" if spec is None else f" ({spec.title}: {spec.patient_rule})"
        message = (
            "no patient keys: every image counts as its own patient, so images of one patient may lie in two splits; "
            f"give --patient-column or --patient-regex{why}"
        )
        rule = f"none: every image counts as its own patient{why}"
        return [replace(row, patient=row.id) for row in rows], rule, [Notice("W-LABEL-21", message, len(rows))]
    if missing := [row.path for row, key in zip(rows, keys, strict=True) if not key]:
        raise LabelError(
            f"{len(missing)} images have no patient key ({rule}): {listed(missing)}; correct the rule, or give every "
            "image a key",
            code="E-LABEL-22",
        )
    return [replace(row, patient=key) for row, key in zip(rows, keys, strict=True)], rule, []


def _regex_keys(rows: Sequence[RawRow], pattern: str) -> tuple[str, list[str]]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"--patient-regex {pattern!r}: {error}", code="E-USAGE-08") from error
    keys = []
    for row in rows:
        found = compiled.search(row.path)
        if found is None:
            keys.append("")
        elif "patient" in compiled.groupindex:
            keys.append(found["patient"] or "")
        else:
            keys.append("/".join(g for g in found.groups() if g) if compiled.groups else found[0])
    return f"patient key from the path by the regular expression {pattern!r}", keys
