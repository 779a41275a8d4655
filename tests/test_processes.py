"""Faults of processes and disks (docs/faults.md): real processes, a real engine, real file systems."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from numpy.typing import NDArray

from xenograft import caching
from xenograft.data import prepared
from xenograft.data.augment import NONE, PAPER
from xenograft.data.batches import PixelSource
from xenograft.data.ingest import ingest
from xenograft.data.manifest import Manifest
from xenograft.data.preprocess import Preprocess
from xenograft.features import extract
from xenograft.features.engine import choose_engine, has_bf16
from xenograft.features.extract import Extractor, FrozenBackbone
from xenograft.rowstore import ShardWriter
from xenograft.storage import sha256_of

from .process_driver import SHARD, SIDE, Driver, make_extractor, write_network

IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
YEARS = 10 * 365 * 86400.0

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals and file systems as Linux has them")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_network(tmp_path_factory.mktemp("network") / "made.onnx")


@pytest.fixture(scope="module")
def data(phantom_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The phantoms with a validation split, so that no process has to load what splits by patient."""
    folder = tmp_path_factory.mktemp("split") / "data"
    made = ingest(phantom_folder)
    for row in made.rows():
        target = folder / row.split / row.label / Path(row.path).name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(made.root / row.path, target)
    return folder


@pytest.fixture(scope="module")
def manifest(data: Path) -> Manifest:
    return ingest(data)


@pytest.fixture(scope="module")
def right(network: Path, manifest: Manifest) -> NDArray[np.float32]:
    """The features as one uninterrupted process without any cache computes them."""
    return make_extractor(network, None, threads=1).features(manifest)


@pytest.fixture
def driver(data: Path, network: Path, tmp_path: Path) -> Driver:
    return Driver(data, network, tmp_path)


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ShardWriter, "ROWS", SHARD)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not IS_ROOT or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], check=False).returncode:
        pytest.skip("only root, where mounting is allowed, can make a small disk")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def until(happened: Callable[[], bool], *, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.005)


def shards(cache: Path) -> list[Path]:
    return sorted(cache.glob("*/*.safetensors"))


def kept_rows(cache: Path) -> int:
    return sum(entry.images for entry in caching.inventory(cache.parent))


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def codes(tool: Extractor) -> list[str]:
    return [notice.code for notice in tool.notices]


def test_p1_p4_p7_kills_at_random_points_lose_at_most_a_batch_each(
    driver: Driver, tmp_path: Path, manifest: Manifest, right: NDArray[np.float32]
) -> None:
    cache = tmp_path / "c" / "features"
    rng = random.Random(2)
    embedded = kills = 0
    for _ in range(4):
        process = driver.start(cache, delay=0.15)
        before = len(shards(cache))
        until(lambda: len(shards(cache)) > before or process.poll() is not None)  # noqa: B023
        time.sleep(rng.uniform(0.0, 0.3))
        process.send_signal(signal.SIGKILL)
        killed = driver.end(process)
        kills += killed.code == -signal.SIGKILL
        embedded += killed.embedded
        assert all(row.damaged == 0 for row in caching.verify(tmp_path / "c"))  # P4: absent or valid
        assert killed.said == []  # P7: the dead process's lock is free
    assert kills >= 2  # a machine that is very busy may let one finish
    last = driver.run(cache)
    np.testing.assert_array_equal(last.features(), right)
    distinct = len(set(manifest.column("sha256")))
    assert last.embedded < distinct
    # a batch that was computed but not yet written, and one whose shard was being written
    assert distinct <= embedded + last.embedded <= distinct + kills * 2 * SHARD
    assert driver.run(cache).embedded == 0


def test_p5_a_full_disk_keeps_what_was_written_and_the_rerun_goes_on(
    driver: Driver, small_disk: Path, manifest: Manifest, right: NDArray[np.float32]
) -> None:
    cache, ballast = small_disk / "features", small_disk / "ballast"
    ballast.write_bytes(b"x" * (shutil.disk_usage(small_disk).free - 11 * 4096))
    full = driver.run(cache)
    assert full.code == 2
    assert full.error.startswith("E-PROC-05 cannot write ")
    assert "No space left on device" in full.error
    assert "bytes are needed)" in full.error
    assert len(full.error.splitlines()) == 1
    kept = kept_rows(cache)
    assert 0 < kept < len(manifest)
    assert all(row.damaged == 0 for row in caching.verify(small_disk))
    assert not list(cache.rglob("*.tmp"))
    ballast.unlink()
    again = driver.run(cache)
    np.testing.assert_array_equal(again.features(), right)
    assert again.embedded == len(set(manifest.column("sha256"))) - kept


@pytest.mark.usefixtures("small_shards")
def test_p5_a_full_disk_ends_the_caching_of_pixels_not_the_work(
    small_disk: Path, network: Path, manifest: Manifest, right: NDArray[np.float32]
) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * (shutil.disk_usage(small_disk).free - 11 * 4096))
    tool = make_extractor(network, None, pixels=small_disk / "pixels")
    np.testing.assert_array_equal(tool.features(manifest), right)
    assert codes(tool) == ["W-PROC-08"]
    assert not list(small_disk.rglob("*.tmp"))
    ballast.unlink()
    again = make_extractor(network, None, pixels=small_disk / "pixels")
    np.testing.assert_array_equal(again.features(manifest), right)
    assert 0 < again.pixels.decoded < tool.pixels.decoded


