from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from xenograft.features.store import FeatureStore
from xenograft.storage import sha256_bytes

HASHES = [sha256_bytes(bytes([k])) for k in range(5)]
FEATURES = np.arange(15, dtype=np.float32).reshape(5, 3)


def test_rows_come_back_from_another_process_in_any_order(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, {"weights": "a"})
    store.add(HASHES[:2], FEATURES[:2])
    store.add(HASHES[2:], FEATURES[2:])
    again = FeatureStore(tmp_path, {"weights": "a"})
    assert again.missing(HASHES) == []
    np.testing.assert_array_equal(again.rows(HASHES[::-1]), FEATURES[::-1])


def test_missing_names_each_content_once() -> None:
    store = FeatureStore(None, {})
    store.add(HASHES[:1], FEATURES[:1])
    assert store.missing([HASHES[1], HASHES[0], HASHES[1], HASHES[2]]) == [0, 3]


def test_p10_a_changed_fact_is_another_key(tmp_path: Path) -> None:
    FeatureStore(tmp_path, {"weights": "a"}).add(HASHES, FEATURES)
    assert FeatureStore(tmp_path, {"weights": "b"}).missing(HASHES) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("damage", ["flip", "cut"])
def test_p9_a_damaged_shard_is_set_aside(tmp_path: Path, damage: str) -> None:
    FeatureStore(tmp_path, {}).add(HASHES, FEATURES)
    (shard,) = tmp_path.rglob("*.safetensors")
    data = bytearray(shard.read_bytes())
    if damage == "flip":
        data[-1] ^= 1
    else:
        data = data[: len(data) // 2]
    shard.write_bytes(data)
    again = FeatureStore(tmp_path, {})
    assert len(again.missing(HASHES)) == 5
    assert [n.code for n in again.notices] == ["W-PROC-09"]
    assert not shard.exists()
    assert shard.with_suffix(".damaged").exists()


def test_p8_an_unwritable_folder_means_memory(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("not a folder")
    store = FeatureStore(blocker, {})
    store.add(HASHES, FEATURES)
    assert [n.code for n in store.notices] == ["W-PROC-08"]
    np.testing.assert_array_equal(store.rows(HASHES), FEATURES)


def test_refresh_sees_what_another_process_wrote(tmp_path: Path) -> None:
    early = FeatureStore(tmp_path, {})
    FeatureStore(tmp_path, {}).add(HASHES, FEATURES)
    assert early.missing(HASHES)
    early.refresh()
    assert early.missing(HASHES) == []
