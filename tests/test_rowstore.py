from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from xenograft import rowstore
from xenograft.errors import ProcessError
from xenograft.rowstore import RowStore, ShardWriter
from xenograft.storage import sha256_bytes

HASHES = [sha256_bytes(bytes([k])) for k in range(5)]
ROWS = np.arange(15, dtype=np.float32).reshape(5, 3)


def filled(folder: Path | None, **facts: str) -> RowStore:
    store = RowStore(folder, facts)
    store.add(HASHES[:2], ROWS[:2])
    store.add(HASHES[2:], ROWS[2:])
    return store


def test_rows_come_back_from_another_process_in_any_order(tmp_path: Path) -> None:
    filled(tmp_path)
    again = RowStore(tmp_path, {})
    assert again.missing(HASHES) == []
    order = [4, 0, 1, 1, 3, 2]
    np.testing.assert_array_equal(again.rows([HASHES[k] for k in order]), ROWS[order])


def test_pixels_keep_their_shape_and_type(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 1, 4, 4), dtype=np.uint8)
    RowStore(tmp_path, {}).add(HASHES, pixels)
    found = RowStore(tmp_path, {}).rows(HASHES[1:3])
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, pixels[1:3])


@pytest.mark.parametrize("folder", [True, False])
def test_missing_names_each_content_once(tmp_path: Path, folder: bool) -> None:
    store = RowStore(tmp_path if folder else None, {})
    store.add(HASHES[:1], ROWS[:1])
    assert store.missing([HASHES[1], HASHES[0], HASHES[1], HASHES[2]]) == [0, 3]


def test_p10_a_changed_fact_is_another_key(tmp_path: Path) -> None:
    filled(tmp_path, weights="a")
    assert RowStore(tmp_path, {"weights": "b"}).missing(HASHES) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("at", [0, 4, 9, 40, -1])
def test_p9_a_flipped_byte_sets_the_shard_aside_and_spares_the_others(tmp_path: Path, at: int) -> None:
    filled(tmp_path)
    first = min(tmp_path.rglob("*.safetensors"), key=lambda p: p.stat().st_size)
    data = bytearray(first.read_bytes())
    data[at] ^= 1
    first.write_bytes(data)
    again = RowStore(tmp_path, {})
    assert again.missing(HASHES) == [0, 1]
    assert [n.code for n in again.notices] == ["W-PROC-09"]
    assert first.with_suffix(".damaged").exists()
    assert not first.exists()
    np.testing.assert_array_equal(again.rows(HASHES[2:]), ROWS[2:])
    again.add(HASHES[:2], ROWS[:2])
    np.testing.assert_array_equal(RowStore(tmp_path, {}).rows(HASHES), ROWS)


@pytest.mark.parametrize("length", [0, 5, 100])
def test_p4_p9_a_cut_shard_is_set_aside(tmp_path: Path, length: int) -> None:
    RowStore(tmp_path, {}).add(HASHES, ROWS)
    (shard,) = tmp_path.rglob("*.safetensors")
    os.truncate(shard, length)
    assert RowStore(tmp_path, {}).missing(HASHES) == [0, 1, 2, 3, 4]


