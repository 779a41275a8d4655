"""Counts and a seed -> patients, classes, images, and a folder of PNG files that say they are synthetic."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from xenograft.data.phantom.canvas import Mask
from xenograft.data.phantom.film import Pixels
from xenograft.data.phantom.radiograph import Patient, check_format, radiograph
from xenograft.errors import UsageError
from xenograft.storage import atomic_write

SYNTHETIC_MARK = "SYNTHETIC.txt"
DESCRIPTION = "synthetic phantom, not a patient"
LAYOUTS = ("split", "class")

# label -> kinds of lesion it covers; the first label is the healthy one
_CLASSES: dict[int, dict[str, tuple[str | None, ...]]] = {
    2: {"NORMAL": (None,), "PNEUMONIA": ("consolidation", "patchy", "interstitial")},
    4: {
        "NORMAL": (None,),
        "CONSOLIDATION": ("consolidation",),
        "INTERSTITIAL": ("interstitial",),
        "NODULE": ("nodule",),
    },
}
_GOLDEN = 0.6180339887498949
_TEST_SHARE = 0.3
_NOTICE = """\
These images are computer-generated. They show nobody: no patient exists.

They were made by xenograft's chest phantom (xenograft.data.phantom) to try the software without real data and to test
it against known answers. A result obtained on them says nothing about patients. Never mix them with real images.

