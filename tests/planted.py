"""Every defect of the fault catalogue's groups F, D and L, and how each is met. Run it to see: python tests/planted.py

What can be skipped or noted is planted into one data set together; what stops, or is a source of another kind, alone.
"""

from __future__ import annotations

import gzip
import importlib.util
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def _module(name: str, path: str) -> Any:
    spec: Any = importlib.util.spec_from_file_location(name, Path(__file__).parent / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


faults = _module("planted_faults", "data/readers/faults.py")
dicom = _module("planted_dicom", "data/readers/dicom_files.py")

Bytes = Callable[[], bytes]
Plant = Callable[[Path], Path]


@dataclass(frozen=True, slots=True)
class Placed:
    """A file that can lie among sound ones; its `code` is among the skipped or the notices."""

    name: str
    what: str
    code: str
    suffix: str
    content: Bytes


@dataclass(frozen=True, slots=True)
class Alone:
    """A defect that needs a data set of its own.

    Args:
        code: in the error, in a notice, among the skipped, or of a finding that is not passed; "" where all is well.
        plant: changes a copy of the clean set, or makes another source beside it; returns DATA.
        verb: ``audit``, or ``compare`` for what it refuses.
    """

    name: str
    what: str
    code: str
    plant: Plant
    verb: str = "audit"


def picture(seed: int = 99, side: int = 64) -> Any:
    return faults.noise(height=side, width=side, seed=seed)


def _png(pixels: Any) -> bytes:
    return bytes(faults.saved(pixels, "PNG"))


def _exif(tag: int, value: Any) -> bytes:
    entry = Image.Exif()
    entry[tag] = value
    return bytes(faults.saved(picture(21), "JPEG", exif=entry.tobytes()))


def _deep(seed: int) -> Any:
    return faults.noise(64, 64, dtype=np.uint16, seed=seed) >> 4


def _dicom(seed: int, **tags: Any) -> Bytes:
    """12 bits, a patient and a window, so that a defect is the only thing to say."""
    given = {"PatientID": f"Q-{seed}", "WindowCenter": 2048, "WindowWidth": 4096, **tags}
    given = {name: value for name, value in given.items() if value is not None or name in {"PixelData", "PatientID"}}
    return lambda: bytes(dicom.made(_deep(seed), bits=12, **given))


def _palette() -> bytes:
    luts = {f"{c}PaletteColorLookupTableDescriptor": [256, 0, 16] for c in ("Red", "Green", "Blue")}
    data = {
        f"{c}PaletteColorLookupTableData": np.roll(np.arange(256, dtype="<u2") * 257, shift).tobytes()
        for c, shift in (("Red", 0), ("Green", 40), ("Blue", 80))
    }
    pixels = faults.noise(64, 64, seed=31)
    return bytes(dicom.made(pixels, photometric="PALETTE COLOR", PatientID="Q-31", **luts, **data))


PLACED: tuple[Placed, ...] = (
    Placed("F1", "zero bytes", "S-FILE-01", ".png", lambda: b""),
    Placed("F2", "JPEG cut at 50 %", "S-FILE-02", ".jpg", lambda: faults.cut(faults.jpeg(), 0.5)),
    Placed(
        "F2", "JPEG cut at 99 %", "S-FILE-02", ".jpg", lambda: faults.cut(faults.jpeg(faults.smooth(256, 256)), 0.99)
    ),
    Placed("F3", "JPEG named .png", "W-FILE-03", ".png", lambda: faults.jpeg(picture(1))),
    Placed("F4", "text named .png", "S-FILE-04", ".png", lambda: faults.TEXT),
    Placed(
        "F5", "CMYK JPEG", "W-FILE-05", ".jpg",
        lambda: faults.saved(Image.fromarray(picture(2)).convert("CMYK"), "JPEG"),
    ),
    Placed(
        "F7", "palette", "W-FILE-07", ".png", lambda: faults.saved(Image.fromarray(picture(3)).convert("P"), "PNG")
    ),
    Placed("F8", "EXIF rotation", "W-FILE-08", ".jpg", lambda: faults.saved(picture(4), "JPEG", exif=faults.exif(6))),
    Placed("F9", "below the smallest side", "S-FILE-09", ".png", lambda: _png(picture(5, side=8))),
    Placed("F10", "50k x 50k in little", "S-FILE-10", ".png", lambda: faults.png_bomb(50_000)),
    Placed("F11", "13k x 13k in little", "S-FILE-11", ".png", lambda: faults.png_bomb(13_000)),
    Placed(
        "F13", "NaN in a float TIFF", "S-FILE-13", ".tif", lambda: faults.tiff(np.full((64, 64), np.nan, np.float32))
    ),
    Placed("F14", "EPS", "S-FILE-14", ".png", lambda: faults.EPS),
    Placed("F20", "constant", "W-FILE-20", ".png", lambda: _png(np.full((64, 64), 7, np.uint8))),
    Placed("-", "colour", "W-FILE-21", ".png", lambda: _png(faults.noise(64, 64, channels=3, seed=6))),
    Placed("-", "EXIF with GPS", "W-FILE-22", ".jpg", lambda: _exif(0x8825, {1: "N", 2: (48.0, 8.0, 0.0)})),
    Placed("-", "EXIF with a name", "W-FILE-23", ".jpg", lambda: _exif(0x013B, "Erika Mustermann")),
    Placed("D1", "no preamble", "S-DICOM-01", ".dcm", lambda: _dicom(32)()[132:]),
    Placed("D2", "no pixel data", "S-DICOM-02", ".dcm", _dicom(33, PixelData=None)),
    Placed("D3", "MONOCHROME1", "W-DICOM-03", ".dcm", _dicom(34, PhotometricInterpretation="MONOCHROME1")),
    Placed("D6", "rows x columns are other than the bytes", "S-DICOM-06", ".dcm", _dicom(35, Rows=65)),
    Placed("D7", "65,535 rows with tiny data", "S-DICOM-07", ".dcm", _dicom(36, Rows=65535, Columns=1000)),
    Placed("D8", "no window", "W-DICOM-14", ".dcm", _dicom(37, WindowCenter=None, WindowWidth=None)),
    Placed("D8", "several windows", "W-DICOM-08", ".dcm", _dicom(38, WindowCenter=[2048, 9], WindowWidth=[4096, 8])),
    Placed("D10", "palette", "W-DICOM-10", ".dcm", _palette),
    Placed("D11", "no PatientID", "W-DICOM-11", ".dcm", _dicom(39, PatientID=None)),
    Placed("D13", "burned-in text", "W-DICOM-13", ".dcm", _dicom(40, BurnedInAnnotation="YES")),
)  # fmt: skip


def plant_together(data: Path) -> dict[str, int]:
    """All of `PLACED`, and what no file holds (a pipe, links, names), into one class; returns code -> how many."""
    label = first(data).parent
    expected: dict[str, int] = {}
    for number, defect in enumerate(PLACED):
        (label / f"P9{number:03}_0{defect.suffix}").write_bytes(defect.content())
        expected[defect.code] = expected.get(defect.code, 0) + 1
    os.mkfifo(label / "P9900_0.png")  # F17
    outside = data.parent / "outside.png"
    outside.write_bytes(_png(picture(22)))
    (label / "P9901_0.png").symlink_to(outside)  # F16
    (label / os.fsdecode(b"P9902_\xff.png")).write_bytes(_png(picture(23)))  # F18
    return expected | {"S-FILE-16": 1, "S-FILE-17": 1, "S-FILE-18": 1}


def first(data: Path, split: str = "train") -> Path:
    """One image file of a split."""
    return min(path for path in (data / split).rglob("*.png"))


def _added(suffix: str, content: Bytes) -> Plant:
    """The clean set with one file more."""

    def plant(data: Path) -> Path:
        (first(data).parent / f"P9000_0{suffix}").write_bytes(content())
        return data

    return plant


def _copied(split: str, *, other_label: bool = False, edit: Callable[[Any], Any] | None = None) -> Plant:
    """A training image once more in `split`, under another patient or label, changed by `edit`."""

    def plant(data: Path) -> Path:
        source = first(data)
        labels = sorted(folder.name for folder in (data / split).iterdir() if folder.is_dir())
        label = next(name for name in labels if (name != source.parent.name) == other_label)
        target = data / split / label / "P9000_0.png"
        with Image.open(source) as image:
            (image if edit is None else edit(image.convert("L"))).save(target)
        return data

    return plant


def _leaked(data: Path) -> Path:
    """A patient of train who is in test with another picture."""
    source = first(data)
    (data / "test" / source.parent.name / f"{source.name.split('_')[0]}_99.png").write_bytes(_png(picture(24)))
    return data


def rows_of(data: Path) -> list[str]:
    """The clean set as rows of a table: path,label,split,patient."""
    found = []
    for path in sorted(data.rglob("*.png")):
        split, label, name = path.relative_to(data).parts
        found.append(f"{split}/{label}/{name},{label},{split},{name.split('_')[0]}")
    return found


def _table(
    edit: Callable[[list[str]], list[str]], *, head: str = "path,label,split,patient", encoding: str = "utf-8"
) -> Plant:
    """The clean set as a table with edited rows."""

    def plant(data: Path) -> Path:
        path = data / "labels.csv"
        path.write_bytes("\n".join([head, *edit(rows_of(data)), ""]).encode(encoding))
        return path

    return plant


def _cell(row: str, column: int, value: str) -> str:
    cells = row.split(",")
    cells[column] = value
    return ",".join(cells)


def _npz(**arrays: Any) -> Plant:
    def plant(data: Path) -> Path:
        path = data.parent / "set.npz"
        np.savez_compressed(path, **arrays)
        return path

    return plant


def _raw_npz(make: Callable[[], dict[str, bytes]]) -> Plant:
    def plant(data: Path) -> Path:
        import zipfile

        path = data.parent / "set.npz"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in make().items():
                archive.writestr(name, content)
        return path

    return plant


def _npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asarray(array), allow_pickle=True)
    return stream.getvalue()


