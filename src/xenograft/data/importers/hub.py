"""``hf:OWNER/NAME`` and ``kaggle:OWNER/NAME`` -> a local copy; the one place where data are downloaded.

Downloading (`fetch`) and reading (`read`) are apart: reading never asks the network. A copy is of one revision, and a
record beside it, written last, says which and under what licence.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Literal

from xenograft.data.importers import Listing
from xenograft.data.importers.unpacked import Progress
from xenograft.data.importers.volumes import SliceRule
from xenograft.errors import DataError, ProcessError, UsageError, printable
from xenograft.storage import read_json, sha256_of, write_json

Host = Literal["hf", "kaggle"]

_NAME = r"[A-Za-z0-9_][\w.-]*"
_HF = re.compile(rf"hf:((?:{_NAME}/)?{_NAME})(?:@([\w./-]+))?(?::([\w./ -]+))?", re.ASCII)
_KAGGLE = re.compile(rf"kaggle:({_NAME}/{_NAME})(?:/versions/([1-9]\d*))?", re.ASCII)
_HOSTS = {"hf": "Hugging Face", "kaggle": "Kaggle"}
_FORMAT = 1  # raise it when the record's fields change
_HASH = re.compile(r"[0-9a-f]{7,40}")


@dataclass(frozen=True, slots=True)
class Address:
    """A data set on a host.

    Args:
        name: ``OWNER/NAME``. revision: branch, tag or commit hash (Hugging Face), version number (Kaggle), or "".
        config: one of several subsets of a Hugging Face data set, or "".
    """

    host: Host
    name: str
    revision: str = ""
    config: str = ""

    def __str__(self) -> str:
        if self.host == "kaggle":
            return f"kaggle:{self.name}" + (f"/versions/{self.revision}" if self.revision else "")
        revision = f"@{self.revision}" if self.revision else ""
        return f"hf:{self.name}{revision}" + (f":{self.config}" if self.config else "")


@dataclass(frozen=True, slots=True)
class Copy:
    """A whole local copy of one revision.

    Args:
        address: as it was asked for. revision: commit hash or version number. folder: where the files lie.
        title: as its page has it, or the name. licence: as its page names it, or "". page: its address.
        size: bytes to download as the host said, 0 where it did not. fetched: UTC, ISO 8601.
    """

    address: str
    revision: str
    folder: str
    title: str
    licence: str
    page: str
    size: int
    fetched: str
    format: int = _FORMAT

    @property
    def fact(self) -> str:
        """The sentence about its origin that every report must carry."""
        asked = parse(self.address)
        licence = f"licence as its page names it: {self.licence}" if self.licence else "its page names no licence"
        of = f", subset {asked.config}" if asked.config else ""
        title = f"{printable(self.title)}, " if self.title != asked.name else ""
        kind = "revision" if asked.host == "hf" else "version"
        return (
            f"Source: {title}{_HOSTS[asked.host]} {asked.name}{of}, {kind} {self.revision} "
            f"({self.page}), downloaded {self.fetched[:10]}; {printable(licence)}."
        )


def is_address(data: str | PurePath) -> bool:
    """Whether DATA names a data set on a host, rightly spelt or not."""
    return str(data).startswith(("hf:", "kaggle:"))


def parse(data: str | PurePath) -> Address:
    """The parts of ``hf:OWNER/NAME[@REVISION][:CONFIG]`` or ``kaggle:OWNER/NAME[/versions/N]``.

    Raises:
        UsageError: it is neither.
    """
    text = str(data).replace("\\", "/")  # a path on Windows
    found = _HF.fullmatch(text) or _KAGGLE.fullmatch(text)
    if found is None or ".." in text:
        raise UsageError(
            f"{printable(text)!r} names no data set; write hf:OWNER/NAME[@REVISION][:CONFIG] or "
            "kaggle:OWNER/NAME[/versions/N]",
            code="E-USAGE-21",
        )
    name, revision, *config = found.groups()
    return Address(
        "kaggle" if text.startswith("kaggle:") else "hf", name, revision or "", "".join(filter(None, config))
    )


def fetch(
    data: str | PurePath, *, cache: Path, offline: bool = False, say: Callable[[str], None] = lambda _: None
) -> Copy:
    """The local copy of a data set; downloaded where there is none, after saying what, how large and which licence.

    A copy that is there is used without asking the host whether there is a newer one: name a revision for that.

    Args:
        cache: files lie below ``cache/hub``, those of Kaggle in kagglehub's own cache. say: takes lines for the user.

    Raises:
        DataError: offline without a copy (E-DATA-31), no access (-32), no such data set (-33), no network (-34).
        MissingPackage: the extra ``hub`` is not installed. ProcessError: too little space on the disk.
    """
    address = parse(data)
    if (copy := _at_hand(address, cache)) is not None:
        say(f"{address}: copy of {copy.fetched[:10]} in {printable(copy.folder)}, revision {copy.revision}")
        return copy
    if offline:
        raise _absent(address, "and --offline forbids to download it; run once without --offline")
    from xenograft.data.importers import hub_client

    remote = hub_client.about(address)
    base = _base(cache, address)
    size = _size(remote.size)
    licence = printable(remote.licence) or "not named: ask its owner before you publish anything"
    say(f"{address}: {printable(remote.title)}; {size}; licence {licence}; revision {remote.revision}; {remote.page}")
    try:
        base.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(base).free
    except OSError as error:
        raise ProcessError(
            f"{printable(base)} cannot be written ({error.strerror}); choose another with --cache-dir",
            code="E-PROC-05",
        ) from error
    if remote.size > free:
        raise ProcessError(
            f"{address} has {size}, and {free / 1e9:.2f} GB are free at {printable(base)}; free space or choose "
            "another with --cache-dir",
            code="E-PROC-05",
        )
    say(f"downloading {address}; when it is stopped, the same command goes on")
    folder = hub_client.download(address, remote, base / remote.revision)
    copy = Copy(
        str(address),
        remote.revision,
        str(folder),
        remote.title,
        remote.licence,
        remote.page,
        remote.size,
        datetime.now(UTC).isoformat(timespec="seconds"),
    )
    write_json(base / f"{sha256_of(str(address))[:16]}.json", asdict(copy))
    return copy


def read(
    data: str | PurePath,
    *,
    cache: Path | None,
    images: Path | None = None,
    label_column: str | None = None,
    patient_column: str | None = None,
    slices: SliceRule | None = None,
    progress: Progress | None = None,
) -> Listing:
    """List the local copy of a data set; the network is not asked.

    Raises:
        DataError: there is no copy (E-DATA-31), or nothing in it that can be read (E-DATA-35). UsageError: `images`.
    """
    from xenograft.data.importers import hub_layout

    address = parse(data)
    if images is not None:
        raise UsageError(f"{address} brings its own images; give no --images", code="E-USAGE-08")
    copy = _at_hand(address, cache) if cache is not None else None
    if copy is None:
        raise _absent(address, "; compare, fit or audit without --offline download it")
    listing = hub_layout.read(
        Path(copy.folder),
        origin=f"{address.host}:{address.name}@{copy.revision}",
        config=address.config,
        cache=cache,
        label_column=label_column,
        patient_column=patient_column,
        slices=slices,
        progress=progress,
    )
    return replace(listing, name=copy.title, facts=(copy.fact,))


def _size(size: int) -> str:
    if not size:
        return "size unknown"
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _absent(address: Address, why: str) -> DataError:
    comma = "" if why.startswith(";") else ", "
    return DataError(f"{address} is not on this machine{comma}{why}", code="E-DATA-31")


def _base(cache: Path, address: Address) -> Path:
    return cache / "hub" / address.host / address.name.replace("/", "--")


def _at_hand(address: Address, cache: Path) -> Copy | None:
    """The newest copy that is what was asked for."""
    fitting = [copy for copy in _copies(_base(cache, address)) if _fits(parse(copy.address), copy, address)]
    return max(fitting, key=lambda copy: copy.fetched, default=None)


def _copies(base: Path) -> Iterator[Copy]:
    for path in sorted(base.glob("*.json")):
        try:
            copy = Copy(**read_json(path))
            parse(copy.address)
            whole = copy.format == _FORMAT and Path(copy.folder).is_dir()
        except (DataError, UsageError, TypeError, ValueError):
            continue  # another format, or damaged: it is downloaded again
        if whole:
            yield copy


def _fits(had: Address, copy: Copy, wanted: Address) -> bool:
    if had.config not in {"", wanted.config} or (had.config and not wanted.config):
        return False
    if wanted.revision in {had.revision, copy.revision}:
        return True
    if not wanted.revision:
        return had.revision == ""  # somebody's pinned copy is not the newest one
    hashed = wanted.host == "hf" and _HASH.fullmatch(wanted.revision) is not None
    return hashed and copy.revision.startswith(wanted.revision)
