"""What a user can choose about reading a data set, checked before any file is opened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from xenograft.data.importers import Listing, read_listing
from xenograft.data.importers.volumes import SliceRule
from xenograft.data.preprocess import DicomReading
from xenograft.errors import UsageError


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """Everything about reading a data set that the user can choose; the defaults are the command line's.

    Args:
        images: folder of the images of a table. label_column, patient_column: names in the table; several label
            columns with commas between them are findings.
        patient_regex: searched in the path; the key is its group ``patient``, else its groups joined by a slash, else
            the match.
        catalog: name of a known data set, ``auto`` to recognise one, ``none`` for no rule.
        positive: the positive class of two.
        val, test: shares held out where the source gives no split. split_seed: for these.
        max_skip: share of files that may be skipped. min_side: smallest accepted side in pixels.
        frame, window: of DICOM files, see `DicomReading`; the window as ``centre,width``, by its name, or ``first``.
        slices: of volumes, ``axis:which``, see `SliceRule`, e.g. ``2:middle``, ``2:all`` or ``0:5`` for every fifth.
        allow_leak: go on after a leak, and say so on every page.
    """

    images: Path | None = None
    label_column: str | None = None
    patient_column: str | None = None
    patient_regex: str | None = None
    catalog: str = "auto"
    positive: str | None = None
    val: float = 0.15
    test: float = 0.2
    split_seed: int = 0
    max_skip: float = 0.01
    min_side: int = 16
    allow_leak: bool = False
    frame: str | None = None
    window: str | None = None
    slices: str | None = None

    def __post_init__(self) -> None:
        _ = self.dicom, self.slice_rule  # said before any file is opened
        for name in ("val", "test", "max_skip", "min_side", "split_seed"):  # a TOML file may hold anything
            if not isinstance(getattr(self, name), int | float):
                raise UsageError(f"{name} is {getattr(self, name)!r}; a number is needed", code="E-USAGE-11")
        for name in ("val", "test"):
            if not 0 < getattr(self, name) <= 0.5:
                raise UsageError(f"{name} is {getattr(self, name)}; a share above 0, at most 0.5", code="E-USAGE-11")
        if not 0 <= self.max_skip <= 1 or self.min_side < 1 or not 0 <= self.split_seed < 1 << 32:
            raise UsageError(
                f"max_skip is {self.max_skip} (0 to 1), min_side {self.min_side} (1 or more), split_seed "
                f"{self.split_seed} (0 to 2^32 - 1)",
                code="E-USAGE-11",
            )

    @property
    def dicom(self) -> DicomReading:
        """How DICOM files are read.

        Raises:
            UsageError: frame or window make no sense.
        """
        window = str(self.window if self.window is not None else "first").strip()
        if window == "first":
            return DicomReading(self.frame)
        try:
            if "," not in window and not _is_number(window):
                return DicomReading(self.frame, window=" ".join(window.split()).casefold())
            centre, width = map(float, window.split(","))
        except ValueError:
            raise UsageError(
                f"window {self.window!r}; a centre and a width, e.g. 40,400, or the name of a window, e.g. lung",
                code="E-USAGE-05",
            ) from None
        return DicomReading(self.frame, centre, width)

    @property
    def slice_rule(self) -> SliceRule | None:
        """Which slices of volumes become images.

        Raises:
            UsageError: `slices` is no rule.
        """
        if self.slices is None:
            return None
        axis, colon, take = str(self.slices).partition(":")
        if not colon or not axis.isdecimal():
            raise UsageError(f"slices {self.slices!r}; axis:which, e.g. 2:middle, 2:all or 0:5", code="E-USAGE-18")
        return SliceRule(int(axis), int(take) if take.isdecimal() else take)  # type: ignore[arg-type]  # it checks

    def listing(self, data: Path, cache: Path | None, *, progress: Callable[[int, int], None] | None = None) -> Listing:
        """The images that a source names; with `frame` ``all`` every frame of its DICOM files is one.

        Args:
            cache: folder for what is unpacked. progress: called as ``progress(done, total)`` while that is done.

        Raises:
            DataError, LabelError, UsageError: as `read_listing`, and as `xenograft.data.importers.frames.every_frame`.
        """
        found = read_listing(
            data,
            images=self.images,
            patient_column=self.patient_column,
            label_column=self.label_column,
            cache=cache,
            slices=self.slice_rule,
            progress=progress,
        )
        if self.frame != "all":
            return found
        from xenograft.data.importers.frames import every_frame  # late: few data sets need it

        return every_frame(found, cache=cache, window=self.dicom.window, progress=progress)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
