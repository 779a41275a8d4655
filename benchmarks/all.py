"""Every benchmark in order, and their tables in one file, summary.md."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import harness

ORDER = ("startup", "decode", "embed", "probe", "study", "training", "scaling", "memory", "gpu")
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
    summary.write_text(joined(states, args.out), encoding="utf-8")
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


def joined(states: dict[str, int], out: Path) -> str:
    """All tables, and what broke."""
    words = {0: "met", harness.MISSED: "**a bound is missed**"}
    lines = ["# Benchmarks", ""]
    lines += [f"- {name}: {words.get(state, f'**broke with status {state}**')}" for name, state in states.items()]
    files = [out / f"{name}.md" for name in states]
    texts = [path.read_text(encoding="utf-8") if path.is_file() else _nothing(path.stem) for path in files]
    return "\n".join([*lines, "", *texts])


def _nothing(name: str) -> str:
    return f"## {name}\n\nNothing was measured.\n"


if __name__ == "__main__":
    sys.exit(main())
