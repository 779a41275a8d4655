"""Decoded picture -> one small row: a thumbnail, a histogram, and statistics. What an audit knows about pixels.

Rows are kept by content like features are, so that an audit decodes an image once, ever.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from xenograft.data.manifest import Manifest, Row
from xenograft.data.preprocess import FIRST_WINDOW, WORKING, DicomReading, Pixels, Preprocess, prepare
from xenograft.data.readers import Picture, decode_picture, read_bytes
from xenograft.errors import DataError, FileError, Notice, ProcessError, printable
from xenograft.rowstore import RowStore, ShardWriter
from xenograft.storage import sha256_bytes

SIDE = 32
BINS = 32
STATISTICS = (
    "mean", "sd", "p01", "p25", "p50", "p75", "p99", "black", "white", "border_mean", "border_sd", "sharpness",
    "colour",
)  # fmt: skip
"""In [0, 1] of what the stored depth can hold: moments and quantiles; shares of pixels at the lowest and the highest
value; the outer twentieth; mean absolute Laplacian; whether there are three channels."""

_LIBRARIES = ("numpy", "opencv-python-headless", "pillow")
_FORMAT = 1  # raise it when a row's meaning changes
_TOP = 65535
_THUMBNAIL = Preprocess(size=SIDE)
_WIDTH = SIDE * SIDE + BINS + len(STATISTICS)

Rows = NDArray[np.uint16]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Glances:
    """What is known about the pixels of N images, all in [0, 1].

    Args:
        thumbnails: (N, 32, 32) float32, gray, whole image squeezed to a square, deep images windowed.
        histograms: (N, 32) float32 shares of pixels, over the range of the stored depth. A 16-bit image's is taken over
            its window (0.5th to 99.5th percentile), as a network would see it.
        statistics: (N, K) float32 in the order of `STATISTICS`.
    """

    thumbnails: NDArray[np.float32]
    histograms: NDArray[np.float32]
    statistics: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.statistics)

    def take(self, positions: NDArray[np.int64]) -> Glances:
        """Some of the images."""
        return Glances(self.thumbnails[positions], self.histograms[positions], self.statistics[positions])


class GlanceStore:
    """Takes the pictures that inspection decodes, and gives their rows back in the order of a manifest.

    Args:
        cache: folder below which rows are kept, or None for memory only. dicom: how DICOM files are read.
    """

    def __init__(self, cache: Path | None = None, *, dicom: DicomReading = FIRST_WINDOW) -> None:
        self._cache, self._dicom = cache, dicom
        facts: dict[str, Any] = {"glance": _FORMAT, "versions": {name: version(name) for name in _LIBRARIES}}
        facts |= {} if dicom == FIRST_WINDOW else {"dicom": asdict(dicom)}
        self._store = RowStore(cache, facts)
        self._writer = ShardWriter(self._store)
        self._offering = threading.Lock()
        self.notices: list[Notice] = []
        self.written = 0

    def offer(self, content: str, picture: Picture) -> None:
        """Keep what a picture looks like; for many threads at once."""
        if self._store.has(content):
            return
        row = glance(picture.pixels)
        with self._offering:
            self.written += row.nbytes
            self._guarded(lambda: self._writer.put([content], row[None]))

    def flush(self) -> None:
        """Write what was kept but not yet written."""
        with self._offering:
            self._guarded(self._writer.flush)

    def _guarded(self, write: Callable[[], None]) -> None:
        """A full disk ends the keeping, not the work: what gathered stays in memory."""
        try:
            write()
        except ProcessError as error:
            self.notices.append(Notice("W-PROC-08", f"what images look like is not kept: {error.args[0]}"))
            self._store.writable = False
            self._writer.flush()

    def elsewhere(self, workers: int) -> Callable[[], GlanceStore]:
        """How another process opens the same store; see `xenograft.data.decoding.Keeper`."""
        del workers
        return partial(GlanceStore, self._cache, dicom=self._dicom)

    def credit(self, written: int, notices: Sequence[Notice]) -> None:
        """Learn what another process has written."""
        self.written += written
        self.notices += [notice for notice in notices if notice not in self.notices]

    def read(self, manifest: Manifest) -> Glances:
        """Rows of a manifest's images in order; those that are missing are decoded now."""
        self._store.refresh()
        hashes: list[str] = manifest.column("sha256")
        if missing := self._store.missing(hashes):
            with ThreadPoolExecutor(min(4, os.cpu_count() or 1), thread_name_prefix="glance") as pool:
                deque(pool.map(partial(self._look, manifest), manifest.take(missing).rows()), maxlen=0)
            self.flush()
        return unpacked(self._store.rows(hashes))

    def _look(self, manifest: Manifest, row: Row) -> None:
        """Decode one image that was inspected before its row was kept, or whose row was lost.

        Raises:
            DataError: the file is gone or has changed (F19).
        """
        path = manifest.root / row.path
        try:
            data = read_bytes(path)
            if sha256_bytes(data) != row.sha256:
                raise FileError("changed since it was inspected", code="S-FILE-19")
            arguments = self._dicom.as_arguments()
            picture = decode_picture(data, suffix=path.suffix, min_side=1, working=WORKING, **arguments)
        except FileError as error:
            message = f"{printable(row.path)}: {error.args[0]}; run again when the folder is at rest"
            raise DataError(message, code="E-FILE-19") from error
        self.offer(row.sha256, picture)


