"""Two places of images -> the images of each that are measured, noise beside them, and what is said of all three."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from xenograft.data.batches import PixelSources
from xenograft.data.importers import hub
from xenograft.data.ingest import IngestOptions, ingest
from xenograft.data.manifest import Manifest
from xenograft.data.preprocess import Preprocess
from xenograft.data.split import linked_groups
from xenograft.errors import DataError, Notice, UsageError, printable
from xenograft.storage import atomic_write
from xenograft.study.reading import read_data
from xenograft.study.similarity_plan import FEWEST, WHOLE, SimilarityPlan
from xenograft.study.watch import Watcher

Json = dict[str, Any]
Images = NDArray[np.uint8]
Groups = NDArray[np.int64]

SETS = ("natural", "medical")
NOISE = "noise"
SHOWN = 300
"""Images of each set in a map and on its sheet of thumbnails, at most."""
TILE, ACROSS = 48, 20

_FEWEST_PATIENTS = 12  # halves of six: five folds, and one patient to spare
_FEWEST_IN_HALF = 5  # patients: a probe has five folds


@dataclass(frozen=True, slots=True, eq=False)
class ImageSet:
    """The images of one set that are measured.

    Args:
        whole: everything that was read. used: what is measured. notices: everything noticed.
    """

    whole: Manifest
    used: Manifest
    notices: tuple[Notice, ...]

    def facts(self, thumbnails: str) -> Json:
        """What a record says of it."""
        return {
            "name": self.whole.name,
            "images": len(self.whole),
            "used": len(self.used),
            "patients": len(np.unique(self.used.patients)),
            "patients_known": self.whole.patients_known,
            "skipped": len(self.whole.skipped),
            "manifest_sha256": self.used.sha256,
            "synthetic": self.whole.synthetic,
            "notices": [str(notice) for notice in self.notices],
            "thumbnails": thumbnails,
        }


def read_sets(
    asked: SimilarityPlan, pixels: PixelSources, *, cache: Path, watcher: Watcher, preprocesses: Sequence[Preprocess]
) -> tuple[ImageSet, ImageSet]:
    """The natural and the medical images, each sampled by patient.

    Medical images are read with their labels only where networks are trained on them; then the test split is measured.
    Of data that name a test split it is measured anyway, unless another split, or all, is asked for.

    Raises:
        DataError, LabelError, UsageError: see the fault catalogue; E-DATA-44, too few images or patients, or patients
            with too many images for halves.
    """
    config = asked.config
    watcher.say(f"reading {printable(asked.natural.name)}")
    options = IngestOptions(min_side=config.reading.min_side, max_skip=config.reading.max_skip)
    natural = _read(asked.natural, options, pixels, asked, cache=cache, preprocesses=preprocesses, watcher=watcher)
    watcher.say(f"reading {printable(config.data.name)}")
    if asked.after:
        medical = read_data(config, pixels, cache=cache, watcher=watcher, preprocesses=preprocesses, quiet=True)
        measured = medical.subset("test")
    else:
        medical = _read(
            config.data, config.reading, pixels, asked, cache=cache, preprocesses=preprocesses, watcher=watcher
        )
        split = asked.split or ("test" if medical.test_given else WHOLE)
        measured = medical if split == WHOLE else medical.subset(split)
        if split != WHOLE and not len(measured):
            raise UsageError(
                f"--split {split}: the medical images have no image in it; choose another, or all", code="E-USAGE-32"
            )
    used = [
        sample_patients(images, asked.limit, rng=np.random.default_rng([asked.seed, place]), name=name)
        for place, (name, images) in enumerate(zip(SETS, (natural, measured), strict=True))
    ]
    _check_halves(dict(zip(SETS, used, strict=True)))
    shared = _shared(*used)
    return (
        ImageSet(natural, used[0], (*_plain(natural, colour=config.colour), *shared)),
        ImageSet(medical, used[1], (*_plain(medical, colour=config.colour), *shared)),
    )


def _read(
    data: Path,
    options: IngestOptions,
    pixels: PixelSources,
    asked: SimilarityPlan,
    *,
    cache: Path,
    preprocesses: Sequence[Preprocess],
    watcher: Watcher,
) -> Manifest:
    """Images without need of labels."""
    config = asked.config
    if hub.is_address(data):
        hub.fetch(data, cache=cache, offline=config.offline, say=watcher.say)
    keepers = {str(preprocess): pixels.of(preprocess) for preprocess in preprocesses}
    return ingest(data, options, cache=cache, threads=config.threads, keepers=list(keepers.values()), labelled=False)


def sample_patients(manifest: Manifest, limit: int, *, rng: np.random.Generator, name: str) -> Manifest:
    """All images of randomly drawn patients, at most `limit` of them, in the order of the manifest.

    A patient with more images than are left is passed over.

    Raises:
        DataError: E-DATA-44, too few images or patients to measure anything.
    """
    groups = np.unique(np.array(manifest.column("group"), dtype=np.int64), return_inverse=True)[1]
    sizes = np.bincount(groups) if groups.size else np.zeros(0, dtype=np.int64)
    taken, count = np.zeros(len(sizes), dtype=np.bool_), 0
    for group in rng.permutation(len(sizes)):
        if count + sizes[group] <= limit:
            taken[group], count = True, count + sizes[group]
    if count < FEWEST or taken.sum() < _FEWEST_PATIENTS:
        raise DataError(
            f"{name} images: {len(manifest)} of {len(sizes)} patients were found and {count} of {taken.sum()} taken; "
            f"at least {FEWEST} images of {_FEWEST_PATIENTS} patients are needed (an image counts as a patient where "
            "patients are not known); add images, or raise --limit",
            code="E-DATA-44",
        )
    return manifest.take(np.flatnonzero(taken[groups]))


def _check_halves(used: Mapping[str, Manifest]) -> None:
    """Whether halves of each set, of the size of half of the smaller one, hold some patients.

    Raises:
        DataError: E-DATA-44, naming the set and its patient with the most images.
    """
    half = min(len(images) for images in used.values()) // 2
    for name, images in used.items():
        groups, owner, sizes = np.unique(
            np.array(images.column("group"), dtype=np.int64), return_inverse=True, return_counts=True
        )
        fitting = sizes[sizes <= half]
        if len(fitting) >= _FEWEST_PATIENTS and half >= _FEWEST_IN_HALF * fitting.mean():
            continue
        largest = images.column("patient")[int(np.flatnonzero(owner == sizes.argmax())[0])]
        raise DataError(
            f"{name} images: {len(images)} of {len(groups)} patients, the largest of which, {printable(largest)}, has "
            f"{sizes.max()}; they are compared in halves of at most {half} images without a patient in common (half "
            f"of the smaller set), which must hold {_FEWEST_IN_HALF} patients or more; add images to the smaller set, "
            "or leave out patients with many images, which a lower --limit does",
            code="E-DATA-44",
        )


def joint_groups(natural: Manifest, medical: Manifest, noise: int) -> dict[str, Groups]:
    """Set -> (N,) group of each image; the same number is the same patient, or the same pixels, in both sets."""
    patients = [
        f"{name}/{group}" for name, m in zip(SETS, (natural, medical), strict=True) for group in m.column("group")
    ]
    hashes = [*natural.column("pixels_sha256"), *medical.column("pixels_sha256")]
    joint = linked_groups(patients, hashes)
    beyond = int(joint.max()) + 1
    return {"natural": joint[: len(natural)], "medical": joint[len(natural) :], NOISE: np.arange(noise) + beyond}


def noise_like(images: Images, count: int, *, seed: int) -> Images:
    """(count, C, S, S) uint8: every value drawn by itself from a normal law of the mean and sd of `images`' values."""
    rng = np.random.default_rng([seed, 7])
    drawn = rng.normal(float(images.mean()), float(images.std()), size=(count, *images.shape[1:]))
    return np.clip(np.rint(drawn), 0, 255).astype(np.uint8)


