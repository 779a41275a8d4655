"""Manifest -> uint8 batches (N, C, S, S), decoded by threads a few batches ahead, in order, in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from xenograft.data.augment import NONE, Augment, augmented
from xenograft.data.manifest import Manifest, Row
from xenograft.data.preprocess import Preprocess, prepare
from xenograft.data.readers import decode_picture, read_bytes
from xenograft.errors import DataError, FileError, printable
from xenograft.storage import sha256_bytes

Batch = NDArray[np.uint8]


def batches(
    manifest: Manifest,
    preprocess: Preprocess,
    *,
    size: int = 32,
    threads: int = 2,
    ahead: int = 4,
    augment: Augment = NONE,
    view: int = 0,
    seed: int = 0,
) -> Iterator[Batch]:
    """The images in manifest order, `size` at a time.

    Args:
        size: images per batch; the last one may be smaller. threads: decoding threads.
        ahead: batches decoded in advance; memory is bounded by it.
        augment, view, seed: one random view of each image instead of the image itself.

    Raises:
        DataError: a file changed since it was inspected (F19).
    """

    def load(row: Row) -> Batch:
        return augmented(read_prepared(manifest, row, preprocess), augment, content=row.sha256, view=view, seed=seed)

    with ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
        rows = manifest.rows()
        waiting: deque[list[Future[Batch]]] = deque()
        try:
            while chunk := list(islice(rows, size)):
                waiting.append([pool.submit(load, row) for row in chunk])
                if len(waiting) > ahead:
                    yield _stacked(waiting.popleft())
            while waiting:
                yield _stacked(waiting.popleft())
        finally:
            for futures in waiting:
                for future in futures:
                    future.cancel()


def load_all(manifest: Manifest, preprocess: Preprocess, *, threads: int = 2) -> Batch:
    """Every image as one (N, C, S, S) uint8 array: 50 kB an image at 224 px, so 1 GB holds 20,000."""
    whole = np.empty((len(manifest), preprocess.channels, preprocess.size, preprocess.size), dtype=np.uint8)
    start = 0
    for batch in batches(manifest, preprocess, size=64, threads=threads):
        whole[start : start + len(batch)] = batch
        start += len(batch)
    return whole


def read_prepared(manifest: Manifest, row: Row, preprocess: Preprocess) -> Batch:
    """One image as (C, S, S) uint8, from the same bytes that were inspected.

    Raises:
        DataError: the file is gone or has changed (F19).
    """
    path = manifest.root / row.path
    try:
        data = read_bytes(path)  # read once: what is compared is what is decoded
    except FileError:
        data = None
    if data is None or sha256_bytes(data) != row.sha256:
        raise DataError(
            f"{printable(row.path)} changed since this run inspected it; run again when the folder is at rest",
            code="E-FILE-19",
        )
    try:
        return prepare(decode_picture(data, suffix=path.suffix, min_side=1).pixels, preprocess)
    except FileError as error:
        raise DataError(f"{printable(row.path)}: {error.args[0]}", code=error.code) from error


def _stacked(futures: Sequence[Future[Batch]]) -> Batch:
    return np.stack([future.result() for future in futures])
