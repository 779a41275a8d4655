"""The frozen half of the paper's study, cold; then again into the same folder, and with a warm cache into a new one."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import fresh
import harness
import made
from harness import at_most
from ours import compare_command

Stamps = dict[str, tuple[int, int]]


def parser() -> argparse.ArgumentParser:
    """Its options."""
    options = harness.options(__doc__)
    options.add_argument("--backbones", default="paper", metavar="A,B", help="default: the paper's eight")
    options.add_argument("--seeds", type=harness.whole, default=3, metavar="N", help="(3)")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Measure; the cold run is done once, the warm ones `--repeats` times."""
    from xenograft.backbones.catalog import parse_backbones

    args = harness.parse(parser(), arguments)
    if args.quick:
        args.backbones, args.seeds = "shufflenet_v2_x1_0,squeezenet1_1", 1
    names = parse_backbones(args.backbones)
    with harness.scratch() as scratch:
        data = made.data_of(args, scratch)
        report = harness.report(
            "study", "backbones x probe x seeds", args,
            data=made.described(args, data), backbones=len(names), seeds=args.seeds,
        )  # fmt: skip
        weights_dir, weights = made.weights_of(args, scratch, names)
        report.notes += [made.weights_note(weights), _NOTE]
        measure(args, report, _Place(data, scratch, weights_dir, ",".join(names), args.seeds))
    return harness.finish(report, args)


_NOTE = (
    "Imports: the modules that a warm run loads, listed after such a run and imported by themselves in a new "
    "process, in this same session; their time is taken off the warm runs and also shown."
)


class _Place:
    """Where the runs lie, and their command."""

    def __init__(self, data: Path, scratch: Path, weights_dir: Path, backbones: str, seeds: int) -> None:
        self.cache = scratch / "cache"
        self._scratch = scratch
        self._options: dict[str, Any] = {"backbones": backbones, "weights_dir": weights_dir, "seeds": seeds}
        self._data = data

    def study(self, name: str) -> Path:
        return self._scratch / f"study-{name}"

    def command(self, name: str) -> list[str]:
        return compare_command(self._data, cache=self.cache, output=self.study(name), **self._options)


def measure(args: argparse.Namespace, report: harness.Report, place: _Place) -> None:
    """Fill in rows and values."""
    harness.say("cold")
    cold = harness.wall(place.command("cold"))
    harness.say(f"cold: {cold:.1f} s; now warm")
    features, runs = stamps(place.cache), stamps(place.study("cold") / "runs")
    again = harness.median_of(args.repeats, lambda: harness.wall(place.command("cold")))
    repeated = changed(runs, stamps(place.study("cold") / "runs"))
    new = [harness.wall(place.command(f"new-{number}")) for number in range(args.repeats)]
    moved = harness.median_of(args.repeats, iter(new).__next__)
    imports = import_time(args, place)
    written = changed(features, stamps(place.cache))
    embed = {name: embed_seconds(place.study(name)) for name in ("cold", "new-0")}
    report.values = {
        "cold": cold, "same folder": again.values, "new folder": moved.values, "imports": imports.values,
        "embed": embed, "changed cache files": written, "changed run files": repeated,
    }  # fmt: skip
    less = f"imports {harness.number(imports.median)} s taken off"
    largest = max(embed["new-0"].values())
    report.rows = [
        harness.row("cold, command to report", cold, "s", bound=at_most(480)),
        harness.row("again, same folder", again.median - imports.median, "s", against=less, bound=at_most(10)),
        harness.row("warm cache, new folder", moved.median - imports.median, "s", against=less, bound=at_most(10)),
        harness.row("files of the cache that warm runs wrote", len(written), "", bound=at_most(0)),
        harness.row("files of finished runs that were written again", len(repeated), "", bound=at_most(0)),
        harness.row("longest embedding of a warm run, by its record", largest, "s", bound=at_most(1)),
        harness.row("embedding of the cold run, by its records", sum(embed["cold"].values()), "s"),
    ]


def import_time(args: argparse.Namespace, place: _Place) -> harness.Measured:
    """Seconds to import what a warm run into a new folder imports."""
    arguments = place.command("listing")[3:]
    modules = fresh.call("ours:imported_by", arguments=arguments)["modules"]
    harness.say(f"{len(modules)} modules are imported by a warm run")
    return harness.median_of(args.repeats, lambda: fresh.call("ours:import_seconds", modules=modules)["seconds"])


def stamps(folder: Path) -> Stamps:
    """Size and time of every file that is no lock, and no key, which is written again whenever a store is opened."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.endswith((".lock", "key.json")))
    return {str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


def changed(before: Stamps, after: Stamps) -> list[str]:
    """Files that are new, gone or different."""
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def embed_seconds(study: Path) -> dict[str, float]:
    """By run, from its record."""
    records = sorted(study.glob("runs/*/run.json"))
    return {path.parent.name: float(json.loads(path.read_text())["timings"]["embed"]) for path in records}


if __name__ == "__main__":
    sys.exit(main())
