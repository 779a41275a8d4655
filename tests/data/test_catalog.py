import re
from pathlib import Path

import pytest

from xenograft.data.catalog import CATALOG, CHEST_XRAY, PHANTOM, lookup, of_archive, recognise
from xenograft.data.importers import RawRow
from xenograft.data.medmnist_sets import MEDMNIST
from xenograft.data.patients import with_patients
from xenograft.data.phantom import SYNTHETIC_MARK
from xenograft.data.public_sets import PUBLIC_SETS
from xenograft.errors import DataError, LabelError, UsageError

CLASSES = {"NORMAL", "PNEUMONIA"}
PATHS = ["train/PNEUMONIA/person12_bacteria_46.jpeg", "test/NORMAL/NORMAL2-IM-0115-0001.jpeg"]

# names as the sets' own pages, papers and loaders give them, and the patient in each
EXAMPLES = {
    "chest_xray": [
        ("train/PNEUMONIA/person12_bacteria_46.jpeg", "person12_bacteria"),
        ("test/NORMAL/NORMAL2-IM-0115-0001.jpeg", "NORMAL2-IM-0115"),
    ],
    "nih_chest_xray14": [
        ("images/00000001_000.png", "00000001"),
        ("images_012/images/00000798_022.png", "00000798"),
        ("00009863_038.png", "00009863"),
    ],
    "chexpert": [
        ("CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg", "patient00001"),
        ("train/patient00002/study2/view2_lateral.jpg", "patient00002"),
        ("patient00002/study1/view1_frontal.jpg", "patient00002"),
    ],
    "mimic_cxr_jpg": [
        ("files/p10/p10000032/s50414267/02aa804e-bde0afdd-112c0b34-7bc16630-4e384014.jpg", "p10000032"),
        ("p10/p10000032/s50414267/02aa804e-bde0afdd-112c0b34-7bc16630-4e384014.jpg", "p10000032"),
    ],
    "covid19_radiography": [
        ("COVID/images/COVID-1.png", None),
        ("Viral Pneumonia/images/Viral Pneumonia-1.png", None),
        ("Lung_Opacity/images/Lung_Opacity-1.png", None),
        ("Normal/images/Normal-10192.png", None),
    ],
    "mura": [
        ("MURA-v1.1/train/XR_SHOULDER/patient00001/study1_positive/image1.png", "patient00001"),
        ("valid/XR_WRIST/patient11185/study1_negative/image2.png", "patient11185"),
    ],
    "cbis_ddsm": [
        ("Mass-Training_P_00001_LEFT_CC/07-20-2016-DDSM-NA-74994/1-full mammogram images-24515/1-1.dcm", "P_00001"),
        ("CBIS-DDSM/Calc-Test_P_00038_RIGHT_MLO/a/b/000000.dcm", "P_00038"),
        ("Mass-Test_P_00016_LEFT_CC.png", "P_00016"),
        ("Mass-Training_P_00001_LEFT_CC_1/a/b/000000.dcm", "P_00001"),
    ],
    "busi": [("benign/benign (1).png", None), ("malignant/malignant (210).png", None), ("normal/normal (9).png", None)],
    "oct2017": [
        ("train/CNV/CNV-1016042-1.jpeg", "1016042"),
        ("OCT2017/train/DRUSEN/DRUSEN-1001666-1.jpeg", "1001666"),
        ("OCT2017/train/NORMAL/NORMAL-1001666-1.jpeg", "1001666"),
    ],
    "eyepacs_dr": [("10_left.jpeg", "10"), ("train/10_right.jpeg", "10")],
    "breakhis": [
        ("benign/SOB/tubular_adenoma/SOB_B_TA_14-4659/40X/SOB_B_TA-14-4659-40-001.png", "14-4659"),
        ("malignant/SOB_M_PC-15-190EF-400-014.png", "15-190"),
        ("SOB_B_A-14-22549AB-100-009.png", "14-22549"),
        ("SOB_M_DC-14-13412-100-026.png", "14-13412"),
        ("SOB_M_LC-14-13412-100-026.png", "14-13412"),
    ],
}