def _claims(shape: tuple[int, ...]) -> bytes:
    """An array's head without its values."""
    text = repr({"descr": "|u1", "fortran_order": False, "shape": shape}).encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def _volumes(content: Callable[[], bytes]) -> Plant:
    """Sound volumes of two classes, and one more."""

    def plant(data: Path) -> Path:
        import nibabel

        root = data.parent / "volumes"
        for label in ("sick", "well"):
            for number in range(12):
                values = np.random.default_rng(number).integers(0, 4000, (24, 24, 6)).astype(np.int16)
                target = root / label / f"{label}{number:02}.nii"
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(nibabel.Nifti1Image(values + (500 if label == "sick" else 0), np.eye(4)).to_bytes())
        (root / "sick" / "odd.nii.gz").write_bytes(content())
        return root

    return plant


def _nii(*shape: int) -> bytes:
    import nibabel

    values = np.random.default_rng(7).integers(0, 4000, shape).astype(np.int16)
    return bytes(nibabel.Nifti1Image(values, np.eye(4)).to_bytes())


def _wrong_sum() -> bytes:
    data = bytearray(gzip.compress(_nii(24, 24, 6)))
    data[-8] ^= 0xFF
    return bytes(data)


def _bomb() -> bytes:
    return gzip.compress(_nii(24, 24, 6) + bytes(64 << 20))


