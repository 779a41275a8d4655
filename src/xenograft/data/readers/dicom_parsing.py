"""Bytes of a DICOM file -> its data set; nothing that is said about what goes wrong quotes the file (fault D13)."""

from __future__ import annotations

import logging
import warnings
import zlib
from collections.abc import Callable
from functools import partial
from io import BytesIO
from threading import Lock
from types import TracebackType
from typing import TypeVar

from xenograft.data.readers.dicom_elements import Dataset
from xenograft.data.readers.dicom_pixels import DEFLATED
from xenograft.errors import FileError, MissingPackage, XenograftError, require

T = TypeVar("T")

_PREAMBLE = 128
_INFLATED_LIMIT = 1 << 30
_FIRST_ELEMENTS = (0x0000, 0x0001, 0x0005, 0x0008, 0x0012, 0x0016, 0x0018)
_FIRST_VRS = {b"UL", b"OB", b"CS", b"DA", b"UI", b"SH"}


def sniff(data: bytes) -> bool:
    """Whether this is DICOM: with its preamble, or beginning as a DICOM data set does."""
    if data[_PREAMBLE : _PREAMBLE + 4] == b"DICM":
        return True
    if len(data) < 16 or data[:2] not in {b"\2\0", b"\x08\0"}:
        return False
    if int.from_bytes(data[2:4], "little") not in _FIRST_ELEMENTS:
        return False
    length = int.from_bytes(data[4:8], "little")  # without a VR: an even length within the file follows at once
    return data[4:6] in _FIRST_VRS or (length % 2 == 0 and 2 <= length <= min(64, len(data) - 8))


def safely(work: Callable[[], T]) -> T:
    """What `work` returns; in silence, and nothing but a `FileError` is raised on account of the file.

    What pydicom says in warnings, log records and exceptions can quote the file, so none of it gets out.

    Raises:
        FileError: the file cannot be used. Other errors of this package as `work` raises them.
    """
    try:
        require("pydicom", extra="dicom")
        with _QUIET:
            return work()
    except MissingPackage:
        problem = FileError(
            "is DICOM, and pydicom is not installed; run: uv pip install 'xenograft[dicom]'", code="E-DICOM-05"
        )
    except XenograftError:
        raise
    except MemoryError:
        problem = FileError("needs more memory than there is; export it smaller", code="S-FILE-10")
    except Exception as error:  # pydicom and its codecs may raise anything on hostile bytes
        problem = FileError(
            f"the DICOM data are damaged or cut ({type(error).__name__}); copy or export the file again",
            code="S-FILE-02",
        )
    raise problem  # outside of the handlers: what they caught can quote the file, and would travel along


def parsed(data: bytes) -> Dataset:
    """The data set of a file. What is done with it belongs inside `safely`.

    Raises:
        FileError: it has no preamble (S-DICOM-01), or is damaged.
    """
    if data[_PREAMBLE : _PREAMBLE + 4] != b"DICM":
        raise FileError("is DICOM without its preamble; export it again as a DICOM file", code="S-DICOM-01")
    return safely(partial(_parsed, data))


def _parsed(data: bytes) -> Dataset:
    """A deflated file is inflated here, because pydicom would do it without a limit."""
    from pydicom import dcmread

    try:
        return dcmread(_Stream(data))
    except _ReadToTheEndError as found:
        at = found.at
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    plain = inflater.decompress(data[at:], _INFLATED_LIMIT)
    if inflater.unconsumed_tail:
        raise FileError("inflates to more than is read; export it uncompressed", code="S-FILE-10")
    if not inflater.eof:
        raise ValueError("a deflated data set without its end")
    uid = DEFLATED.encode()
    head = data[:at].replace(uid, DEFLATED.removesuffix(".99").encode().ljust(len(uid), b"\0"))
    return dcmread(_Stream(head + plain))


class _ReadToTheEndError(Exception):
    """Everything that is left was asked for, which pydicom does in order to inflate it."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at


class _Stream(BytesIO):
    """Bytes of a file that are only given out in a stated number."""

    def read(self, size: int | None = -1, /) -> bytes:
        """The next `size` bytes, or fewer at the end."""
        if size is None or size < 0:
            raise _ReadToTheEndError(self.tell())
        return super().read(size)


class _Quiet:
    """Nothing is warned about or logged while any thread is inside; afterwards all is as it was."""

    _LOGGERS = ("pydicom", "pylibjpeg", "openjpeg")

    def __init__(self) -> None:
        self._lock = Lock()
        self._inside = 0
        self._levels: dict[str, int] = {}
        self._catcher = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._catcher = warnings.catch_warnings()
                self._catcher.__enter__()
                warnings.simplefilter("ignore")
                self._levels = {name: logging.getLogger(name).level for name in self._LOGGERS}
                for name in self._LOGGERS:
                    logging.getLogger(name).setLevel(logging.CRITICAL + 1)
            self._inside += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                for name, level in self._levels.items():
                    logging.getLogger(name).setLevel(level)
                self._catcher.__exit__(kind, error, trace)


_QUIET = _Quiet()