STRANGERS = {
    "nih_chest_xray14": ["0000001_000.png", "00000001.png", "00000001_000_mask.png", "x00000001_000.png"],
    "chexpert": ["patient00001/view1_frontal.jpg", "patient00001_study1_view1_frontal.jpg", "patient1/study1/v.jpg"],
    "mimic_cxr_jpg": ["p10/p10000032/s50414267.jpg", "s50414267/02aa804e-bde0afdd-112c0b34-7bc16630-4e384014.jpg"],
    "mura": ["patient00001/study1/image1.png", "XR_HAND/patient00001/image1.png"],
    "cbis_ddsm": ["P_00001_LEFT_CC.png", "Mass-Training_P_00001.png", "1-1.dcm"],
    "oct2017": ["CNV-1016042.jpeg", "AMD-1016042-1.jpeg", "1016042-1.jpeg"],
    "eyepacs_dr": ["10.jpeg", "10_middle.jpeg", "a_left.jpeg"],
    "breakhis": ["SOB_B_TA-4659-40-001.png", "SOB_B_XX-14-4659-40-001.png", "SOB_B_TA-14-4659-50-001.png"],
}

UNRULED = [spec for spec in CATALOG.values() if spec.file_pattern is None and spec.patient_pattern is None]


def classes_of(spec):
    return set(spec.classes) or CLASSES


def marked(folder):
    (folder / SYNTHETIC_MARK).write_text("")
    return folder


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("person12_bacteria_46.jpeg", "person12_bacteria"),
        ("person12_bacteria_47.jpeg", "person12_bacteria"),
        ("person12_virus_46.jpeg", "person12_virus"),
        ("person120_virus_46.jpeg", "person120_virus"),
        ("IM-0115-0001.jpeg", "IM-0115"),
        ("NORMAL2-IM-0115-0001.jpeg", "NORMAL2-IM-0115"),
        ("deep/er/IM-0115-0001-0002.jpeg", "IM-0115"),
        ("person12_fungus_1.jpeg", None),
        ("my-IM-0115.jpeg", None),
        ("0001.png", None),
    ],
)
def test_patients_of_the_chest_set(name, patient):
    assert CHEST_XRAY.patient(name) == patient


def test_the_chest_set_is_recognised_by_classes_and_names(tmp_path):
    assert recognise(tmp_path, CLASSES, PATHS) is CHEST_XRAY
    assert recognise(tmp_path, {"normal", "Pneumonia"}, PATHS) is CHEST_XRAY


def test_one_foreign_name_is_enough_for_not_recognised(tmp_path):
    assert recognise(tmp_path, CLASSES, [*PATHS, "train/NORMAL/scan1.png"]) is None


@pytest.mark.parametrize(
    "classes", [{"NORMAL"}, {*CLASSES, "COVID"}, {"A", "B"}], ids=lambda names: "-".join(sorted(names))
)
def test_other_classes_are_not_recognised(tmp_path, classes):
    assert recognise(tmp_path, classes, PATHS) is None


def test_phantoms_are_recognised_by_their_mark_and_names(tmp_path):
    assert recognise(tmp_path, CLASSES, ["train/NORMAL/P0001_1.png"]) is None
    marked(tmp_path)
    assert recognise(tmp_path, CLASSES, ["train/NORMAL/P0001_1.png"]) is PHANTOM
    assert recognise(tmp_path, CLASSES, ["train/NORMAL/scan1.png"]) is None
    assert PHANTOM.patient("P0001_2.png") == "P0001"


@pytest.mark.parametrize(("name", "path", "patient"), [(n, *case) for n, cases in EXAMPLES.items() for case in cases])
def test_documented_names_give_the_documented_patient(name, path, patient):
    assert CATALOG[name].patient(path) == patient
    assert CATALOG[name].follows(path)


@pytest.mark.parametrize(("name", "path"), [(name, path) for name, paths in STRANGERS.items() for path in paths])
def test_names_that_only_look_alike_follow_no_rule(name, path):
    assert CATALOG[name].patient(path) is None
    assert not CATALOG[name].follows(path)


