from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from xenograft.data import prepared
from xenograft.data.augment import PAPER
from xenograft.data.batches import PixelSource
from xenograft.data.ingest import IngestOptions, ingest
from xenograft.data.prepared import read_prepared
from xenograft.data.preprocess import Preprocess
from xenograft.errors import DataError, FileError

SMALL = Preprocess(size=24)
FEW = IngestOptions(val=0.5, test=0.5, catalog="none")


@pytest.fixture
def manifest(folder):
    return ingest(folder("A", "B", count=11), FEW)


@pytest.fixture
def expected(manifest, faults):
    """The pictures as they were made, in the order of the manifest."""
    return np.stack([faults.noise(24, 24, seed=seed)[None] for seed in range(22)])


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("size", [1, 5, 22, 100])
def test_order_is_kept_and_the_last_batch_may_be_smaller(manifest, expected, threads, size):
    found = list(PixelSource(SMALL, threads=threads).batches(manifest, size=size))
    assert [len(batch) for batch in found] == [size] * (22 // size) + ([22 % size] if 22 % size else [])
    np.testing.assert_array_equal(np.concatenate(found), expected)


def test_the_order_is_that_of_the_manifest(manifest, expected):
    positions = [7, 3, 3, 20]
    np.testing.assert_array_equal(PixelSource(SMALL).everything(manifest.take(positions)), expected[positions])


def test_everything_equals_the_batches(manifest):
    whole = PixelSource(SMALL).everything(manifest)
    assert (whole.shape, whole.dtype) == ((22, 1, 24, 24), np.uint8)
    np.testing.assert_array_equal(whole, np.concatenate(list(PixelSource(SMALL).batches(manifest, size=4))))


def test_everything_in_colour(manifest):
    assert PixelSource(Preprocess(size=32, channels=3)).everything(manifest).shape == (22, 3, 32, 32)


def test_views_do_not_depend_on_threads_or_batches(manifest):
    one, other = (
        np.concatenate(list(PixelSource(SMALL, threads=t).batches(manifest, size=n, augment=PAPER, view=2, seed=1)))
        for n, t in ((3, 1), (8, 4))
    )
    np.testing.assert_array_equal(one, other)
    assert not np.array_equal(one, PixelSource(SMALL).everything(manifest))


def test_an_empty_manifest_gives_no_batch(manifest):
    assert list(PixelSource(SMALL).batches(manifest.take([]), size=8)) == []
    assert PixelSource(SMALL).everything(manifest.take([])).shape == (0, 1, 24, 24)


@pytest.mark.parametrize("change", ["other pixels", "gone", "a folder"])
def test_f19_a_changed_file(manifest, png, change):
    path = manifest.root / "B/03.png"
    path.unlink()
    if change == "other pixels":
        path.write_bytes(png(99))
    elif change == "a folder":
        path.mkdir()
    with pytest.raises(DataError, match=r"B/03\.png changed since this run inspected it") as caught:
        PixelSource(SMALL).everything(manifest)
    assert caught.value.code == "E-FILE-19"


def test_f19_what_was_compared_is_what_is_decoded(manifest, monkeypatch, png, expected):
    """A file that changes between two readings cannot slip in: there is one reading."""
    real = prepared.read_bytes

    def reading(path):
        data = real(path)
        path.write_bytes(png(99))
        return data

    monkeypatch.setattr(prepared, "read_bytes", reading)
    row = next(manifest.rows())
    np.testing.assert_array_equal(read_prepared(manifest, row, SMALL), expected[0])


def test_batches_can_be_left_half_way(manifest):
    found = PixelSource(SMALL).batches(manifest, size=2)
    next(found)
    found.close()
    assert list(found) == []


def test_memory_is_bounded(manifest, monkeypatch):
    """No more than four batches and the one handed out are begun."""
    begun = []
    real = ThreadPoolExecutor.submit
    monkeypatch.setattr(ThreadPoolExecutor, "submit", lambda pool, f, rows: begun.append(rows) or real(pool, f, rows))
    found = PixelSource(SMALL).batches(manifest, size=2)
    for handed_out in (1, 2, 3):
        next(found)
        assert len(begun) == 4 + handed_out
    found.close()


def test_a_decoded_image_is_never_decoded_again(manifest, expected, tmp_path, monkeypatch):
    first = PixelSource(SMALL, cache=tmp_path)
    np.testing.assert_array_equal(first.everything(manifest), expected)
    assert first.decoded == 22
    monkeypatch.setattr(prepared, "decode_picture", None)  # whoever decodes now fails
    again = PixelSource(SMALL, cache=tmp_path)
    np.testing.assert_array_equal(again.everything(manifest), expected)
    views = np.concatenate(list(again.batches(manifest, size=8, augment=PAPER, view=1, seed=0)))
    assert views.shape == expected.shape
    assert again.decoded == 0


def test_what_inspection_decodes_is_kept(folder, expected, tmp_path, monkeypatch):
    source = PixelSource(SMALL, cache=tmp_path)
    manifest = ingest(folder("A", "B", count=11), FEW, keepers=[source])
    monkeypatch.setattr(prepared, "decode_picture", None)
    np.testing.assert_array_equal(source.everything(manifest), expected)


def test_a_part_in_the_cache_is_mixed_with_the_rest(manifest, expected, tmp_path):
    PixelSource(SMALL, cache=tmp_path).everything(manifest.take([1, 5, 6, 20]))
    source = PixelSource(SMALL, cache=tmp_path)
    np.testing.assert_array_equal(np.concatenate(list(source.batches(manifest, size=4))), expected)
    assert source.decoded == 18


def test_another_geometry_is_another_key_and_another_normalisation_is_not(manifest, tmp_path):
    PixelSource(SMALL, cache=tmp_path).everything(manifest)
    for other, decoded in ((Preprocess(size=24, mean=(0.1, 0.1, 0.1)), 0), (Preprocess(size=24, fit="pad"), 22)):
        source = PixelSource(other, cache=tmp_path)
        source.everything(manifest)
        assert source.decoded == decoded


def test_p9_a_damaged_shard_of_pixels_is_decoded_again(manifest, expected, tmp_path):
    PixelSource(SMALL, cache=tmp_path).everything(manifest)
    (shard,) = tmp_path.rglob("*.safetensors")
    data = bytearray(shard.read_bytes())
    data[-3] ^= 64
    shard.write_bytes(data)
    source = PixelSource(SMALL, cache=tmp_path)
    np.testing.assert_array_equal(source.everything(manifest), expected)
    assert [n.code for n in source.notices] == ["W-PROC-09"]
    assert source.decoded == 22


def test_p5_a_full_disk_ends_the_caching_not_the_work(manifest, expected, tmp_path, monkeypatch):
    source = PixelSource(SMALL, cache=tmp_path)

    def full(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    np.testing.assert_array_equal(source.everything(manifest), expected)
    assert [n.code for n in source.notices] == ["W-PROC-08"]


def test_a_file_that_cannot_be_decoded_any_more(manifest, monkeypatch):
    def refuse(data, **options):
        raise FileError("needs more memory than there is; export it smaller", code="S-FILE-10")

    monkeypatch.setattr(prepared, "decode_picture", refuse)
    with pytest.raises(DataError, match=r"A/00\.png: needs more memory") as caught:
        PixelSource(SMALL).everything(manifest)
    assert caught.value.code == "S-FILE-10"
