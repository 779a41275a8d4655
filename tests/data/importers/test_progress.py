"""Whatever is unpacked tells how far it is, and says nothing when it was unpacked before."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from xenograft.data.options import IngestOptions


def test_an_archive_tells_of_all_its_splits(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (9, 28, 28)).astype(np.uint8)
    arrays = {f"{split}_images": pixels[:count] for split, count in (("train", 9), ("val", 4), ("test", 5))}
    arrays |= {name.replace("images", "labels"): np.arange(len(found)) % 2 for name, found in arrays.items()}
    np.savez(tmp_path / "set.npz", **arrays)
    told: list[tuple[int, int]] = []
    for _ in range(2):
        IngestOptions().listing(tmp_path / "set.npz", tmp_path / "cache", progress=lambda *of: told.append(of))
    assert told == [(9, 18), (13, 18), (18, 18)]
