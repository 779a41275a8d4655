"""A large JPEG is inspected at a reduced scale; its twin in another format is found all the same."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from xenograft.data import identity
from xenograft.data.identity import comparable
from xenograft.data.inspect import inspect


def scene(seed: int) -> Image.Image:
    small = np.random.default_rng(seed).integers(40, 200, (10, 12), dtype=np.uint8)
    return Image.fromarray(cv2.resize(small, (1200, 1000), interpolation=cv2.INTER_CUBIC))


def jpeg(image: Image.Image) -> bytes:
    stream = BytesIO()
    image.save(stream, "JPEG", quality=90)
    return stream.getvalue()


def png_of(data: bytes) -> bytes:
    stream = BytesIO()
    Image.open(BytesIO(data)).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    data = jpeg(scene(0))
    (tmp_path / "a.jpg").write_bytes(data)
    (tmp_path / "again.jpg").write_bytes(data[:2] + b"\xff\xfe\0\4hi" + data[2:])  # the same picture with a comment
    (tmp_path / "other.jpg").write_bytes(jpeg(scene(1)))
    (tmp_path / "a.png").write_bytes(png_of(data))
    return tmp_path


def test_stored_size_is_told_whatever_was_decoded(root: Path) -> None:
    found, _ = inspect(root, ["a.jpg", "a.png"])
    assert [(f.width, f.height, f.reduced) for f in found.values()] == [(1200, 1000, True), (1200, 1000, False)]


def test_twins_in_one_format_are_known_at_the_reduced_scale(root: Path) -> None:
    found, _ = inspect(root, ["a.jpg", "again.jpg", "other.jpg"])
    hashes = [fact.pixels_sha256 for fact in found.values()]
    assert hashes[0] == hashes[1] != hashes[2]
    assert found["a.jpg"].sha256 != found["again.jpg"].sha256


def test_a_twin_in_another_format_is_found(root: Path) -> None:
    found, _ = inspect(root, ["a.jpg", "again.jpg", "other.jpg", "a.png"])
    assert found["a.jpg"].pixels_sha256 != found["a.png"].pixels_sha256
    done = comparable(root, found)
    assert done["a.jpg"].pixels_sha256 == done["again.jpg"].pixels_sha256 == done["a.png"].pixels_sha256
    assert done["other.jpg"].pixels_sha256 != done["a.png"].pixels_sha256


def test_without_another_format_nothing_is_decoded_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = inspect(root, ["a.jpg", "again.jpg", "other.jpg"])
    monkeypatch.setattr(identity, "read_bytes", None)
    assert comparable(root, found) == found


@pytest.mark.parametrize("change", ["gone", "other bytes"])
def test_a_file_that_changed_meanwhile_keeps_its_hash(root: Path, change: str) -> None:
    found, _ = inspect(root, ["a.jpg", "a.png"])
    if change == "gone":
        (root / "a.jpg").unlink()
    else:
        (root / "a.jpg").write_bytes((root / "other.jpg").read_bytes())
    assert comparable(root, found)["a.jpg"] == found["a.jpg"]
