"""A label's name -> whether it stands for nothing found."""

from __future__ import annotations

import re

_NEGATIVE = re.compile(r"(normal|negative|healthy|benign|controls?|none|no|non|not|without|absent|clear|false|0)\b")
_NOTHING = re.compile(r"(normal|negative|healthy|none|nil|nothing|absent|clear|false|0|no|(no|without)\b.*)")


def is_negative(name: str) -> bool:
    """Whether a name begins as one of "nothing found" does; such a class comes first of two."""
    return _NEGATIVE.match(_plain(name)) is not None


def is_nothing(name: str) -> bool:
    """Whether a name stands for none of several findings: all of it says so, as ``No Finding`` or ``Normal`` do.

    Narrower than `is_negative`: beside others, ``Benign nodule`` or ``Clear cell carcinoma`` is a finding.
    """
    return _NOTHING.fullmatch(_plain(name)) is not None


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", " ", name.casefold()).strip()
