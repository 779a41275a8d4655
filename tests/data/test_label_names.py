import pytest

from xenograft.data.label_names import is_negative, is_nothing


@pytest.mark.parametrize(
    "name", ["No Finding", "no_findings", " NORMAL", "none", "Healthy", "Without abnormality", "0"]
)
def test_names_that_say_nothing_was_found(name):
    assert is_nothing(name)
    assert is_negative(name)


@pytest.mark.parametrize(
    "name", ["Benign nodule", "Clear cell carcinoma", "Non-small cell carcinoma", "Normal variant"]
)
def test_a_finding_whose_name_begins_as_a_negative_class_does(name):
    assert is_negative(name)
    assert not is_nothing(name)


@pytest.mark.parametrize("name", ["Nodule", "Pneumonia", "Controlled", "10"])
def test_other_names(name):
    assert not is_negative(name)
    assert not is_nothing(name)
