"""Copies planted among phantoms, each is found, and different people are not called copies."""

import json
import tracemalloc

import cv2
import numpy as np
import pytest

from xenograft.auditing import near_copies
from xenograft.auditing.duplicates import check, exact, near
from xenograft.auditing.near_copies import SAME, TURNS, near_pairs
from xenograft.data.glance import SIDE, glance, unpacked
from xenograft.data.phantom import phantoms

CODES = [f"A-DUP-{k:02}" for k in range(1, 8)]
COUNT = 100
CHANGES = {
    "compressed": lambda p: cv2.imdecode(cv2.imencode(".jpg", p, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], 0),
    "brighter": lambda p: np.clip(0.7 * p.astype(float) + 60, 0, 255).astype(np.uint8),
    "gamma": lambda p: np.rint(255 * (p / 255.0) ** 0.7).astype(np.uint8),
    "smaller": lambda p: cv2.resize(p, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "stretched": lambda p: cv2.resize(p, None, fx=1.6, fy=1.2, interpolation=cv2.INTER_CUBIC),
    "noisy": lambda p: np.clip(p + np.random.default_rng(0).normal(0, 8, p.shape), 0, 255).astype(np.uint8),
    "blurred": lambda p: cv2.GaussianBlur(p, (0, 0), 1.5),
    "cropped a little": lambda p: p[1:-1, 1:-1],
    "cropped": lambda p: p[3:-3, 3:-3],
    "cropped on two sides": lambda p: p[6:, 5:],
    "mirrored left to right": lambda p: np.ascontiguousarray(p[:, ::-1]),
    "mirrored left to right, compressed": lambda p: CHANGES["compressed"](np.ascontiguousarray(p[:, ::-1])),
    "mirrored top to bottom": lambda p: np.ascontiguousarray(p[::-1]),
    "turned by 180 degrees": lambda p: np.ascontiguousarray(p[::-1, ::-1]),
    "turned by 90 degrees anticlockwise": lambda p: np.ascontiguousarray(np.rot90(p)),
    "turned by 90 degrees clockwise": lambda p: np.ascontiguousarray(np.rot90(p, -1)),
    "mirrored along the diagonal": lambda p: np.ascontiguousarray(p.T),
    "mirrored along the other diagonal": lambda p: np.ascontiguousarray(np.rot90(p, 2).T),
    "turned by 180 degrees, cropped and compressed": lambda p: CHANGES["compressed"](p[2:-2, 2:-2][::-1, ::-1].copy()),
    "all of it": lambda p: CHANGES["compressed"](CHANGES["brighter"](CHANGES["smaller"](p[2:-2, 1:-3]))),
}


@pytest.fixture(scope="module")
def people():
    """One phantom radiograph of 160 px of each of 100 patients."""
    first = {}
    for phantom in phantoms(3 * COUNT, size=160, seed=8):
        first.setdefault(phantom.patient, phantom.pixels)
    return list(first.values())[:COUNT]


def looked_at(pictures):
    return unpacked(np.stack([glance(picture) for picture in pictures])).thumbnails


def found_in(findings):
    return {f.code: f for f in findings}


def alone(count):
    """Every image its own patient, two classes in turn, the last tenth test."""
    return {
        "patient": [f"P{k}" for k in range(count)],
        "label": [("normal", "pneumonia")[k % 2] for k in range(count)],
        "split": ["train"] * (count - count // 10) + ["test"] * (count // 10),
    }


def with_hashes(material, equal, count=60, **columns):
    """A set in which each tuple of `equal` shares its pixels."""
    hashes = material(count=count).manifest.column("pixels_sha256")
    for group in equal:
        for k in group:
            hashes[k] = hashes[group[0]]
    return material(count=count, pixels_sha256=hashes, **columns)


def test_a_clean_set_passes_every_check(material, people):
    data = material(count=COUNT, thumbnails=looked_at(people), **alone(COUNT))
    found = check(data)
    assert [f.code for f in found] == CODES
    assert {f.severity for f in found} == {"passed"}
    json.dumps([f.as_json() for f in found], allow_nan=False)


def test_equal_pixels_across_splits_labels_and_patients(material):
    plain = material()
    train, test = np.flatnonzero(plain.splits == "train"), np.flatnonzero(plain.splits == "test")
    other = next(k for k in test if plain.labels[k] != plain.labels[train[0]])
    found = found_in(exact(with_hashes(material, [(train[0], other)])))
    assert [found[c].severity for c in CODES[:4]] == ["error", "passed", "error", "warning"]
    for code in ("A-DUP-01", "A-DUP-03", "A-DUP-04"):
        assert found[code].count == 2
        assert set(found[code].items[0]) == {plain.paths[train[0]], plain.paths[other]}
    assert "(test, train)" in found["A-DUP-01"].message


def test_copies_inside_a_split_are_counted_by_bytes_and_pixels(material):
    plain = material()
    train = np.flatnonzero((plain.splits == "train") & (plain.labels == 0))
    files = plain.manifest.column("sha256")
    files[train[1]] = files[train[0]]
    data = with_hashes(material, [train[:3], train[3:5]], sha256=files)
    found = found_in(exact(data))
    assert [found[c].severity for c in CODES[:3]] == ["passed", "note", "passed"]
    numbers = found["A-DUP-02"].numbers
    assert numbers == {
        "groups": 2,
        "images": 5,
        "extra": 3,
        "extra_byte_identical": 1,
        "extra_by_split": {"test": 0, "train": 3, "val": 0},
    }
    assert "2 pictures (5 images), so that 3 are extra (3 in train); 1 of these" in found["A-DUP-02"].message


def test_copies_inside_test_are_a_warning(material):
    test = np.flatnonzero(material().splits == "test")
    assert found_in(exact(with_hashes(material, [test[:2]])))["A-DUP-02"].severity == "warning"


def test_without_patient_keys_copies_of_patients_do_not_pass(material):
    found = found_in(exact(material(has_patients=False, declared_splits=False)))
    assert found["A-DUP-04"].severity == "not_applicable"
    assert "made here" in found["A-DUP-01"].message


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_found_and_nothing_else(material, people, change):
    copies = [CHANGES[change](people[k]) for k in (3, 40, 77)]
    thumbnails = looked_at([*people, *copies])
    count = len(thumbnails)
    columns = alone(count)
    columns["split"] = ["train"] * COUNT + ["test"] * (count - COUNT)
    columns["label"] = ["normal"] * (count - 1) + ["pneumonia"]
    data = material(count=count, thumbnails=thumbnails, **columns)
    found = found_in(near(data))
    pairs = {tuple(data.paths[k] for k in (old, COUNT + new)) for new, old in enumerate((3, 40, 77))}
    assert set(found["A-DUP-05"].items) == pairs
    assert (found["A-DUP-05"].severity, found["A-DUP-05"].count) == ("warning", 3)
    how = next((turn for turn in TURNS[1:] if change.startswith(turn)), None)
    assert found["A-DUP-05"].numbers["turned"] == ({how: 3} if how else {})
    assert (f"3 {how}" in found["A-DUP-05"].message) == (how is not None)
    assert found["A-DUP-05"].numbers["different_patients"] == 3
    assert found["A-DUP-06"].severity == "passed"
    assert (found["A-DUP-07"].severity, found["A-DUP-07"].count) == ("warning", 1)


def test_near_copies_inside_a_split_are_a_note(material, people):
    thumbnails = looked_at([*people, CHANGES["compressed"](people[5])])
    found = found_in(
        near(material(count=COUNT + 1, thumbnails=thumbnails, **alone(COUNT + 1) | {"split": ["train"] * 101}))
    )
    assert (found["A-DUP-06"].severity, found["A-DUP-06"].count) == ("note", 1)
    assert found["A-DUP-05"].severity == "passed"


def test_exact_copies_are_not_told_again(material, people):
    thumbnails = looked_at([*people, people[5]])
    columns = alone(COUNT + 1)
    found = near(with_hashes(material, [(5, COUNT)], count=COUNT + 1, thumbnails=thumbnails, **columns))
    assert {f.severity for f in found} == {"passed"}


@pytest.mark.parametrize("count", [2, 3, 5])
def test_the_smallest_sets_work_too(material, people, count):
    thumbnails = looked_at([*people[: count - 1], CHANGES["compressed"](people[0])])
    columns = alone(count) | {"split": ["train"] * (count - 1) + ["test"]}
    found = found_in(near(material(count=count, thumbnails=thumbnails, **columns)))
    assert (found["A-DUP-05"].count, found["A-DUP-05"].severity) == (1, "warning")


def test_blank_images_are_no_copies_of_each_other_and_one_image_is_not_looked_at(material):
    blank = np.full((60, SIDE, SIDE), 0.3)
    assert {f.severity for f in near(material(thumbnails=blank))} == {"passed"}
    assert {f.severity for f in near(material(count=1))} == {"not_applicable"}


def test_a_film_of_alike_frames_is_bounded_and_says_so(material):
    rng = np.random.default_rng(0)
    frames = 0.5 + 0.2 * cv2.GaussianBlur(rng.normal(size=(SIDE, SIDE)), (0, 0), 2) + np.zeros((150, 1, 1))
    frames = frames + rng.normal(0, 0.002, frames.shape)
    found = found_in(near(material(count=150, thumbnails=frames, patient=["one"] * 150, split=["train"] * 150)))
    assert found["A-DUP-06"].count == found["A-DUP-06"].numbers["pairs"]
    assert len(found["A-DUP-06"].items) == 20
    assert found["A-DUP-06"].count > 1000
    assert not found["A-DUP-06"].numbers["complete"]
    assert "only the likeliest pairs" in found["A-DUP-06"].message


def test_what_is_left_out_among_many_images_is_said(material, people, monkeypatch):
    monkeypatch.setattr(near_copies, "_CROPS_UPTO", COUNT)
    thumbnails = looked_at([*people, CHANGES["compressed"](people[0])])
    for count, said in ((COUNT, False), (COUNT + 1, True)):
        found = near(material(count=count, thumbnails=thumbnails[:count], **alone(count)))
        assert all(("crops of 3 %" in f.message) == said for f in found)


def test_six_thousand_images_within_bounded_memory(material):
    rng = np.random.default_rng(1)
    small = rng.normal(size=(6000, 12, 12)).astype(np.float32)
    thumbnails = 0.5 + 0.1 * np.stack([cv2.resize(one, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) for one in small])
    thumbnails[5999] = 0.8 * thumbnails[17] + 0.05
    data = material(count=6000, thumbnails=thumbnails, **alone(6000))
    tracemalloc.start()
    found = found_in(near(data))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found["A-DUP-05"].items == ((data.paths[17], data.paths[5999]),)
    assert found["A-DUP-05"].count == 1
    assert peak < 400 << 20


def fine(thumbnails):
    """(N, K) unit rows: fine detail, by a straightforward transform of every image."""
    from scipy.fft import dctn

    from xenograft.auditing.alignment import high_pass

    rows = np.stack([(dctn(t, norm="ortho")[:20, :20] * high_pass(20)).ravel()[1:] for t in thumbnails])
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def turned(thumbnails, turn):
    ways = {1: np.fliplr, 2: np.flipud, 3: lambda t: np.rot90(t, 2), 4: np.transpose, 5: np.rot90}
    ways |= {0: np.asarray, 6: lambda t: np.rot90(t, -1), 7: lambda t: np.rot90(t, 2).T}
    return np.stack([ways[turn](t) for t in thumbnails])


@pytest.mark.parametrize("seed", [0, 1])
def test_every_pair_that_comparing_all_with_all_finds_is_found(seed):
    """Brute force over all pairs and all eight ways to lay a square; no crops, so both look for the same pairs."""
    rng = np.random.default_rng(seed)
    small = rng.normal(size=(250, 10, 10)).astype(np.float32)
    own = np.stack([cv2.resize(one, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) for one in small])
    common = cv2.resize(rng.normal(size=(4, 4)).astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    images = 0.5 + 0.05 * own + 0.1 * common
    copies = np.concatenate([turned(images[10 * k : 10 * k + 10], k) for k in range(8)])
    images = np.concatenate([images, copies + rng.normal(0, 0.004, copies.shape)]).astype(np.float32)
    detail = fine(images)
    expected = {}
    for turn in range(8):
        alike = np.triu(fine(turned(images, turn)) @ detail.T, 1)
        expected |= {(int(a), int(b)): turn for a, b in np.argwhere(alike >= SAME)}
    found = near_pairs(images, np.arange(len(images)))
    pairs = zip(found.first.tolist(), found.second.tolist(), strict=True)
    assert dict(zip(pairs, found.turn.tolist(), strict=True)) == expected
    assert len(expected) >= 80


def test_a_pair_of_pictures_with_several_findings_contradicts_only_where_both_are_known(several_findings):
    data = several_findings(
        60, equal=[(0, 1), (2, 3)], values={0: (1, -1, 0), 1: (1, 1, 0), 2: (1, 0, 0), 3: (1, 1, 0)}
    )
    found = found_in(exact(data))["A-DUP-03"]
    assert (found.severity, found.count) == ("error", 2)
    assert found.items == ((data.paths[2], data.paths[3]),)
    assert found.message.endswith("both present and absent: edema of 1.")
    clean = found_in(exact(several_findings(60, equal=[(0, 1)], values={0: (1, -1, 0), 1: (1, 1, 0)})))["A-DUP-03"]
    assert clean.severity == "passed"
    assert "finding both present and absent" in clean.message
