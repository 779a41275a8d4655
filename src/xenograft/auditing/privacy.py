"""Material -> findings on what could tell who a patient is: names of files and folders, DICOM tags, EXIF."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xenograft.auditing.finding import Finding
from xenograft.auditing.material import Material
from xenograft.errors import listed, printable

Mask = NDArray[np.bool_]

_MOST = 20
_RUN_ON = 20  # numbers this dense were counted up, not given to people
_MOSTLY = 0.9
_RENAME = "Rename the files with a key that only you can resolve, and keep that list apart from the images."

_DAY = r"(?:0[1-9]|[12]\d|3[01])"
_MONTH = r"(?:0[1-9]|1[0-2])"
_YEAR = r"(?:19|20)\d\d"
_DIGITS_DATE = re.compile(rf"(?<!\d)({_YEAR})(\d\d)(\d\d)(?=$|\D|(?:[01]\d|2[0-3])[0-5]\d(?:[0-5]\d)?(?:\D|$))")
_ISO_DATE = re.compile(rf"(?<![\d.])({_YEAR})([-_./ ])({_MONTH})\2({_DAY})(?!\.?\d)")
_DAY_FIRST = re.compile(rf"(?<![\d.])(\d\d)[-_ ](\d\d)[-_ ]({_YEAR})(?!\d)")
_DOTTED_DATE = re.compile(rf"(?<![\d.])(\d\d?)\.(\d\d?)\.({_YEAR})(?!\.?\d)")
_MAIL = re.compile(r"[a-z0-9][a-z0-9._%+-]*@[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z]{2,}", re.IGNORECASE)
_UID = re.compile(r"(?<![\d.])(?=[\d.]{16,})[0-2](?:\.\d+){5,}")
_RUN = re.compile(r"(?<!\d)\d{7,12}(?!\d)")
_ENDING = re.compile(r"\.[a-z][a-z0-9]{1,5}(?:\.gz)?$", re.IGNORECASE)
_HASH = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?<![0-9a-z])[0-9a-f]{16,}(?![0-9a-z])", re.IGNORECASE)

_WORD = r"[^\W\d_]{2,}"
_CARET = re.compile(rf"(?<![^\W\d_]){_WORD}\^{_WORD}")
# not "Mr", "Mrs" and "Ms": MR, MRS and MS are everyday words of imaging
_TITLED = re.compile(rf"(?<![^\W_])(?:herr|frau|mme|madame|monsieur|senor|senora)[ _.-]{{1,2}}{_WORD}", re.IGNORECASE)
_TWO_WORDS = re.compile(rf"(?<![^\W_])(?=({_WORD})(?:, ?|[ _.-])({_WORD})(?![^\W\d_]))")
_GIVEN_NAMES = """
    aaron abdul adriana agnieszka ahmed aisha alan albert alejandro alessandro alexander alexandra alfred ali alice
    amanda amelia amina amir amy anders andrea andreas andrew andrzej angela anita anja anna anne antoine anton antonio
    arthur barbara beatriz benjamin bernard betty birgit brandon brian bruno camille carl carla carlos carmen carol
    caroline catherine cecilia charles charlotte christina christine christopher claire claudia daniel daniela david
    deborah denise dennis diana diego dmitri dominik donald dorothy edward elena elisabeth elizabeth ella emily emma
    eric erik ernst esther fatima felix fernando florian francesca francesco francois frank franz frederic gabriel gary
    george gerhard giovanni giulia giuseppe gloria gregory guillermo gunther hannah hans harold hassan heather heinrich
    helen helga henrik henry herbert hiroshi ibrahim igor ingrid irene isabel isabella ivan jack jacob jacqueline jakub
    james jane janet jennifer jessica joan johan johanna johannes john jonas jonathan jorge jose josef joseph joshua
    juan judith julia julian julie jurgen karen karin karl katarzyna katharina katherine kathleen keiko kenneth kevin
    khadija klaus krzysztof larry lars laura lauren leonardo linda lisa lorenzo louis louise lucia luigi luis lukas
    magdalena manfred manuel marco margaret maria mariana marie mario marta martin martina mary matteo matthew
    maximilian megan mehmet melissa michael michel michelle miguel mikhail mohamed mohammed monica monika mustafa nancy
    natalia natalie nicholas nicolas nicole nikolai olga olivia omar oscar otto pablo pamela patricia patrick paul paula
    pauline pedro peter philip philippe pierre rachel rafael rainer rebecca renate ricardo richard robert roberto roger
    ronald ruth ryan sabine samantha samuel sandra sara sarah sergei sharon silvia simon simone sofia sophia sophie
    stefan stephanie stephen steven susan susanne svetlana tatiana teresa thomas timothy tomasz ursula valentina vanessa
    veronica victor vincent vladimir walter werner wilhelm william wolfgang yasmin yusuf yuki yvonne zoe
