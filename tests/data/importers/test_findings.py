"""Tables of several findings an image: a column for each, or names in one cell."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xenograft.data.importers import read_listing
from xenograft.data.importers.findings import of_cells, of_columns
from xenograft.data.label_sets import decode
from xenograft.errors import LabelError


def refused(path, code, **options):
    with pytest.raises(LabelError) as caught:
        read_listing(path, **options)
    assert caught.value.code == code
    assert "\n" not in str(caught.value)
    return str(caught.value)


def labels(listing):
    return [row.label for row in listing.rows]


# A column for each finding


def test_every_word_for_present_absent_and_unknown(table):
    present = ("1", "1.0", "true", "Yes", "POSITIVE", " present ")
    absent = ("0", "0.0", "False", "no", "negative", "absent")
    unknown = ("", "NaN", "-1", "-1.0", "NA", "u")
    cells = list(zip(present, absent, unknown, strict=True))
    source = table(("path", "Edema", "Mass", "Hernia"), *((f"{k}.png", *cell) for k, cell in enumerate(cells)))
    listing = read_listing(source, label_column="Edema,Mass, Hernia")
    assert listing.findings == ("Edema", "Mass", "Hernia")
    assert labels(listing) == ["Edema|?Hernia"] * 6
    assert listing.declared_labels == frozenset()


def test_columns_are_found_without_case_and_in_the_order_asked_for(table):
    source = table(("path", " Mass", "EDEMA"), ("a.png", 1, 0), ("b.png", 1, 1))
    listing = read_listing(source, label_column="edema,mass")
    assert listing.findings == ("EDEMA", "Mass")
    assert labels(listing) == ["Mass", "EDEMA|Mass"]


def test_a_column_whose_name_holds_a_comma_is_that_one(table):
    listing = read_listing(table(("path", "Edema,Mass"), ("a.png", "sick")), label_column="edema,mass")
    assert (listing.findings, labels(listing)) == ((), ["sick"])


def test_l7_one_of_the_columns_is_missing(table):
    said = refused(table(("path", "Edema"), ("a.png", 1)), "E-LABEL-07", label_column="Edema,Mass")
    assert "has no column 'Mass'; columns found: path, Edema" in said


@pytest.mark.parametrize("cell", ["2", "maybe", "0.5", "Edema"])
def test_l24_a_cell_that_is_no_finding(table, cell):
    source = table(("path", "Edema", "Mass"), ("a.png", 1, 0), ("b.png", 1, cell))
    said = refused(source, "E-LABEL-24", label_column="Edema,Mass")
    assert f"labels.csv line 3, column Mass: '{cell}'; a finding is 1, true, yes, positive or present; 0, " in said
    assert "unknown is blank, nan, na, u, unknown, uncertain or -1" in said


@pytest.mark.parametrize("asked", ["Edema,Edema", "Edema,edema"])
def test_l24_a_column_named_twice(table, asked):
    source = table(("path", "Edema"), ("a.png", 1))
    assert "'Edema' is named twice" in refused(source, "E-LABEL-24", label_column=asked)


def test_l1_an_image_of_which_nothing_is_known(table):
    source = table(("path", "Edema", "Mass"), ("a.png", 1, 0), ("b.png", "", -1))
    listing = read_listing(source, label_column="Edema,Mass")
    assert listing.skipped == ()  # such tables are often silent about an image: it counts against no limit
    (said,) = listing.notices
    assert (said.code, said.count, said.items) == ("W-LABEL-28", 1, ("b.png",))
    assert labels(listing) == ["Edema"]


def test_parquet_with_numbers_truths_and_gaps(write, png):
    root = write({"a.png": png(), "b.png": png(1), "c.png": png(2)})
    columns = {
        "path": ["a.png", "b.png", "c.png"],
        "Edema": pa.array([1.0, -1.0, None]),
        "Mass": pa.array([True, False, True]),
    }
    pq.write_table(pa.table(columns), root / "t.parquet")
    listing = read_listing(root / "t.parquet", label_column="Edema,Mass")
    assert labels(listing) == ["Edema|Mass", "?Edema", "?Edema|Mass"]


@pytest.mark.parametrize(("second", "agree"), [(("yes", "0.0"), True), ((1, 1), False), ((1, ""), False)])
def test_l3_repeated_rows_of_findings(table, second, agree):
    source = table(("path", "Edema", "Mass"), ("a.png", 1, 0), ("./a.png", *second), pictures=False)
    (source.parent / "a.png").write_bytes(b"x")
    if not agree:
        assert "a.png was 'Edema'" in refused(source, "E-LABEL-03", label_column="Edema,Mass")
        return
    listing = read_listing(source, label_column="Edema,Mass")
    assert [notice.code for notice in listing.notices] == ["W-LABEL-03"]
    assert labels(listing) == ["Edema"]


# Names in one cell


def test_cells_with_a_bar_are_findings_and_this_is_said(table):
    source = table(
        ("path", "label"), ("a.png", "Mass|Effusion"), ("b.png", "Nodule"), ("c.png", "No Finding"), ("d.png", "normal")
    )
    listing = read_listing(source)
    assert listing.findings == ("Effusion", "Mass", "Nodule")
    assert labels(listing) == ["Effusion|Mass", "Nodule", "", ""]
    (notice,) = listing.notices
    assert (notice.code, notice.count) == ("W-LABEL-27", 1)
    assert "if these are names of classes, rename them without it" in notice.message


def test_without_a_bar_labels_are_classes(table):
    listing = read_listing(table(("path", "label"), ("a.png", "Mass"), ("b.png", "No Finding")))
    assert (listing.findings, labels(listing), listing.notices) == ((), ["Mass", "No Finding"], ())


@pytest.mark.parametrize("cell", ["", "  ", "|", " | "])
def test_l1_a_blank_cell_among_findings_is_a_missing_label(table, cell):
    listing = read_listing(table(("path", "label"), ("a.png", "Mass|Edema"), ("b.png", cell)))
    assert [(skip.path, skip.code) for skip in listing.skipped] == [("b.png", "S-LABEL-01")]


def test_l24_a_finding_beside_no_finding(table):
    source = table(("path", "label"), ("a.png", "Mass|Edema"), ("b.png", "Mass|No Finding"))
    said = refused(source, "E-LABEL-24")
    assert "labels.csv line 3: 'Mass|No Finding' names findings and 'No Finding'; keep one or the other" in said


def test_l24_a_name_that_would_read_as_unknown(table):
    source = table(("path", "label"), ("a.png", "Mass|?Edema"))
    assert "finding '?Edema'" in refused(source, "E-LABEL-24")


@pytest.mark.parametrize(("second", "agree"), [("edema |Mass", True), ("Mass", False)])
def test_l3_repeated_rows_in_another_order(table, second, agree):
    source = table(("path", "label"), ("a.png", "Mass|Edema"), ("./a.png", second), pictures=False)
    (source.parent / "a.png").write_bytes(b"x")
    if agree:
        assert [notice.code for notice in read_listing(source).notices] == ["W-LABEL-27", "W-LABEL-03"]
    else:
        refused(source, "E-LABEL-03")


def test_the_columns_of_nih_chestxray14_need_no_options(write, png):
    text = "Image Index,Finding Labels,Follow-up #,Patient ID\n00000001_000.png,Cardiomegaly|Emphysema,0,1\n"
    root = write({"00000001_000.png": png(), "Data_Entry_2017.csv": text.encode()})
    (row,) = read_listing(root / "Data_Entry_2017.csv").rows
    assert (row.path, row.label, row.patient) == ("00000001_000.png", "Cardiomegaly|Emphysema", "1")


# Anything else

cells = st.text(st.sampled_from('|?01-.naNo Finding\u00e9\n,"'), max_size=12)
quick = settings(derandomize=True, max_examples=150, deadline=None)


@quick
@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=6))
def test_any_cells_are_read_or_refused_in_one_line(rows):
    lines = [(f"line {k}", {"a": a, "b": b}) for k, (a, b) in enumerate(rows, start=2)]
    for reading in (lambda: of_columns(lines, ["a", "b"], "t.csv"), lambda: of_cells(lines, "a", "t.csv")):
        found, refusal = _tried(reading)
        if refusal is not None:
            assert refusal.code == "E-LABEL-24"
            assert "\n" not in str(refusal)
            continue
        assert len(found.texts) == len(rows)
        if found.findings:
            said = [text for text in found.texts if text is not None]
            assert decode(said, found.findings).shape == (len(said), len(found.findings))


def _tried(reading):
    try:
        return reading(), None
    except LabelError as error:
        return None, error
