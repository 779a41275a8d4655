from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from xenograft.data import batches as module
from xenograft.data.augment import PAPER
from xenograft.data.batches import batches, load_all, read_prepared
from xenograft.data.ingest import IngestOptions, ingest
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
    found = list(batches(manifest, SMALL, size=size, threads=threads, ahead=2))
    assert [len(batch) for batch in found] == [size] * (22 // size) + ([22 % size] if 22 % size else [])
    np.testing.assert_array_equal(np.concatenate(found), expected)


def test_the_order_is_that_of_the_manifest(manifest, expected):
    positions = [7, 3, 3, 20]
    np.testing.assert_array_equal(load_all(manifest.take(positions), SMALL), expected[positions])


def test_load_all_equals_the_batches(manifest):
    whole = load_all(manifest, SMALL)
    assert (whole.shape, whole.dtype) == ((22, 1, 24, 24), np.uint8)
    np.testing.assert_array_equal(whole, np.concatenate(list(batches(manifest, SMALL, size=4))))


def test_load_all_in_colour(manifest):
    assert load_all(manifest, Preprocess(size=32, channels=3)).shape == (22, 3, 32, 32)


def test_views_do_not_depend_on_threads_or_batches(manifest):
    one, other = (
        np.concatenate(list(batches(manifest, SMALL, size=size, threads=threads, augment=PAPER, view=2, seed=1)))
        for size, threads in ((3, 1), (8, 4))
    )
    np.testing.assert_array_equal(one, other)
    assert not np.array_equal(one, load_all(manifest, SMALL))


def test_an_empty_manifest_gives_no_batch(manifest):
    assert list(batches(manifest.take([]), SMALL)) == []
    assert load_all(manifest.take([]), SMALL).shape == (0, 1, 24, 24)


@pytest.mark.parametrize("change", ["other pixels", "gone", "a folder"])
def test_f19_a_changed_file(manifest, png, change):
    path = manifest.root / "B/03.png"
    path.unlink()
    if change == "other pixels":
        path.write_bytes(png(99))
    elif change == "a folder":
        path.mkdir()
    with pytest.raises(DataError, match=r"B/03\.png changed since this run inspected it") as caught:
        load_all(manifest, SMALL)
    assert caught.value.code == "E-FILE-19"


def test_f19_what_was_compared_is_what_is_decoded(manifest, monkeypatch, png, expected):
    """A file that changes between two readings cannot slip in: there is one reading."""
    real = module.read_bytes

    def reading(path):
        data = real(path)
        path.write_bytes(png(99))
        return data

    monkeypatch.setattr(module, "read_bytes", reading)
    row = next(manifest.rows())
    np.testing.assert_array_equal(read_prepared(manifest, row, SMALL), expected[0])


def test_batches_can_be_left_half_way(manifest):
    found = batches(manifest, SMALL, size=2)
    next(found)
    found.close()
    assert list(found) == []


def test_memory_is_bounded(manifest, monkeypatch):
    """No more than `ahead` batches and the one handed out are begun."""
    begun = []
    real = ThreadPoolExecutor.submit
    monkeypatch.setattr(ThreadPoolExecutor, "submit", lambda pool, f, row: begun.append(row) or real(pool, f, row))
    found = batches(manifest, SMALL, size=2, ahead=2)
    for handed_out in (1, 2, 3):
        next(found)
        assert len(begun) == 2 * (2 + handed_out)
    found.close()


def test_a_file_that_cannot_be_decoded_any_more(manifest, monkeypatch):
    def refuse(data, **options):
        raise FileError("needs more memory than there is; export it smaller", code="S-FILE-10")

    monkeypatch.setattr(module, "decode_picture", refuse)
    with pytest.raises(DataError, match=r"A/00\.png: needs more memory") as caught:
        load_all(manifest, SMALL)
    assert caught.value.code == "S-FILE-10"
