import pytest

from xenograft import errors
from xenograft.errors import LabelError, MissingPackage, Notice, XenograftError, listed, printable, require

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, XenograftError)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_shows_its_code_and_exits_with_2(kind):
    error = kind("labels.csv has no rows; add some", code="E-TEST-01")
    assert str(error) == "E-TEST-01 labels.csv has no rows; add some"
    assert (error.code, error.exit_code) == ("E-TEST-01", 2)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_is_documented_and_a_builtin_s_child(kind):
    assert kind.__doc__
    assert kind.__name__ in errors.__doc__
    assert issubclass(kind, ValueError | RuntimeError | ImportError) or kind is XenograftError


def test_a_code_is_needed():
    with pytest.raises(TypeError):
        LabelError("no code")


def test_a_notice_shows_its_code():
    assert str(Notice("W-LABEL-13", "few images")) == "W-LABEL-13 few images"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain name.png", "plain name.png"),
        ("Röntgen–胸.png", "Röntgen–胸.png"),
        ("two\nlines\t.png", "two\\nlines\\t.png"),
        ("a\x1b[31mred", "a\\x1b[31mred"),
        ("ver\u202egnp.exe", "ver\\u202egnp.exe"),
        ("latin\udce9.png", "latin\\udce9.png"),
        (12, "12"),
    ],
)
def test_f18_printable_is_one_safe_line(name, shown):
    assert printable(name) == shown


def test_listed_shows_the_first_few():
    assert listed([]) == ""
    assert listed(["a", "b\n"]) == "a, b\\n"
    assert listed(iter("abcdefg")) == "a, b, c, d, e and 2 more"
    assert listed("abcdefg", most=6) == "a, b, c, d, e, f and 1 more"


def test_require_imports_a_module():
    assert require("json", extra="none").loads("1") == 1


def test_require_names_the_extra():
    with pytest.raises(MissingPackage, match=r"xenograft\[dicom\]") as caught:
        require("no_such_module_here", extra="dicom")
    assert caught.value.code == "E-PACKAGE-01"
    assert isinstance(caught.value, ImportError)
