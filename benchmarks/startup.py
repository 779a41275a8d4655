"""``xenograft --help`` against an interpreter that does nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import harness
from harness import at_most


def main(arguments: list[str] | None = None) -> int:
    """Measure, the two in turn."""
    args = harness.parse(harness.options(__doc__), arguments, repeats=15)
    report = harness.report("startup", "xenograft --help", args)
    commands = {"help": [*command(), "--help"], "nothing": [sys.executable, "-c", "pass"]}
    for each in commands.values():  # compiled files are written and read once before the clock
        harness.wall(each)
    found = harness.interleaved(args.repeats, {name: lambda c=c: harness.wall(c) for name, c in commands.items()})
    report.values = {name: measured.values for name, measured in found.items()}
    ours, bare = (1000 * found[name].median for name in ("help", "nothing"))
    against = f"python -c pass {harness.number(bare)} ms"
    report.rows = [
        harness.row("xenograft --help", ours, "ms", against=against, ratio=ours / bare, bound=at_most(4)),
    ]
    return harness.finish(report, args)


def command() -> list[str]:
    """The installed command, or the module where there is none."""
    installed = Path(sys.executable).with_name("xenograft")
    return [str(installed)] if installed.is_file() else [sys.executable, "-m", "xenograft"]


if __name__ == "__main__":
    sys.exit(main())