images {count}, size {size} px, {bits} bits, classes {labels}, seed {seed}
"""


@dataclass(frozen=True, slots=True)
class Phantom:
    """One synthetic radiograph and what is known about it.

    Args:
        pixels: (H, W), uint8 0..255 or uint16 0..4095; air dark, bone bright.
        label: class, e.g. ``PNEUMONIA``.
        patient: id such as ``P0001``.
        index: number of the patient's image, from 1.
        kind: the lesion's kind (``consolidation``, ``patchy``, ``interstitial``, ``nodule``) or None.
        mask: lesion, bool (H, W); empty if and only if kind is None.
        lungs: lung field free of heart and diaphragm, bool (H, W).
    """

    pixels: Pixels
    label: str
    patient: str
    index: int
    kind: str | None
    mask: Mask
    lungs: Mask


@dataclass(frozen=True, slots=True)
class _Case:
    """One patient before any pixel is made."""

    number: int
    label: str
    kind: str | None
    images: int

    @property
    def name(self) -> str:
        return f"P{self.number + 1:04d}"


def class_names(classes: int = 2) -> tuple[str, ...]:
    """The labels of a task, the healthy one first.

    Raises:
        UsageError: classes is neither 2 nor 4.
    """
    if classes not in _CLASSES:
        raise UsageError(f"classes {classes} is not possible; use 2 or 4", code="E-USAGE-02")
    return tuple(_CLASSES[classes])


def phantoms(
    count: int, *, size: int = 224, classes: int = 2, seed: int = 0, bits: int = 8, prevalence: float = 0.5
) -> Iterator[Phantom]:
    """Make radiographs, patient by patient (1 to 3 images each).

    Image k (from 1) of patient p (from 0) depends on ``default_rng([seed, p, k])`` alone, the patient on
    ``default_rng([seed, p, 0])``: a longer run begins with the images of a shorter one.

    Args:
        count: number of images, at least 1.
        size: side in pixels, 64..1024.
        classes: 2 (NORMAL, PNEUMONIA) or 4 (NORMAL, CONSOLIDATION, INTERSTITIAL, NODULE).
        seed: at least 0.
        bits: 8 (uint8), or 16 (uint16 with 12-bit content).
        prevalence: share of patients with a lesion, between 0 and 1; the lesion classes share it evenly.

    Raises:
        UsageError: an argument is out of range; raised by the call, before the first image.
    """
    check_format(size=size, bits=bits)
    cases = _cases(count, classes=classes, seed=seed, prevalence=prevalence)
    return (phantom for case in cases for phantom in _images(case, size=size, seed=seed, bits=bits))


def _images(case: _Case, *, size: int, seed: int, bits: int) -> Iterator[Phantom]:
    patient = Patient.draw(case.kind, _generator(seed, case.number, 0))
    for k in range(1, case.images + 1):
        image = radiograph(patient, rng=_generator(seed, case.number, k), size=size, bits=bits)
        yield Phantom(image.pixels, case.label, case.name, k, image.kind, image.mask, image.lungs)


def _generator(seed: int, patient: int, image: int) -> np.random.Generator:
    return np.random.default_rng([seed, patient, image])


def _cases(count: int, *, classes: int, seed: int, prevalence: float) -> list[_Case]:
    labels = class_names(classes)
    if count < 1:
        raise UsageError(f"count {count} is not possible; make at least 1 image", code="E-USAGE-02")
    if seed < 0:
        raise UsageError(f"seed {seed} is negative; use 0 or more", code="E-USAGE-02")
    if not 0 < prevalence < 1:
        raise UsageError(f"prevalence {prevalence} is not between 0 and 1; choose e.g. 0.5", code="E-USAGE-02")
    edges = 1 - prevalence + prevalence * np.arange(classes - 1) / (classes - 1)
    start = np.random.default_rng([seed]).uniform()
    cases: list[_Case] = []
    left = count
    while left > 0:
        number = len(cases)
        # golden-ratio steps fill [0, 1) evenly, so that every run has the prevalence asked for
        label = labels[int(np.searchsorted(edges, (start + number * _GOLDEN) % 1.0, side="right"))]
        rng = _generator(seed, number, 99)
        kinds = _CLASSES[classes][label]
        case = _Case(number, label, kinds[int(rng.integers(len(kinds)))], min(left, int(rng.integers(1, 4))))
        cases.append(case)
        left -= case.images
    return cases


def write_phantoms(
    folder: Path,
    *,
    count: int = 200,
    size: int = 224,
    classes: int = 2,
    seed: int = 0,
    bits: int = 8,
    layout: str = "split",
    prevalence: float = 0.5,
    masks: bool = False,
) -> Path:
    """Write radiographs as PNG files, each marked as synthetic in its text, with a notice beside them.

    Args:
        folder: gets ``{train,test}/{CLASS}/{patient}_{k}.png`` and SYNTHETIC_MARK;
            30 % of each class's patients are test.
        count, size, classes, seed, bits, prevalence: as for `phantoms`.
        layout: ``split`` as above, or ``class`` for ``{CLASS}/{patient}_{k}.png`` without a split.
        masks: also write lesion masks (0 or 255) under the same names below ``<folder>_masks`` beside the folder.

    Returns:
        The folder.

    Raises:
        UsageError: an argument is out of range, or a class has too few patients to split.
        ProcessError: the folder cannot be written.
    """
    folder = Path(folder)
    if layout not in LAYOUTS:
        raise UsageError(f"layout {layout!r} is unknown; use one of {', '.join(LAYOUTS)}", code="E-USAGE-02")
    check_format(size=size, bits=bits)
    cases = _cases(count, classes=classes, seed=seed, prevalence=prevalence)
    splits = _split(cases, class_names(classes), seed=seed) if layout == "split" else {}
    # the notice comes first: an interrupted run leaves no unmarked images
    notice = _NOTICE.format(count=count, size=size, bits=bits, labels=", ".join(class_names(classes)), seed=seed)
    atomic_write(folder / SYNTHETIC_MARK, notice)
    beside = folder.parent / f"{folder.name}_masks"
    if masks:
        atomic_write(beside / SYNTHETIC_MARK, notice)
    for case in cases:
        place = Path(splits.get(case.number, "")) / case.label
        for phantom in _images(case, size=size, seed=seed, bits=bits):
            name = place / f"{phantom.patient}_{phantom.index}.png"
            atomic_write(folder / name, _png(phantom.pixels))
            if masks:
                atomic_write(beside / name, _png(phantom.mask.astype(np.uint8) * np.uint8(255)))
    return folder


def _split(cases: list[_Case], labels: tuple[str, ...], *, seed: int) -> dict[int, str]:
    """Patient number -> ``train`` or ``test``, 30 % of each class."""
    rng = np.random.default_rng([seed, 1, 2, 3])
    splits: dict[int, str] = {}
    for label in labels:
        numbers = [case.number for case in cases if case.label == label]
        if len(numbers) < 2:
            raise UsageError(
                f"{len(numbers)} patients of class {label} cannot be split; raise the count, or use layout='class'",
                code="E-USAGE-02",
            )
        order = rng.permutation(numbers)
        tests = max(1, round(_TEST_SHARE * len(numbers)))
        splits.update({int(n): "test" if i < tests else "train" for i, n in enumerate(order)})
    return splits


def _png(pixels: Pixels) -> bytes:
    text = PngInfo()
    text.add_text("Description", DESCRIPTION)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", pnginfo=text, compress_level=3)
    return stream.getvalue()
