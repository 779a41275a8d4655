import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from xenograft.data.importers import unpacked as module
from xenograft.data.importers.unpacked import MARK, counting, png, unpacked, write_pictures
from xenograft.data.readers import decode_picture
from xenograft.errors import ProcessError

RULE = {"source": "abc", "how": "test"}


def fill(folder, count=3):
    pixels = np.arange(count * 400, dtype=np.uint16).reshape(count, 20, 20)
    write_pictures(folder, ((f"train/{k}.png", pixels[k]) for k in range(count)))
    return {"count": count}


def never(folder):
    raise AssertionError("it was converted again")


def files(root):
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


@pytest.mark.parametrize("shape", [(7, 20), (7, 20, 3), (1, 1), (300, 2)], ids=str)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_png_is_lossless(shape, dtype):
    pixels = np.random.default_rng(1).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)
    for given in (pixels, np.asfortranarray(pixels), pixels[::-1]):
        found = decode_picture(png(given), min_side=1).pixels
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, given)


def test_made_once_and_found_again(tmp_path):
    made = unpacked(tmp_path, RULE, fill)
    assert sorted(files(made.root)) == ["train/0.png", "train/1.png", "train/2.png", MARK]
    assert made.root.parent == tmp_path / "unpacked"
    assert len(made.root.name) == 40
    again = unpacked(tmp_path, RULE, never)
    assert (again.root, again.facts) == (made.root, {"count": 3})
    assert unpacked(tmp_path, RULE | {"how": "other"}, fill).root != made.root
    assert sorted(p.name[0] for p in made.root.parent.iterdir() if p.name.startswith(".")) == []


def _no_mark(root):
    (root / MARK).unlink()


def _lost(root):
    (root / "train/1.png").unlink()


def _cut(root):
    (root / "train/1.png").write_bytes(b"")


def _more(root):
    (root / "train/9.png").write_bytes(b"x")


def _not_json(root):
    (root / MARK).write_text("{", encoding="utf-8")


def _list(root):
    (root / MARK).write_text("[1]", encoding="utf-8")


def _other_format(root):
    mark = json.loads((root / MARK).read_text(encoding="utf-8"))
    (root / MARK).write_text(json.dumps(mark | {"format": 0}), encoding="utf-8")


def _other_key(root):
    mark = json.loads((root / MARK).read_text(encoding="utf-8"))
    (root / MARK).write_text(json.dumps(mark | {"key": "0" * 40}), encoding="utf-8")


def _a_file(root):
    root.rename(root.with_name("moved"))
    root.write_text("no folder", encoding="utf-8")


@pytest.mark.parametrize(
    "spoil",
    [_no_mark, _lost, _cut, _more, _not_json, _list, _other_format, _other_key, _a_file],
    ids=lambda f: f.__name__,
)
def test_an_incomplete_or_foreign_folder_is_made_anew(tmp_path, spoil):
    made = unpacked(tmp_path, RULE, fill)
    whole = files(made.root)
    spoil(made.root)
    unpacked(tmp_path, RULE, fill)
    assert files(made.root) == whole
    assert not list(made.root.parent.glob(".*"))


def test_of_two_processes_the_later_takes_the_earlier_ones(tmp_path):
    stamps = []

    def overtaken(folder):
        other = unpacked(tmp_path, RULE, fill)
        stamps.append((other.root / MARK).stat().st_mtime_ns)
        fill(folder, 1)
        return "mine"

    made = unpacked(tmp_path, RULE, overtaken)
    assert made.facts == {"count": 3}
    assert (made.root / MARK).stat().st_mtime_ns == stamps[0]
    assert not list(made.root.parent.glob(".*"))


def test_an_error_leaves_nothing(tmp_path):
    def failing(folder):
        fill(folder)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        unpacked(tmp_path, RULE, failing)
    assert list((tmp_path / "unpacked").iterdir()) == []


def test_p5_a_full_disk(tmp_path, monkeypatch):
    def full(pixels):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(module, "png", full)
        with pytest.raises(ProcessError, match="No space left on device; free space") as caught:
            unpacked(tmp_path, RULE, fill)
    assert caught.value.code == "E-PROC-05"
    assert list((tmp_path / "unpacked").iterdir()) == []
    assert unpacked(tmp_path, RULE, fill).facts == {"count": 3}


