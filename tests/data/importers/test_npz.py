import io
import os
import struct
import tracemalloc
import zipfile
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xenograft.data import catalog
from xenograft.data.importers import npz, read_listing
from xenograft.data.importers.unpacked import MARK
from xenograft.data.ingest import IngestOptions, ingest
from xenograft.data.readers import read_picture
from xenograft.errors import DataError, LabelError, UsageError, XenograftError


def noise(*shape, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def labels(count, classes=2, dtype=np.uint8):
    return (np.arange(count) % classes).astype(dtype)[:, None]


def medmnist(**sizes):
    """A set of gray images in MedMNIST's layout, e.g. ``medmnist(train=9, test=4)``."""
    arrays = {}
    for seed, (split, count) in enumerate(sizes.items()):
        arrays[f"{split}_images"] = noise(count, 28, 28, seed=seed)
        arrays[f"{split}_labels"] = labels(count)
    return arrays


@pytest.fixture
def save(tmp_path):
    def saving(arrays, name="pneumonia.npz", compressed=True):
        path = tmp_path / name
        (np.savez_compressed if compressed else np.savez)(path, **arrays)
        return path

    return saving


@pytest.fixture
def refused(tmp_path):
    """The code with which a file is refused; nothing may be left in the cache."""

    def refusing(path):
        with pytest.raises(XenograftError) as caught:
            npz.read(path, cache=tmp_path / "cache")
        assert path.name in str(caught.value)
        assert "\n" not in str(caught.value)
        assert not list((tmp_path / "cache").rglob("*.png"))
        return caught.value.code

    return refusing


def crafted(path, members, *, claims=None):
    """A zip of members as they are given; `claims`: bytes that its directory says each unpacks to."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    if claims is not None:
        data = path.read_bytes()
        for signature, at in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
            found = data.find(signature)
            while found >= 0:
                data = data[: found + at] + struct.pack("<I", claims) + data[found + at + 4 :]
                found = data.find(signature, found + 4)
        path.write_bytes(data)
    return path


def npy(array):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asarray(array), allow_pickle=True)
    return stream.getvalue()


def header(shape, dtype="|u1", fortran=False, content=b""):
    """An .npy whose header says what it likes."""
    text = repr({"descr": dtype, "fortran_order": fortran, "shape": shape}).encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + content


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize(
    "images",
    [
        noise(9, 28, 28),
        noise(9, 32, 20, 3),
        noise(9, 17, 33, dtype=np.uint16),
        noise(5, 18, 16, 3, dtype=np.uint16),
        noise(9, 28, 28, dtype=np.uint16).astype(">u2"),
        np.asfortranarray(noise(9, 28, 20)),
        np.asfortranarray(noise(9, 28, 20, 3)),
        noise(9, 20, 28, 1),
        noise(1, 16, 16),
    ],
    ids=["gray", "rgb", "16 bit", "16 bit rgb", "big endian", "fortran", "fortran rgb", "one channel", "one image"],
)
def test_every_pixel_comes_back(save, tmp_path, images, compressed):
    given = {"train_images": images, "train_labels": labels(len(images))}
    listing = npz.read(save(given, compressed=compressed), cache=tmp_path / "cache")
    found = [read_picture(listing.root / row.path, root=listing.root).pixels for row in listing.rows]
    want = images[..., 0] if images.ndim == 4 and images.shape[3] == 1 else images
    assert {picture.dtype for picture in found} == {want.dtype.newbyteorder("=")}
    np.testing.assert_array_equal(np.stack(found), want)


def test_many_pieces_are_read_in_order(save, tmp_path, monkeypatch):
    monkeypatch.setattr(npz, "_PIECE", 1000)  # one image of 784 bytes and a part of the next
    images = noise(23, 28, 28)
    path = save({"test_images": images, "test_labels": labels(23)})
    listing = npz.read(path, cache=tmp_path)
    found = [read_picture(listing.root / row.path).pixels for row in listing.rows]
    np.testing.assert_array_equal(np.stack(found), images)


def test_what_a_row_says(save, tmp_path):
    listing = npz.read(save(medmnist(train=3, test=2)), cache=tmp_path)
    assert [(row.id, row.path, row.label, row.split, row.patient) for row in listing.rows] == [
        ("pneumonia/train/0", "train/000000.png", "0", "train", ""),
        ("pneumonia/train/1", "train/000001.png", "1", "train", ""),
        ("pneumonia/train/2", "train/000002.png", "0", "train", ""),
        ("pneumonia/test/0", "test/000000.png", "0", "test", ""),
        ("pneumonia/test/1", "test/000001.png", "1", "test", ""),
    ]
    assert listing.rows[4].where == "pneumonia.npz test image 1"
    assert listing.declared_splits == {"train", "test"}
    assert not listing.notices


@pytest.mark.parametrize(
    "given",
    [
        np.array([[3], [10], [0]], dtype=np.uint8),
        np.array([3, 10, 0], dtype=np.int64),
        np.array([3, 10, 0], dtype=">i2"),
        np.asfortranarray(np.array([[3], [10], [0]], dtype=np.uint64)),
    ],
    ids=["column", "flat", "big endian", "fortran"],
)
def test_labels_are_decimal_numbers_or_names(save, tmp_path, given):
    path = save({"train_images": noise(3, 28, 28), "train_labels": given})
    assert [row.label for row in npz.read(path, cache=tmp_path).rows] == ["3", "10", "0"]
    named = npz.read(path, cache=tmp_path, names={"0": "normal", "10": "tumour"})
    assert [row.label for row in named.rows] == ["3", "tumour", "normal"]


def test_negative_and_boolean_labels(save, tmp_path):
    for values, want in (([-1, 1], ["-1", "1"]), ([True, False], ["1", "0"])):
        path = save({"train_images": noise(2, 28, 28), "train_labels": np.array(values)})
        assert [row.label for row in npz.read(path, cache=tmp_path).rows] == want


def test_other_arrays_are_said(save, tmp_path):
    path = save({**medmnist(train=3), "weights": np.zeros(3), "a": np.zeros(1)})
    (notice,) = npz.read(path, cache=tmp_path).notices
    assert (notice.code, notice.count, notice.items) == ("W-FILE-24", 2, ("a", "weights"))


def test_converted_once(save, tmp_path, monkeypatch):
    path = save(medmnist(train=5, val=3, test=2))
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    first = npz.read(path, cache=tmp_path / "cache")
    assert first.root.parent == tmp_path / "cache" / "unpacked"
    with monkeypatch.context() as patch:
        patch.setattr(npz, "_convert", lambda *given, **options: pytest.fail("converted again"))
        assert npz.read(path, cache=tmp_path / "cache") == first
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    other = npz.read(save(medmnist(train=5, val=3, test=3)), cache=tmp_path / "cache")
    assert other.root != first.root
    assert len(list(first.root.rglob("*.png"))) == 10  # both sets stay


def test_f19_a_file_that_changes_meanwhile(save, tmp_path, monkeypatch):
    path, plain = save(medmnist(train=5)), npz._plain

    def touched(image):
        os.utime(path, (1, 1))
        return plain(image)

    monkeypatch.setattr(npz, "_plain", touched)
    with pytest.raises(DataError, match="changed while it was read") as caught:
        npz.read(path, cache=tmp_path / "cache")
    assert caught.value.code == "E-FILE-19"
    assert list((tmp_path / "cache" / "unpacked").iterdir()) == []


@pytest.mark.parametrize("rgb", [False, True])
@pytest.mark.parametrize("classes", [2, 4])
def test_through_ingest(save, rgb, classes):
    shape = (28, 28, 3) if rgb else (28, 28)
    arrays = {}
    for seed, (split, count) in enumerate((("train", 60), ("val", 40), ("test", 40))):
        arrays[f"{split}_images"] = noise(count, *shape, seed=seed)
        arrays[f"{split}_labels"] = labels(count, classes)
    manifest = ingest(save(arrays), IngestOptions(catalog="none"))
    assert len(manifest) == 140
    assert manifest.classes == tuple("0123"[:classes])
    assert {split: sum(c["images"] for c in of.values()) for split, of in manifest.counts().items()} == {
        "train": 60,
        "val": 40,
        "test": 40,
    }
    assert set(manifest.column("colour")) == {rgb}
    assert "W-LABEL-21" in {notice.code for notice in manifest.notices}  # MedMNIST names no patients
    assert not manifest.skipped


def test_f21_a_header_that_claims_more_than_is_there(tmp_path, refused):
    path = tmp_path / "small.npz"
    lie = header((1 << 20, 128, 256), content=bytes(16))  # 32 GiB in 144 bytes
    assert refused(crafted(path, {"train_images.npy": lie, "train_labels.npy": npy(labels(2))})) == "E-FILE-21"
    less = header((2, 28, 28), content=bytes(3 * 784))
    assert refused(crafted(path, {"train_images.npy": less, "train_labels.npy": npy(labels(2))})) == "E-FILE-21"
    sound = npy(noise(2, 28, 28))
    lie = header((2, 1 << 40), content=bytes(2))
    assert refused(crafted(path, {"train_images.npy": sound, "train_labels.npy": lie})) in {"E-FILE-22", "E-FILE-21"}
    lie = header((-2, -1), content=bytes(2))
    assert refused(crafted(path, {"train_images.npy": sound, "train_labels.npy": lie})) == "E-FILE-21"


def test_f22_an_archive_that_claims_more_than_it_can_hold(tmp_path, refused):
    small = header((1 << 17, 128, 128), content=bytes(64))
    path = crafted(tmp_path / "small.npz", {"train_images.npy": small}, claims=(1 << 31) + 128)
    assert path.stat().st_size < 400
    assert refused(path) == "E-FILE-22"
    far = crafted(tmp_path / "far.npz", {"train_images.npy": header((1 << 30, 128, 128)), "train_labels.npy": npy([0])})
    assert refused(far) == "E-FILE-22"
    wide = crafted(tmp_path / "wide.npz", {"train_images.npy": npy(np.zeros((1, 10_000, 10_000), np.uint8))})
    assert refused(wide) == "E-FILE-22"


def test_f22_a_bomb_ends_at_the_size_that_it_declared(tmp_path, refused):
    path = tmp_path / "bomb.npz"
    real = header((1, 64, 64), content=bytes(1 << 22))
    declared = len(header((1, 64, 64))) + 64 * 64
    crafted(path, {"train_images.npy": real}, claims=declared)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("train_labels.npy", npy([0]))
    tracemalloc.start()
    assert refused(path) == "E-DATA-10"
    assert tracemalloc.get_traced_memory()[1] < 3 << 20
    tracemalloc.stop()


def test_f21_and_f22_allocate_nothing(tmp_path, refused):
    path = tmp_path / "small.npz"
    crafted(path, {"train_images.npy": header((1 << 20, 128, 128)), "train_labels.npy": npy([0])})
    long = b"\x93NUMPY\x02\x00" + struct.pack("<I", 1 << 30) + bytes(1 << 24)
    bomb = crafted(tmp_path / "bomb.npz", {"train_images.npy": long})
    tracemalloc.start()
    assert refused(path) == "E-FILE-21"
    assert refused(bomb) == "E-DATA-10"
    assert tracemalloc.get_traced_memory()[1] < 2 << 20
    tracemalloc.stop()


def test_f23_objects_are_never_unpickled(tmp_path, refused):
    marker = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(marker),)

    evil = npy(np.array([Evil(), Evil()], dtype=object))
    images = npy(noise(2, 28, 28))
    for members in (
        {"train_images.npy": evil, "train_labels.npy": npy(labels(2))},
        {"train_images.npy": images, "train_labels.npy": evil},
        {"train_images.npy": images, "train_labels.npy": npy(np.zeros(2, dtype=[("a", "i4"), ("b", "O")]))},
    ):
        assert refused(crafted(tmp_path / "evil.npz", members)) == "E-FILE-23"
    assert not marker.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"train_labels": None},
        {"train_images": None},
        {"train_images": None, "train_labels": None},
        {"train_labels": labels(4)},
        {"train_labels": labels(6).reshape(1, 6)[:, :1]},
        {"train_labels": np.zeros((5, 0), np.uint8)},
        {"train_labels": np.float32(labels(5))},
        {"train_labels": np.array(list("01010"))},
        {"train_labels": np.uint8(1)},
        {"train_images": noise(5, 28, 28, 28)},
        {"train_images": noise(5, 28)},
        {"train_images": noise(5, 28, 28, 4)},
        {"train_images": noise(5, 28, 28)[:0], "train_labels": labels(0)},
        {"train_images": noise(5, 28, 28).astype(np.float32)},
        {"train_images": noise(5, 28, 28).astype(np.int16)},
        {"train_images": noise(5, 28, 28, dtype=np.uint32)},
    ],
)
def test_f24_what_does_not_fit_the_layout(save, refused, change):
    arrays = {k: v for k, v in {**medmnist(train=5), **change}.items() if v is not None}
    assert refused(save({**arrays, "more": np.zeros(1)})) == "E-FILE-24"


def test_f22_labels_beyond_the_limit(save, refused, monkeypatch):
    monkeypatch.setattr(npz, "_LABELS_LIMIT", 4)
    assert refused(save(medmnist(train=5))) == "E-FILE-22"


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int64, bool])
def test_rows_of_0_and_1_are_findings(save, tmp_path, order, dtype):
    findings = np.array([[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 1], [0, 0, 1]], dtype=dtype, order=order)
    path = save({"train_images": noise(5, 28, 28), "train_labels": findings})
    listing = npz.read(path, cache=tmp_path)
    assert listing.findings == ("label 0", "label 1", "label 2")
    assert [row.label for row in listing.rows] == [
        "label 0|label 2",
        "",
        "label 1",
        "label 0|label 1|label 2",
        "label 2",
    ]
    assert listing.notices == ()


def test_findings_of_a_known_archive_have_their_names(save, tmp_path, monkeypatch):
    spec = replace(catalog.lookup("chestmnist"), sizes=((4, 0, 0),))
    monkeypatch.setitem(catalog.CATALOG, "chestmnist", spec)
    labels = np.zeros((4, 14), np.uint8)
    labels[[0, 1, 2], [0, 12, 13]] = 1
    path = save({"train_images": noise(4, 28, 28), "train_labels": labels}, "chestmnist_64.npz")
    listing = npz.read(path, cache=tmp_path)
    assert listing.findings == spec.classes
    assert [row.label for row in listing.rows] == ["atelectasis", "pleural", "hernia", ""]


def test_w27_one_hot_labels_may_be_classes(save, tmp_path):
    path = save({"train_images": noise(4, 28, 28), "train_labels": np.eye(2, dtype=np.uint8)[[0, 1, 1, 0]]})
    (notice,) = npz.read(path, cache=tmp_path).notices
    assert notice.code == "W-LABEL-27"
    assert "never two and never none; if these are classes, save labels (N,)" in notice.message


@pytest.mark.parametrize("odd", [2, -1])
def test_l24_findings_that_are_not_0_or_1(save, refused, tmp_path, odd):
    path = save({"train_images": noise(2, 28, 28), "train_labels": np.array([[0, 1], [1, odd]], np.int8)})
    assert refused(path) == "E-LABEL-24"
    with pytest.raises(LabelError, match=f"train_labels has {odd} for finding 1 of image 1"):
        npz.read(path, cache=tmp_path)


def test_f24_other_numbers_of_findings_in_each_split(save, refused):
    arrays = medmnist(train=5, test=4)
    assert refused(save({**arrays, "test_labels": np.zeros((4, 3), np.uint8)})) == "E-FILE-24"


def test_f24_a_row_of_pixels_is_no_label(save, refused):
    assert refused(save({**medmnist(train=5), "train_labels": np.zeros((5, 1001), np.uint8)})) == "E-FILE-24"


def test_damaged_files(save, tmp_path, refused):
    path = save(medmnist(train=5), compressed=False)
    sound = path.read_bytes()
    at = sound.index(medmnist(train=5)["train_images"].tobytes()[:32])
    flipped = sound[: at + 40] + bytes([sound[at + 40] ^ 1]) + sound[at + 41 :]
    for content in (b"", b"PK", sound[: len(sound) // 2], flipped, b"\x93NUMPY" + bytes(64), bytes(500)):
        path.write_bytes(content)
        assert refused(path) == "E-DATA-10"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        for name, array in medmnist(train=5).items():
            archive.writestr(f"{name}.npy", npy(array))
    assert refused(path) == "E-DATA-10"
    short = header((2, 28, 28), content=bytes(784))  # with a checksum that fits what is there
    assert refused(crafted(path, {"train_images.npy": short, "train_labels.npy": npy([0, 1])})) == "E-FILE-21"
    crafted(path, {"train_images.npy": short}, claims=len(short) + 784)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("train_labels.npy", npy([0, 1]))
    assert refused(path) == "E-DATA-10"
    version = b"\x93NUMPY\x03\x00" + struct.pack("<I", 64) + bytes(64)
    assert refused(crafted(path, {"train_images.npy": version})) == "E-DATA-10"


def test_no_ordinary_file(tmp_path, refused):
    os.mkfifo(tmp_path / "pipe.npz")
    assert refused(tmp_path / "pipe.npz") == "E-DATA-10"
    assert refused(tmp_path / "missing.npz") == "E-DATA-10"


@pytest.mark.parametrize("fortran", [False, True])
def test_memory_is_bounded(tmp_path, fortran):
    images = np.zeros((64, 1024, 1024), np.uint8)
    images[:, 5, 7] = np.arange(64)
    path = tmp_path / "large.npz"
    np.savez_compressed(path, train_images=np.asfortranarray(images) if fortran else images, train_labels=labels(64))
    tracemalloc.start()
    listing = npz.read(path, cache=tmp_path / "cache")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 << 20 < images.nbytes
    assert [int(read_picture(listing.root / row.path).pixels[5, 7]) for row in listing.rows] == list(range(64))


def test_read_listing_chooses_it(save, tmp_path):
    path = save(medmnist(train=5), name="Path.NPZ.npz").rename(tmp_path / "path.NPZ")
    listing = read_listing(path, cache=tmp_path / "cache")
    assert listing == npz.read(path, cache=tmp_path / "cache")
    assert (listing.root / MARK).exists()
    with pytest.raises(UsageError, match="is an NPZ file; --images") as caught:
        read_listing(path, label_column="label")
    assert caught.value.code == "E-USAGE-08"
    with pytest.raises(UsageError, match="slices speak of") as caught:
        read_listing(path, slices=object())
    assert caught.value.code == "E-USAGE-18"


def _seed(compressed):
    stream = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(stream, **medmnist(train=3, test=2))
    return stream.getvalue()


SEEDS = (_seed(True), _seed(False))
EDGE = st.one_of(st.integers(0, 300), st.integers(-700, -1), st.integers(0, 1 << 14))


@given(
    seed=st.sampled_from(SEEDS),
    changes=st.lists(st.tuples(EDGE, st.binary(min_size=1, max_size=8)), min_size=1, max_size=4),
    cut=st.one_of(st.none(), st.integers(0, 4000)),
)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_fuzz_only_our_errors_leave(tmp_path, seed, changes, cut):
    data = bytearray(seed)
    for place, piece in changes:
        at = place % len(data)
        data[at : at + len(piece)] = piece
    path = tmp_path / "fuzz.npz"
    path.write_bytes(data[:cut])
    with suppress(XenograftError):  # anything else fails
        listing = npz.read(path, cache=tmp_path / "cache")
        assert all((listing.root / row.path).is_file() for row in listing.rows)
