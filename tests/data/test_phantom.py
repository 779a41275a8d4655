from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xenograft.data.phantom import (
    KINDS,
    SYNTHETIC_MARK,
    Patient,
    class_names,
    phantoms,
    radiograph,
    write_phantoms,
)
from xenograft.data.phantom.collection import _cases
from xenograft.errors import UsageError


def rng(*entropy: int) -> np.random.Generator:
    return np.random.default_rng(entropy)


def auroc(positive: np.ndarray, score: np.ndarray) -> float:
    ranks = np.argsort(np.argsort(score)) + 1
    n = positive.sum()
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * (len(positive) - n)))


@pytest.fixture(scope="module")
def many() -> list:
    return list(phantoms(200, size=64, seed=4))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("made") / "chests"
    return write_phantoms(target, count=60, size=64, seed=1, masks=True)


def test_the_same_seed_gives_the_same_images():
    for a, b in zip(phantoms(4, size=64, seed=9), phantoms(4, size=64, seed=9), strict=True):
        assert (a.label, a.patient, a.index, a.kind) == (b.label, b.patient, b.index, b.kind)
        np.testing.assert_array_equal(a.pixels, b.pixels)
        np.testing.assert_array_equal(a.mask, b.mask)


def test_another_seed_gives_other_images():
    one, two = (next(phantoms(1, size=64, seed=seed)) for seed in (0, 1))
    assert not np.array_equal(one.pixels, two.pixels)


def test_a_longer_run_begins_with_the_shorter_one(many):
    short = list(phantoms(7, size=64, seed=4))
    assert len(short) == 7
    for a, b in zip(short, many, strict=False):
        assert (a.label, a.patient, a.index) == (b.label, b.patient, b.index)
        np.testing.assert_array_equal(a.pixels, b.pixels)


@pytest.mark.parametrize("size", [64, 101, 224, 512])
def test_size_and_range_of_8_bits(size):
    image = next(phantoms(1, size=size))
    assert image.pixels.shape == image.mask.shape == image.lungs.shape == (size, size)
    assert image.pixels.dtype == np.uint8
    assert np.ptp(image.pixels) > 150


def test_16_bits_hold_12_bit_content():
    image = next(phantoms(1, size=224, bits=16))
    assert image.pixels.dtype == np.uint16
    assert image.pixels.max() <= 4095
    assert len(np.unique(image.pixels)) > 2000


def test_air_is_dark(many):
    for image in many[:20]:
        centre = image.pixels[40:60, 26:38].mean()  # heart and upper abdomen
        assert image.pixels[image.lungs].mean() < centre


def test_lungs_take_a_plausible_share(many):
    shares = np.array([image.lungs.mean() for image in many])
    assert shares.min() > 0.10
    assert shares.max() < 0.45


def test_masks_exist_exactly_with_lesions_and_lie_in_the_lungs(many):
    for image in many:
        assert image.mask.any() == (image.kind is not None) == (image.label != "NORMAL")
        assert not (image.mask & ~image.lungs).any()


@pytest.mark.parametrize("kind", KINDS)
def test_a_lesion_brightens_its_place(kind):
    gains = []
    for p in range(6):  # same anatomy, technique and noise; only the lesion differs
        sick, well = (radiograph(Patient.draw(k, rng(p)), rng=rng(p, 1), size=96) for k in (kind, None))
        inside, outside = sick.mask, sick.lungs & ~sick.mask
        change = sick.pixels.astype(float) - well.pixels
        gains.append(change[inside].mean() - change[outside].mean())
    assert min(gains) > 0
    assert np.mean(gains) > 8


def test_interstitial_disease_is_bilateral():
    mask = radiograph(Patient.draw("interstitial", rng(3)), rng=rng(3, 1), size=96).mask
    assert mask[:, :48].any()
    assert mask[:, 48:].any()


def test_images_of_a_patient_share_label_and_kind_but_not_pixels(many):
    by_patient: dict[str, list] = {}
    for image in many:
        by_patient.setdefault(image.patient, []).append(image)
    assert {len(images) for images in by_patient.values()} == {1, 2, 3}
    for images in by_patient.values():
        assert len({(image.label, image.kind) for image in images}) == 1
        assert [image.index for image in images] == list(range(1, len(images) + 1))
        assert len({image.pixels.tobytes() for image in images}) == len(images)