def _emptied(split: str) -> Plant:
    def plant(data: Path) -> Path:
        label = next(folder for folder in sorted((data / split).iterdir()) if folder.is_dir())
        for path in label.iterdir():
            path.unlink()
        return data

    return plant


def _whole_split_lost(data: Path) -> Path:
    for path in (data / "test").rglob("*.png"):
        path.write_bytes(b"")
    return data


def _few(data: Path) -> Path:
    """A validation split of its own with four images of each class."""
    for label in (folder for folder in (data / "train").iterdir() if folder.is_dir()):
        target = data / "val" / label.name
        target.mkdir(parents=True)
        patients = sorted({path.name.split("_")[0] for path in label.iterdir()})[:3]
        for path in sorted(path for path in label.iterdir() if path.name.split("_")[0] in patients):
            path.rename(target / path.name)
    return data


def _smaller(image: Any) -> Any:
    return image.resize((60, 60))


_PAIR = {"train_images": np.stack([picture(k, 28) for k in range(8)]), "train_labels": np.arange(8) % 2}

ALONE: tuple[Alone, ...] = (
    Alone("F6", "16-bit among 8-bit images", "A-QUAL-15", _added(".png", lambda: faults.png(_deep(41)))),
    Alone("F12", "animated GIF", "E-FILE-12", _added(".gif", lambda: faults.animated("GIF"))),
    Alone("F12", "multi-page TIFF", "E-FILE-12", _added(".tif", lambda: faults.tiff(picture(), pages=3))),
    Alone("F21", "an .npy that claims 32 GiB", "E-FILE-21", _raw_npz(
        lambda: {"train_images.npy": _claims((1 << 19, 256, 256)), "train_labels.npy": _npy(np.arange(8))})),
    Alone("F21", "an .npy that claims more than is there", "E-FILE-21", _raw_npz(
        lambda: {"train_images.npy": _claims((80, 28, 28)), "train_labels.npy": _npy(np.arange(8))})),
    Alone("F23", "objects in an NPZ", "E-FILE-23", _raw_npz(
        lambda: {"train_images.npy": _npy(np.array([{}, {}])), "train_labels.npy": _npy(np.arange(2))})),
    Alone("F24", "NPZ without labels", "E-FILE-24", _npz(train_images=_PAIR["train_images"])),
    Alone("F24", "NPZ of unequal lengths", "E-FILE-24", _npz(**_PAIR | {"train_labels": np.arange(7) % 2})),
    Alone("F25", ".nii.gz with a wrong checksum", "S-FILE-25", _volumes(_wrong_sum)),
    Alone("F26", ".nii.gz bomb", "S-FILE-26", _volumes(_bomb)),
    Alone("F27", "4-D NIfTI", "E-FILE-27", _volumes(lambda: gzip.compress(_nii(24, 24, 6, 3)))),
    Alone("D4", "several frames", "E-DICOM-04", _added(
        ".dcm", lambda: dicom.made(np.stack([_deep(k) for k in range(3)]), frames=3))),
    Alone("D5", "a codec that is not read", "E-DICOM-05", _added(
        ".dcm", lambda: dicom.made(picture(), "1.2.840.10008.1.2.4.100", data=dicom.encapsulate([b"\0" * 64])))),
    Alone("L1", "no label", "S-LABEL-01", _table(lambda rows: [_cell(rows[0], 1, ""), *rows[1:]])),
    Alone("L2", "unknown path", "S-LABEL-02", _table(lambda rows: [*rows, _cell(rows[0], 0, "train/none.png")])),
    Alone("L2", "too many unknown paths", "E-LABEL-02", _table(
        lambda rows: [*rows, *(_cell(rows[0], 0, f"train/none{k}.png") for k in range(40))]), "compare"),
    Alone("L3", "the same row twice", "W-LABEL-03", _table(lambda rows: [*rows, rows[0]])),
    Alone("L3", "two labels for one path", "E-LABEL-03", _table(lambda rows: [*rows, _cell(rows[0], 1, "other")])),
    Alone("L4", "../ outside", "E-LABEL-04", _table(lambda rows: [*rows, "../x.png,a,train,P1"])),
    Alone("L4", "absolute path", "E-LABEL-04", _table(lambda rows: [*rows, "/etc/x.png,a,train,P1"])),
    Alone("L5", "byte-order mark", "", _table(lambda rows: rows, encoding="utf-8-sig")),
    Alone("L6", "not UTF-8", "E-LABEL-06", _table(lambda rows: [*rows, "é.png,a,train,P1"], encoding="latin-1")),
    Alone("L7", "another delimiter", "E-LABEL-07", _table(
        lambda rows: [row.replace(",", ";") for row in rows], head="path;label;split;patient")),
    Alone("L7", "missing column", "E-LABEL-07", _table(lambda rows: rows, head="path,note,split,patient")),
    Alone("L8", "label variants", "W-LABEL-08", _table(
        lambda rows: [_cell(rows[0], 1, rows[0].split(",")[1].lower() + " "), *rows[1:]])),
    Alone("L10", "one class", "E-LABEL-10", _table(lambda rows: [_cell(row, 1, "same") for row in rows])),
    Alone("L11", "a split without images", "E-LABEL-11", _whole_split_lost),
    Alone("L12", "a class missing from test", "E-LABEL-12", _emptied("test")),
    Alone("L13", "fewer than ten of a class", "W-LABEL-13", _few),
    Alone("L14", "a patient in two splits", "A-SPLIT-01", _leaked),
    Alone("L14", "... refused by compare", "E-LABEL-14", _leaked, "compare"),
    Alone("L15", "identical pixels across splits", "A-DUP-01", _copied("test")),
    Alone("L15", "... refused by compare", "E-LABEL-15", _copied("test"), "compare"),
    Alone("L16", "near copies across splits", "A-DUP-05", _copied("test", edit=_smaller)),
    Alone("-", "identical pixels with two labels", "A-DUP-03", _copied("train", other_label=True)),
    Alone("-", "splits that are none", "E-LABEL-20", _table(lambda rows: [_cell(rows[0], 2, "elsewhere"), *rows[1:]])),
)  # fmt: skip