def test_p5_a_disk_that_is_full_from_the_start(tmp_path, monkeypatch):
    def full(*, dir, prefix):  # noqa: A002 - its name
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module.tempfile, "mkdtemp", full)
    with pytest.raises(ProcessError, match="No space left") as caught:
        unpacked(tmp_path, RULE, fill)
    assert caught.value.code == "E-PROC-05"


def test_a_folder_in_the_way_that_stays(tmp_path, monkeypatch):
    made = unpacked(tmp_path, RULE, fill)
    _no_mark(made.root)
    monkeypatch.setattr(module, "_set_aside", lambda target: None)
    with pytest.raises(ProcessError, match="cannot write converted images") as caught:
        unpacked(tmp_path, RULE, fill)
    assert caught.value.code == "E-PROC-05"
    assert [path.name for path in made.root.parent.iterdir()] == [made.root.name]


def test_no_place_for_temporary_files(tmp_path, monkeypatch):
    def refuse(*, prefix, dir=None):  # noqa: A002 - its name
        raise PermissionError(errno.EACCES, "Permission denied")

    module._own.cache_clear()
    monkeypatch.setattr(module.tempfile, "mkdtemp", refuse)
    for cache in (None, tmp_path):
        with pytest.raises(ProcessError, match="Permission denied") as caught:
            unpacked(cache, RULE, fill)
        assert caught.value.code == "E-PROC-05"


def test_p8_a_cache_that_cannot_be_written(tmp_path):
    (tmp_path / "taken").write_text("a file where the cache should be", encoding="utf-8")
    made = unpacked(tmp_path / "taken" / "cache", RULE, fill)
    (notice,) = made.notices
    assert notice.code == "W-PROC-08"
    assert len(files(made.root)) == 4
    assert not made.root.is_relative_to(tmp_path)


def test_without_a_cache_the_folder_goes_with_the_process(tmp_path):
    script = (
        "import sys; from pathlib import Path; from xenograft.data.importers.unpacked import unpacked\n"
        "made = unpacked(None, {'source': 'x'}, lambda f: (f / 'a').write_bytes(b'1'))\n"
        "again = unpacked(None, {'source': 'x'}, lambda f: 1 / 0)\n"
        "print(made.root, (again.root / 'a').read_bytes() == b'1')"
    )
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    place, sound = run.stdout.split()
    assert sound == "True"
    assert Path(place).is_relative_to(tmp_path)
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, signal, sys
from pathlib import Path
import numpy as np
from xenograft.data.importers import unpacked as module

def die(*given, **options):
    os.kill(os.getpid(), signal.SIGKILL)

def fill(folder):
    module.write_pictures(folder, pictures())
    return {"count": 3}

def pictures():
    for k in range(3):
        if sys.argv[2] == str(k):
            die()
        yield f"train/{k}.png", np.arange(k * 400, k * 400 + 400, dtype=np.uint16).reshape(20, 20)

if sys.argv[2] == "mark":
    module.write_json = die
if sys.argv[2] == "rename":
    module.Path.rename = die
module.unpacked(Path(sys.argv[1]), {"source": "abc", "how": "test"}, fill)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
@pytest.mark.parametrize("when", ["0", "2", "mark", "rename"])
def test_a_kill_at_any_point_leaves_nothing_that_is_taken_for_whole(tmp_path, when):
    run = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), when], check=False)
    assert run.returncode == -signal.SIGKILL
    (left,) = (tmp_path / "unpacked").iterdir()
    assert left.name.startswith(".making-")
    made = unpacked(tmp_path, RULE, fill)
    clean = unpacked(tmp_path / "other", RULE, fill)
    assert files(made.root) == files(clean.root)
    assert left.exists()  # it may be another process at work
    old = time.time() - 2 * 86_400
    os.utime(left, (old, old))
    unpacked(tmp_path, RULE | {"how": "next"}, fill)
    assert not left.exists()


@pytest.mark.parametrize("side", [20, 300])
def test_progress_ends_with_all_of_them(tmp_path, side):
    told = []
    pictures = ((f"{k}.png", np.full((side, side), k, np.uint16)) for k in range(60))
    count = write_pictures(tmp_path, pictures, written=counting(lambda *of: told.append(of), 60))
    assert count == 60
    assert told[-1] == (60, 60)
    assert told == sorted(told)
    assert (len(told) > 1) == (side == 300)  # now and then, not for every small picture
