import os
import time
from pathlib import Path

import pytest

from xenograft.data import readers
from xenograft.data.readers import decode_picture, read_bytes, read_picture
from xenograft.errors import FileError

ORIGINALS = Path(__file__).parents[3].parent / "shared/data/chest_xray_original"


def test_f3_wrong_extension_is_read_by_content(tmp_path, faults):
    path = tmp_path / "scan.PNG"
    path.write_bytes(faults.jpeg())
    picture = read_picture(path)
    assert (picture.format, picture.notes) == ("jpeg", ("W-FILE-03",))


def test_f4_text_named_png(tmp_path, faults):
    path = tmp_path / "a.png"
    path.write_bytes(faults.TEXT)
    with pytest.raises(FileError, match="S-FILE-04 is text inside"):
        read_picture(path)


def test_f10_file_larger_than_the_limit(tmp_path, monkeypatch, faults):
    path = tmp_path / "a.jpg"
    path.write_bytes(faults.jpeg())
    monkeypatch.setattr(readers, "FILE_LIMIT", 100)
    with pytest.raises(FileError, match="S-FILE-10"):
        read_picture(path)


@pytest.mark.parametrize("name", ["EPS", "PDF", "SVG", "HTML"])
def test_f14_documents_are_refused_by_name(name, faults):
    with pytest.raises(FileError, match="looks like") as caught:
        decode_picture(getattr(faults, name), suffix=".png")
    assert caught.value.code == "S-FILE-14"


def test_f15_no_permission(tmp_path, monkeypatch, faults):
    # the tests may run as root, for whom every file is readable: the refusal itself is simulated
    path = tmp_path / "a.jpg"
    path.write_bytes(faults.jpeg())

    def refuse(*args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(FileError, match=r"S-FILE-15 cannot be opened \(Permission denied\)"):
        read_bytes(path)


@pytest.mark.parametrize("name", ["missing.jpg", "nul\0byte.jpg"])
def test_f15_names_that_cannot_be_opened(tmp_path, name):
    with pytest.raises(FileError, match="S-FILE-15"):
        read_bytes(tmp_path / name, tmp_path)


def test_f16_link_out_of_the_folder(tmp_path, faults):
    root = tmp_path / "data"
    root.mkdir()
    outside, inside = tmp_path / "out.jpg", root / "in.jpg"
    outside.write_bytes(faults.jpeg())
    inside.write_bytes(faults.jpeg())
    (root / "bad.jpg").symlink_to(outside)
    (root / "good.jpg").symlink_to(inside)
    (tmp_path / "data-2").symlink_to(root)
    assert read_bytes(root / "good.jpg", root) == faults.jpeg()
    assert read_bytes(tmp_path / "data-2/good.jpg", root) == faults.jpeg()
    assert read_bytes(root / "bad.jpg") == faults.jpeg()
    for path in (root / "bad.jpg", root / "../out.jpg"):
        with pytest.raises(FileError, match="S-FILE-16"):
            read_bytes(path, root)


def test_f17_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "a.jpg")
    started = time.perf_counter()
    for path in (tmp_path / "a.jpg", Path("/dev/zero"), tmp_path):
        with pytest.raises(FileError, match="S-FILE-17"):
            read_picture(path)
    assert time.perf_counter() - started < 1


def test_f19_changed_while_read(tmp_path, monkeypatch, faults):
    path = tmp_path / "a.jpg"
    path.write_bytes(faults.jpeg())
    real = os.fstat

    def shorter(handle):
        found = list(real(handle))
        found[6] -= 3
        return os.stat_result(found)

    monkeypatch.setattr(os, "fstat", shorter)
    with pytest.raises(FileError, match="S-FILE-19"):
        read_bytes(path)


@pytest.mark.realdata
def test_every_original_x_ray_is_read():
    if not ORIGINALS.is_dir():
        pytest.skip(f"{ORIGINALS} is missing")
    pictures = [read_picture(path, root=ORIGINALS) for path in sorted(ORIGINALS.rglob("*.jpeg"))]
    assert len(pictures) == 80
    assert all(picture.pixels.ndim == 2 and picture.bits == 8 and not picture.notes for picture in pictures)
