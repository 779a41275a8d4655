"""Fixtures for every test: no test reaches the user's cache, and real data is found or skipped with a reason."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XENOGRAFT_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def chest_xray() -> Path:
    return _shared("data/chest_xray_224")


@pytest.fixture
def chest_originals() -> Path:
    return _shared("data/chest_xray_original")


@pytest.fixture
def weights_dir() -> Path:
    return _shared("weights")


def _shared(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"real data is not here: {folder} is missing")
    return folder


@pytest.fixture(scope="session")
def phantom_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 synthetic radiographs of 64 px in two classes, split into train and test by patient."""
    from xenograft.data.phantom import write_phantoms

    return write_phantoms(tmp_path_factory.mktemp("phantoms") / "phantom", count=120, size=64, seed=3)


@pytest.fixture(scope="session")
def made_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights folder with a made resnet18: random values under the names and shapes of the real file."""
    import torch
    from safetensors.torch import save_file
    from torchvision.models import resnet18

    folder = tmp_path_factory.mktemp("weights")
    with torch.random.fork_rng():
        torch.manual_seed(11)
        save_file(resnet18().state_dict(), folder / "resnet18.imagenet1k.safetensors")
    return folder
