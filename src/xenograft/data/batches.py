"""Manifest -> uint8 batches (N, C, S, S) in order, in bounded memory: from the pixel cache, else decoded by threads."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from xenograft.data.augment import NONE, Augment, augmented
from xenograft.data.manifest import Manifest, Row
from xenograft.data.prepared import pixel_facts, read_prepared, serves
from xenograft.data.preprocess import Preprocess, prepare
from xenograft.data.readers import Picture
from xenograft.errors import Notice, ProcessError
from xenograft.rowstore import RowStore, ShardWriter

Batch = NDArray[np.uint8]
_Given = TypeVar("_Given")
_Made = TypeVar("_Made")

_AHEAD = 4  # batches decoded or augmented in advance: memory is bounded by it


class PixelSource:
    """Prepared images of one Preprocess: an original is decoded once, for all backbones, views and seeds.

    Args:
        cache: folder of the decoded-pixel cache, or None; a cache that cannot be written only costs the decoding.
        threads: that decode and augment. limit: bytes to write to the cache at most. decoded: images decoded so far.
        written: bytes given to the cache.
    """

    def __init__(
        self, preprocess: Preprocess, *, cache: Path | None = None, threads: int = 2, limit: int | None = None
    ) -> None:
        self.preprocess = preprocess
        self.threads = threads
        self.decoded = self.written = 0
        self._cache, self._limit = cache, limit
        self.notices: list[Notice] = []
        self._store = RowStore(cache, pixel_facts(preprocess))
        self._writer = ShardWriter(self._store) if self._store.writable else None
        self._offering = threading.Lock()

    @property
    def key(self) -> str:
        """Name of the cache's folder for these pixels."""
        return self._store.key

    def batches(
        self, manifest: Manifest, *, size: int, augment: Augment = NONE, view: int = 0, seed: int = 0
    ) -> Iterator[Batch]:
        """The images in manifest order, `size` at a time; the last batch may be smaller.

        Args:
            augment, view, seed: one random view of each image instead of the image itself.

        Raises:
            DataError: a file that must be decoded changed since it was inspected (F19).
        """
        plain = self._plain(manifest, size)
        if augment == NONE:
            yield from plain
            return
        contents = _chunks(manifest.column("sha256"), size)

        def views(item: tuple[Batch, list[str]]) -> Batch:
            images = zip(*item, strict=True)
            return np.stack([augmented(i, augment, content=c, view=view, seed=seed) for i, c in images])

        yield from _ahead(views, zip(plain, contents, strict=True), self.threads)

    def everything(self, manifest: Manifest) -> Batch:
        """Every image as one (N, C, S, S) array: 50 kB an image at 224 px, so 1 GB holds 20,000."""
        side, channels = self.preprocess.size, self.preprocess.channels
        whole = np.empty((len(manifest), channels, side, side), dtype=np.uint8)
        start = 0
        for batch in self.batches(manifest, size=64):
            whole[start : start + len(batch)] = batch
            start += len(batch)
        return whole

    def offer(self, content: str, picture: Picture) -> None:
        """Keep the pixels of a picture that was just decoded for another reason; for many threads at once."""
        if self._writer is None or self._store.has(content) or not serves(picture, self.preprocess):
            return
        pixels = prepare(picture.pixels, self.preprocess)
        with self._offering:
            self._keep([content], pixels[None])

    def flush(self) -> None:
        """Write what was kept but not yet written."""
        with self._offering:
            self._guarded(lambda writer: writer.flush())

    def elsewhere(self, workers: int) -> Callable[[], PixelSource]:
        """How each of some processes opens the same cache, with its share of the limit; can be sent to them."""
        limit = None if self._limit is None else max(0, self._limit - self.written) // workers
        return partial(PixelSource, self.preprocess, cache=self._cache, threads=1, limit=limit)

    def credit(self, written: int, notices: Sequence[Notice]) -> None:
        """Learn what another process has written."""
        self.written += written
        self.notices += [notice for notice in notices if notice not in self.notices]

    def _plain(self, manifest: Manifest, size: int) -> Iterator[Batch]:
        """Batches without augmentation; the missing images of each are decoded ahead, then kept."""
        self._store.refresh()
        hashes: list[str] = manifest.column("sha256")
        missing = {hashes[position] for position in self._store.missing(hashes)}
        self.notices += self._store.notices
        self._store.notices = []

        def decode(rows: list[Row]) -> tuple[list[Row], dict[str, Batch]]:
            return rows, {r.sha256: read_prepared(manifest, r, self.preprocess) for r in rows if r.sha256 in missing}

        for rows, decoded in _ahead(decode, _chunks(manifest.rows(), size), self.threads):
            batch = self._joined(rows, decoded)
            if decoded:
                self.decoded += len(decoded)
                self._keep(list(decoded), np.stack(list(decoded.values())))
            yield batch
        self.flush()

    def _joined(self, rows: Sequence[Row], decoded: dict[str, Batch]) -> Batch:
        hashes = [row.sha256 for row in rows]
        if not decoded:
            return self._store.rows(hashes)
        kept = [content for content in hashes if content not in decoded]
        known = dict(zip(kept, self._store.rows(kept), strict=True)) if kept else {}
        return np.stack([decoded[c] if c in decoded else known[c] for c in hashes])

    def _keep(self, contents: list[str], pixels: Batch) -> None:
        self.written += pixels.nbytes
        if self._limit is not None and self.written > self._limit and self._writer is not None:
            self._guarded(lambda writer: writer.flush())
            self._writer = None
            text = "decoded pixels beyond the cache's limit are not kept and decoded again for every backbone"
            self.notices.append(Notice("W-PROC-12", f"{text}; raise --cache-limit where the disk allows"))
        self._guarded(lambda writer: writer.put(contents, pixels))

    def _guarded(self, write: Callable[[ShardWriter], None]) -> None:
        """Write to the cache; a full disk ends the caching, not the work: pixels can always be decoded again."""
        if self._writer is None:
            return
        try:
            write(self._writer)
        except ProcessError as error:
            self._writer = None
            self.notices.append(Notice("W-PROC-08", f"decoded pixels are not kept: {error.args[0]}"))


class PixelSources:
    """One `PixelSource` for all preprocessings that differ in normalisation alone.

    Args:
        cache, threads, limit: of each source.
    """

    def __init__(self, cache: Path | None = None, *, threads: int = 2, limit: int | None = None) -> None:
        self.threads = threads
        self._cache, self._limit = cache, limit
        self._sources: dict[str, PixelSource] = {}

    def of(self, preprocess: Preprocess) -> PixelSource:
        """The source of one preprocessing."""
        key = str(pixel_facts(preprocess))
        if key not in self._sources:
            self._sources[key] = PixelSource(preprocess, cache=self._cache, threads=self.threads, limit=self._limit)
        return self._sources[key]

    def keys(self) -> set[str]:
        """Folders of the cache in use."""
        return {source.key for source in self._sources.values()}


def _chunks(items: Iterable[_Given], size: int) -> Iterator[list[_Given]]:
    left = iter(items)
    while chunk := list(islice(left, size)):
        yield chunk


def _ahead(make: Callable[[_Given], _Made], items: Iterable[_Given], threads: int) -> Iterator[_Made]:
    """`make` of each item in order, computed by threads a few items ahead."""
    with ThreadPoolExecutor(threads, thread_name_prefix="pixels") as pool:
        waiting: deque[Future[_Made]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(make, item))
                if len(waiting) > _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