"""
_GIVEN = frozenset(_GIVEN_NAMES.split())
_PLACES_AND_PARTS = """
    clinic hospital klinik klinikum hopital institute university college center centre medical cohort dataset data
    database images image scan scans study test train val valid validation version copy final left right normal saint st
    san santa and or of the from by
"""
_NO_SURNAME = frozenset(_PLACES_AND_PARTS.split())


def check(material: Material) -> list[Finding]:
    """Checks on protected information, ``A-PHI-01`` to ``A-PHI-10``, in order; each is listed whatever it found.

    What looks like a name, a date, an address or a number is looked for in the paths of the images, below the data
    folder; these are guesses, kept few. Findings that show such paths have ``numbers["sensitive"]``. DICOM values are
    never read here: `xenograft.data.readers.acquisition` hands on the names of tags only.
    """
    return [
        _in_paths(material, "A-PHI-01", "Names of persons in paths", "may hold the name of a person", _has_name),
        _dates(material),
        _in_paths(material, "A-PHI-03", "E-mail addresses in paths", "hold an e-mail address", _has_mail),
        _record_numbers(material),
        _in_paths(material, "A-PHI-05", "DICOM UIDs in paths", "hold what looks like a DICOM UID", _has_uid),
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


def _in_paths(material: Material, code: str, title: str, what: str, found: Callable[[str], bool]) -> Finding:
    mask = np.array([found(_bare(path)) for path in material.paths], dtype=np.bool_)
    return _flagged(material, mask, code, title, f"{what} in their file or folder names", _RENAME, numbers=_shown())


def _shown() -> dict[str, Any]:
    return {"sensitive": True}


def _bare(path: str) -> str:
    """Without the ending, which an address or a date could run into; folders stay."""
    return _ENDING.sub("", path)


def _has_name(text: str) -> bool:
    if _CARET.search(text) or _TITLED.search(text):
        return True
    return any(_is_name(*pair) for part in text.split("/") for pair in _TWO_WORDS.findall(part))


def _is_name(first: str, second: str) -> bool:
    words = {first.casefold(), second.casefold()}
    return bool(words & _GIVEN) and not words & _NO_SURNAME and len(words) == 2


def _has_mail(text: str) -> bool:
    return _MAIL.search(text) is not None


def _has_uid(text: str) -> bool:
    return _UID.search(text) is not None


def _dates(material: Material) -> Finding:
    texts = [_UID.sub(" ", _HASH.sub(" ", _bare(path))) for path in material.paths]
    digits = [[_real(y, m, d) for y, m, d in _DIGITS_DATE.findall(text)] for text in texts]
    tried = [valid for row in digits for valid in row]
    # eight digits are a date only if nearly all that could be one are one: a counter passes the 13th month
    trusted = sum(tried) >= _MOSTLY * len(tried)
    mask = np.array(
        [_has_written_date(text) or (trusted and any(row)) for text, row in zip(texts, digits, strict=True)],
        dtype=np.bool_,
    )
    what = "hold what looks like a date in their file or folder names"
    return _flagged(material, mask, "A-PHI-02", "Dates in paths", what, _RENAME, numbers=_shown())


def _has_written_date(text: str) -> bool:
    if any(_real(year, month, day) for year, _, month, day in _ISO_DATE.findall(text)):
        return True
    found = _DAY_FIRST.findall(text) + _DOTTED_DATE.findall(text)
    return any(_real(y, b, a) or _real(y, a, b) for a, b, y in found)  # day first, or month first


def _real(year: str, month: str, day: str) -> bool:
    try:
        date(int(year), int(month), int(day))
    except ValueError:
        return False
    return True


def _record_numbers(material: Material) -> Finding:
    code, title = "A-PHI-04", "Long numbers in paths"
    runs = [set(_RUN.findall(_without_dates(_bare(path)))) for path in material.paths]
    seen = Counter(run for row in runs for run in row)
    # in most paths: of the set, not of a patient; counted up: of the file
    numbers = {run for run, times in seen.items() if run[0] != "0" and (times == 1 or times <= len(material) / 2)}
    if numbers and _counted_up([int(run) for run in numbers]):
        numbers = set()
    mask = np.array([not numbers.isdisjoint(row) for row in runs], dtype=np.bool_)
    what = "hold a number of 7 to 12 digits, as medical records have, in their file or folder names"
    return _flagged(
        material, mask, code, title, what, "Make sure that these are no record numbers. " + _RENAME, numbers=_shown()
    )


def _without_dates(text: str) -> str:
    text = _UID.sub(" ", _HASH.sub(" ", text))
    return _DIGITS_DATE.sub(lambda found: " " if _real(*found.groups()) else found[0], text)


def _counted_up(numbers: Sequence[int]) -> bool:
    return len(numbers) > 2 and max(numbers) - min(numbers) < _RUN_ON * len(numbers)


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
