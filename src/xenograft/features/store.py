"""Features on disk, addressed by what made them: a changed input is another address, never a stale hit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from xenograft.errors import Notice, ProcessError, printable
from xenograft.storage import atomic_write, sha256_bytes, sha256_of, write_json

Array = NDArray[np.float32]


class FeatureStore:
    """Rows of features by image content, for one key.

    A key is a folder of immutable shards; a shard's name is the hash of its bytes, so a flipped bit is found on reading
    (P9) and a half-written one never has a name (P4). Without a folder, or where it cannot be written (P8), rows are
    kept in memory only.

    Args:
        folder: the cache's folder for features, or None.
        facts: everything the features depend on; its hash is the key (P10).
    """

    def __init__(self, folder: Path | None, facts: Mapping[str, Any]) -> None:
        self.key = sha256_of(facts)
        self.notices: list[Notice] = []
        self._rows: dict[str, Array] = {}
        self._folder = folder / self.key[:40] if folder is not None else None
        if self._folder is None:
            return
        try:
            write_json(self._folder / "key.json", dict(facts))
        except ProcessError as error:
            self.notices.append(Notice("W-PROC-08", f"features are kept in memory only: {error.args[0]}"))
            self._folder = None
            return
        for shard in sorted(self._folder.glob("*.safetensors")):
            self._read(shard)

    def lock(self) -> FileLock | None:
        """A lock that one process at a time holds while it computes this key; None without a folder."""
        return FileLock(str(self._folder / ".lock")) if self._folder is not None else None

    def refresh(self) -> None:
        """Read shards that another process has written meanwhile."""
        if self._folder is not None:
            for shard in sorted(self._folder.glob("*.safetensors")):
                self._read(shard)

    def missing(self, hashes: Sequence[str]) -> list[int]:
        """Positions whose features are not here; each content once, at its first position."""
        seen: set[str] = set()
        positions = []
        for position, content in enumerate(hashes):
            if content not in self._rows and content not in seen:
                seen.add(content)
                positions.append(position)
        return positions

    def rows(self, hashes: Sequence[str]) -> Array:
        """(N, D) features of these contents, all of which must be here."""
        return np.stack([self._rows[content] for content in hashes])

    def add(self, hashes: Sequence[str], features: Array) -> None:
        """Keep (n, D) features of n contents as one shard."""
        if self._folder is not None:
            contents = np.frombuffer(bytes.fromhex("".join(hashes)), dtype=np.uint8).reshape(len(hashes), 32)
            data = save({"contents": contents, "features": np.ascontiguousarray(features)})
            atomic_write(self._folder / f"{sha256_bytes(data)[:40]}.safetensors", data)
        self._rows.update(zip(hashes, features, strict=True))

    def _read(self, shard: Path) -> None:
        data = shard.read_bytes()
        try:
            if not sha256_bytes(data).startswith(shard.stem):
                raise SafetensorError("checksum")
            tensors = load(data)
            hashes = [bytes(row).hex() for row in tensors["contents"]]
            self._rows.update(zip(hashes, tensors["features"], strict=True))
        except (SafetensorError, KeyError, ValueError):
            with suppress(OSError):
                shard.replace(shard.with_suffix(".damaged"))
            message = f"shard {printable(shard.name)} of the feature cache is damaged; set aside and computed again"
            self.notices.append(Notice("W-PROC-09", message))