def test_p6_two_processes_on_one_cache_share_the_work(
    driver: Driver, tmp_path: Path, manifest: Manifest, right: NDArray[np.float32]
) -> None:
    cache, pixels = tmp_path / "c" / "features", str(tmp_path / "c" / "pixels")
    gate = tmp_path / "gate"
    first = driver.start(cache, pixels=pixels, gate=str(gate))  # works on when the second waits, however slow both are
    until(lambda: bool(list(cache.glob("*/.holder"))))
    second = driver.start(cache, pixels=pixels)
    until(lambda: "waiting for it" in driver.said(second))
    gate.touch()
    one, two = driver.end(first), driver.end(second)
    assert one.said == []
    assert len(two.said) == 1
    assert two.said[0].startswith(f"process {first.pid} on ")
    for ended in (one, two):
        np.testing.assert_array_equal(ended.features(), right)
    assert one.out.read_bytes() == two.out.read_bytes()
    assert one.embedded + two.embedded == len(set(manifest.column("sha256")))


def test_p7_a_killed_holder_leaves_the_lock_free(driver: Driver, tmp_path: Path) -> None:
    cache = tmp_path / "c" / "features"
    holder = driver.start(cache, gate=str(tmp_path / "never"))
    until(lambda: "embedded" in driver.said(holder))
    (lock,) = cache.glob("*/.lock")
    (entry,) = caching.clear(tmp_path / "c").in_use
    assert entry.path == lock.parent  # a cache that is being filled is not emptied
    assert entry.path.is_dir()
    holder.kill()
    holder.wait()
    with FileLock(str(lock), timeout=0):
        pass
    assert driver.run(cache).said == []


@pytest.mark.usefixtures("small_shards")
def test_p8_a_read_only_file_system_is_read_and_the_rest_stays_in_memory(
    small_disk: Path, network: Path, manifest: Manifest, right: NDArray[np.float32]
) -> None:
    train = manifest.subset("train")
    known = make_extractor(network, small_disk / "features", pixels=small_disk / "pixels")
    known.features(train)
    before = {path: path.stat().st_mtime_ns for path in small_disk.rglob("*")}
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    tool = make_extractor(network, small_disk / "features", pixels=small_disk / "pixels")
    np.testing.assert_array_equal(tool.features(manifest), right)
    assert "W-PROC-08" in codes(tool)
    assert tool.embedded == len(set(manifest.column("sha256"))) - known.embedded
    assert {path: path.stat().st_mtime_ns for path in small_disk.rglob("*")} == before
    assert caching.trim(small_disk, 0) == 0


def test_p8_a_folder_without_permission_to_write(
    driver: Driver, tmp_path: Path, network: Path, manifest: Manifest, right: NDArray[np.float32]
) -> None:
    """The owner of a folder that is closed to writing may still touch the files in it."""
    cache = tmp_path / "c" / "features"
    make_extractor(network, cache).features(manifest.subset("train"))
    (key,) = cache.iterdir()
    for held in ("lock there", "lock gone"):
        (key / ".lock").unlink(missing_ok=held == "lock there")
        if held == "lock there":
            (key / ".lock").touch()
        key.chmod(0o555)
        ended = driver.run(cache, before=_without_override())
        key.chmod(0o755)
        np.testing.assert_array_equal(ended.features(), right)
        assert ended.last["notices"] == ["W-PROC-08"]


def _without_override() -> tuple[str, ...]:
    """What makes permissions bind for root as well."""
    if not IS_ROOT:
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("permissions do not bind for root, and setpriv is not here to give the privilege up")
    return ("setpriv", "--bounding-set=-dac_override,-dac_read_search")


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("kind", ["features", "pixels"])
@pytest.mark.parametrize("at", [3, 60, -1], ids=["length", "header", "last byte"])
def test_p9_a_flipped_byte_is_found_and_computed_again(
    tmp_path: Path, network: Path, manifest: Manifest, right: NDArray[np.float32], kind: str, at: int
) -> None:
    features, pixels = tmp_path / "features", tmp_path / "pixels"
    make_extractor(network, features, pixels=pixels).features(manifest)
    flip(shards(tmp_path / kind)[2], at)
    if kind == "pixels":
        shutil.rmtree(features)  # else nobody would look at the pixels
    tool = make_extractor(network, features, pixels=pixels)
    np.testing.assert_array_equal(tool.features(manifest), right)
    assert codes(tool) == ["W-PROC-09"]
    assert (tool.embedded if kind == "features" else tool.pixels.decoded) == SHARD
    assert {e.kind: e.damaged for e in caching.inventory(tmp_path)}[kind] == 1
    mended = make_extractor(network, features, pixels=pixels)
    np.testing.assert_array_equal(mended.features(manifest), right)
    assert (mended.embedded, mended.pixels.decoded, codes(mended)) == (0, 0, [])