def test_every_set_with_a_naming_rule_has_examples_here():
    ruled = {spec.name for spec in CATALOG.values() if spec.patient_pattern or spec.file_pattern}
    assert ruled == {*EXAMPLES, "phantom"}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_set_is_recognised_by_its_classes_and_names_and_by_neither_alone(tmp_path, name):
    spec, paths = CATALOG[name], [path for path, _ in EXAMPLES[name]]
    assert recognise(tmp_path, spec.classes, paths) is spec
    assert recognise(tmp_path, [c.swapcase() for c in spec.classes], paths) is spec
    assert recognise(tmp_path, spec.classes, [*paths, "scan.png"]) is None
    assert recognise(tmp_path, spec.classes[1:], paths) is None
    assert recognise(tmp_path, [*spec.classes, "another"], paths) is None


@pytest.mark.parametrize("classes_from", CATALOG.values(), ids=lambda spec: spec.name)
@pytest.mark.parametrize("names_from", EXAMPLES)
def test_no_set_recognises_anothers_names(tmp_path, names_from, classes_from):
    paths = [path for path, _ in EXAMPLES[names_from]]
    found = recognise(marked(tmp_path), classes_of(classes_from), paths)
    shares_classes = CATALOG[names_from].has_classes(classes_of(classes_from))
    assert found is (CATALOG[names_from] if shares_classes else None)


def test_some_findings_are_enough_where_classes_are_findings(tmp_path):
    paths = ["images/00000001_000.png"]
    nih = lookup("nih_chest_xray14")
    assert recognise(tmp_path, ["Mass", "hernia", "No Finding"], paths, findings=True) is nih
    assert recognise(tmp_path, ["Mass", "hernia", "No Finding"], paths) is None
    assert recognise(tmp_path, ["Mass", "another"], paths, findings=True) is None
    assert recognise(tmp_path, ["No Finding"], paths, findings=True) is None
    assert recognise(tmp_path, ["Mass"], ["scan.png"], findings=True) is None
    assert recognise(tmp_path, ["NORMAL"], PATHS, findings=True) is None  # its labels are classes


def test_findings_of_an_archive_may_be_numbered():
    lookup("chestmnist").check(["label 0", "label 13"], [])
    with pytest.raises(DataError):
        lookup("chestmnist").check(["label 14"], [])


@pytest.mark.parametrize("name", ["nih_chest_xray14", "chexpert", "mimic_cxr_jpg"])
def test_a_label_for_none_of_the_classes_may_be_there_or_not(tmp_path, name):
    spec, paths = CATALOG[name], [path for path, _ in EXAMPLES[name]]
    assert recognise(tmp_path, [*spec.classes, "No Finding"], paths) is spec
    spec.check([*spec.classes, "no finding"], paths)


@pytest.mark.parametrize("spec", UNRULED, ids=lambda spec: spec.name)
def test_a_set_without_a_naming_rule_is_used_only_when_named(tmp_path, spec):
    assert recognise(tmp_path, classes_of(spec), ["ISIC_0027419.jpg"]) is not spec
    assert recognise(tmp_path, spec.classes, []) is not spec
    assert lookup(spec.name) is spec
    assert spec.patient("00000001_000.png") is None


def test_lookup_names_the_known_ones():
    assert lookup("chest_xray") is CHEST_XRAY
    with pytest.raises(UsageError, match=r"unknown data set 'chest'; known: chest_xray, phantom, .*, none") as caught:
        lookup("chest")
    assert caught.value.code == "E-USAGE-04"
    assert all(name in str(caught.value) for name in CATALOG)


def test_classes_that_a_set_has_not_are_refused_and_some_of_its_own_are_enough():
    spec = lookup("ham10000")
    spec.check(["MEL", "nv"], ["ISIC_0027419.jpg"])
    with pytest.raises(DataError, match=r"ham10000 has no class melanoma, mole; its classes are akiec, bcc,") as caught:
        spec.check(["melanoma", "nv", "mole"], [])
    assert caught.value.code == "E-DATA-14"
    lookup("padchest").check(["any", "class"], [])
    with pytest.raises(DataError, match="has no class No Finding"):
        spec.check(["mel", "No Finding"], [])


