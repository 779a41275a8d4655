import csv
import errno
import hashlib
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xenograft import storage
from xenograft.errors import DataError, LabelError, ProcessError


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_whole_with_its_folders(tmp_path):
    target = tmp_path / "new" / "folder" / "a.txt"
    assert storage.atomic_write(target, "chest – 胸\n") == target
    assert target.read_bytes() == "chest – 胸\n".encode()
    assert names(target.parent) == ["a.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_p3_a_failure_keeps_the_old_file_and_no_temporary_one(tmp_path, error):
    target = storage.atomic_write(tmp_path / "a.txt", "old")

    def interrupted():
        with storage.atomic_path(target) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        interrupted()
    assert target.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_p3_the_old_file_is_intact_until_the_end(tmp_path):
    target = storage.atomic_write(tmp_path / "a.txt", "old")
    with storage.atomic_path(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
        assert temporary.parent == tmp_path
    assert target.read_text() == "new"


def test_p5_a_full_disk_is_one_line(tmp_path, monkeypatch):
    target = storage.atomic_write(tmp_path / "a.txt", "old")

    def full(self, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ProcessError, match=r"a\.txt: No space left on device") as caught:
        storage.atomic_write(target, "new")
    assert caught.value.code == "E-PROC-05"
    monkeypatch.undo()
    assert target.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_p5_a_disk_that_fills_while_syncing(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ProcessError, match="No space left"):
        storage.atomic_write(tmp_path / "a.txt", "new")
    assert names(tmp_path) == []


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ProcessError, match="choose another folder"):
        storage.atomic_write(tmp_path / "file" / "a.txt", "new")


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_new_files_follow_the_umask(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        target = storage.atomic_write(tmp_path / "a.txt", "new")
        assert os.umask(umask) == umask  # asking for it did not change it
    finally:
        os.umask(before)
    assert stat.S_IMODE(target.stat().st_mode) == mode


def test_json_round_trip(tmp_path):
    value = {"b": [1, 2.5, None], "a": "ü"}
    target = storage.write_json(tmp_path / "a.json", value)
    assert storage.read_json(target) == value
    assert list(storage.read_json(target)) == ["b", "a"]
    assert "ü" in target.read_text(encoding="utf-8")


def test_json_refuses_nan_and_keeps_the_old_file(tmp_path):
    target = storage.write_json(tmp_path / "a.json", 1)
    with pytest.raises(ValueError, match="not JSON compliant"):
        storage.write_json(target, float("nan"))
    assert storage.read_json(target) == 1


@pytest.mark.parametrize("content", [None, b"{", b"\xff\xfe"], ids=["missing", "cut", "not UTF-8"])
def test_unreadable_json(tmp_path, content):
    if content is not None:
        (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.json cannot be read as JSON") as caught:
        storage.read_json(tmp_path / "a.json")
    assert caught.value.code == "E-DATA-02"


FORMULA = "=HYPERLINK(0)"


@pytest.mark.parametrize("cell", [FORMULA, "+1", "-1", "@SUM(A1)", Path(FORMULA)], ids=str)
def test_l9_formula_cells_are_neutralised(tmp_path, cell):
    target = storage.write_csv(tmp_path / "a.csv", ["path", str(cell)], [[cell, -1.5], ["a,b", None]])
    rows = list(csv.reader(target.read_text(encoding="utf-8").splitlines()))
    assert rows == [["path", f"'{cell}"], [f"'{cell}", "-1.5"], ["a,b", ""]]


@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.text(max_size=8))
def test_l9_no_text_becomes_a_formula_or_a_second_line(text):
    cell = storage.plain_cell(text)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    assert len(cell.splitlines()) <= 1


@pytest.mark.parametrize("path", ["a.png", "a/b.png", "./a.png", "a/../b.png", "not there"])
def test_paths_below_the_folder_are_joined(tmp_path, path):
    assert storage.safe_join(tmp_path, path) == tmp_path.resolve() / path


@pytest.mark.parametrize("path", ["../a.png", "a/../../b.png", "/etc/passwd", "a\0.png", ".."])
def test_l4_paths_that_leave_the_folder(tmp_path, path):
    with pytest.raises(LabelError, match="leaves the data folder") as caught:
        storage.safe_join(tmp_path, path)
    assert caught.value.code == "E-LABEL-04"


def test_l4_a_folder_with_the_same_beginning_is_outside(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data2").mkdir()
    with pytest.raises(LabelError):
        storage.safe_join(tmp_path / "data", "../data2/a.png")


def test_f16_links_that_leave_the_folder(tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    (tmp_path / "secret.png").write_bytes(b"x")
    (root / "out.png").symlink_to(tmp_path / "secret.png")
    (root / "up").symlink_to(tmp_path)
    (root / "inside.png").write_bytes(b"x")
    (root / "in.png").symlink_to(root / "inside.png")
    assert storage.safe_join(root, "in.png").name == "in.png"
    for path in ("out.png", "up/secret.png"):
        with pytest.raises(LabelError):
            storage.safe_join(root, path)


@pytest.mark.parametrize("error", [RuntimeError("Symlink loop"), OSError(36, "File name too long")], ids=str)
def test_l4_a_path_that_cannot_be_resolved(tmp_path, monkeypatch, error):
    """Pythons before 3.13 raise RuntimeError for links in a circle."""
    real = Path.resolve

    def resolve(path):
        if path.name == "odd.png":
            raise error
        return real(path)

    monkeypatch.setattr(Path, "resolve", resolve)
    with pytest.raises(LabelError) as caught:
        storage.safe_join(tmp_path, "odd.png")
    assert caught.value.code == "E-LABEL-04"


def test_hashes_agree(tmp_path):
    data = bytes(range(256)) * 9000
    (tmp_path / "a").write_bytes(data)
    assert storage.sha256_file(tmp_path / "a") == storage.sha256_bytes(data) == hashlib.sha256(data).hexdigest()
    assert storage.sha256_of({"a": 1, "b": 2}) == storage.sha256_of({"b": 2, "a": 1})
    assert storage.sha256_of([1, 2]) != storage.sha256_of([2, 1])
