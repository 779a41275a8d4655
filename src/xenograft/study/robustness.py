"""(a model, test images) -> what graded changes of the images do to its answers, as one record for JSON.

The record, with everything of `xenograft.evaluation.robustness.robustness_card`::

    task                 "binary", "multiclass" or "multilabel"
    classes              names in the order of the probabilities
    side, channels       of the images that were changed, pixels
    images, patients, patients_known, sampled_from    images measured; of how many, where they are a sample, else None
    threshold, amount, level, resamples, seed
    clean                metric -> value, low, high
    changes              for each: name, measure (unit of its strengths), levels, first
        levels           for each: level, strength, metrics, differences, flips, moved
        first            metric -> level or None
    example              class, clean and changes: name -> pictures in the order of levels; a picture has
                         "picture" (a data URI, JPEG) and "probability" (of the class)
    seconds, passes      of the model and of changing images; images through the model

Changes are made to the prepared image, what the network sees, not to the file: then a level means the same for every
data set and resolution, no window takes brightness back, and each image is decoded once. What a detector or an archive
does before the image is made smaller reaches the network weaker than the same strength here.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from xenograft.data.batches import PixelSource
from xenograft.data.manifest import Manifest
from xenograft.data.perturbations import LEVELS, PERTURBATIONS, perturbed
from xenograft.errors import UsageError, listed
from xenograft.evaluation.robustness import AMOUNT, Threshold, check_amount, robustness_card
from xenograft.evaluation.uncertainty import LEVEL

Batch = NDArray[np.uint8]
Predict = Callable[[Iterable[Batch]], NDArray[np.float64]]
Json = dict[str, Any]

BATCH = 8
_STEPS = range(1, LEVELS + 1)
_PICTURE = 224  # pixels: sharp at three centimetres in print
_QUALITY = 82


def measure_robustness(
    predict: Predict,
    manifest: Manifest,
    pixels: PixelSource,
    *,
    changes: Sequence[str] = tuple(PERTURBATIONS),
    threshold: Threshold = None,
    limit: int | None = None,
    resamples: int = 2000,
    level: float = LEVEL,
    amount: float = AMOUNT,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Json:
    """Ask the model about every image as it is and at five levels of every change.

    Args:
        predict: (n, C, S, S) uint8 batches, n up to 8, -> (N, classes) probabilities in order, such as
            `xenograft.bundle.Bundle.probabilities`. It is called once and should draw batches as it needs them: then
            memory holds a few hundred images, whatever their number.
        manifest: the images, none of which the model was trained or tuned on; classes in the order of the model's.
        pixels: where prepared images come from; its threads change them.
        changes: names of `PERTURBATIONS`. threshold: see `robustness_card`.
        limit: images to measure at most, of patients drawn at random within classes; None takes all.
        resamples, level, amount: see `robustness_card`. seed: of the bootstrap and of the sample.
        progress: called as ``progress(done, total)`` with images that went to the model.

    Raises:
        UsageError: a change that is not known, or a limit below 2. DataError: an amount out of range, no image, or a
            file that changed.
    """
    names = check_changes(changes)
    check_amount(amount)  # said before minutes of work, not after
    whole, manifest = len(manifest), sample_patients(manifest, limit, seed=seed)
    keys = [(name, step) for name in names for step in _STEPS]
    started = time.perf_counter()
    clean, changed = _answers(predict, manifest, pixels, keys, progress or _silent)
    seconds = time.perf_counter() - started
    card = robustness_card(
        manifest.labels,
        clean,
        changed,
        manifest.patients,
        threshold=threshold,
        resamples=resamples,
        level=level,
        amount=amount,
        rng=np.random.default_rng([seed, len(manifest)]),
    )
    for change in card["changes"]:
        kind = PERTURBATIONS[change["name"]]
        change["measure"] = kind.measure
        for row in change["levels"]:
            row["strength"] = float(kind.strengths[row["level"] - 1])
    several = "multiclass" if len(manifest.classes) > 2 else "binary"
    return {
        "task": "multilabel" if manifest.multi_label else several,
        "classes": list(manifest.classes),
        "side": pixels.preprocess.size,
        "channels": pixels.preprocess.channels,
        "patients_known": manifest.patients_known,
        "sampled_from": None if len(manifest) == whole else whole,
        "seed": seed,
        **card,
        "example": _example(manifest, pixels, clean, changed),
        "seconds": round(seconds, 3),
        "passes": len(manifest) * (1 + len(keys)),
    }


def check_changes(names: Sequence[str]) -> tuple[str, ...]:
    """Names without repetitions, in the order of `PERTURBATIONS`.

    Raises:
        UsageError: one is not known, or there is none.
    """
    unknown = [name for name in names if name not in PERTURBATIONS]
    if unknown or not names:
        got = listed(unknown) if unknown else "none"
        raise UsageError(f"changes: got {got}; choose from {', '.join(PERTURBATIONS)}", code="E-USAGE-06")
    return tuple(name for name in PERTURBATIONS if name in names)


def sample_patients(manifest: Manifest, limit: int | None, *, seed: int) -> Manifest:
    """All images of randomly drawn patients, at most `limit` of them, classes in about their shares.

    The first patient of every class is drawn whatever the limit.

    Raises:
        UsageError: a limit below 2.
    """
    if limit is None or limit >= len(manifest):
        return manifest
    if limit < 2:
        raise UsageError(f"limit is {limit}; a whole number of at least 2 is needed", code="E-USAGE-25")
    owners, first, count = np.unique(manifest.patients, return_index=True, return_counts=True)
    strata = manifest.strata[first]
    rng = np.random.default_rng([seed, limit])
    turn = np.empty(owners.size)
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        # evenly spread over [0, 1): reading up to any point takes the same share of every stratum
        turn[members] = rng.permutation(members.size) / members.size
    order = np.argsort(turn, kind="stable")
    taken = (np.cumsum(count[order]) <= limit) | (turn[order] == 0)
    kept = owners[order][taken]
    return manifest.take(np.flatnonzero(np.isin(manifest.patients, kept)))


def _answers(
    predict: Predict,
    manifest: Manifest,
    pixels: PixelSource,
    keys: Sequence[tuple[str, int]],
    progress: Callable[[int, int], None],
) -> tuple[NDArray[np.float64], dict[tuple[str, int], NDArray[np.float64]]]:
    """Clean probabilities, and those of each change and level, in manifest order."""
    answers = predict(_stream(manifest, pixels, keys, progress))
    sizes = [len(part) for part in _chunks(range(len(manifest)))]
    sets = 1 + len(keys)
    parts = np.split(answers, np.cumsum(np.repeat(sizes, sets))[:-1])
    clean = np.concatenate(parts[::sets])
    return clean, {key: np.concatenate(parts[1 + k :: sets]) for k, key in enumerate(keys)}


def _stream(
    manifest: Manifest,
    pixels: PixelSource,
    keys: Sequence[tuple[str, int]],
    progress: Callable[[int, int], None],
) -> Iterator[Batch]:
    """A few images as they are, then the same at every change and level, then the next few."""
    done, total = 0, len(manifest) * (1 + len(keys))
    hashes = _chunks(manifest.column("sha256"))
    with ThreadPoolExecutor(pixels.threads, thread_name_prefix="changes") as pool:
        for batch, contents in zip(pixels.batches(manifest, size=BATCH), hashes, strict=True):
            made = pool.map(partial(_changed, batch, contents), keys)
            for part in chain([batch], made):
                yield part
                done += len(part)
                progress(done, total)


def _chunks(items: Sequence[Any]) -> list[Sequence[Any]]:
    return [items[start : start + BATCH] for start in range(0, len(items), BATCH)]


def _changed(batch: Batch, contents: Sequence[str], key: tuple[str, int]) -> Batch:
    return np.stack([_one(image, content, *key) for image, content in zip(batch, contents, strict=True)])


def _one(image: Batch, content: str, name: str, step: int) -> Batch:
    """One prepared image (C, S, S) changed."""
    plane = image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0))
    found = perturbed(plane, name, step, content=content)
    return np.asarray(found[None] if len(image) == 1 else found.transpose(2, 0, 1), dtype=np.uint8)


def _example(
    manifest: Manifest,
    pixels: PixelSource,
    clean: NDArray[np.float64],
    changed: dict[tuple[str, int], NDArray[np.float64]],
) -> Json:
    """An ordinary image of the class whose probabilities move most: the one with the median movement of its class."""
    labels = manifest.labels
    has = labels == 1 if manifest.multi_label else labels[:, None] == np.arange(len(manifest.classes))
    moved = np.mean([np.abs(table - clean) for table in changed.values()], axis=0)  # (N, classes)
    mean = [moved[has[:, k], k].mean() if has[:, k].any() else -1.0 for k in range(moved.shape[1])]
    column = int(np.argmax(mean))
    members = np.flatnonzero(has[:, column])
    if not members.size:  # findings that no image has
        members = np.arange(len(manifest))
    chosen = int(members[np.argsort(moved[members, column], kind="stable")[members.size // 2]])
    alone = manifest.take([chosen])
    image = next(pixels.batches(alone, size=1))[0]
    content = str(alone.column("sha256")[0])

    def shown(view: Batch, probabilities: NDArray[np.float64]) -> Json:
        return {"picture": _picture(view), "probability": float(probabilities[chosen, column])}

    return {
        "class": manifest.classes[column],
        "clean": shown(image, clean),
        "changes": {
            name: [shown(_one(image, content, name, step), changed[name, step]) for step in _STEPS]
            for name in dict.fromkeys(name for name, _ in changed)
        },
    }


def _picture(image: Batch) -> str:
    """(C, S, S) as a small JPEG."""
    plane = image[0] if len(image) == 1 else cv2.cvtColor(image.transpose(1, 2, 0), cv2.COLOR_RGB2BGR)
    if len(plane) > _PICTURE:
        plane = cv2.resize(plane, (_PICTURE, _PICTURE), interpolation=cv2.INTER_AREA)
    stored = cv2.imencode(".jpg", plane, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1]
    return "data:image/jpeg;base64," + base64.b64encode(stored.tobytes()).decode("ascii")


def _silent(_done: int, _total: int) -> None:
    """Nobody watches."""
