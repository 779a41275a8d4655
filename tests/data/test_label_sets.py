import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xenograft.data.label_sets import MISSING, check_names, decode, encode
from xenograft.errors import LabelError

quick = settings(derandomize=True, max_examples=80, deadline=None)

NAMES = ("Effusion", "Mass", "Pleural ?thickening")
names_of = st.lists(
    st.text(min_size=1, max_size=6).filter(lambda name: "|" not in name and not name.startswith("?")),
    min_size=1,
    max_size=8,
    unique=True,
)


@st.composite
def sets(draw):
    names = draw(names_of)
    rows = draw(st.lists(st.lists(st.sampled_from([1, 0, MISSING]), min_size=len(names), max_size=len(names))))
    return names, rows


@quick
@given(sets())
def test_what_is_written_is_read_back(case):
    names, rows = case
    check_names(names)
    found = decode((encode(row, names) for row in rows), names)
    assert found.shape == (len(rows), len(names))
    assert found.dtype == np.int64
    assert found.tolist() == rows


@pytest.mark.parametrize(
    ("values", "text"),
    [((1, MISSING, 0), "Effusion|?Mass"), ((0, 0, 0), ""), ((MISSING, 0, 1), "?Effusion|Pleural ?thickening")],
)
def test_unknown_findings_stand_behind_a_question_mark(values, text):
    assert encode(values, NAMES) == text


def test_the_order_in_a_text_does_not_matter():
    assert decode(["Mass|Effusion"], NAMES).tolist() == [[1, 1, 0]]


def test_a_text_with_a_foreign_name():
    with pytest.raises(LabelError, match=r"'Mass\|Nodul' names 'Nodul', which is none of the findings") as caught:
        decode(["Mass", "Mass|Nodul"], NAMES)
    assert caught.value.code == "E-LABEL-24"


@pytest.mark.parametrize("name", ["", "a|b", "?Mass"])
def test_names_that_no_text_could_hold(name):
    with pytest.raises(LabelError, match="rename it") as caught:
        check_names(["Effusion", name])
    assert caught.value.code == "E-LABEL-24"


def test_a_name_given_twice():
    with pytest.raises(LabelError, match="'Mass' is named twice"):
        check_names(["Mass", "Edema", "Mass"])