def test_p8_an_unwritable_folder_means_memory(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("not a folder")
    store = filled(blocker)
    assert [n.code for n in store.notices] == ["W-PROC-08"]
    np.testing.assert_array_equal(store.rows(HASHES), ROWS)


def test_p8_a_read_only_cache_is_still_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    RowStore(tmp_path, {}).add(HASHES[:2], ROWS[:2])

    def refuse(*_args: object, **_options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(rowstore.os, "utime", refuse)
    store = RowStore(tmp_path, {})
    assert store.missing(HASHES) == [2, 3, 4]
    store.add(HASHES[2:], ROWS[2:])
    np.testing.assert_array_equal(store.rows(HASHES), ROWS)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 1


def test_p9_the_same_rows_computed_again_are_found_at_once(tmp_path: Path) -> None:
    RowStore(tmp_path, {}).add(HASHES, ROWS)
    (shard,) = tmp_path.rglob("*.safetensors")
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    store = RowStore(tmp_path, {})
    assert len(store.missing(HASHES)) == 5
    store.add(HASHES, ROWS)  # a shard of the same name as the damaged one
    np.testing.assert_array_equal(store.rows(HASHES), ROWS)


def test_a_key_emptied_by_another_process_is_filled_again(tmp_path: Path) -> None:
    store = filled(tmp_path)
    for file in list(tmp_path.rglob("*.*")):
        file.unlink()
    assert len(store.missing(HASHES)) == 0  # verified before; only reading finds it gone
    again = RowStore(tmp_path, {})
    assert len(again.missing(HASHES)) == 5
    assert again.notices == []


def test_a_content_that_is_here_is_not_written_twice(tmp_path: Path) -> None:
    store = filled(tmp_path)
    writer = ShardWriter(store)
    writer.put(HASHES, ROWS)
    writer.put(HASHES[:1], ROWS[:1])
    writer.flush()
    assert len(list(tmp_path.rglob("*.safetensors"))) == 2


def test_p5_a_full_disk_says_so_and_keeps_earlier_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = RowStore(tmp_path, {})
    store.add(HASHES[:2], ROWS[:2])

    def full(_self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ProcessError, match=r"No space left on device.*\([0-9]+ bytes are needed") as caught:
        store.add(HASHES[2:], ROWS[2:])
    assert caught.value.code == "E-PROC-05"
    monkeypatch.undo()
    assert RowStore(tmp_path, {}).missing(HASHES) == [2, 3, 4]


def test_refresh_sees_what_another_process_wrote(tmp_path: Path) -> None:
    early = RowStore(tmp_path, {})
    filled(tmp_path)
    assert early.missing(HASHES)
    early.refresh()
    assert early.missing(HASHES) == []


def test_a_cache_emptied_while_in_use_is_said(tmp_path: Path) -> None:
    store = filled(tmp_path)
    for shard in tmp_path.rglob("*.safetensors"):
        shard.unlink()
    with pytest.raises(ProcessError, match="E-PROC-10"):
        store.rows(HASHES)


def test_few_shards_are_mapped_at_a_time(tmp_path: Path) -> None:
    store = RowStore(tmp_path, {})
    hashes = [sha256_bytes(bytes([k, 1])) for k in range(20)]
    for k, content in enumerate(hashes):
        store.add([content], np.full((1, 2), k, dtype=np.float32))
    assert store.rows(hashes)[:, 0].tolist() == list(range(20))
    assert len(store._mapped) <= 4


def test_p6_the_second_waits_and_says_for_whom(tmp_path: Path) -> None:
    one, two = RowStore(tmp_path, {}), RowStore(tmp_path, {})
    said: list[str] = []
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with one.alone(said.append):
            entered.set()
            leave.wait(10)
            one.add(HASHES, ROWS)

    holder = threading.Thread(target=hold)
    holder.start()
    entered.wait(10)
    threading.Timer(0.3, leave.set).start()
    with two.alone(said.append):
        assert two.missing(HASHES) == []  # what the first one wrote is seen
    holder.join()
    assert len(said) == 1
    assert f"process {os.getpid()} on " in said[0]


def test_writer_gathers_rows_into_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ShardWriter, "ROWS", 2)
    writer = ShardWriter(RowStore(tmp_path, {}))
    for k in range(5):
        writer.put(HASHES[k : k + 1], ROWS[k : k + 1])
    assert len(list(tmp_path.rglob("*.safetensors"))) == 2
    writer.flush()
    np.testing.assert_array_equal(RowStore(tmp_path, {}).rows(HASHES), ROWS)


def test_p1_a_slow_writer_writes_by_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(rowstore.time, "monotonic", lambda: now[0])
    writer = ShardWriter(RowStore(tmp_path, {}))
    writer.put(HASHES[:1], ROWS[:1])
    assert not list(tmp_path.rglob("*.safetensors"))
    now[0] = 6.0
    writer.put(HASHES[1:2], ROWS[1:2])
    assert RowStore(tmp_path, {}).missing(HASHES) == [2, 3, 4]
