"""Do transferability scores predict? Each against the test AUROC of probes and of fine-tuning, over data sets."""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import harness
from candidates import Candidate, candidates
from harness import Row
from tasks import Task, archive_tasks, phantom_tasks, real_tasks

WEAKENED = ("mobilenet_v2", "efficientnet_lite0")
VALIDATION = "probe_validation"
"""Training the probe and looking at validation: what a score has to beat, or at least to be cheaper than."""


def parser() -> argparse.ArgumentParser:
    """Its options."""
    options = harness.options(__doc__)
    options.add_argument(
        "--work", type=Path, metavar="DIR", help="keep data, features and every result here, and go on"
    )
    options.add_argument("--archives", type=Path, nargs="*", default=[], metavar="NPZ", help="MedMNIST files")
    options.add_argument("--train", type=harness.whole, default=240, metavar="N", help="images of a task (240)")
    options.add_argument("--test", type=harness.whole, default=200, metavar="N", help="test images of a task (200)")
    options.add_argument("--size", type=harness.whole, default=128, metavar="PX", help="input side (128)")
    options.add_argument("--epochs", type=harness.whole, default=5, metavar="N", help="of fine-tuning (5)")
    options.add_argument(
        "--part", default="1/1", metavar="K/N", help="every Nth data set, for N processes with one --work"
    )
    return options


def main(arguments: list[str] | None = None) -> int:
    """Score, train and test every candidate on every task; then how the rankings agree."""
    args = harness.parse(parser(), arguments, repeats=1)
    if args.quick:
        args.train, args.test, args.size, args.epochs = 40, 40, 64, 1
    settings = {key: getattr(args, key) for key in ("train", "test", "size", "epochs")}
    report = harness.report("transferability", "which score predicts test AUROC", args, **settings)
    with tempfile.TemporaryDirectory() as scratch:
        work = args.work or Path(scratch)
        work.mkdir(parents=True, exist_ok=True)
        found = measure(work, args, settings)
    report.values = {"measured": found}
    report.values |= agreement(found)
    report.rows = rows(report.values["agreement"])
    report.notes += notes(found, args)
    return harness.finish(report, args)


