"""The only calls that reach the network: what a data set is, and its files. No script of a data set is ever run."""

from __future__ import annotations

import errno
import fnmatch
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xenograft.data.importers import hub_card
from xenograft.data.importers.hub import Address
from xenograft.errors import DataError, ProcessError, XenograftError, printable, require

NEVER = (
    "*.py",
    "*.pkl",
    "*.pickle",
    "*.pt",
    "*.pth",
    "*.ckpt",
    "*.safetensors",
    "*.joblib",
    "*.ipynb",
    "*.sh",
    "*.exe",
)
"""Programs, pickles and weights: nothing here reads them, so they are not fetched."""

_HF_PAGE = "https://huggingface.co/datasets/{name}/tree/{revision}"
_KAGGLE_PAGE = "https://www.kaggle.com/datasets/{name}/versions/{revision}"
_LOGIN = {
    "hf": "accept its terms on {page} if it asks for it, then run: hf auth login (formerly huggingface-cli login)",
    "kaggle": "make an API token at https://www.kaggle.com/settings and put kaggle.json into ~/.kaggle/",
}
_FULL = {errno.ENOSPC, errno.EDQUOT}


@dataclass(frozen=True, slots=True)
class Remote:
    """What a host says of a data set.

    Args:
        revision: commit hash or version number. size: bytes to download, 0 where the host is silent.
        wanted: patterns of the files that a subset needs; empty for all of them.
    """

    title: str
    licence: str
    revision: str
    size: int
    page: str
    wanted: tuple[str, ...] = ()


def about(address: Address) -> Remote:
    """Ask the host.

    Raises:
        DataError: no access (E-DATA-32), not there (-33), no network (-34). UsageError: which subset? (E-USAGE-22).
        MissingPackage: the extra ``hub`` is not installed.
    """
    return _about_hf(address) if address.host == "hf" else _about_kaggle(address)


def download(address: Address, remote: Remote, folder: Path) -> Path:
    """Fetch the files of one revision, and return where they lie; what an earlier call fetched is not fetched again.

    Args:
        folder: for Hugging Face; Kaggle's library keeps its own.
    """
    if address.host == "kaggle":
        hub = require("kagglehub", extra="hub")
        logging.getLogger("kagglehub").setLevel(logging.WARNING)
        with _asking(address):
            return Path(hub.dataset_download(f"{address.name}/versions/{remote.revision}"))
    hub = require("huggingface_hub", extra="hub")
    with _asking(address):
        # real files in a folder of ours: the library's own cache holds links out of the folder, which are not followed
        found = hub.snapshot_download(
            address.name,
            repo_type="dataset",
            revision=remote.revision,
            local_dir=folder,
            allow_patterns=list(remote.wanted) or None,
            ignore_patterns=list(NEVER),
        )
    return Path(found)


def _about_hf(address: Address) -> Remote:
    hub = require("huggingface_hub", extra="hub")
    with _asking(address):
        info = hub.HfApi().dataset_info(address.name, revision=address.revision or None, files_metadata=True)
    card: Mapping[str, Any] = info.card_data.to_dict() if info.card_data is not None else {}
    sizes = {file.rfilename: int(file.size or 0) for file in info.siblings or ()}
    wanted = _wanted(card, address, sizes)
    names = [name for name in sizes if not _matches(name, NEVER) and (not wanted or _matches(name, wanted))]
    revision = str(info.sha)
    return Remote(
        title=str(card.get("pretty_name") or address.name),
        licence=_licence(card, info.tags or ()),
        revision=revision,
        size=sum(sizes[name] for name in names),
        page=_HF_PAGE.format(name=address.name, revision=revision),
        wanted=wanted,
    )


def _wanted(card: Mapping[str, Any], address: Address, names: Mapping[str, int]) -> tuple[str, ...]:
    """Patterns of the files of the chosen subset."""
    chosen = hub_card.subset(card, address.config, where=str(address))
    patterns = [pattern for _, pattern in chosen]
    if not patterns and address.config:
        patterns = [p for p in (f"{address.config}/*", f"*/{address.config}/*") if any(_matches(n, [p]) for n in names)]
        if not patterns:
            raise hub_card.unknown_subset(str(address), address.config, ())
    # a pattern such as data/train-* may name pictures beside a table: everything else of use is small
    return (*patterns, "README.md") if patterns and address.config else ()


def _licence(card: Mapping[str, Any], tags: Sequence[str]) -> str:
    told = card.get("license_name") or card.get("license")
    names = told if isinstance(told, list) else [told] if told else []
    names = names or [tag.removeprefix("license:") for tag in tags if tag.startswith("license:")]
    return ", ".join(map(str, names))


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def _about_kaggle(address: Address) -> Remote:
    require("kagglehub", extra="hub")
    clients = require("kagglehub.clients", extra="hub")
    types = require("kagglesdk.datasets.types.dataset_api_service", extra="hub")
    owner, name = address.name.split("/")
    with _asking(address), clients.build_kaggle_client() as client:
        asked = types.ApiGetDatasetRequest()
        asked.owner_slug, asked.dataset_slug = owner, name
        info = client.datasets.dataset_api_client.get_dataset(asked)
        revision = address.revision or str(info.current_version_number)
        return Remote(
            title=str(info.title or address.name),
            licence=str(info.license_name or ""),
            revision=revision,
            size=int(info.total_bytes or 0),
            page=_KAGGLE_PAGE.format(name=address.name, revision=revision),
        )


@contextmanager
def _asking(address: Address) -> Iterator[None]:
    """The two libraries raise their own errors, those of three HTTP libraries and the system's; ours leave."""
    try:
        yield
    except XenograftError:
        raise
    except Exception as error:
        raise _told(address, error) from error


def _told(address: Address, error: Exception) -> XenograftError:
    kinds = {kind.__name__ for kind in type(error).__mro__}
    status = getattr(getattr(error, "response", None), "status_code", None)
    pattern = _HF_PAGE if address.host == "hf" else _KAGGLE_PAGE
    page = pattern.format(name=address.name, revision="").removesuffix("/tree/").removesuffix("/versions/")
    login = _LOGIN[address.host].format(page=page)
    reason = printable((str(error).strip().splitlines() or [""])[0])[:160] or type(error).__name__
    if isinstance(error, OSError) and error.errno in _FULL:
        return ProcessError(f"the disk is full while {address} is downloaded; free space, run again", code="E-PROC-05")
    if kinds & {"GatedRepoError", "UnauthenticatedError", "LocalTokenNotFoundError"}:
        return DataError(f"{address} is open to those who log in: {login}", code="E-DATA-32")
    if "RevisionNotFoundError" in kinds:
        return DataError(f"{address}: there is no such revision; see {page}", code="E-DATA-33")
    if "RepositoryNotFoundError" in kinds or status == 404:  # hosts do not tell a private one from none
        return DataError(f"{address} does not exist, or is private; look at {page}, or {login}", code="E-DATA-33")
    if status in {401, 403}:
        return DataError(f"{address} is open to those who log in: {login}", code="E-DATA-32")
    if any("Connect" in kind or "Timeout" in kind or "ProxyError" in kind for kind in kinds):
        reason = f"no connection to {page.split('/')[2]}"
    return DataError(
        f"{address} cannot be downloaded now ({reason}); look at the network, then run the same command again",
        code="E-DATA-34",
    )