@pytest.mark.parametrize("prevalence", [0.2, 0.5, 0.8])
def test_prevalence_is_kept_among_patients(prevalence):
    cases = _cases(400, classes=4, seed=3, prevalence=prevalence)  # the plan alone: no pixels needed
    assert sum(case.images for case in cases) == 400
    labels = np.array([case.label for case in cases])
    assert np.mean(labels != "NORMAL") == pytest.approx(prevalence, abs=0.02)
    for label in class_names(4)[1:]:
        assert np.mean(labels == label) == pytest.approx(prevalence / 3, abs=0.02)


def test_two_classes_pool_three_kinds(many):
    assert {image.kind for image in many} == {None, "consolidation", "patchy", "interstitial"}


def test_four_classes_are_one_kind_each():
    images = list(islice(phantoms(60, size=64, classes=4), 30))
    assert {image.label for image in images} == set(class_names(4))
    assert all(image.label == (image.kind or "normal").upper() for image in images)


def test_mean_intensity_does_not_give_the_class_away(many):
    sick = np.array([image.label == "PNEUMONIA" for image in many])
    area = auroc(sick, np.array([image.pixels.mean() for image in many]))
    assert 0.25 < area < 0.75


def test_folder_layout_is_split_class_patient(folder):
    files = sorted(path.relative_to(folder) for path in folder.rglob("*.png"))
    assert len(files) == 60
    assert {path.parts[:2] for path in files} == {(s, c) for s in ("train", "test") for c in class_names()}
    assert all(path.stem[0] == "P" and path.stem[-2] == "_" for path in files)


def test_patients_are_in_train_or_test_never_both(folder):
    train, test = ({path.stem.split("_")[0] for path in folder.glob(f"{s}/*/*.png")} for s in ("train", "test"))
    assert not train & test
    assert len(test) / len(train | test) == pytest.approx(0.3, abs=0.06)


def test_every_file_says_that_it_is_synthetic(folder):
    assert "no patient exists" in (folder / SYNTHETIC_MARK).read_text(encoding="utf-8")
    for path in folder.parent.rglob("*.png"):
        with Image.open(path) as image:
            assert image.info["Description"] == "synthetic phantom, not a patient"


def test_files_hold_the_images_of_phantoms(folder):
    for image in phantoms(60, size=64, seed=1):
        (path,) = folder.glob(f"*/{image.label}/{image.patient}_{image.index}.png")
        with Image.open(path) as stored:
            np.testing.assert_array_equal(np.asarray(stored), image.pixels)


def test_masks_lie_beside_the_folder_under_the_same_names(folder):
    masks = folder.parent / "chests_masks"
    assert (masks / SYNTHETIC_MARK).is_file()
    names = {path.relative_to(folder) for path in folder.rglob("*.png")}
    assert {path.relative_to(masks) for path in masks.rglob("*.png")} == names
    for name in names:
        with Image.open(masks / name) as mask:
            assert (np.asarray(mask).max() == 255) == ("PNEUMONIA" in name.parts)


def test_16_bit_files_without_a_split(tmp_path):
    folder = write_phantoms(tmp_path / "deep", count=3, size=64, bits=16, layout="class")
    files = sorted(folder.glob("*/*.png"))
    assert len(files) == 3
    assert not (tmp_path / "deep_masks").exists()
    first = next(phantoms(3, size=64, bits=16))
    with Image.open(folder / first.label / f"{first.patient}_1.png") as stored:
        assert stored.mode == "I;16"
        np.testing.assert_array_equal(np.asarray(stored), first.pixels)


@pytest.mark.parametrize(
    "options",
    [
        {"count": 0},
        {"size": 63},
        {"size": 1025},
        {"classes": 3},
        {"bits": 12},
        {"seed": -1},
        {"prevalence": 0.0},
        {"prevalence": float("nan")},
    ],
    ids=str,
)
def test_bad_options_are_refused_at_once(options):
    with pytest.raises(UsageError, match="E-USAGE-02"):
        phantoms(**({"count": 5} | options))


@pytest.mark.parametrize("options", [{"layout": "flat"}, {"count": 2}, {"size": 32}], ids=str)
def test_bad_options_write_nothing(options, tmp_path):
    with pytest.raises(UsageError, match="E-USAGE-02"):
        write_phantoms(tmp_path / "none", **({"count": 40} | options))
    assert not (tmp_path / "none").exists()


def test_unknown_kind_is_refused():
    with pytest.raises(UsageError, match="'fracture'"):
        Patient.draw("fracture", rng(0))