def measure(work: Path, args: argparse.Namespace, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One entry for each task and candidate; those that `work` holds are kept."""
    quick = args.quick
    weaken = WEAKENED[:1] if quick else WEAKENED
    tested = list(candidates(work / "weights", args.weights_dir, weaken=weaken))
    tasks = _tasks(work, args)
    store = work / f"results-{'-'.join(str(value) for value in settings.values())}"
    store.mkdir(exist_ok=True)
    found = []
    for task in tasks[:3] if quick else tasks:
        for candidate in tested:
            place = store / f"{_plain(task.name)}--{_plain(candidate.name)}.json"
            if not place.is_file():
                entry = one(task, candidate, work, settings)
                place.write_text(json.dumps(entry, indent=1), encoding="utf-8")
                harness.say(
                    f"{task.name} / {candidate.name}: probe {entry['probe']['value']:.3f}, "
                    f"fine-tuning {entry['full']['value']:.3f}, {entry['seconds']:.0f} s"
                )
            found.append(json.loads(place.read_text(encoding="utf-8")))
    return found


def _tasks(work: Path, args: argparse.Namespace) -> list[Task]:
    tasks = [*phantom_tasks(work / "phantoms", train=args.train, test=args.test)]
    if args.data is not None:
        tasks += real_tasks(work / "real", args.data, train=args.train, test=args.test)
    tasks += archive_tasks(args.archives)
    part, of = (int(number) for number in args.part.split("/"))
    return tasks[part - 1 :: of]


def one(task: Task, candidate: Candidate, work: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Scores on train and validation, and what a probe and fine-tuning reach on test."""
    from xenograft.study.run import run_study

    started = time.perf_counter()
    common = {
        "data": task.data,
        "images": task.images,
        "backbones": candidate.backbone,
        "weights_dir": candidate.weights_dir,
        "size": settings["size"],
        "offline": True,
        "seeds": 1,
        "resamples": 200,
        "catalog": "none",
    }
    cache = work / "cache"
    with tempfile.TemporaryDirectory(dir=work) as folder:
        probe = run_study(_config(common, recipes="probe"), Path(folder) / "probe", cache=cache)
        options = {"epochs": settings["epochs"], "batch_size": 16}
        full = run_study(_config(common, recipes="full", **options), Path(folder) / "full", cache=cache)
        scored, seconds = _scores(_config(common, recipes="probe"), cache)
        return {
            "task": task.name,
            "candidate": candidate.name,
            "scores": {**scored, VALIDATION: _auroc(probe.runs[0].validation)["value"]},
            "score_seconds": seconds,
            "probe": _auroc(probe.runs[0].test),
            "full": _auroc(full.runs[0].test),
            "seconds": time.perf_counter() - started,
        }


def _auroc(card: Mapping[str, Any]) -> dict[str, Any]:
    """Value and interval; that of any threshold, as it needs none."""
    found: dict[str, Any] = next(iter(card["policies"].values()))["metrics"]["auroc"]
    return found


def _config(common: Mapping[str, Any], **more: Any) -> Any:
    from xenograft.study.config import make_config

    return make_config({key: value for key, value in {**common, **more}.items() if value is not None})


def _scores(config: Any, cache: Path) -> tuple[dict[str, float | None], float]:
    """Every score of training and validation images; none is told of the test split."""
    import numpy as np

    from xenograft.study.reading import read_data
    from xenograft.study.run import open_pixels, plan
    from xenograft.study.runs import make_workshop
    from xenograft.study.watch import Silent
    from xenograft.transferability.scores import SCORES, score_all

    pixels = open_pixels(config, cache)
    arm = next(iter(plan(config)))
    manifest = read_data(config, pixels, cache=cache, watcher=Silent(), preprocesses=[arm.preprocess], quiet=True)
    seen = manifest.take(np.sort(np.concatenate([manifest.where("train"), manifest.where("val")])))
    workshop = make_workshop(config, pixels, cache=cache, watcher=Silent())
    features = workshop.extractor(arm).features(seen)
    names = [name for name, score in SCORES.items() if not score.needs_source]
    started = time.perf_counter()
    scored = score_all(features, seen.labels, np.array(seen.column("group")), names=names)
    return {name: entry["value"] for name, entry in scored.items()}, time.perf_counter() - started


def agreement(found: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """By outcome and score: `agreement_over_sets`; and what the chosen candidate loses against the best."""
    from xenograft.evaluation.rank_agreement import agreement_over_sets

    by_task: dict[str, list[Mapping[str, Any]]] = {}
    for entry in found:
        by_task.setdefault(entry["task"], []).append(entry)
    names = list(next(iter(by_task.values()))[0]["scores"])
    answer: dict[str, Any] = {}
    for outcome in ("probe", "full"):
        reached = {task: [entry[outcome]["value"] for entry in entries] for task, entries in by_task.items()}
        answer[outcome] = {}
        for name in names:
            scores = {task: [entry["scores"][name] for entry in entries] for task, entries in by_task.items()}
            sets = {task: (scores[task], reached[task]) for task in by_task}
            answer[outcome][name] = agreement_over_sets(sets) | {
                "regret": {task: _regret(scores[task], reached[task]) for task in by_task}
            }
    answer["between"] = agreement_over_sets(
        {
            task: ([entry["probe"]["value"] for entry in entries], [entry["full"]["value"] for entry in entries])
            for task, entries in by_task.items()
        }
    )
    return {"agreement": answer}


def _regret(scores: list[float | None], reached: list[float]) -> float:
    """AUROC of the best candidate less that of the one that the score puts first."""
    usable = [(-math.inf if score is None else score, result) for score, result in zip(scores, reached, strict=True)]
    return max(reached) - max(usable, key=lambda pair: pair[0])[1]


def rows(answer: Mapping[str, Any]) -> list[Row]:
    """A line for each score and outcome, best first."""
    found = []
    for outcome, words in (("probe", "the probe"), ("full", "fine-tuning")):
        entries = answer[outcome]
        order = sorted(entries, key=lambda name: -(entries[name]["weighted_tau"]["value"] or -math.inf))
        for name in order:
            entry = entries[name]
            tau, plain = entry["weighted_tau"], entry["tau"]
            regret = sum(entry["regret"].values()) / len(entry["regret"])
            found.append(
                harness.row(
                    f"{name}: weighted τ with the test AUROC of {words}", tau["value"], "",
                    against=f"95 % interval {_span(tau)}; τ {_shown(plain['value'])} {_span(plain)}; "
                    f"mean AUROC lost by its choice {regret:.3f}",
                )
            )  # fmt: skip
    between = answer["between"]["weighted_tau"]
    found.append(
        harness.row("probe and fine-tuning themselves: weighted τ", between["value"], "", against=_span(between))
    )
    return found


def _span(entry: Mapping[str, Any]) -> str:
    return f"{_shown(entry['low'])} to {_shown(entry['high'])}"


def _shown(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.2f}"


def notes(found: list[dict[str, Any]], args: argparse.Namespace) -> list[str]:
    """What a reader of the table needs."""
    tasks = list(dict.fromkeys(entry["task"] for entry in found))
    tested = list(dict.fromkeys(entry["candidate"] for entry in found))
    return [
        f"{len(tasks)} data sets: {'; '.join(tasks)}.",
        f"{len(tested)} candidates: {'; '.join(tested)}.",
        f"Each data set: {args.train} images for training and validation, {args.test} for test, {args.size} px; "
        f"fine-tuning of everything for {args.epochs} epochs in batches of 16, one seed.",
        "Intervals: 2,000 bootstrap resamples of the data sets. With ten of them, several of one family, they are "
        "rather too narrow; and a test AUROC of 200 images is itself uncertain, which lowers every τ.",
        f"{VALIDATION}: the probe trained, and its AUROC on validation; no score, but what a score must rival.",
        "LEEP and NCE need the source classifier, which one of the weight files lacks; they are not in the table.",
    ]


def _plain(text: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in text)


if __name__ == "__main__":
    sys.exit(main())
