"""Made data sets as hubs have them, and fakes for the two libraries that download them."""

from __future__ import annotations

import io
import json
import shutil
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def picture(seed, kind="PNG", side=24):
    """Bytes of an image of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def write_classes(folder, per_class=4, classes=("NORMAL", "PNEUMONIA"), seed=0):
    """``folder/class/file`` with PNG files."""
    for k, label in enumerate(classes):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for n in range(per_class):
            (folder / label / f"{label.lower()}_{n}.png").write_bytes(picture((seed, k, n)))


def write_shard(path, rows, *, names=None, label_type=None, patient=None, metadata=True):
    """One Parquet shard as `datasets` writes it; rows of (bytes, path, label).

    Args:
        names: of a ClassLabel; None for plain labels. patient: (column, values). metadata: note the features.
    """
    features = {"image": {"_type": "Image"}, "label": {"_type": "Value", "dtype": "string"}}
    if names is not None:
        features["label"] = {"names": list(names), "_type": "ClassLabel"}
    fields = {
        "image": pa.array(
            [{"bytes": data, "path": called} for data, called, _ in rows],
            pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
        ),
        "label": pa.array([label for *_, label in rows], label_type),
    }
    if patient is not None:
        fields[patient[0]] = pa.array(patient[1])
    table = pa.table(fields)
    if metadata:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


class FakeHub:
    """Stands for `huggingface_hub`: one repository that lies in a folder."""

    def __init__(self, source: Path, card=None, tags=(), fail=None):
        self.source, self.card, self.tags, self.fail = source, card, list(tags), fail
        self.downloads: list[dict] = []
        self.asked: list[tuple] = []

    def HfApi(self):  # noqa: N802 - the library's name
        return self

    def dataset_info(self, name, *, revision=None, files_metadata=False):
        if self.fail is not None:
            raise self.fail
        assert files_metadata
        self.asked.append((name, revision))
        files = [path for path in sorted(self.source.rglob("*")) if path.is_file()]
        siblings = [
            SimpleNamespace(rfilename=path.relative_to(self.source).as_posix(), size=path.stat().st_size)
            for path in files
        ]
        card = None if self.card is None else SimpleNamespace(to_dict=lambda: self.card)
        return SimpleNamespace(sha=COMMIT, siblings=siblings, card_data=card, tags=self.tags)

    def snapshot_download(self, name, *, repo_type, revision, local_dir, allow_patterns, ignore_patterns):
        from huggingface_hub.utils import filter_repo_objects

        assert repo_type == "dataset"
        self.downloads.append({"name": name, "revision": revision, "allow": allow_patterns})
        every = [path.relative_to(self.source).as_posix() for path in self.source.rglob("*") if path.is_file()]
        for file in filter_repo_objects(every, allow_patterns=allow_patterns, ignore_patterns=ignore_patterns):
            target = Path(local_dir) / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.source / file, target)
        return str(local_dir)


class FakeKaggle:
    """Stands for `kagglehub` and `kagglehub.clients`: one data set that lies in a folder."""

    def __init__(self, source: Path, fail=None):
        self.source, self.fail = source, fail
        self.downloads: list[str] = []

    @contextmanager
    def build_kaggle_client(self):
        yield SimpleNamespace(datasets=SimpleNamespace(dataset_api_client=self))

    def get_dataset(self, asked):
        if self.fail is not None:
            raise self.fail
        assert asked.owner_slug
        return SimpleNamespace(
            title="A set of X-rays", license_name="CC BY 4.0", current_version_number=7, total_bytes=12_345
        )

    def dataset_download(self, handle):
        self.downloads.append(handle)
        return str(self.source)
