"""Do 95 % intervals hold the truth in 95 % of test sets? Simulated patients with several images each, by four methods.

    python scripts/interval_coverage.py [--sets 1000] [--patients 200] [--images 4] [--share 0.5]

Scores of an image are those of its class, plus an effect of the patient, plus noise; the share of the variance that is
the patient's is ``--share``. The truth is that of 400,000 patients. The row bootstrap draws images, as most programs
do; the patient bootstrap is that of `xenograft.evaluation.uncertainty`; DeLong and Wilson count images as independent;
Obuchowski's version of DeLong has patients as clusters.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from functools import partial

import numpy as np
from numpy.typing import NDArray

from xenograft.evaluation.delong import clustered_delong_interval, delong_interval
from xenograft.evaluation.metrics import binary_tables
from xenograft.evaluation.uncertainty import bootstrap, percentile_interval, wilson

METRICS = ("auroc", "average_precision", "accuracy", "recall", "specificity", "precision", "f1", "g_mean")
_SEPARATION = 1.6  # of the classes' means, in standard deviations of a score


def draw(
    rng: np.random.Generator, patients: int, images: int, share: float, *, mix: str
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """(labels, scores in (0, 1), patients) of one test set; 40 % of patients are positive, images vary from 1 up."""
    counts = rng.integers(1, 2 * images, size=patients)
    owner = np.repeat(np.arange(patients), counts)
    labels = (rng.random(patients) < 0.4).astype(np.int64) if mix == "random" else np.arange(patients) % 5 // 3
    truth = labels[owner]
    effect = rng.normal(0, np.sqrt(share), patients)[owner]
    raw = _SEPARATION * (truth - 0.5) + effect + rng.normal(0, np.sqrt(1 - share), owner.size)
    return truth, 1 / (1 + np.exp(-2 * raw)), owner


def measured(
    labels: NDArray[np.int64], scores: NDArray[np.float64], weights: NDArray[np.float64]
) -> dict[str, NDArray]:
    """Metrics at the threshold 0.5 on each row of weights."""
    return binary_tables(labels, scores, {"": 0.5}, weights)[""]


def main() -> None:
    """Simulate and print coverage with its own standard error."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--sets", type=int, default=1000)
    parser.add_argument("--patients", type=int, default=200)
    parser.add_argument("--images", type=int, default=4, help="mean images a patient")
    parser.add_argument("--share", type=float, default=0.5, help="of the variance that is the patient's")
    parser.add_argument(
        "--mix", choices=("fixed", "random"), default="fixed",
        help="of the classes: 40 %% in each set, or as chance gives it, which resampling within classes leaves out",
    )  # fmt: skip
    parser.add_argument("--resamples", type=int, default=500)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    labels, scores, _ = draw(rng, 400_000, args.images, args.share, mix=args.mix)
    truth = {name: float(v[0]) for name, v in measured(labels, scores, np.ones((1, len(labels)))).items()}
    held: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for _ in range(args.sets):
        labels, scores, owner = draw(rng, args.patients, args.images, args.share, mix=args.mix)
        for method, clusters in (("rows", np.arange(len(labels))), ("patients", owner)):
            statistic = partial(measured, labels, scores)
            drawn = bootstrap(statistic, labels, clusters, resamples=args.resamples, rng=rng)
            for name in METRICS:
                low, high = percentile_interval(drawn[name])
                held[method, name].append(low <= truth[name] <= high)
        for method, found in (
            ("DeLong", delong_interval(labels, scores)),
            ("Obuchowski", clustered_delong_interval(labels, scores, owner)),
        ):
            held[method, "auroc"].append(bool(found["low"] <= truth["auroc"] <= found["high"]))
        right = int(((scores >= 0.5) == (labels == 1)).sum())
        low, high = wilson(right, len(labels))
        held["Wilson", "accuracy"].append(low <= truth["accuracy"] <= high)
    error = 100 * np.sqrt(0.0475 / args.sets)
    print(f"{args.sets} test sets of {args.patients} patients with {args.images} images on average,")
    print(
        f"{100 * args.share:.0f} % of the variance the patient's, class mix {args.mix}; nominal 95.0, known within "
        f"{error:.1f} points"
    )
    print(f"{'metric':20}{'truth':>8}{'rows':>8}{'patients':>10}{'analytic':>24}")
    for name in METRICS:
        cells = {method: f"{100 * np.mean(found):.1f}" for (method, of), found in held.items() if of == name}
        other = ", ".join(f"{method} {share}" for method, share in cells.items() if method not in {"rows", "patients"})
        print(f"{name:20}{truth[name]:8.3f}{cells['rows']:>8}{cells['patients']:>10}   {other}")


if __name__ == "__main__":
    main()
