"""Every benchmark in order, and their tables in one file, summary.md."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import harness

ORDER = ("startup", "decode", "embed", "probe", "study", "training", "scaling", "memory", "audit", "similarity", "gpu")
_HERE = Path(__file__).resolve().parent


def parser() -> argparse.ArgumentParser:
    """Its options."""
    options = harness.options(__doc__)
    options.add_argument("--originals", type=Path, metavar="DIR", help="original-size JPEG files for decode.py")
    options.add_argument("--only", default=",".join(ORDER), metavar="A,B", help="some of them")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Run them one after the other: a benchmark shares its machine with nothing."""
    args = harness.parse(parser(), arguments)
    given = parser().parse_args(arguments)  # each benchmark has its own default of repeats
    names = [name for name in ORDER if name in args.only.split(",")]
    states = {name: run(name, args, given.repeats) for name in names}
    summary = args.out / "summary.md"
    args.out.mkdir(parents=True, exist_ok=True)
    summary.write_text(joined(states, args.out, quick=args.quick), encoding="utf-8")
    print(summary.read_text(encoding="utf-8"))
    return max(states.values())


def run(name: str, args: argparse.Namespace, repeats: int | None) -> int:
    """Exit status of one benchmark; its old results are removed first, so that none is taken for new."""
    (args.out / f"{name}.md").unlink(missing_ok=True)
    harness.say(f"{name}.py")
    started = time.perf_counter()
    status = subprocess.run(command(name, args, repeats), check=False, stdout=subprocess.DEVNULL).returncode
    harness.say(f"{name}.py: {time.perf_counter() - started:.0f} s, status {status}")
    return status


def command(name: str, args: argparse.Namespace, repeats: int | None) -> list[str]:
    """The command line of one benchmark."""
    data = args.originals if name == "decode" else args.data
    given = {"--data": data, "--weights-dir": args.weights_dir, "--repeats": repeats, "--out": args.out}
    flags = [word for flag, value in given.items() if value is not None for word in (flag, str(value))]
    return [sys.executable, str(_HERE / f"{name}.py"), *flags, *(["--quick"] if args.quick else [])]


def joined(states: dict[str, int], out: Path, *, quick: bool) -> str:
    """All tables, and what broke."""
    files = {name: out / f"{name}.md" for name in states}
    texts = {
        name: path.read_text(encoding="utf-8") if path.is_file() else _nothing(name) for name, path in files.items()
    }
    lines = [f"- {name}: {_word(state, files[name].is_file(), quick)}" for name, state in states.items()]
    return "\n".join(["# Benchmarks", "", *lines, "", *texts.values()])


def _word(state: int, measured: bool, quick: bool) -> str:
    if state not in {0, harness.MISSED}:
        return f"**broke with status {state}**"
    if not measured:
        return "nothing was measured"
    if quick:
        return "ran (quick, not judged)"
    return "**a bound is missed**" if state else "no bound is missed"


def _nothing(name: str) -> str:
    return f"## {name}\n\nNothing was measured.\n"


if __name__ == "__main__":
    sys.exit(main())