def what_noise(images: Images) -> str:
    """One line on `noise_like`."""
    return (
        f"every pixel drawn by itself from a normal law with mean {images.mean():.1f} and sd {images.std():.1f} (of "
        "0 to 255), those of the medical images' pixels"
    )


def shown_rows(count: int) -> NDArray[np.intp]:
    """The rows of a set that a map and its sheet show: all, or `SHOWN` evenly spaced ones."""
    return np.unique(np.linspace(0, count - 1, min(count, SHOWN)).round().astype(np.intp))


def write_sheet(target: Path, images: Images) -> Path:
    """Thumbnails as one JPEG, `ACROSS` squares of `TILE` pixels a row, row by row.

    Args:
        images: (N, C, S, S) uint8 gray or RGB.
    """
    rows = -(-len(images) // ACROSS)
    sheet = np.full((rows * TILE, ACROSS * TILE, images.shape[1]), 255, dtype=np.uint8)
    for at, image in enumerate(images):
        small = cv2.resize(image.transpose(1, 2, 0), (TILE, TILE), interpolation=cv2.INTER_AREA)
        y, x = divmod(at, ACROSS)
        sheet[y * TILE : (y + 1) * TILE, x * TILE : (x + 1) * TILE] = small.reshape(TILE, TILE, -1)
    pixels = sheet if images.shape[1] == 1 else cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR)
    return atomic_write(target, cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes())


def skips(sets: Mapping[str, ImageSet]) -> list[tuple[str, str, str, str]]:
    """(set, path, code, reason) of every file that was skipped."""
    return [(name, s.path, s.code, s.reason) for name, images in sets.items() for s in images.whole.skipped]


def _plain(manifest: Manifest, *, colour: bool) -> tuple[Notice, ...]:
    """The notices of reading; that colour is dropped is no notice where it is kept."""
    return tuple(notice for notice in manifest.notices if not (colour and notice.code == "W-FILE-21"))


def _shared(natural: Manifest, medical: Manifest) -> tuple[Notice, ...]:
    """Images that lie in both sets."""
    one, other = (set(m.column("pixels_sha256")) for m in (natural, medical))
    if not (both := one & other):
        return ()
    if one == other:
        text = f"all {len(both)} images are the same in both sets: what is measured is a yardstick, not a difference"
    else:
        text = f"{len(both)} images lie in both sets, which makes them look more alike than they are"
    return (Notice("W-DATA-45", text, len(both)),)
