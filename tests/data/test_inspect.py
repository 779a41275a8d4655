import hashlib
import importlib.util
import os
import threading
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from xenograft.data import decoding
from xenograft.data import inspect as module
from xenograft.data.facts import Facts, Skip
from xenograft.data.inspect import inspect
from xenograft.errors import DataError

_spec = importlib.util.spec_from_file_location("reader_faults", Path(__file__).parent / "readers/faults.py")
faults = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(faults)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "data"
    for index in range(40):
        path = root / "ab"[index % 2] / f"{index:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(faults.saved(faults.noise(seed=index), "PNG"))
    return root


def names(root):
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*.*"))


@pytest.fixture
def decoded(monkeypatch):
    """Names of the files decoded since the start of the test."""
    seen = []
    real = decoding.read_bytes

    def reading(path, root=None):
        seen.append(path.name)
        return real(path, root)

    monkeypatch.setattr(decoding, "read_bytes", reading)
    return seen


def test_facts_of_one_file(folder):
    found, skips = inspect(folder, ["a/00.png"])
    pixels, data = faults.noise(seed=0), (folder / "a/00.png").read_bytes()
    assert not skips
    assert found["a/00.png"] == Facts(
        sha256=hashlib.sha256(data).hexdigest(),
        pixels_sha256=hashlib.sha256(b"(48, 64) uint8 " + pixels.tobytes()).hexdigest(),
        size=len(data),
        width=64,
        height=48,
        bits=8,
        mode="gray",
        notes=(),
        mean=pytest.approx(pixels.mean() / 255, abs=1e-12),
        colour=False,
    )


def test_same_pixels_in_another_format_have_the_same_hash(tmp_path):
    pixels = faults.noise(channels=3, dtype=np.uint16)
    (tmp_path / "a.png").write_bytes(faults.png(pixels))
    (tmp_path / "b.tif").write_bytes(faults.tiff(pixels, order=">"))
    found, _ = inspect(tmp_path, ["a.png", "b.tif"])
    assert len({fact.pixels_sha256 for fact in found.values()}) == 1
    assert len({fact.sha256 for fact in found.values()}) == 2
    assert all(fact.colour and fact.bits == 16 for fact in found.values())


@pytest.mark.parametrize("threads", [1, 3])
def test_order_is_that_of_the_paths(folder, threads):
    for name in ("a/00.png", "b/39.png", "a/20.png"):
        (folder / name).write_bytes(b"")
    paths = names(folder)[::-1]
    calls = []
    found, skips = inspect(folder, paths, threads=threads, progress=lambda *args: calls.append(args))
    bad = ["b/39.png", "a/20.png", "a/00.png"]
    assert list(found) == [path for path in paths if path not in bad]
    assert [skip.path for skip in skips] == bad
    assert {skip.code for skip in skips} == {"S-FILE-01"}
    assert calls == [(16, 40), (32, 40), (40, 40)]


def test_progress_is_called_in_the_calling_thread(folder):
    seen = set()
    inspect(folder, names(folder), threads=2, progress=lambda *_: seen.add(threading.current_thread()))
    assert seen == {threading.current_thread()}


def test_an_error_in_progress_stops_the_pass(folder):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        inspect(folder, names(folder), threads=2, progress=stop)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("inspect")]


def test_nothing_to_do(tmp_path):
    assert inspect(tmp_path, [], cache=tmp_path / "cache") == ({}, [])


def test_warm_pass_reads_no_file(folder, tmp_path, decoded):
    first = inspect(folder, names(folder), cache=tmp_path / "cache")
    assert len(decoded) == 40
    assert inspect(folder, names(folder), cache=tmp_path / "cache") == first
    assert len(decoded) == 40


def test_changed_size_or_time_is_read_again(folder, tmp_path, decoded):
    cache = tmp_path / "cache"
    inspect(folder, names(folder), cache=cache)
    decoded.clear()
    (folder / "a/00.png").write_bytes(faults.saved(faults.noise(seed=99), "PNG"))
    found = (folder / "b/01.png").stat()
    os.utime(folder / "b/01.png", ns=(found.st_atime_ns, found.st_mtime_ns + 1))
    facts, _ = inspect(folder, names(folder), cache=cache)
    assert sorted(decoded) == ["00.png", "01.png"]
    assert facts["a/00.png"].sha256 == hashlib.sha256((folder / "a/00.png").read_bytes()).hexdigest()


def test_cache_keeps_rows_of_other_calls(folder, tmp_path, decoded):
    for part in (names(folder)[:20], names(folder)[20:], names(folder)):
        inspect(folder, part, cache=tmp_path / "cache")
    assert len(decoded) == 40


