"""Every file that pydicom brings along for its own tests: the documented pipeline's pixels, or one clear line."""

import io
import sys
import warnings
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import dcmread
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut
from pydicom.pixels import pixel_array as decoded
from pydicom.uid import UID

from xenograft.data.readers import decode_picture
from xenograft.errors import FileError

FOLDER = Path(pydicom.__file__).parent / "data"
FILES = sorted(path for path in FOLDER.rglob("*") if path.is_file() and path.suffix not in {".py", ".pyc", ".json"})


def outcome(path):
    """(what became of a file, the picture or None)."""
    try:
        picture = decode_picture(path.read_bytes(), suffix=path.suffix, min_side=1, frame="middle")
    except FileError as error:
        return error.code if "\n" not in str(error) else "more than a line", None
    return "read", picture


def dataset_of(path):
    """The data set with what its functional groups say about the middle frame laid over it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = dcmread(io.BytesIO(path.read_bytes()), force=True)
    frames = int(dataset.get("NumberOfFrames", 1) or 1)
    index = frames // 2 if frames > 1 else 0
    groups = [*dataset.get("SharedFunctionalGroupsSequence", [])[:1]]
    groups += [*dataset.get("PerFrameFunctionalGroupsSequence", [])[index : index + 1]]
    for group in groups:
        for keyword, names in (
            ("PixelValueTransformationSequence", ("RescaleSlope", "RescaleIntercept")),
            ("FrameVOILUTSequence", ("WindowCenter", "WindowWidth", "VOILUTFunction")),
        ):
            for name in names:
                if keyword in group and name in group[keyword][0]:
                    setattr(dataset, name, group[keyword][0][name].value)
    return dataset, index


def documented(path):
    """Pixels of pydicom's documented pipeline, on the scale of `Picture`, as float."""
    dataset, index = dataset_of(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pixels = decoded(dataset, index=index)
        if dataset.PhotometricInterpretation == "PALETTE COLOR":
            painted = apply_color_lut(pixels, dataset)[..., :3]
            return painted >> 8 if dataset.RedPaletteColorLookupTableDescriptor[2] == 16 else painted
        if pixels.ndim == 3:
            return pixels / (2.0**dataset.BitsStored - 1) * 255
        units = apply_modality_lut(pixels, dataset)
        shown = apply_voi_lut(units, dataset)
        low, high = _range(dataset, pixels, units)
    level = np.clip((shown.astype(np.float64) - low) / ((high - low) or 1), 0, 1) * 65535
    return 65535 - level if dataset.PhotometricInterpretation == "MONOCHROME1" else level


def _range(dataset, pixels, units):
    """(darkest, brightest) value of the pipeline's output."""
    if dataset.get("VOILUTSequence"):
        return 0, 2 ** dataset.VOILUTSequence[0].LUTDescriptor[2] - 1
    if dataset.get("ModalityLUTSequence"):
        return 0, 2 ** dataset.ModalityLUTSequence[0].LUTDescriptor[2] - 1
    windowed = dataset.get("WindowCenter") is not None
    bits = dataset.get("BitsStored", 64)
    if bits > 16 and not windowed:
        return float(units.min()), float(units.max())
    low, high = (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if dataset.PixelRepresentation else (0, 2.0**bits - 1)
    ends = apply_modality_lut(np.array([low, high]), dataset)
    return tuple(ends) if windowed else tuple(sorted(ends))


def table():
    """Counts by transfer syntax: read, and refused by code."""
    counts = defaultdict(Counter)
    for path in FILES:
        code, _ = outcome(path)
        counts[_syntax(path)][code] += 1
    lines = [f"{'transfer syntax':44} {'read':>5}  refused"]
    for name, row in sorted(counts.items()):
        refused = ", ".join(f"{code} x{count}" for code, count in sorted(row.items()) if code != "read")
        lines.append(f"{name:44} {row['read']:5}  {refused}".rstrip())
    total = sum(counts.values(), Counter())
    lines.append(f"{'all':44} {total['read']:5}  {sum(total.values()) - total['read']}")
    return "\n".join(lines)


def _syntax(path):
    data = path.read_bytes()
    if data[128:132] != b"DICM":
        return "(no DICOM preamble)"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            uid = dcmread(io.BytesIO(data), stop_before_pixels=True).file_meta.get("TransferSyntaxUID")
        except Exception as error:
            return f"({type(error).__name__} when parsed)"
    return UID(uid).name if uid else "(none named)"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(FOLDER).as_posix())
def test_pixels_of_the_documented_pipeline_or_one_line(path):
    code, picture = outcome(path)
    if picture is None:
        assert code.startswith(("S-DICOM", "E-DICOM", "S-FILE"))
        return
    if picture.format != "dicom":
        assert path.read_bytes()[128:132] != b"DICM"
        return
    expected = documented(path)
    if picture.pixels.ndim == 2 and expected.ndim == 3:  # three channels that say the same became one
        assert np.mean(np.ptp(expected, axis=-1) > 8) <= 0.001
        assert np.abs(picture.pixels - expected @ [0.299, 0.587, 0.114]).max() <= 1
        return
    assert picture.pixels.shape == expected.shape
    assert np.abs(picture.pixels - expected.astype(np.float64)).max() <= 0.5 + 1e-6


def test_most_are_read():
    codes = Counter(outcome(path)[0] for path in FILES if path.read_bytes()[128:132] == b"DICM")
    assert codes["read"] > 70


if __name__ == "__main__":
    sys.stdout.write(table() + "\n")
