"""StudyConfig -> its manifest: files decoded once, their pixels kept, and everything noticed said once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic

from xenograft.data.batches import PixelSources
from xenograft.data.decoding import Keeper
from xenograft.data.importers import hub
from xenograft.data.ingest import ingest
from xenograft.data.manifest import Manifest
from xenograft.data.prepared import distinct
from xenograft.data.preprocess import Preprocess
from xenograft.errors import printable
from xenograft.study.config import StudyConfig
from xenograft.study.watch import Watcher

_SECONDS = 5.0  # between two lines on what is being unpacked


def read_data(
    config: StudyConfig,
    pixels: PixelSources,
    *,
    cache: Path,
    watcher: Watcher,
    skip_report: Path | None = None,
    preprocesses: Sequence[Preprocess] = (),
    keepers: Sequence[Keeper] = (),
    meanwhile: Callable[[], None] | None = None,
    quiet: bool = False,
) -> Manifest:
    """The manifest of a study; its notices are said once.

    Args:
        cache: where facts about files are kept. skip_report: file for the list of skipped images.
        preprocesses: those that the study will use; what is decoded to be inspected is kept for them.
        keepers, meanwhile: see `xenograft.data.inspect.inspect`. quiet: say nothing of what was noticed.
    """
    if hub.is_address(config.data):
        hub.fetch(config.data, cache=cache, offline=config.offline, say=watcher.say)
    manifest = ingest(
        config.data,
        config.reading,
        cache=cache,
        threads=config.threads,
        skip_report=skip_report,
        progress=_milestones(watcher),
        unpacking=_every_few_seconds(watcher),
        keepers=[*(pixels.of(preprocess) for preprocess in distinct(preprocesses)), *keepers],
        meanwhile=meanwhile,
    )
    if not quiet:
        _say(manifest, watcher)
    return manifest


def _say(manifest: Manifest, watcher: Watcher) -> None:
    """What was read, and everything noticed."""
    if len(manifest.classes) == 2 and not manifest.multi_label:
        watcher.say(f"positive class: {printable(manifest.classes[1])}")
    sizes = manifest.sizes()
    for split, classes in manifest.counts().items():
        if manifest.multi_label:
            whole = f"{sizes[split]['images']} images ({sizes[split]['patients']} patients), with "
            text = whole + ", ".join(f"{printable(c)} {n['images']}" for c, n in classes.items())
        else:
            text = ", ".join(f"{printable(c)} {n['images']} ({n['patients']} patients)" for c, n in classes.items())
        watcher.say(f"{split:5} {text}")
    for notice in manifest.notices:
        watcher.say(str(notice))
    if manifest.skipped:
        watcher.say(f"{len(manifest.skipped)} files were skipped; see skipped.csv")


def _milestones(watcher: Watcher) -> Callable[[int, int], None]:
    """Says every 2,000 files how far reading has come."""
    said = 0

    def tell(done: int, total: int) -> None:
        nonlocal said
        if done - said >= 2000:
            said = done
            watcher.say(f"read {done} of {total} files")

    return tell


def _every_few_seconds(watcher: Watcher) -> Callable[[int, int], None]:
    """Says every few seconds how far unpacking has come: a volume takes a thousand times as long as a small picture."""
    said = monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal said
        if monotonic() - said >= _SECONDS and done < total:
            said = monotonic()
            watcher.say(f"unpacked {done} of {total}")

    return tell