def glance(pixels: Pixels) -> Rows:
    """One row of `_WIDTH` numbers : [0, 1] times 65535.

    Args:
        pixels: (H, W) or (H, W, 3), uint8 or uint16.
    """
    thumbnail = prepare(pixels, _THUMBNAIL)[0].astype(np.float32) / 255
    gray: Any = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY) if pixels.ndim == 3 else pixels
    levels = 1 << 8 * gray.dtype.itemsize
    counts: Floats = cv2.calcHist([gray], [0], None, [levels], [0, levels]).ravel().astype(np.float32)
    row = np.concatenate([thumbnail.ravel(), _histogram(counts), _statistics(gray, counts, colour=pixels.ndim == 3)])
    stored: Rows = np.rint(np.clip(row, 0, 1) * _TOP).astype(np.uint16)
    return stored


def unpacked(rows: Rows) -> Glances:
    """(N, W) stored rows as arrays."""
    values: Floats = np.divide(rows, _TOP, dtype=np.float32)
    pixels, bins = SIDE * SIDE, SIDE * SIDE + BINS
    return Glances(values[:, :pixels].reshape(-1, SIDE, SIDE), values[:, pixels:bins], values[:, bins:])


def _histogram(counts: Floats) -> Floats:
    """Shares of pixels in `BINS` bins; of a deep image over its window, values outside in the outer bins."""
    if len(counts) > 256:
        low, high = _quantiles(counts, (0.005, 0.995))
        edges = np.linspace(low, max(high, low + BINS), BINS + 1)[1:-1]
        bins = np.searchsorted(edges, np.arange(len(counts)), side="right")
        shares = np.bincount(bins, weights=counts, minlength=BINS)
    else:
        shares = counts.reshape(BINS, -1).sum(axis=1)
    found: Floats = (shares / shares.sum()).astype(np.float32)
    return found


def _statistics(gray: Pixels, counts: Floats, *, colour: bool) -> Floats:
    top = len(counts) - 1
    total = float(counts.sum())
    present = np.flatnonzero(counts)
    mean, sd = (float(value[0, 0]) for value in cv2.meanStdDev(gray))
    edge_y, edge_x = max(1, gray.shape[0] // 20), max(1, gray.shape[1] // 20)
    border = np.concatenate(
        [gray[:edge_y].ravel(), gray[-edge_y:].ravel(), gray[:, :edge_x].ravel(), gray[:, -edge_x:].ravel()]
    )
    sharpness = float(cv2.norm(cv2.Laplacian(gray, cv2.CV_32F), cv2.NORM_L1)) / gray.size
    found = {
        "mean": mean / top,
        "sd": sd / top,
        **dict(zip(STATISTICS[2:7], _quantiles(counts, (0.01, 0.25, 0.5, 0.75, 0.99)) / top, strict=True)),
        "black": float(counts[present[0]]) / total,
        "white": float(counts[present[-1]]) / total,
        "border_mean": float(border.mean()) / top,
        "border_sd": float(border.std()) / top,
        "sharpness": sharpness / top,
        "colour": float(colour),
    }
    return np.array([found[name] for name in STATISTICS], dtype=np.float32)


def _quantiles(counts: Floats, shares: Sequence[float]) -> NDArray[np.float64]:
    """Smallest values that these shares of the pixels do not exceed."""
    below = np.cumsum(counts, dtype=np.float64)
    values: NDArray[np.float64] = np.searchsorted(below, np.asarray(shares) * below[-1]).astype(np.float64)
    return values
