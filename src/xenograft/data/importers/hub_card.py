"""The YAML head of a Hugging Face data set's README: its subsets with their files, and the names of its classes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from xenograft.errors import UsageError, listed, require

_LIMIT = 4 << 20  # characters of a README that are read


def read(folder: Path) -> Mapping[str, Any]:
    """The head as a mapping; empty where there is none, or none that can be read."""
    try:
        with (folder / "README.md").open(encoding="utf-8", errors="replace") as stream:
            text = stream.read(_LIMIT)
    except OSError:
        return {}
    if not text.startswith("---"):
        return {}
    yaml = require("yaml", extra="hub")
    try:
        found = yaml.safe_load(text[3:].partition("\n---")[0])
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def subset(card: Mapping[str, Any], config: str, *, where: str) -> list[tuple[str, str]]:
    """(split as it is called there, pattern of files) of the chosen subset; empty where the card names no files.

    Raises:
        UsageError: it has several and none is chosen or the default, or not the chosen one (E-USAGE-22).
    """
    told = [entry for entry in _mappings(card.get("configs")) if entry.get("data_files")]
    names = [str(entry.get("config_name", "default")) for entry in told]
    if not told:
        return []
    if config:
        if config not in names:
            raise unknown_subset(where, config, names)
        chosen = told[names.index(config)]
    elif len(told) == 1:
        chosen = told[0]
    else:
        first = [k for k, entry in enumerate(told) if entry.get("default") is True or names[k] == "default"]
        if not first:
            raise several_subsets(where, names)
        chosen = told[first[0]]
    base = str(chosen.get("data_dir") or "").strip("/")
    return [(split, f"{base}/{path}" if base else path) for split, path in _files(chosen["data_files"])]


def unknown_subset(where: str, config: str, names: Iterable[str]) -> UsageError:
    """The error for a subset that is not there."""
    return UsageError(
        f"{where}: there is no subset {config!r}; there is {listed(names, most=20) or 'none'}", code="E-USAGE-22"
    )


def several_subsets(where: str, names: Iterable[str]) -> UsageError:
    """The error for a choice that only the user can make."""
    return UsageError(
        f"{where} has several subsets: {listed(names, most=20)}; name one after a colon, hf:OWNER/NAME:SUBSET",
        code="E-USAGE-22",
    )


def class_names(card: Mapping[str, Any], column: str, config: str) -> tuple[str, ...]:
    """Names of the classes of a column by index, as ``dataset_info`` has them; empty where it has none."""
    entries = _mappings(card.get("dataset_info"))
    named = [entry for entry in entries if entry.get("config_name", "") in {config or "default", config}]
    for entry in named or (entries if len(entries) == 1 else []):
        for feature in _mappings(entry.get("features")):
            kind = feature.get("dtype")
            if feature.get("name") == column and isinstance(kind, dict) and isinstance(kind.get("class_label"), dict):
                return ordered(kind["class_label"].get("names"))
    return ()


def ordered(names: Any) -> tuple[str, ...]:
    """``["a", "b"]`` or ``{"0": "a", "1": "b"}`` as a tuple; empty for anything else."""
    if isinstance(names, list):
        return tuple(map(str, names))
    if isinstance(names, dict) and {str(key) for key in names} == {str(k) for k in range(len(names))}:
        plain = {str(key): str(name) for key, name in names.items()}
        return tuple(plain[str(k)] for k in range(len(plain)))
    return ()


def _mappings(value: Any) -> list[dict[str, Any]]:
    found = value if isinstance(value, list) else [value]
    return [entry for entry in found if isinstance(entry, dict)]


def _files(told: Any) -> list[tuple[str, str]]:
    """``data_files``: a path, a list of paths, or of ``{split, path}`` where a path may be a list again."""
    pairs: list[tuple[str, str]] = []
    for entry in told if isinstance(told, list) else [told]:
        split, paths = (str(entry.get("split", "")), entry.get("path")) if isinstance(entry, dict) else ("", entry)
        pairs += [
            (split, path.removeprefix("./"))
            for path in (paths if isinstance(paths, list) else [paths])
            if isinstance(path, str)
        ]
    return pairs
