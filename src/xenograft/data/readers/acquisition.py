"""DICOM data set -> facts on how an image was made that identify nobody, and the names of attributes that would."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sized

from xenograft.data.readers.dicom_elements import Dataset, likely_numbers, text, texts
from xenograft.errors import printable

Facts = tuple[tuple[str, str], ...]

IDENTIFYING = (
    "AccessionNumber",
    "AcquisitionDate",
    "AcquisitionDateTime",
    "AcquisitionTime",
    "AdditionalPatientHistory",
    "AdmissionID",
    "ContentCreatorName",
    "ContentDate",
    "ContentTime",
    "CountryOfResidence",
    "CurrentPatientLocation",
    "DeviceSerialNumber",
    "ImageComments",
    "InstitutionAddress",
    "InstitutionName",
    "InstitutionalDepartmentName",
    "IssuerOfPatientID",
    "MedicalRecordLocator",
    "MilitaryRank",
    "NameOfPhysiciansReadingStudy",
    "Occupation",
    "OperatorsName",
    "OtherPatientIDs",
    "OtherPatientIDsSequence",
    "OtherPatientNames",
    "PatientAddress",
    "PatientBirthDate",
    "PatientBirthName",
    "PatientBirthTime",
    "PatientComments",
    "PatientID",
    "PatientInstitutionResidence",
    "PatientInsurancePlanCodeSequence",
    "PatientMotherBirthName",
    "PatientName",
    "PatientReligiousPreference",
    "PatientTelephoneNumbers",
    "PerformingPhysicianName",
    "PhysiciansOfRecord",
    "ReferringPhysicianAddress",
    "ReferringPhysicianName",
    "ReferringPhysicianTelephoneNumbers",
    "RegionOfResidence",
    "RequestingPhysician",
    "ResponsiblePerson",
    "ScheduledPerformingPhysicianName",
    "SeriesDate",
    "SeriesTime",
    "StationName",
    "StudyDate",
    "StudyID",
    "StudyTime",
)
"""Attributes of the basic confidentiality profile (DICOM PS3.15, table E.1-1) that name or date a person, a place or a
visit. UIDs are left out because de-identified files must have them too (new ones), descriptions because the profile's
own option keeps them."""

UNPACKED = "xenograft frames"
"""First value of De-identification Method in the files that `xenograft.data.readers.dicom_frames` makes; the others are
the names of the attributes that were filled in the file that the frame is from."""

_CODE = re.compile(r"[A-Z0-9_ ]{1,16}")
_AGE = re.compile(r"(\d{1,3})([DWMY])")
_YEARS = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}
_OLDEST = 90
"""Ages above 89 are one group, as the HIPAA safe harbor rule asks (45 CFR 164.514(b)(2)(i)(C))."""


def facts(dataset: Dataset, *, salt: bytes | None = None) -> Facts:
    """How an image was made, as sorted (name, value) pairs; what is not known or not plausible is left out.

    Names: ``age`` (years), ``body_part``, ``burned_in`` (yes, no), ``identifying_tags`` (see `identifies`, comma
    between), ``laterality``, ``manufacturer``, ``modality``, ``model``, ``patient`` (see `patient_key`),
    ``photometric``, ``pixel_spacing`` (mm, rows x columns where they differ), ``sex`` (F, M, O), ``view``.

    Args:
        dataset: of one file.
        salt: secret of the data set; without one the patient is left out.
    """
    identity = text(dataset, "PatientID")
    found = {
        "age": _age(text(dataset, "PatientAge")),
        "body_part": code(dataset, "BodyPartExamined"),
        "burned_in": {"YES": "yes", "NO": "no"}.get(code(dataset, "BurnedInAnnotation"), ""),
        "identifying_tags": ",".join(identifies(dataset)),
        "laterality": code(dataset, "ImageLaterality") or code(dataset, "Laterality"),
        "manufacturer": printable(text(dataset, "Manufacturer"))[:64],
        "modality": code(dataset, "Modality"),
        "model": printable(text(dataset, "ManufacturerModelName"))[:64],
        "patient": patient_key(identity, salt) if salt is not None and identity else "",
        "photometric": code(dataset, "PhotometricInterpretation"),
        "pixel_spacing": _spacing(dataset),
        "sex": sex if (sex := code(dataset, "PatientSex")) in {"F", "M", "O"} else "",
        "view": code(dataset, "ViewPosition"),
    }
    return tuple(sorted((name, value) for name, value in found.items() if value))


def patient_key(patient_id: str, salt: bytes) -> str:
    """The same patient gives the same key, and nobody gets from the key to the patient without the salt.

    HMAC-SHA256 (RFC 2104), the first 16 hexadecimal digits: two of a million patients share a key in less than one of
    ten million data sets.

    Args:
        patient_id: as in the file; padding does not count. salt: secret, one for a data set.
    """
    return hmac.new(salt, patient_id.strip(" \0").encode("utf-8", "backslashreplace"), hashlib.sha256).hexdigest()[:16]


def identifies(dataset: Dataset) -> tuple[str, ...]:
    """Names of the `IDENTIFYING` attributes that are filled, never their values; of a frame, in the file it is from."""
    method, *removed = texts(dataset, "DeidentificationMethod") or ("",)
    if method == UNPACKED:
        return tuple(name for name in IDENTIFYING if name in removed)
    return tuple(name for name in IDENTIFYING if _filled(dataset, name))


def _filled(dataset: Dataset, name: str) -> bool:
    if name not in dataset:
        return False
    value = dataset.get_item(name).value  # as stored: nothing is converted, so nothing can be raised or warned about
    if isinstance(value, str):
        return bool(value.strip("\0 "))
    if isinstance(value, bytes):
        return bool(value.strip(b"\0 "))
    return value is not None and (not isinstance(value, Sized) or len(value) > 0)


def code(dataset: Dataset, name: str) -> str:
    """A coded value (DICOM's CS), or nothing: free text in its place could be about a person."""
    value = text(dataset, name).upper()
    return value if _CODE.fullmatch(value) else ""


def _age(value: str) -> str:
    """Years of an age string (DICOM's AS), e.g. ``045Y``: 45, ``006M``: 0.5."""
    if not (found := _AGE.fullmatch(value.upper())):
        return ""
    years = int(found[1]) * _YEARS[found[2]]
    return str(_OLDEST) if years >= _OLDEST else f"{years:.2f}".rstrip("0").rstrip(".")


def shared_age(value: str) -> str:
    """An age string that more than a few share: itself, ``090Y`` above 89 years, nothing where it is none."""
    years = _age(value)
    return f"{_OLDEST:03}Y" if years == str(_OLDEST) else value.upper() if years else ""


def _spacing(dataset: Dataset) -> str:
    for name in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        found = likely_numbers(dataset, name)
        if len(found) == 2 and min(found) > 0:
            rows, columns = (f"{one:.4g}" for one in found)
            return rows if rows == columns else f"{rows}x{columns}"
    return ""
