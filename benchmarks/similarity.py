"""Mean distances between two sets of 512 features: all pairs in tiles, and the closed forms."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

import fresh
import harness
import numpy as np
from harness import Measured, Row, at_least, at_most

WIDTH = 512
_BARE_ROWS = 500  # of one set, beside all rows of the other: the baseline is scaled up from them
_FORMS = ("euclidean", "sqeuclidean", "cosine", "sqmahalanobis")


def parser() -> argparse.ArgumentParser:
    """Its options."""
    options = harness.options(__doc__)
    options.add_argument("--rows", type=harness.whole, default=100_000, metavar="N", help="of each set (100000)")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Measure each form in a fresh process, and beside it scipy on some of the rows."""
    args = harness.parse(parser(), arguments, repeats=1)
    if args.quick:
        args.rows = 2000
    report = harness.report("similarity", "mean distances between two feature sets", args, rows=args.rows, width=WIDTH)
    measures = {
        **{form: lambda form=form: _call("distances", args, distance=form) for form in _FORMS},
        "scipy": lambda: _call("bare", args),
    }
    answers: dict[str, list[dict[str, Any]]] = {name: [] for name in measures}
    for _ in range(args.repeats):
        for name, measure in measures.items():
            answers[name].append(measure())
    report.values = answers
    report.rows = rows(args.rows, {name: _median(found, "seconds") for name, found in answers.items()},
                       {name: _median(found, "beyond_mb") for name, found in answers.items()})  # fmt: skip
    report.notes += [
        "Each form gives the mean between the sets and within both; the made sets are float32 and in memory before.",
        f"scipy: `cdist` of {_BARE_ROWS} rows against all, and its mean, scaled up to the pairs that the tiles take.",
        "Memory is that beyond the two sets, at its highest, by the kernel's own mark (VmHWM).",
    ]
    return harness.finish(report, args)


def _call(what: str, args: argparse.Namespace, **more: str) -> dict[str, Any]:
    found = fresh.call(f"similarity:{what}", rows=args.rows, **more)
    found["beyond_mb"] = found["peak_mb"] - found.pop("before_mb")
    harness.say(
        f"{what} {' '.join(more.values())}: {found['seconds']:.1f} s, {found['beyond_mb']:.0f} MiB beyond the data"
    )
    return found


def _median(found: list[dict[str, Any]], name: str) -> float:
    values = iter([float(each[name]) for each in found])
    measured: Measured = harness.median_of(len(found), values.__next__)
    return measured.median


def rows(count: int, seconds: dict[str, float], memory: dict[str, float]) -> list[Row]:
    """Time of each form, and memory.

    Args:
        count: rows of each set. seconds, memory: by form, and ``scipy``, whose seconds are for all pairs.
    """
    tiles = seconds["euclidean"]
    found = [
        harness.row(
            f"euclidean, {count:,} × {count:,}, all pairs in tiles", tiles, "s", bound=at_least(2),
            against=f"scipy {harness.number(seconds['scipy'])} s", ratio=seconds["scipy"] / tiles,
        )
    ]  # fmt: skip
    for form in _FORMS[1:]:
        ratio = tiles / seconds[form]
        found.append(harness.row(f"{form}, closed form", seconds[form], "s", against="euclidean", ratio=ratio))
    return found + [
        harness.row(f"memory of {form}, beyond the data", memory[form], "MiB", bound=at_most(1024)) for form in _FORMS
    ]


def _made(count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    sets = [np.empty((count, WIDTH), dtype=np.float32) for _ in range(2)]
    for each in sets:
        rng.standard_normal(dtype=np.float32, out=each)
    sets[1] += np.float32(0.1)
    return sets[0], sets[1]


def distances(rows: int, distance: str) -> dict[str, Any]:
    """Called in a fresh process: one form of `xenograft.similarity.pairwise`."""
    from xenograft.similarity.pairwise import pairwise

    a, b = _made(rows)
    pairwise(a[:64], b[:64], distance=distance)  # imports and threads, before the clock
    before = fresh.peak_mb()
    started = time.perf_counter()
    found = pairwise(a, b, distance=distance)
    return {**found, "seconds": time.perf_counter() - started, "before_mb": before}


def bare(rows: int) -> dict[str, Any]:
    """Called in a fresh process: scipy's own loop, for as many pairs as the tiles compute."""
    from scipy.spatial.distance import cdist

    a, b = _made(rows)
    some = min(rows, _BARE_ROWS)
    before = fresh.peak_mb()
    started = time.perf_counter()
    total = sum(float(cdist(a[start : start + 50], b).sum()) for start in range(0, some, 50))
    seconds = (time.perf_counter() - started) * rows / some
    return {
        "between": total / (some * rows),
        "seconds": 2 * seconds,
        "before_mb": before,
    }  # between, and half of each within


if __name__ == "__main__":
    sys.exit(main())
