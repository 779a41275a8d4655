"""Texts -> which of them may tell who a person is: names, dates, addresses, numbers, UIDs. Guesses, kept few."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from datetime import date

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

_RUN_ON = 20  # numbers this dense were counted up, not given to people
_MOSTLY = 0.9

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


def telling(texts: Sequence[str]) -> dict[str, Mask]:
    """Code of the finding on it -> (N,) which of these paths or keys hold such a thing.

    A number is judged beside the others: what counts up is no date and no record number.
    """
    bare = [_ENDING.sub("", text) for text in texts]  # an address or a date could run into it; folders stay
    return {
        "A-PHI-01": np.array([_has_name(text) for text in bare], dtype=np.bool_),
        "A-PHI-02": _with_dates(bare),
        "A-PHI-03": np.array([_MAIL.search(text) is not None for text in bare], dtype=np.bool_),
        "A-PHI-04": _with_record_numbers(bare),
        "A-PHI-05": np.array([_UID.search(text) is not None for text in bare], dtype=np.bool_),
    }


def _has_name(text: str) -> bool:
    if _CARET.search(text) or _TITLED.search(text):
        return True
    return any(_is_name(*pair) for part in text.split("/") for pair in _TWO_WORDS.findall(part))


def _is_name(first: str, second: str) -> bool:
    words = {first.casefold(), second.casefold()}
    return bool(words & _GIVEN) and not words & _NO_SURNAME and len(words) == 2


def _with_dates(bare: Sequence[str]) -> Mask:
    texts = [_UID.sub(" ", _HASH.sub(" ", text)) for text in bare]
    digits = [[_real(y, m, d) for y, m, d in _DIGITS_DATE.findall(text)] for text in texts]
    tried = [valid for row in digits for valid in row]
    # eight digits are a date only if nearly all that could be one are one: a counter passes the 13th month
    trusted = sum(tried) >= _MOSTLY * len(tried)
    found = [_has_written_date(text) or (trusted and any(row)) for text, row in zip(texts, digits, strict=True)]
    return np.array(found, dtype=np.bool_)


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


def _with_record_numbers(bare: Sequence[str]) -> Mask:
    runs = [set(_RUN.findall(_without_dates(text))) for text in bare]
    seen = Counter(run for row in runs for run in row)
    # in most paths: of the set, not of a patient; counted up: of the file
    numbers = {run for run, times in seen.items() if run[0] != "0" and (times == 1 or times <= len(bare) / 2)}
    if numbers and _counted_up([int(run) for run in numbers]):
        numbers = set()
    return np.array([not numbers.isdisjoint(row) for row in runs], dtype=np.bool_)


def _without_dates(text: str) -> str:
    text = _UID.sub(" ", _HASH.sub(" ", text))
    return _DIGITS_DATE.sub(lambda found: " " if _real(*found.groups()) else found[0], text)


def _counted_up(numbers: Sequence[int]) -> bool:
    return len(numbers) > 2 and max(numbers) - min(numbers) < _RUN_ON * len(numbers)