ELSEWHERE = {
    "F15": "tests/data/readers/test_readers.py (root reads what has no permission)",
    "F19": "tests/data/importers/test_npz.py, tests/data/readers/test_readers.py",
    "F22": "tests/data/importers/test_npz.py",
    "D9": "tests/data/readers/test_dicom_gray.py",
    "D12": "tests/data/importers/test_dicomdir.py",
    "L9": "tests/test_storage.py",
    "L17": "tests/features/test_extract.py",
    "L18": "tests/study/test_comparing.py",
}


def outcome(data: Path, folder: Path, verb: str = "audit") -> tuple[set[str], Any]:
    """The codes that an audit of `data` gives, and the audit; where something stops, its code and None."""
    from xenograft import api
    from xenograft.errors import XenograftError

    try:
        if verb == "compare":
            api.compare(data, output=folder / "study", cache_dir=folder / "cache", offline=True)
            return set(), None
        audit = api.audit(data, output=folder / "audit", cache_dir=folder / "cache").audit
    except XenograftError as error:
        return {error.code}, None
    notices = {notice["code"] for notice in audit.notices}
    findings = {f.code for f in audit.findings if f.severity not in {"passed", "not_applicable"}}
    return {*audit.skipped, *notices, *findings}, audit


def main() -> int:
    """A line for every defect; the exit status is the number of those that were not met."""
    from xenograft.data.phantom import write_phantoms

    missed = 0
    with tempfile.TemporaryDirectory() as aside:
        root = Path(aside)
        clean = write_phantoms(root / "clean" / "data", count=160, size=64, seed=5)
        found, audit = outcome(clean, root / "none")
        say(f"clean set: {audit.tally()['error']} errors, {len(audit.skipped)} skipped")
        missed += audit.tally()["error"] + len(audit.skipped)
        data = Path(shutil.copytree(clean, root / "together" / "data"))
        expected = plant_together(data)
        found, audit = outcome(data, root / "together")
        say(f"together: {audit.listed} listed, {audit.images} read, {sum(audit.skipped.values())} skipped")
        for defect in PLACED:
            missed += _line(defect.name, defect.what, defect.code, found)
        for name, code in {"F16": "S-FILE-16", "F17": "S-FILE-17", "F18": "S-FILE-18"}.items():
            missed += _line(name, {"F16": "link outside", "F17": "pipe", "F18": "name not UTF-8"}[name], code, found)
        skips = {code: count for code, count in expected.items() if code.startswith("S-")}
        missed += _line("", "nothing else was skipped", "", set() if skips == audit.skipped else {str(audit.skipped)})
        for number, alone in enumerate(ALONE):
            folder = root / f"alone{number}"
            source = alone.plant(Path(shutil.copytree(clean, folder / "data")))
            found, _ = outcome(source, folder, alone.verb)
            missed += _line(alone.name, alone.what, alone.code, found)
    for name, where in ELSEWHERE.items():
        say(f"{name:4} {'':38} {where}")
    return missed


def say(line: str) -> None:
    sys.stdout.write(line + "\n")


def _line(name: str, what: str, code: str, found: set[str]) -> bool:
    met = code in found if code else not any(c.startswith("E-") for c in found)
    say(f"{name:4} {what:38} {code or 'accepted':10} {'met' if met else f'NOT MET: {sorted(found)}'}")
    return not met


if __name__ == "__main__":
    sys.exit(main())
