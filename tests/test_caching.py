from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from xenograft import caching
from xenograft.caching import clear, inventory, parse_size, trim, verify
from xenograft.errors import ProcessError, UsageError
from xenograft.rowstore import RowStore
from xenograft.storage import sha256_bytes

HASHES = [sha256_bytes(bytes([k])) for k in range(4)]
ROWS = np.ones((4, 250), dtype=np.float32)
DAY = 86400.0


def features(cache: Path, backbone: str = "mobilenet_v2", view: int | None = None, weights: str = "ab12") -> RowStore:
    facts = {
        "backbone": backbone, "weights": weights, "engine": {"precision": "bf16"}, "preprocess": {"size": 224},
        "augment": {"name": "none"} if view is None else {"name": "paper", "view": view, "seed": 0},
    }  # fmt: skip
    return _filled(RowStore(cache / "features", facts))


def pixels(cache: Path, window: object = "auto") -> RowStore:
    facts = {"pixels": {"size": 224, "channels": 1, "fit": "squash", "window": window}}
    return _filled(RowStore(cache / "pixels", facts))


def _filled(store: RowStore) -> RowStore:
    store.add(HASHES[:3], ROWS[:3])
    store.add(HASHES[3:], ROWS[3:])
    return store


def aged(store: RowStore, seconds: float) -> RowStore:
    assert store.folder is not None
    for path in store.folder.iterdir():
        os.utime(path, (time.time() - seconds,) * 2)
    return store


def keys(cache: Path) -> set[str]:
    return {entry.key for entry in inventory(cache)}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """One entry of each kind, and things beside them that are not the cache's."""
    aged(features(tmp_path, view=3), 3 * DAY)
    aged(pixels(tmp_path), 2 * DAY)
    (tmp_path / "facts").mkdir()
    pq.write_table(pa.table({"path": ["a", "b"]}), tmp_path / "facts" / "data.parquet")
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "resnet18.pth").write_bytes(b"x" * 100)
    (tmp_path / "features" / "mine").mkdir()
    (tmp_path / "features" / "mine" / "thesis.txt").write_text("not a cache")
    return tmp_path


def test_the_inventory_says_what_is_there(cache: Path) -> None:
    found = {entry.kind: entry for entry in inventory(cache)}
    assert found["features"].what == "mobilenet_v2, bf16, 224 px, view 3 of seed 0"
    assert found["pixels"].what == "224 px gray, squash"
    assert found["weights"].what == "resnet18.pth"
    assert {kind: entry.images for kind, entry in found.items()} == {
        "features": 4, "pixels": 4, "facts": 2, "weights": 0,
    }  # fmt: skip
    assert found["features"].bytes == sum(p.stat().st_size for p in found["features"].path.iterdir()) > ROWS.nbytes
    assert abs(found["pixels"].last_used.timestamp() - (time.time() - 2 * DAY)) < 60
    assert [entry.kind for entry in inventory(cache)][-2:] == ["pixels", "features"]  # least recently used last


def test_random_weights_and_windows_are_told(tmp_path: Path) -> None:
    features(tmp_path, weights="random:7")
    pixels(tmp_path, window=[0, 4095])
    texts = {entry.what for entry in inventory(tmp_path)}
    assert texts == {"mobilenet_v2, random weights 7, bf16, 224 px", "224 px gray, squash, window 0 to 4095"}


def test_nothing_is_an_empty_cache(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    assert inventory(nowhere) == verify(nowhere) == []
    assert clear(nowhere).bytes == trim(nowhere, 0) == 0
    assert not nowhere.exists()


@pytest.mark.parametrize("text", ["", "[]", "3", '{"pixels": {"size": 2}}', '{"backbone": "x", "weights": 1}', "\x00"])
def test_a_damaged_description_is_said(tmp_path: Path, text: str) -> None:
    store = pixels(tmp_path)
    assert store.folder is not None
    (store.folder / "key.json").write_text(text)
    assert "unknown" in inventory(tmp_path)[0].what


def test_times_beyond_dates_and_foreign_names_do_no_harm(tmp_path: Path) -> None:
    aged(features(tmp_path, backbone="\x1b[2J\nevil"), -400 * 365 * DAY)
    (entry,) = inventory(tmp_path)
    assert entry.what.startswith("\\x1b[2J\\nevil")


def test_verify_sets_damaged_shards_aside(cache: Path) -> None:
    shard = min((cache / "pixels").rglob("*.safetensors"))
    os.truncate(shard, 100)
    found = {row.entry.kind: (row.intact, row.damaged) for row in verify(cache)}
    assert found == {"features": (2, 0), "pixels": (1, 1)}
    assert not shard.exists()
    assert shard.with_suffix(".damaged").exists()
    assert {e.kind: e.damaged for e in inventory(cache)}["pixels"] == 1
    assert all(row.damaged == 0 for row in verify(cache))


def test_clear_removes_all_but_weights_and_what_is_not_the_caches(cache: Path) -> None:
    expected = sum(entry.bytes for entry in inventory(cache) if entry.kind != "weights")
    done = clear(cache)
    assert done.bytes == expected
    assert done.in_use == ()
    assert [entry.kind for entry in inventory(cache)] == ["weights"]
    assert (cache / "features" / "mine" / "thesis.txt").exists()
    assert clear(cache, ["weights"]).bytes == 100


def test_clear_takes_one_kind(cache: Path) -> None:
    clear(cache, ["pixels"])
    assert {entry.kind for entry in inventory(cache)} == {"features", "facts", "weights"}
    with pytest.raises(UsageError, match=r"E-USAGE-16 .*no 'models'"):
        clear(cache, ["models"])


def test_clear_never_follows_a_link(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "thesis.txt").touch()
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / ("a" * 40)).symlink_to(elsewhere)
    clear(tmp_path)
    assert (elsewhere / "thesis.txt").exists()


