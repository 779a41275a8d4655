"""What could tell who a patient is: planted in paths and facts and found; everyday names of files are left alone."""

import json

import pytest

from xenograft.auditing.privacy import check

CODES = [f"A-PHI-{k:02}" for k in range(1, 11)]

PLANTED = {
    "A-PHI-01": [
        "train/DOE_JOHN_003.png",
        "train/Maria Gonzalez.png",
        "a/Hansen, Peter/1.dcm",
        "a/DOE^JANE.dcm",
        "a/Frau_Huber_2.png",
        "Müller-Anna/x.png",
    ],
    "A-PHI-02": [
        "a/20150312_0001.png",
        "a/scan_2015-03-12.png",
        "12.03.2015/1.png",
        "a/03-31-1999_x.png",
        "a/20150312143059.png",
        "2015/03/12/7.png",
        "a/1.3.2015.png",
        "a/scan 12.03.2015",
    ],
    "A-PHI-03": ["a/jane.doe@example.com.png", "a/jane_doe+1@mail.example.org/3.png"],
    "A-PHI-04": ["a/8471935_2.png", "MRN3310284417/1.png", "a/pat-59120482.dcm"],
    "A-PHI-05": ["a/1.2.840.113619.2.5.1762583153.dcm"],
}

HARMLESS = [
    "train/PNEUMONIA/person1946_bacteria_4874.jpeg",
    "train/NORMAL/NORMAL2-IM-1427-0001.jpeg",
    "test/NORMAL/IM-0115-0001.jpeg",
    "images/00000013_005.png",
    "ISIC_0024306.jpg",
    "Lung_Opacity/Lung_Opacity-17.png",
    "Viral Pneumonia/Viral Pneumonia-101.png",
    "MR_brain/MRS_voxel/MS_lesion_12.nii.gz",
    "St_Thomas_Hospital/left_image_3.png",
    "patient00001/study1/view1_frontal.jpg",
    "a/550e8400-e29b-41d4-a716-446655440000.png",
    "a/9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08.png",
    "a/slice_1_2_1950.png",
    "a/2000_1_3.png",
    "fold_1/v1.2.3/img@2x.png",
    "x_ray/Case 12, View 3.png",
]


def with_paths(material, paths, count=60):
    plain = material(count=count)
    return material(count=count, path=[*paths, *plain.paths[len(paths) :]])


def finding(data, code):
    return next(found for found in check(data) if found.code == code)


def test_a_clean_set_passes_and_what_cannot_be_looked_for_says_so(material):
    found = check(material())
    assert [f.code for f in found] == CODES
    idle = {"A-PHI-06", "A-PHI-07", "A-PHI-10"}
    assert {f.code for f in found if f.severity == "not_applicable"} == idle
    assert {f.severity for f in found if f.code not in idle} == {"passed"}


@pytest.mark.parametrize("code", PLANTED)
def test_planted_paths_are_found(material, code):
    for path in PLANTED[code]:
        found = finding(with_paths(material, [path]), code)
        assert found.severity == "warning", path
        assert found.items == ((path,),), path
        assert found.numbers["sensitive"] is True
        assert path not in found.message + found.advice


@pytest.mark.parametrize("path", HARMLESS)
def test_everyday_names_are_left_alone(material, path):
    found = [f for f in check(with_paths(material, [path])) if f.severity == "warning"]
    assert not found


def test_a_counter_is_neither_a_date_nor_a_record_number(material):
    counter = [f"a/{20150101 + 7 * k}.png" for k in range(60)]
    found = {f.code: f for f in check(with_paths(material, counter))}
    assert found["A-PHI-02"].severity == found["A-PHI-04"].severity == "passed"


def test_a_number_in_most_paths_is_the_sets_not_a_patients(material):
    found = finding(with_paths(material, [f"zenodo_3904512/{k}.png" for k in range(60)]), "A-PHI-04")
    assert found.severity == "passed"
    found = finding(with_paths(material, [f"a/{k * k * 7919 + 1234567}.png" for k in range(60)]), "A-PHI-04")
    assert (found.severity, found.count, len(found.items)) == ("warning", 60, 20)


def test_an_impossible_date_is_none(material):
    for path in ("a/2015-02-30.png", "a/2015-13-01.png", "a/32.01.2015.png", "a/20150230.png"):
        assert finding(with_paths(material, [path]), "A-PHI-02").severity == "passed", path


def test_dicom_tags_are_counted_by_name(material):
    facts = [{"modality": "DX"}, {"modality": "DX", "identifying_tags": "PatientName,PatientBirthDate"}]
    facts += [{"modality": "DX", "identifying_tags": "PatientName"}]
    texts = [json.dumps(fact) for fact in facts] + ["{}"] * 57
    found = finding(material(acquisition=texts), "A-PHI-06")
    assert (found.severity, found.count, found.total) == ("warning", 2, 3)
    assert found.numbers == {"tags": {"PatientName": 2, "PatientBirthDate": 1}}
    assert "PatientName in 2, PatientBirthDate in 1" in found.message
    clean = material(acquisition=[json.dumps(facts[0])] * 60)
    assert finding(clean, "A-PHI-06").severity == "passed"


def test_burned_in_text_that_the_file_declares(material):
    texts = [json.dumps({"modality": "US", "burned_in": said}) for said in ("yes", "no", "yes")] + ["{}"] * 57
    found = finding(material(acquisition=texts), "A-PHI-07")
    assert (found.severity, found.count, found.total) == ("warning", 2, 3)
    silent = finding(material(acquisition=['{"modality": "US"}'] * 60), "A-PHI-07")
    assert silent.severity == "not_applicable"
    assert "No file says" in silent.message
    assert finding(material(acquisition=['{"burned_in": "no"}'] * 60), "A-PHI-07").severity == "passed"


@pytest.mark.parametrize(("code", "note"), [("A-PHI-08", "W-FILE-22"), ("A-PHI-09", "W-FILE-23")])
def test_exif_notes(material, code, note):
    found = finding(material(notes=[f"W-FILE-08 {note}"] * 25 + [""] * 35), code)
    assert (found.severity, found.count, len(found.items)) == ("warning", 25, 20)
