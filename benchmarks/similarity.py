"""Mean distances between two sets of 512 features: all pairs in tiles, random pairs, and the closed forms."""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from functools import partial
from typing import Any

import fresh
import harness
import numpy as np
from harness import Row, at_least, at_most

WIDTH = 512
FULL = 1_000_000
_BARE_ROWS = 500  # of one set, beside all rows of the other: scipy's time is scaled up from them
_PRODUCT_ROWS = 4096  # the same for the bare product
_CLOSED = ("sqeuclidean", "cosine", "sqmahalanobis")
FORMS = ("euclidean", "sampled", *_CLOSED)

Answer = dict[str, Any]


def parser() -> argparse.ArgumentParser:
    """Its options."""
    options = harness.options(__doc__)
    options.add_argument(
        "--rows", type=harness.whole, default=20_000, metavar="N", help="of each set, for all pairs (20000)"
    )
    options.add_argument(
        "--linear-rows", type=harness.whole, default=FULL, metavar="N", help="of each set, for the others (1000000)"
    )
    options.add_argument("--form", choices=FORMS, action="append", help="only this one; may be given more than once")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Measure each form in a fresh process; beside all pairs scipy and the bare product, in the same turn."""
    args = harness.parse(parser(), arguments, repeats=1)
    if args.quick:
        args.rows = args.linear_rows = 2000
    forms = args.form or FORMS
    settings = {"rows": args.rows, "linear rows": args.linear_rows, "width": WIDTH}
    report = harness.report("similarity", "mean distances between two feature sets", args, **settings)
    calls: dict[str, tuple[str, int]] = {}
    if "euclidean" in forms:
        if args.rows < FULL:
            calls["half"] = ("euclidean", max(2, args.rows // 2))
        calls |= {name: (name, args.rows) for name in ("euclidean", "product", "scipy")}
    calls |= {name: (name, args.linear_rows) for name in forms if name != "euclidean"}
    answers: dict[str, list[Answer]] = {name: [] for name in calls}
    for _ in range(args.repeats):
        for name, (what, count) in calls.items():
            answers[name].append(_call(what, count))
    report.values = answers
    report.rows = rows(args.rows, args.linear_rows, {name: middle(found) for name, found in answers.items()})
    report.notes += [
        "Each form gives the mean between the sets and within both; the made sets are float32 and in memory before.",
        f"Bare product: float32, {_PRODUCT_ROWS} rows against all on every core, nothing done with it, scaled up to "
        "the pairs that the tiles take. A ratio of 1 would be tiles for which everything but the product is free.",
        f"scipy: `cdist` of {_BARE_ROWS} rows against all, and its mean, scaled up likewise; it uses one core.",
        f"A projection assumes that {FULL:,} rows take (N / {args.rows:,}) to the exponent as long. The work grows "
        "with the square; an exponent measured below 2 is what grows slower, or a load that went away. "
        f"`--rows {FULL} --form euclidean` measures instead of projecting.",
        "Memory is that beyond the two sets, at its highest, by the kernel's own mark (VmHWM).",
    ]
    return harness.finish(report, args)


def _call(what: str, count: int) -> Answer:
    found = fresh.call("similarity:measure", form=what, rows=count)
    found["beyond_mb"] = found["peak_mb"] - found.pop("before_mb")
    harness.say(f"{what}, {count:,} rows: {found['seconds']:.1f} s, {found['beyond_mb']:.0f} MiB beyond the data")
    return found


def middle(found: list[Answer]) -> dict[str, float]:
    """Median seconds and MiB of the repeats."""
    return {name: statistics.median(each[name] for each in found) for name in ("seconds", "beyond_mb")}


def rows(count: int, linear: int, found: dict[str, dict[str, float]]) -> list[Row]:
    """Time of each form, what it is compared with, and memory.

    Args:
        count: rows of each set for all pairs. linear: for the other forms. found: ``seconds`` and ``beyond_mb`` by
            form; ``half`` is euclidean with half the rows, the seconds of ``scipy`` and ``product`` are for all pairs.
    """
    table: list[Row] = []
    if "euclidean" in found:
        table += _of_tiles(count, {name: each["seconds"] for name, each in found.items()})
    for name in FORMS[1:]:
        if name in found:
            what = "a million random pairs of each kind" if name == "sampled" else "closed form"
            table.append(harness.row(f"{name}, {linear:,} × {linear:,}, {what}", found[name]["seconds"], "s"))
    return table + [
        harness.row(f"memory of {name}, beyond the data", found[name]["beyond_mb"], "MiB", bound=at_most(1024))
        for name in FORMS
        if name in found
    ]


def _of_tiles(count: int, seconds: dict[str, float]) -> list[Row]:
    tiles, what = seconds["euclidean"], f"euclidean, {count:,} × {count:,}, all pairs in tiles"
    found = [
        harness.row(
            what, tiles, "s", bound=at_least(2),
            against=f"scipy {harness.number(seconds['scipy'])} s", ratio=seconds["scipy"] / tiles,
        ),
        harness.row(
            what, tiles, "s", against=f"bare product {harness.number(seconds['product'])} s",
            ratio=seconds["product"] / tiles,
        ),
        harness.row("pairs of the tiles in a second", 2 * count**2 / tiles / 1e6, "million"),
    ]  # fmt: skip
    if "half" in seconds:
        exponent = math.log(tiles / seconds["half"]) / math.log(count / (count // 2))
        found.append(harness.row(f"exponent, from {count // 2:,} to {count:,} rows", exponent, "", against="2"))
        for name, power in (("measured", exponent), ("2", 2.0)):
            hours = tiles * (FULL / count) ** power / 3600
            found.append(harness.row(f"euclidean, {FULL:,} × {FULL:,}, projected with exponent {name}", hours, "hours"))
    return found


def _made(count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    sets = [np.empty((count, WIDTH), dtype=np.float32) for _ in range(2)]
    for each in sets:
        rng.standard_normal(dtype=np.float32, out=each)
    sets[1] += np.float32(0.1)
    return sets[0], sets[1]


def measure(form: str, rows: int) -> Answer:
    """Called in a fresh process: seconds of one form or baseline, and memory before."""
    a, b = _made(rows)
    timed = {"scipy": _scipy, "product": _product, "sampled": _sampled}.get(form, partial(_form, distance=form))
    timed(a[:64], b[:64])  # imports and threads, before the clock
    before = fresh.peak_mb()
    return {**timed(a, b), "before_mb": before}


def _form(a: np.ndarray, b: np.ndarray, distance: str) -> Answer:
    from xenograft.similarity.pairwise import pairwise

    started = time.perf_counter()
    found = pairwise(a, b, distance=distance)
    return {**found, "seconds": time.perf_counter() - started}


def _sampled(a: np.ndarray, b: np.ndarray) -> Answer:
    from xenograft.similarity.sampled_pairs import sampled_pairwise

    started = time.perf_counter()
    found = sampled_pairwise(a, b, pairs=1_000_000 if len(a) > 64 else 10)
    return {**found, "seconds": time.perf_counter() - started}


def _scipy(a: np.ndarray, b: np.ndarray) -> Answer:
    """scipy's own loop, for as many pairs as the tiles compute: between, and half of each within."""
    from scipy.spatial.distance import cdist

    some = min(len(a), _BARE_ROWS)
    started = time.perf_counter()
    total = sum(float(cdist(a[start : start + 50], b).sum()) for start in range(0, some, 50))
    return {"between": total / (some * len(b)), "seconds": 2 * (time.perf_counter() - started) * len(a) / some}


def _product(a: np.ndarray, b: np.ndarray) -> Answer:
    """numpy's float32 product, for as many pairs, into a buffer that was touched before."""
    some = min(len(a), _PRODUCT_ROWS)
    held = np.zeros((some, min(len(b), 4 * _PRODUCT_ROWS)), dtype=np.float32)
    started = time.perf_counter()
    for start in range(0, len(b), held.shape[1]):
        part = b[start : start + held.shape[1]]
        np.matmul(a[:some], part.T, out=held[:, : len(part)])
    return {"seconds": 2 * (time.perf_counter() - started) * len(a) / some}


if __name__ == "__main__":
    sys.exit(main())
