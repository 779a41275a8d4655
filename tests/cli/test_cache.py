"""``xenograft cache`` on a cache made by hand."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from xenograft.cli.main import main
from xenograft.rowstore import RowStore
from xenograft.storage import sha256_bytes


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    store = RowStore(tmp_path / "pixels", {"pixels": {"size": 64, "channels": 3, "fit": "pad", "window": "auto"}})
    store.add([sha256_bytes(bytes([k])) for k in range(3)], np.zeros((3, 3, 64, 64), dtype=np.uint8))
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "resnet18.pth").write_bytes(b"x")
    return tmp_path


def test_info_shows_a_table_the_total_the_limit_and_the_folder(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "info", "--cache-dir", str(cache)]) == 0
    shown = capsys.readouterr().out
    for word in (
        "64 px colour, pad",
        "resnet18.pth",
        "last used",
        "total 0.0 MiB",
        "limit 20.0 GiB",
        f"Cache: {cache}",
    ):
        assert word in shown


def test_info_of_no_cache(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "info", "--cache-dir", str(tmp_path / "none")]) == 0
    assert "total 0.0 MiB" in capsys.readouterr().out


def test_verify_tells_what_was_set_aside(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "verify", "--cache-dir", str(cache)]) == 0
    assert "1 shards are intact, 0 damaged" in capsys.readouterr().out
    (shard,) = cache.rglob("*.safetensors")
    os.truncate(shard, 30)
    assert main(["cache", "verify", "--cache-dir", str(cache)]) == 0
    shown = capsys.readouterr().out
    assert "(64 px colour, pad): 1 damaged shards set aside" in shown
    assert "xenograft weights verify" in shown


def test_clear_says_what_was_freed_and_where(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "clear", "--features", "--cache-dir", str(cache)]) == 0
    assert "removed nothing" in capsys.readouterr().out
    assert main(["cache", "clear", "--cache-dir", str(cache)]) == 0
    shown = capsys.readouterr().out
    assert "MiB freed; removed 1 of pixels" in shown
    assert str(cache) in shown
    assert (cache / "weights" / "resnet18.pth").exists()
    assert not list(cache.rglob("*.safetensors"))


def test_clear_names_what_a_running_process_holds(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = RowStore(cache / "pixels", {"pixels": {"size": 64, "channels": 3, "fit": "pad", "window": "auto"}})
    with store.alone(lambda _: None):
        assert main(["cache", "clear", "--cache-dir", str(cache)]) == 0
    assert f"left, a running process holds it: pixels {store.key[:12]}" in capsys.readouterr().out


def test_kinds_belong_to_clear(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "info", "--pixels", "--cache-dir", str(cache)]) == 2
    assert capsys.readouterr().err.startswith("E-USAGE-16 --pixels belongs to cache clear")


def test_a_limit_that_is_no_size_stops_before_any_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(tmp_path), "--cache-limit", "20", "-o", str(tmp_path / "s")]) == 2
    assert capsys.readouterr().err.startswith("E-USAGE-16 cache limit '20'")
    assert not (tmp_path / "s").exists()