def test_larger_minimum_side_applies_to_cached_files(folder, tmp_path):
    inspect(folder, names(folder), cache=tmp_path / "cache")
    found, skips = inspect(folder, names(folder), cache=tmp_path / "cache", min_side=50)
    assert not found
    assert {skip.code for skip in skips} == {"S-FILE-09"}


def test_skips_are_not_cached(folder, tmp_path):
    good = (folder / "a/00.png").read_bytes()
    (folder / "a/00.png").write_bytes(good[:-20])
    assert inspect(folder, names(folder), cache=tmp_path / "cache")[1][0].code == "S-FILE-02"
    (folder / "a/00.png").write_bytes(good)
    assert not inspect(folder, names(folder), cache=tmp_path / "cache")[1]


def damage_text(path):
    path.write_bytes(b"not parquet")


def damage_cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def damage_page(path):
    data = bytearray(path.read_bytes())
    data[200] ^= 0xFF
    path.write_bytes(bytes(data))


def damage_version(path):
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({"xenograft.facts": "0"}), path)


def damage_columns(path):
    pq.write_table(pq.read_table(path).drop_columns(["mean"]), path)


@pytest.mark.parametrize("damage", [damage_text, damage_cut, damage_page, damage_version, damage_columns])
def test_damaged_cache_is_ignored_and_rewritten(folder, tmp_path, decoded, damage):
    first = inspect(folder, names(folder), cache=tmp_path / "cache")
    (store,) = (tmp_path / "cache/facts").glob("*.parquet")
    damage(store)
    assert inspect(folder, names(folder), cache=tmp_path / "cache") == first
    assert len(decoded) == 80
    assert inspect(folder, names(folder), cache=tmp_path / "cache") == first
    assert len(decoded) == 80


def test_unwritable_cache_is_silent(folder, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    found, skips = inspect(folder, names(folder), cache=tmp_path / "file" / "cache")
    assert (len(found), skips) == (40, [])


def test_held_lock_is_silent(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_LOCK_SECONDS", 0.05)
    inspect(folder, names(folder)[:1], cache=tmp_path)
    (store,) = (tmp_path / "facts").glob("*.parquet")
    with module.FileLock(store.with_suffix(".lock")):
        assert len(inspect(folder, names(folder), cache=tmp_path)[0]) == 40


def test_links_are_followed_inside_only(folder, tmp_path):
    outside = tmp_path / "out"
    outside.mkdir()
    (outside / "x.png").write_bytes(faults.saved(faults.noise(), "PNG"))
    (folder / "in.png").symlink_to(folder / "a/00.png")
    (folder / "out.png").symlink_to(outside / "x.png")
    (folder / "c").symlink_to(outside)
    paths = ["a/00.png", "in.png", "out.png", "c/x.png", "../out/x.png", str(outside / "x.png")]
    for _ in range(2):
        found, skips = inspect(folder, paths, cache=tmp_path / "cache")
        assert list(found) == ["a/00.png", "in.png"]
        assert [skip.code for skip in skips] == ["S-FILE-16"] * 4


def test_pipes_missing_files_and_loops_are_skipped(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "loop.png").symlink_to("loop.png")
    _, skips = inspect(tmp_path, ["pipe.png", "missing.png", "loop.png"])
    assert [skip.code for skip in skips] == ["S-FILE-17", "S-FILE-15", "S-FILE-15"]


def test_f18_odd_names_are_escaped_and_cached(tmp_path, decoded):
    root = tmp_path / "data"
    root.mkdir()
    odd = ["new\nline.png", os.fsdecode(b"latin-\xe9.png"), "\x1b[31mred.png"]
    for name in odd:
        (root / name).write_bytes(faults.saved(faults.noise(), "PNG"))
    (root / "bad\n.png").write_bytes(b"")
    (root / os.fsdecode(b"bad\xff.png")).write_bytes(b"")
    for _ in range(2):
        found, skips = inspect(root, [*odd, "bad\n.png", os.fsdecode(b"bad\xff.png")], cache=tmp_path / "cache")
        assert list(found) == odd
        assert [skip.path for skip in skips] == [r"bad\n.png", r"bad\udcff.png"]
    assert len(decoded) == 3 + 2 + 2


def test_several_frames_stop_after_the_pass(folder, tmp_path, decoded):
    for index in range(7):
        (folder / f"a/film{index}.gif").write_bytes(faults.animated("GIF"))
    with pytest.raises(DataError, match=r"E-FILE-12 7 files .*a/film4.gif and 2 more") as caught:
        inspect(folder, names(folder), cache=tmp_path / "cache")
    assert caught.value.code == "E-FILE-12"
    decoded.clear()
    with pytest.raises(DataError):
        inspect(folder, names(folder), cache=tmp_path / "cache")
    assert len(decoded) == 7


def test_skip_is_a_record():
    assert Skip("a", "S-FILE-01", "empty") == Skip(path="a", code="S-FILE-01", reason="empty")