def test_what_a_process_holds_is_left_and_reported(cache: Path) -> None:
    store = features(cache, view=3)
    with store.alone(lambda _: None):
        done = clear(cache, ["features"])
        assert [entry.key for entry in done.in_use] == [store.key[:40]]
        assert trim(cache, 0) > 0  # the pixels
        assert store.missing(HASHES) == []
    assert len(clear(cache, ["features"]).removed) == 1


def test_clear_says_when_nothing_can_be_removed(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_options: object) -> None:
        raise PermissionError(13, "Permission denied", "there")

    monkeypatch.setattr(caching.tempfile, "mkdtemp", refuse)
    with pytest.raises(ProcessError, match="E-PROC-05 there cannot be removed: Permission denied"):
        clear(cache)
    assert trim(cache, 0) == 0


def test_trim_takes_the_least_recently_used_until_the_rest_fits(tmp_path: Path) -> None:
    stores = [aged(features(tmp_path, view=k), (9 - k) * DAY) for k in range(4)]
    each = inventory(tmp_path)[0].bytes
    assert trim(tmp_path, 4 * each) == 0
    assert trim(tmp_path, 2 * each + 10) == 2 * each
    assert keys(tmp_path) == {store.key[:40] for store in stores[2:]}


def test_trim_keeps_what_is_needed_now(tmp_path: Path) -> None:
    whole, short, fresh = (features(tmp_path, view=k) for k in range(3))
    for store in (whole, short):
        aged(store, 9 * DAY)
    old = aged(pixels(tmp_path), DAY)
    assert trim(tmp_path, 0, {whole.key, short.key[:40]}) > 0
    assert keys(tmp_path) == {store.key[:40] for store in (whole, short, fresh)}
    assert old.key[:40] not in keys(tmp_path)


def test_opening_a_key_makes_it_the_last_to_go(tmp_path: Path) -> None:
    stores = [aged(features(tmp_path, view=k), (9 - k) * DAY) for k in range(2)]
    features(tmp_path, view=0)
    trim(tmp_path, 1)
    assert keys(tmp_path) == {stores[0].key[:40]}


def test_p14_times_of_the_future_are_trimmed_too(tmp_path: Path) -> None:
    aged(features(tmp_path), -9 * DAY)
    assert trim(tmp_path, 0) > 0
    assert keys(tmp_path) == set()


def test_trim_sweeps_what_killed_processes_left(tmp_path: Path) -> None:
    store = features(tmp_path)
    assert store.folder is not None
    left = [store.folder / ".a.safetensors.x.tmp", store.folder / "b.damaged", tmp_path / "weights" / ".w.pth.y.tmp"]
    for path in left:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x" * 10)
        os.utime(path, (time.time() - 2 * 3600,) * 2)
    (tmp_path / "features" / ".removed-z" / "k").mkdir(parents=True)
    (tmp_path / "features" / ".removed-z" / "k" / "shard").write_bytes(b"x" * 10)
    young = store.folder / ".c.tmp"
    young.touch()
    assert trim(tmp_path, 10**9) == 40
    assert not any(path.exists() for path in [*left, tmp_path / "features" / ".removed-z"])
    assert young.exists()
    assert store.missing(HASHES) == []


@pytest.mark.parametrize(
    ("given", "size"),
    [
        ("20G", 20 * 2**30), ("500M", 500 * 2**20), ("0", 0), ("1.5 GB", 3 * 2**29), ("2 gib", 2**31), ("7k", 7168),
        ("1T", 2**40), ("12B", 12), (0, 0), (4096, 4096), (" 1G ", 2**30),
    ],
)  # fmt: skip
def test_sizes(given: str | int, size: int) -> None:
    assert parse_size(given) == size


@pytest.mark.parametrize("given", ["", "20", "much", "-1G", "1e9G", "1,5G", "G", "5 X", "1 0G", "٣G", -1, True, 1.5])
def test_what_is_no_size_is_refused(given: object) -> None:
    with pytest.raises(UsageError, match=r"E-USAGE-16 cache limit .* such as 20G"):
        parse_size(given)  # type: ignore[arg-type]