@pytest.mark.parametrize(
    ("name", "masks"),
    [
        ("busi", ["benign/benign (1)_mask.png", "benign/benign (4)_mask_1.png"]),
        ("covid19_radiography", ["COVID/masks/COVID-1.png", "masks/COVID-1.png"]),
        ("tb_chest_xrays", ["masks/MCUCXR_0001_0.png", "CHNCXR_0001_0_mask.png", "ManualMask/leftMask/MCUCXR_1_0.png"]),
        ("cbis_ddsm", ["Mass-Training_P_00001_LEFT_CC_1/a/1.000000-ROI mask images-9/1-2.dcm"]),
    ],
)
def test_masks_beside_images_are_never_read_as_images(tmp_path, name, masks):
    spec, paths = lookup(name), [path for path, _ in EXAMPLES.get(name, [("MCUCXR_0001_0.png", None)])]
    spec.check(spec.classes, paths)
    for mask in masks:
        with pytest.raises(DataError, match=f"1 files are masks that {name} keeps beside") as caught:
            spec.check(spec.classes, [*paths, mask])
        assert caught.value.code == "E-DATA-15"
    if spec.file_pattern:  # so that the folder is known for what it is, and the masks are found
        assert recognise(tmp_path, spec.classes, [*paths, *masks]) is spec


@pytest.mark.parametrize("spec", MEDMNIST, ids=lambda spec: spec.name)
def test_archives_are_known_by_name_and_sizes(spec):
    for sizes in spec.sizes:
        for file in (f"{spec.name}.npz", f"{spec.name}_64.npz", f"some/where/{spec.name}_224.npz"):
            assert of_archive(file, sizes) is spec
        assert of_archive(f"{spec.name}_32.npz", sizes) is None
        assert of_archive(f"{spec.name}.zip", sizes) is None
        assert of_archive("mine.npz", sizes) is None
        assert of_archive(f"{spec.name}.npz", (sizes[0] - 1, *sizes[1:])) is None
        assert of_archive(f"{spec.name}.npz", sizes[:2]) is None


def test_what_is_no_archive_is_not_known_as_one():
    assert of_archive("chest_xray.npz", ()) is None
    assert of_archive("ham10000.npz", (1, 1, 1)) is None


@pytest.mark.parametrize("spec", MEDMNIST, ids=lambda spec: spec.name)
def test_labels_of_archives_have_names(spec):
    assert list(spec.label_names) == [str(k) for k in range(len(spec.classes))]
    assert tuple(spec.label_names.values()) == spec.classes
    spec.check(spec.classes, [])
    spec.check(spec.label_names, [])
    with pytest.raises(DataError, match="E-DATA-14"):
        spec.check([str(len(spec.classes))], [])


def test_medmnist_is_what_its_paper_says():
    """Table 1 of Yang et al. 2023: twelve sets, 708,069 images in version 2."""
    assert sum(sum(spec.sizes[-1]) for spec in MEDMNIST) == 708_069
    counts = [9, 14, 7, 4, 2, 5, 2, 8, 8, 11, 11, 11]
    assert [len(spec.classes) for spec in MEDMNIST] == counts
    names = ["path", "chest", "derma", "oct", "pneumonia", "retina", "breast", "blood", "tissue"]
    assert [spec.name for spec in MEDMNIST] == [f"{name}mnist" for name in [*names, "organa", "organc", "organs"]]
    assert {spec.name: spec.task for spec in MEDMNIST if spec.task != "multi-class"} == {
        "chestmnist": "multi-label",
        "pneumoniamnist": "binary",
        "retinamnist": "ordinal",
        "breastmnist": "binary",
    }
    assert {spec.name for spec in MEDMNIST if spec.licence != "CC BY 4.0"} == {"dermamnist"}
    assert lookup("breastmnist").label_names["0"] == "malignant"


@pytest.mark.parametrize("spec", CATALOG.values(), ids=lambda spec: spec.name)
def test_every_data_set_says_where_it_is_from_and_what_to_know(spec):
    assert all((spec.title, spec.source, spec.licence, spec.address, spec.patient_rule, spec.facts))
    assert CATALOG[spec.name] is spec
    assert len(spec.facts) <= 6
    assert len(set(spec.facts)) == len(spec.facts)
    for fact in spec.facts:
        assert re.fullmatch(r"[A-Z\d][^\n]*[^.\s]\.", fact)
        assert "  " not in fact


