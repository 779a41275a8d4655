"""Many files read by processes of their own: the same as by threads, whatever happens to the processes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest

from xenograft.data import decoding
from xenograft.data.batches import PixelSource
from xenograft.data.inspect import inspect
from xenograft.data.prepared import pixel_facts
from xenograft.data.preprocess import Preprocess
from xenograft.errors import FileError
from xenograft.rowstore import RowStore

SMALL = Preprocess(size=24)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """60 readable images and two that are not."""
    folder = tmp_path / "data"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(60):
        assert cv2.imwrite(str(folder / f"{number:02}.png"), rng.integers(0, 256, (30, 40), dtype=np.uint8))
    (folder / "07.png").write_bytes(b"")
    (folder / "31.png").write_bytes(b"no image")
    return folder


@pytest.fixture
def paths(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())


@pytest.fixture
def _processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "WORTH_PROCESSES", 10)


def _children() -> list[psutil.Process]:
    """Processes that read: the tracker of loky's semaphores stays."""
    return [p for p in psutil.Process().children() if "resource_tracker" not in " ".join(p.cmdline())]


@pytest.mark.usefixtures("_processes")
def test_processes_find_and_keep_what_threads_do(root: Path, paths: list[str], tmp_path: Path) -> None:
    asked, done, together = [], [], PixelSource(SMALL, cache=tmp_path / "apart")
    apart = inspect(
        root,
        paths,
        threads=2,
        keepers=[together],
        meanwhile=lambda: asked.append(len(_children())),
        progress=lambda *seen: done.append(seen),
    )
    assert asked == [2], "two processes were at work while the caller was free"
    assert not _children()
    assert done[-1] == (60, 60)
    alone = PixelSource(SMALL)
    here = inspect(root, paths, threads=1, keepers=[alone])
    assert apart == here
    assert list(apart[0]) == list(here[0])
    assert [skip.code for skip in apart[1]] == ["S-FILE-01", "S-FILE-04"]
    assert together.written == 58 * 24 * 24
    kept = RowStore(tmp_path / "apart", pixel_facts(SMALL))
    assert not kept.missing([facts.sha256 for facts in apart[0].values()])


def test_few_files_start_no_process(root: Path, paths: list[str]) -> None:
    inspect(root, paths, threads=2, meanwhile=lambda: pytest.fail("nobody waits"))


@pytest.mark.usefixtures("_processes")
def test_a_second_pass_has_nothing_to_decode(root: Path, paths: list[str], tmp_path: Path) -> None:
    good = [path for path in paths if path not in {"07.png", "31.png"}]
    first = inspect(root, good, threads=2, cache=tmp_path / "cache")
    again = inspect(root, good, threads=2, cache=tmp_path / "cache", meanwhile=lambda: pytest.fail("decoded again"))
    assert again == first


@pytest.mark.usefixtures("_processes")
def test_killed_processes_cost_time_only(root: Path, paths: list[str], tmp_path: Path) -> None:
    def kill() -> None:
        for process in _children():
            process.kill()

    source = PixelSource(SMALL, cache=tmp_path / "pixels")
    assert inspect(root, paths, threads=2, keepers=[source], meanwhile=kill) == inspect(root, paths, threads=1)
    assert not _children()


@pytest.mark.usefixtures("_processes")
def test_an_error_meanwhile_leaves_no_process(root: Path, paths: list[str]) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        inspect(root, paths, threads=2, meanwhile=stop)
    assert not _children()


@pytest.mark.usefixtures("_processes")
def test_processes_share_the_limit_of_the_cache(root: Path, paths: list[str], tmp_path: Path) -> None:
    source = PixelSource(SMALL, cache=tmp_path / "pixels", limit=20 * 24 * 24)
    inspect(root, paths, threads=2, keepers=[source])
    assert [notice.code for notice in source.notices] == ["W-PROC-12"], "said once, not once per process"
    assert 0 < len(list((tmp_path / "pixels").rglob("*.safetensors"))) <= 4


def test_an_error_comes_whole_out_of_another_process() -> None:
    import pickle

    error = pickle.loads(pickle.dumps(FileError("is empty", code="S-FILE-01")))
    assert (type(error), str(error), error.code) == (FileError, "S-FILE-01 is empty", "S-FILE-01")