def test_p10_whatever_features_depend_on_changes_the_key(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def key(tool: Extractor, **view: Any) -> str:
        return sha256_of(tool.facts(view.get("augment", NONE), view.get("view", 0), view.get("seed", 0)))

    tool = make_extractor(network, None)
    backbone = tool.backbone
    others = [replace(tool, backbone=replace(backbone, weights="other")),
              replace(tool, backbone=replace(backbone, name="other"))]  # fmt: skip
    changes = ({"size": 48}, {"mean": (0.4, 0.5, 0.5)}, {"std": (0.4, 0.5, 0.5)}, {"fit": "pad"}, {"channels": 3},
               {"window": (0.0, 200.0)})  # fmt: skip
    others += [replace(tool, backbone=replace(backbone, preprocess=Preprocess(**{"size": SIDE} | c))) for c in changes]
    others += [replace(tool, engine=replace(tool.engine, precision="bf16")),
               replace(tool, engine=replace(tool.engine, version="0")),
               replace(tool, engine=choose_engine("torch", "f32"))]  # fmt: skip
    found = [key(tool), *map(key, others)]
    found += [key(tool, augment=PAPER, view=v, seed=s) for v, s in ((0, 0), (1, 0), (0, 1))]
    for module in (extract, prepared):
        monkeypatch.setattr(module, "version", lambda name: f"another {name}")
        found.append(key(tool))
    assert len(set(found)) == len(found)
    monkeypatch.undo()
    assert key(replace(tool, engine=choose_engine("openvino", "f32", threads=1))) == found[0]


def test_p10_one_changed_image_byte_embeds_that_image_again(tmp_path: Path, data: Path, network: Path) -> None:
    mine = tmp_path / "data"
    shutil.copytree(data, mine)
    make_extractor(network, tmp_path / "features", pixels=tmp_path / "pixels").features(ingest(mine))
    picture = next(iter(sorted(mine.rglob("*.png"))))
    picture.write_bytes(picture.read_bytes() + b"\x00")
    tool = make_extractor(network, tmp_path / "features", pixels=tmp_path / "pixels")
    tool.features(ingest(mine))
    assert (tool.embedded, tool.pixels.decoded) == (1, 1)


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("years", [-YEARS, YEARS], ids=["past", "future"])
def test_p14_the_clock_does_not_matter(
    tmp_path: Path, network: Path, manifest: Manifest, right: NDArray[np.float32], years: float
) -> None:
    features, pixels = tmp_path / "features", tmp_path / "pixels"
    known = make_extractor(network, features, pixels=pixels)
    known.features(manifest.subset("train"))
    for path in [*tmp_path.rglob("*")]:
        os.utime(path, (time.time() + years,) * 2)
    tool = make_extractor(network, features, pixels=pixels)
    np.testing.assert_array_equal(tool.features(manifest), right)
    assert tool.embedded == len(set(manifest.column("sha256"))) - known.embedded
    for path in [*tmp_path.rglob("*")]:
        os.utime(path, (time.time() + years,) * 2)
    again = make_extractor(network, features, pixels=pixels)
    np.testing.assert_array_equal(again.features(manifest), right)
    assert (again.embedded, again.pixels.decoded, codes(again)) == (0, 0, [])


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_caches_and_threads_change_no_bit(tmp_path: Path, manifest: Manifest, precision: str) -> None:
    if precision == "bf16" and not has_bf16("cpu"):
        pytest.skip("this processor does not multiply bf16")
    alone, first = (
        _squeezenet_extractor(None, precision, threads=1),
        _squeezenet_extractor(tmp_path, precision, threads=2),
    )
    second, third = (_squeezenet_extractor(tmp_path, precision, threads=threads) for threads in (1, 4))
    third._built = alone._built = alone.engine.build(alone.backbone.graph())  # compiling is most of this test's time
    some = manifest.subset("test")
    for view in ({}, {"augment": PAPER, "view": 3}):
        uncached, filled, cached = (tool.features(some, **view) for tool in (alone, first, second))
        shutil.rmtree(tmp_path / "features")
        for other in (filled, cached, third.features(some, **view)):
            np.testing.assert_array_equal(other, uncached)
    assert first.embedded == third.embedded > second.embedded == 0
    assert first.pixels.decoded > second.pixels.decoded == third.pixels.decoded == 0


def _squeezenet_extractor(cache: Path | None, precision: str, *, threads: int) -> Extractor:
    frozen = FrozenBackbone("squeezenet1_1", "random:0", Preprocess(size=64), _squeezenet)
    pixels = PixelSource(frozen.preprocess, cache=cache and cache / "pixels", threads=threads)
    engine = choose_engine("openvino", precision, threads=threads)
    return Extractor(frozen, engine, pixels, cache=cache and cache / "features")


def _squeezenet() -> Any:
    from xenograft.backbones import build, catalog
    from xenograft.backbones.graph import PixelGraph

    return PixelGraph(build.build(catalog.lookup("squeezenet1_1"), tensors=None, seed=0), Preprocess(size=64)).eval()