@pytest.mark.parametrize("spec", [*MEDMNIST, *PUBLIC_SETS], ids=lambda spec: spec.name)
def test_every_public_set_is_complete_and_cites_what_it_says(spec):
    assert re.fullmatch(r"[a-z][a-z\d_]*", spec.name)
    assert spec.address.startswith(("https://", "http://"))
    assert re.search(r"doi:10\.\d{4,}/|arXiv:\d{4}\.\d{5}|https://", spec.source)
    assert len({c.casefold() for c in spec.classes}) == len(spec.classes)
    assert 1 <= len(spec.facts) <= 5
    for fact in spec.facts:
        assert re.search(r"\([^()]*(doi:10\.\d{4,}/\S+|arXiv:\d{4}\.\d{5}|https://\S+)", fact), fact
        assert len(fact) < 400
    for pattern in (spec.patient_pattern, spec.file_pattern, spec.not_images):
        assert pattern is None or re.compile(pattern)
    if spec.patient_pattern is not None:
        assert re.compile(spec.patient_pattern).groups == 1
        assert spec.patient_rule.startswith("patient key from the ")
    assert spec.task != "binary" or len(spec.classes) in {0, 2}


def test_no_name_and_no_title_is_there_twice():
    specs = (CHEST_XRAY, PHANTOM, *MEDMNIST, *PUBLIC_SETS)
    assert len({spec.name for spec in specs}) == len({spec.title for spec in specs}) == len(specs) == len(CATALOG)
    assert len(PUBLIC_SETS) >= 10


def test_the_chest_set_says_that_it_does_not_generalise():
    assert any("10.1007/s10140-021-01954-x" in fact and "0.54" in fact for fact in CHEST_XRAY.facts)
    assert recognise(Path("nowhere"), CLASSES, []) is CHEST_XRAY  # no name contradicts


def rows(*paths, patient=""):
    return [RawRow(id=f"i{k}", path=path, label="a", patient=patient) for k, path in enumerate(paths)]


def test_a_known_set_without_patients_is_like_no_rule_and_says_why():
    spec = lookup("busi")
    plain, plain_rule, (plain_notice,) = with_patients(rows("a.png", "b.png"), None, regex=None, column=None)
    known, rule, (notice,) = with_patients(rows("a.png", "b.png"), spec, regex=None, column=None)
    assert known == plain
    assert [row.patient for row in known] == ["i0", "i1"]
    assert notice.code == plain_notice.code == "W-LABEL-21"
    assert plain_rule == "none: every image counts as its own patient"
    assert rule == f"{plain_rule} ({spec.title}: {spec.patient_rule})"
    assert notice.message == f"{plain_notice.message} ({spec.title}: {spec.patient_rule})"


def test_a_column_or_an_expression_still_names_the_patients_of_such_a_set():
    spec = lookup("ham10000")
    by_column, rule, notices = with_patients(rows("a.png", patient="HAM_0001"), spec, regex=None, column="lesion_id")
    assert ([row.patient for row in by_column], notices) == (["HAM_0001"], [])
    assert "column" in rule
    by_regex, _, notices = with_patients(rows("p7_a.png"), spec, regex=r"(p\d)_", column=None)
    assert ([row.patient for row in by_regex], notices) == (["p7"], [])


def test_a_known_rule_names_patients_and_refuses_other_names():
    spec = lookup("oct2017")
    found, rule, notices = with_patients(rows("CNV-7-1.jpeg", "DME-7-2.jpeg"), spec, regex=None, column=None)
    assert ([row.patient for row in found], rule, notices) == (["7", "7"], spec.patient_rule, [])
    with pytest.raises(LabelError, match="1 images have no patient key") as caught:
        with_patients(rows("CNV-7-1.jpeg", "scan.jpeg"), spec, regex=None, column=None)
    assert caught.value.code == "E-LABEL-22"
