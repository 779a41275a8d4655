"""Patients of DICOM files: identifiers are hashed with a salt that stays beside the data; nobody is named."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath

from xenograft.data.facts import Facts
from xenograft.data.importers import RawRow
from xenograft.data.importers.unpacked import MARK
from xenograft.errors import ProcessError
from xenograft.storage import atomic_write, sha256_bytes

SALT_FILE = ".xenograft-salt"
RULE = "patient key: PatientID of the DICOM file, hashed with a salt that is kept beside the data"

_SUFFIXES = frozenset({".dcm", ".dicom", ""})


def salt_for(root: Path, paths: Sequence[str], cache: Path | None) -> bytes | None:
    """The data folder's salt, made at the first use; None where no file looks like DICOM, or all were unpacked.

    Without the salt a hashed identifier cannot be found by trying all of a hospital's numbers. It lies in the data
    folder, because whoever has that has the identifiers anyway; where that cannot be written, in the cache. Of what
    was unpacked into single frames the patients are known already.
    """
    if (root / MARK).is_file():
        return None
    if not any(PurePosixPath(path).suffix.lower() in _SUFFIXES for path in paths):
        return None
    places = [root / SALT_FILE]
    if cache is not None:
        places.append(cache / "salts" / sha256_bytes(str(root.resolve()).encode("utf-8", "surrogateescape"))[:40])
    for place in places:
        with suppress(OSError, ValueError):
            return bytes.fromhex(place.read_text(encoding="ascii"))
    salt = secrets.token_bytes(32)
    for place in places:
        with suppress(ProcessError):
            atomic_write(place, salt.hex())
            place.chmod(0o600)
            break
    return salt


def dicom_patients(rows: Sequence[RawRow], facts: Mapping[str, Facts]) -> list[RawRow] | None:
    """Rows with the patients that their DICOM files name; None where no file names one, or the source already did.

    An image without PatientID becomes a patient of its own; its reader noted that (D11).
    """
    named = {row.path: dict(facts[row.path].acquisition).get("patient", "") for row in rows}
    if not any(named.values()) or any(row.patient for row in rows):
        return None
    return [replace(row, patient=named[row.path] or row.id) for row in rows]
