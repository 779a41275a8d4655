"""One of each defect of the fault catalogue's groups F and L, planted in a clean set: each is found, by its code."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from xenograft import api
from xenograft.errors import XenograftError

_spec: Any = importlib.util.spec_from_file_location("reader_faults", Path(__file__).parent / "data/readers/faults.py")
faults: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(faults)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from xenograft.data.phantom import write_phantoms

    return write_phantoms(tmp_path_factory.mktemp("clean") / "phantom", count=160, size=64, seed=5)


@pytest.fixture
def data(clean: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(clean, tmp_path / "data"))


def audited(data: Path, tmp_path: Path, **settings: Any) -> Any:
    return api.audit(data, output=tmp_path / "audit", cache_dir=tmp_path / "cache", **settings).audit


def first(data: Path, split: str = "train") -> Path:
    """One image file of a split."""
    return min(path for path in (data / split).rglob("*.png"))


def picture(*, side: int = 64) -> Any:
    return faults.noise(height=side, width=side, seed=99)


def shape(mode: str) -> Image.Image:
    return Image.fromarray(picture()).convert(mode)


def turned() -> bytes:
    return bytes(faults.saved(picture(), "JPEG", exif=faults.exif(6)))


def tagged(tag: int, value: Any) -> bytes:
    entry = Image.Exif()
    entry[tag] = value
    return bytes(faults.saved(picture(), "JPEG", exif=entry.tobytes()))


SKIPPED: dict[str, tuple[str, Callable[[], bytes]]] = {
    "S-FILE-01": (".png", lambda: b""),
    "S-FILE-02": (".jpg", lambda: faults.cut(faults.jpeg(), 0.5)),
    "S-FILE-04": (".png", lambda: faults.TEXT),
    "S-FILE-09": (".png", lambda: faults.saved(picture(side=8), "PNG")),
    "S-FILE-10": (".png", lambda: faults.png_bomb(50_000)),
    "S-FILE-11": (".png", lambda: faults.png_bomb(13_000)),
    "S-FILE-13": (".tif", lambda: faults.tiff(np.full((64, 64), np.nan, np.float32))),
    "S-FILE-14": (".png", lambda: faults.EPS),
}

NOTED: dict[str, tuple[str, Callable[[], bytes]]] = {
    "W-FILE-03": (".png", lambda: faults.jpeg(picture())),
    "W-FILE-05": (".jpg", lambda: faults.saved(shape("CMYK"), "JPEG")),
    "W-FILE-07": (".png", lambda: faults.saved(shape("P"), "PNG")),
    "W-FILE-08": (".jpg", turned),
    "W-FILE-13": (".tif", lambda: faults.tiff(picture().astype(np.float32))),
    "W-FILE-20": (".png", lambda: faults.saved(np.full((64, 64), 7, np.uint8), "PNG")),
    "W-FILE-21": (".png", lambda: faults.saved(faults.noise(64, 64, channels=3), "PNG")),
    "W-FILE-22": (".jpg", lambda: tagged(0x8825, {1: "N", 2: (48.0, 8.0, 0.0)})),
    "W-FILE-23": (".jpg", lambda: tagged(0x013B, "Erika Mustermann")),
}


def test_a_clean_set_has_no_error_and_no_warning_about_files(data: Path, tmp_path: Path) -> None:
    audit = audited(data, tmp_path)
    assert audit.tally()["error"] == 0
    assert not [
        f for f in audit.findings if f.severity == "warning" and f.code.startswith(("A-QUAL", "A-PHI", "A-DUP"))
    ]
    assert audit.skipped == {}


def test_every_file_fault_is_skipped_or_noted_by_its_code(data: Path, tmp_path: Path) -> None:
    label = first(data).parent
    for number, (suffix, make) in enumerate([*SKIPPED.values(), *NOTED.values()]):
        (label / f"P9{number:03}_0{suffix}").write_bytes(make())
    os.mkfifo(label / "P9900_0.png")
    (tmp_path / "outside.png").write_bytes(faults.saved(picture(), "PNG"))
    (label / "P9901_0.png").symlink_to(tmp_path / "outside.png")
    (label / os.fsdecode(b"P9902_\xff.png")).write_bytes(faults.saved(picture(), "PNG"))
    audit = audited(data, tmp_path)
    assert audit.skipped == dict.fromkeys([*SKIPPED, "S-FILE-16", "S-FILE-17", "S-FILE-18"], 1)
    assert set(NOTED) <= {notice["code"] for notice in audit.notices}
    assert audit.listed == audit.images + len(audit.skipped)
    text = (tmp_path / "audit" / "audit.json").read_text(encoding="utf-8")
    assert "Mustermann" not in text + (tmp_path / "audit" / "index.html").read_text(encoding="utf-8")


def test_f6_a_16_bit_image_among_8_bit_ones_is_found(data: Path, tmp_path: Path) -> None:
    (first(data).parent / "P9000_0.png").write_bytes(faults.png(faults.noise(64, 64, dtype=np.uint16)))
    found = {
        f.code for f in audited(data, tmp_path).findings if f.severity in {"warning", "note"} and "depth" in f.title
    }
    assert len(found) == 1


def test_f12_an_animation_stops(data: Path, tmp_path: Path) -> None:
    (first(data).parent / "P9000_0.gif").write_bytes(faults.animated("GIF"))
    with pytest.raises(XenograftError, match="E-FILE-12"):
        audited(data, tmp_path)


def copied(data: Path, source: Path, target: str) -> None:
    (data / target).write_bytes(source.read_bytes())


def test_l14_l15_leaks_are_errors_here_and_refused_by_compare(data: Path, tmp_path: Path) -> None:
    source = first(data, "train")
    copied(data, source, f"test/{source.parent.name}/{source.name.replace('.png', '9.png')}")
    audit = audited(data, tmp_path)
    errors = {f.code: f for f in audit.findings if f.severity == "error"}
    assert {code.rsplit("-", 1)[0] for code in errors} == {"A-DUP", "A-SPLIT"}
    assert all(f.items for f in errors.values())
    with pytest.raises(XenograftError, match=r"E-LABEL-1[45]"):
        api.compare(data, output=tmp_path / "study", cache_dir=tmp_path / "cache", offline=True)


def test_one_picture_under_two_labels_is_found(data: Path, tmp_path: Path) -> None:
    source = first(data, "train")
    other = next(folder for folder in (data / "train").iterdir() if folder.is_dir() and folder != source.parent)
    copied(data, source, f"train/{other.name}/{source.name.replace('.png', '9.png')}")
    found = [f for f in audited(data, tmp_path).findings if f.code.startswith("A-DUP") and f.severity != "passed"]
    assert any("label" in f.title.lower() and f.count for f in found)


def test_l16_a_near_copy_across_splits_is_found(data: Path, tmp_path: Path) -> None:
    source = first(data, "train")
    with Image.open(source) as image:
        smaller = image.convert("L").resize((60, 60))
    label = data / "test" / source.parent.name
    smaller.save(label / "P9000_0.png")
    found = [f for f in audited(data, tmp_path).findings if f.code.startswith("A-DUP") and f.severity == "warning"]
    pair = {source.relative_to(data).as_posix(), (label / "P9000_0.png").relative_to(data).as_posix()}
    assert any(pair <= set(item) for f in found for item in f.items)


def table(data: Path, rows: list[str], *, head: str = "path,label,split,patient", encoding: str = "utf-8") -> Path:
    path = data / "labels.csv"
    path.write_bytes("\n".join([head, *rows, ""]).encode(encoding))
    return path


def rows_of(data: Path) -> list[str]:
    found = []
    for path in sorted(data.rglob("*.png")):
        split, label, name = path.relative_to(data).parts
        found.append(f"{split}/{label}/{name},{label},{split},{name.split('_')[0]}")
    return found


def with_row(row: str) -> Callable[[list[str]], list[str]]:
    return lambda rows: [*rows, row]


STOPS: dict[str, Callable[[list[str]], list[str]]] = {
    "E-LABEL-03": lambda rows: [*rows, rows[0].rsplit(",", 3)[0] + ",other,train,P1"],
    "E-LABEL-04": with_row("../x.png,a,train,P1"),
    "E-LABEL-10": lambda rows: [",".join([row.split(",")[0], "same", *row.split(",")[2:]]) for row in rows],
    "E-LABEL-20": lambda rows: [
        *rows[:-1],
        rows[-1].replace(",test,", ",elsewhere,").replace(",train,", ",elsewhere,"),
    ],
}


@pytest.mark.parametrize("code", STOPS)
def test_table_faults_stop_with_their_code(code: str, data: Path, tmp_path: Path) -> None:
    with pytest.raises(XenograftError, match=code):
        audited(table(data, STOPS[code](rows_of(data))), tmp_path)


def test_l7_another_delimiter_stops(data: Path, tmp_path: Path) -> None:
    rows = [row.replace(",", ";") for row in rows_of(data)]
    with pytest.raises(XenograftError, match="E-LABEL-07"):
        audited(table(data, rows, head="path;label;split;patient"), tmp_path)


def test_l6_a_table_that_is_not_utf8_stops(data: Path, tmp_path: Path) -> None:
    with pytest.raises(XenograftError, match="E-LABEL-06"):
        audited(table(data, [*rows_of(data), "é.png,a,train,P1"], encoding="latin-1"), tmp_path)


NOTICED: dict[str, Callable[[list[str]], list[str]]] = {
    "S-LABEL-01": lambda rows: [",".join([rows[0].split(",")[0], "", *rows[0].split(",")[2:]]), *rows[1:]],
    "S-LABEL-02": with_row("train/nowhere/none.png,{label},train,P1"),
    "W-LABEL-03": lambda rows: [*rows, rows[0]],
    "W-LABEL-08": lambda rows: [
        rows[0].replace(f",{rows[0].split(',')[1]},", f",{rows[0].split(',')[1].upper()} ,"),
        *rows[1:],
    ],
}


@pytest.mark.parametrize("code", NOTICED)
def test_table_oddities_are_counted_by_their_code(code: str, data: Path, tmp_path: Path) -> None:
    rows = rows_of(data)
    label = rows[0].split(",")[1]
    audit = audited(table(data, [row.replace("{label}", label) for row in NOTICED[code](rows)]), tmp_path)
    assert code in {*audit.skipped, *(notice["code"] for notice in audit.notices)}


def test_l12_a_class_missing_from_test_stops(data: Path, tmp_path: Path) -> None:
    label = next(folder for folder in sorted((data / "test").iterdir()) if folder.is_dir())
    for path in label.iterdir():
        path.unlink()
    with pytest.raises(XenograftError, match=r"E-LABEL-1[12]"):
        audited(data, tmp_path)
