"""Material -> findings on what could tell who a patient is: names of files and folders, DICOM tags, EXIF."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xenograft.auditing.finding import Finding
from xenograft.auditing.material import Material
from xenograft.errors import listed, printable

Mask = NDArray[np.bool_]

_MOST = 20
_RENAME = "Rename the files with a key that only you can resolve, and keep that list apart from the images."


_IN_PATHS = {
    "A-PHI-01": ("Names of persons in paths", "may hold the name of a person in their file or folder names", _RENAME),
    "A-PHI-02": ("Dates in paths", "hold what looks like a date in their file or folder names", _RENAME),
    "A-PHI-03": ("E-mail addresses in paths", "hold an e-mail address in their file or folder names", _RENAME),
    "A-PHI-04": (
        "Long numbers in paths",
        "hold a number of 7 to 12 digits, as medical records have, in their file or folder names",
        f"Make sure that these are no record numbers. {_RENAME}",
    ),
    "A-PHI-05": (
        "DICOM UIDs in paths",
        "hold what looks like a DICOM UID in their file or folder names",
        _RENAME,
    ),
}


def check(material: Material) -> list[Finding]:
    """Checks on protected information, ``A-PHI-01`` to ``A-PHI-10``, in order; each is listed whatever it found.

    What looks like a name, a date, an address or a number is looked for in the paths of the images, below the data
    folder, see `xenograft.auditing.telling`. Findings that show such paths have ``numbers["sensitive"]``. DICOM values
    are never read here: `xenograft.data.readers.acquisition` hands on the names of tags only.
    """
    return [
        *(_in_paths(material, code) for code in _IN_PATHS),
        _identifying_tags(material),
        _burned_in(material),
        _exif(
            material,
            "W-FILE-22",
            "A-PHI-08",
            "Places in EXIF",
            "tell the place where they were taken in their EXIF data",
        ),
        _exif(
            material, "W-FILE-23", "A-PHI-09", "Names or comments in EXIF", "hold a person's name or a comment in EXIF"
        ),
        Finding(
            "A-PHI-10",
            "not_applicable",
            "Text burned into the pixels",
            "Pixels are not searched for text; look at some images of each source yourself.",
            total=len(material),
        ),
    ]


def _in_paths(material: Material, code: str) -> Finding:
    title, what, advice = _IN_PATHS[code]
    return _flagged(material, material.telling[code], code, title, what, advice, numbers={"sensitive": True})


def _identifying_tags(material: Material) -> Finding:
    code, title = "A-PHI-06", "DICOM tags that identify"
    rows = [facts for facts in material.acquisition if _is_dicom(facts)]
    if not rows:
        return Finding(code, "not_applicable", title, "No image is a DICOM file.", total=0)
    tags = [
        [tag.strip() for tag in row.get("identifying_tags", "").split(",") if tag.strip()]
        for row in material.acquisition
    ]
    counts = Counter(tag for row in tags for tag in set(row)).most_common()
    mask = np.array([bool(row) for row in tags], dtype=np.bool_)
    said = listed([f"{tag} in {count:,}" for tag, count in counts])
    return _flagged(
        material,
        mask,
        code,
        title,
        f"are DICOM files with tags that identify a person, place or visit: {said}",
        "Nothing of them is kept here, but whoever gets these files gets the tags: de-identify them (DICOM PS3.15, "
        "annex E) before you pass them on.",
        numbers={"tags": dict(counts)},
        total=len(rows),
    )


def _burned_in(material: Material) -> Finding:
    code, title = "A-PHI-07", "Burned-in annotation declared"
    said = [facts.get("burned_in", "") for facts in material.acquisition]
    known = sum(bool(value) for value in said)
    if not known:
        dicom = any(map(_is_dicom, material.acquisition))
        reason = "No file says whether text is burned in." if dicom else "No image is a DICOM file."
        return Finding(code, "not_applicable", title, reason, total=len(material))
    mask = np.array([value == "yes" for value in said], dtype=np.bool_)
    return _flagged(
        material,
        mask,
        code,
        title,
        "declare that text is burned into their pixels (BurnedInAnnotation YES)",
        "Look at them: names and dates may be readable, and a network reads such text too; crop or mask it.",
        total=known,
    )


def _is_dicom(facts: dict[str, str]) -> bool:
    return not {"modality", "photometric", "burned_in", "identifying_tags"}.isdisjoint(facts)


def _exif(material: Material, note: str, code: str, title: str, what: str) -> Finding:
    mask = np.array([note in notes.split() for notes in material.manifest.column("notes")], dtype=np.bool_)
    advice = "Remove the EXIF data from the files before you pass them on; nothing of it is kept here."
    return _flagged(material, mask, code, title, what, advice)


def _flagged(
    material: Material,
    mask: Mask,
    code: str,
    title: str,
    what: str,
    advice: str,
    *,
    numbers: dict[str, Any] | None = None,
    total: int | None = None,
) -> Finding:
    total = len(material) if total is None else total
    positions = np.flatnonzero(mask)
    if not len(positions):
        return Finding(code, "passed", title, f"None of {total:,} images.", total=total)
    message = f"{len(positions):,} of {total:,} images {what}."
    items = tuple((printable(material.paths[k]),) for k in positions[:_MOST])
    return Finding(code, "warning", title, message, advice, len(positions), total, items, numbers or {})
