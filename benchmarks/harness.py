"""What every benchmark shares: options, medians of repeats, the machine, verdicts, and results as Markdown and JSON."""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
MISSED = 3
"""Exit status when a bound was missed; a benchmark that broke ends with Python's own 1."""

_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimd", "bf16", "i8mm", "sve")
_PACKAGES = ("xenograft", "torch", "torchvision", "openvino", "timm", "numpy", "pillow", "opencv-python-headless")


@dataclass(frozen=True, slots=True)
class Bound:
    """A limit that a number must keep. least: it must be at least the limit, else at most."""

    limit: float
    least: bool = True

    def holds(self, value: float) -> bool:
        """Whether `value` keeps it; what is not a number does not."""
        return value >= self.limit if self.least else value <= self.limit

    def __str__(self) -> str:
        return f"{'≥' if self.least else '≤'} {self.limit:g}"


def at_least(limit: float) -> Bound:
    """The number must be `limit` or more."""
    return Bound(limit)


def at_most(limit: float) -> Bound:
    """The number must be `limit` or less."""
    return Bound(limit, least=False)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a result.

    Args:
        what: what was measured. value, unit: the median. against: what it is compared with, in words.
        ratio: how the two compare; None where nothing is compared. bound: in words, "" for none.
        met: whether the bound holds, for the ratio if there is one, else for the value; None without a bound.
    """

    what: str
    value: float
    unit: str
    against: str = ""
    ratio: float | None = None
    bound: str = ""
    met: bool | None = None


def row(
    what: str, value: float, unit: str, *, against: str = "", ratio: float | None = None, bound: Bound | None = None
) -> Row:
    """A `Row` with its verdict."""
    if bound is None:
        return Row(what, value, unit, against, ratio)
    return Row(what, value, unit, against, ratio, str(bound), bound.holds(value if ratio is None else ratio))


@dataclass(frozen=True, slots=True)
class Measured:
    """The median of repeats, and every value in the order of measuring."""

    median: float
    values: tuple[float, ...]

    def __str__(self) -> str:
        return number(self.median)


def median_of(repeats: int, measure: Callable[[], float]) -> Measured:
    """Measure `repeats` times."""
    return interleaved(repeats, {"only": measure})["only"]


def interleaved(repeats: int, measures: Mapping[str, Callable[[], float]]) -> dict[str, Measured]:
    """Measure each in turn, `repeats` times over, so that a machine that slows down slows all of them."""
    values: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(repeats):
        for name, measure in measures.items():
            values[name].append(measure())
    return {name: Measured(statistics.median(found), tuple(found)) for name, found in values.items()}


def geometric_mean(ratios: Sequence[float]) -> float:
    """The mean that fits ratios: twice as fast and half as fast give one."""
    return math.exp(statistics.fmean(math.log(ratio) for ratio in ratios))


@dataclass(slots=True)
class Report:
    """One benchmark's answer.

    Args:
        name: of the script and of its files. title: one line. settings: what was asked for, without paths.
        values: every single measurement by name. notes: sentences that a reader of the table needs.
    """

    name: str
    title: str
    rows: list[Row] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    machine: dict[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> bool:
        """Whether no bound was missed."""
        return all(line.met is not False for line in self.rows)

    def as_json(self) -> dict[str, Any]:
        """A mapping that JSON can hold."""
        return {**asdict(self), "met": self.met}

    def markdown(self) -> str:
        """Heading, verdict, table, notes and machine."""
        lines = [f"## {self.name}: {self.title}", "", self.verdict(), "", *table(self.rows), ""]
        lines += [*(f"- {note}" for note in self.notes), *([""] if self.notes else [])]
        asked = ", ".join(f"{key} {value}" for key, value in self.settings.items())
        return "\n".join([*lines, f"Settings: {asked or 'none'}.", "", f"Machine: {sentence(self.machine)}.", ""])

    def verdict(self) -> str:
        """One sentence."""
        if self.settings.get("quick"):
            return "**Quick run: it shows that the script works; its numbers mean nothing.**"
        judged = [line for line in self.rows if line.met is not None]
        missed = [line.what for line in judged if not line.met]
        if not judged:
            return "No bound is set."
        if not missed:
            return f"**All {len(judged)} bounds are met.**"
        return f"**{len(missed)} of {len(judged)} bounds are missed: {'; '.join(missed)}.**"


def table(rows: Sequence[Row]) -> list[str]:
    """Lines of a Markdown table."""
    lines = ["| what | value | against | ratio | bound | met |", "|---|---|---|---|---|---|"]
    for line in rows:
        met = {True: "yes", False: "**no**", None: ""}[line.met]
        ratio = "" if line.ratio is None else f"{number(line.ratio)} ×"
        cells = (line.what, f"{number(line.value)} {line.unit}".strip(), line.against, ratio, line.bound, met)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return lines


def number(value: float) -> str:
    """Three digits, no powers of ten."""
    if not math.isfinite(value):
        return str(value)
    if abs(value) >= 100:
        return f"{value:,.0f}"
    digits = 2 if value == 0 else max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:.{min(digits, 6)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def options(description: str) -> argparse.ArgumentParser:
    """A parser with what every benchmark takes."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, metavar="DIR", help="images as {train,test}/CLASS/ (default: made ones)")
    parser.add_argument("--weights-dir", type=Path, metavar="DIR", help="weight files; random ones stand in for others")
    parser.add_argument("--repeats", type=whole, metavar="N", help="measurements of each number; the median counts")
    parser.add_argument("--quick", action="store_true", help="tiny: shows that the script works, measures nothing")
    parser.add_argument("-o", "--out", type=Path, metavar="OUT", help="folder of the results (benchmarks/results)")
    return parser


def whole(text: str) -> int:
    """A whole number above zero, for argparse."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return value


def parse(
    parser: argparse.ArgumentParser, arguments: Sequence[str] | None = None, *, repeats: int = 3
) -> argparse.Namespace:
    """Options with defaults filled in; a quick run measures once and never overwrites real results."""
    args = parser.parse_args(arguments)
    args.repeats = args.repeats or (1 if args.quick else repeats)
    quick = Path(tempfile.gettempdir()) / "xenograft-benchmarks-quick"
    args.out = args.out or (quick if args.quick else RESULTS)
    for name in ("data", "weights_dir"):
        given: Path | None = getattr(args, name)
        if given is not None and not given.is_dir():
            parser.error(f"--{name.replace('_', '-')}: {given} is not a folder")
        setattr(args, name, given.resolve() if given is not None else None)
    return args


def report(name: str, title: str, args: argparse.Namespace, **settings: Any) -> Report:
    """An empty report with the machine as it is now; call it before measuring, for the load."""
    asked = {"repeats": args.repeats, **settings, **({"quick": True} if args.quick else {})}
    made = Report(name, title, settings=asked, machine=machine())
    if made.machine["load"] > 0.5:
        made.notes.append(f"Something else was running: load {made.machine['load']} at the start.")
    return made


def finish(made: Report, args: argparse.Namespace) -> int:
    """Write ``<name>.json`` and ``<name>.md``, print the table; the exit status."""
    args.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(made.as_json(), indent=1, ensure_ascii=False, default=str) + "\n"
    (args.out / f"{made.name}.json").write_text(text, encoding="utf-8")
    (args.out / f"{made.name}.md").write_text(made.markdown(), encoding="utf-8")
    print(made.markdown())
    return 0 if made.met or args.quick else MISSED


@contextmanager
def scratch() -> Iterator[Path]:
    """A temporary folder for caches, made data and studies."""
    with tempfile.TemporaryDirectory(prefix="xenograft-benchmark-") as folder:
        yield Path(folder)


def say(text: str) -> None:
    """Progress, beside the results."""
    print(f"  {time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def wall(command: Sequence[str], **environment: str) -> float:
    """Seconds that a command takes, its start included.

    Raises:
        RuntimeError: it failed; carries the end of what it said.
    """
    started = time.perf_counter()
    ended = subprocess.run(
        command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, env=os.environ | environment
    )
    seconds = time.perf_counter() - started
    if ended.returncode:
        raise RuntimeError(f"{' '.join(command[:4])} ... ended with {ended.returncode}: {ended.stderr[-2000:]}")
    return seconds


def machine() -> dict[str, Any]:
    """``cpu``, ``cores``, ``flags``, ``memory_gb``, ``gpu``, ``python``, ``platform``, ``packages``, ``load``."""
    return {
        "cpu": _cpu_line("model name") or platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "flags": [flag for flag in _FLAGS if flag in (_cpu_line("flags") or _cpu_line("Features")).split()],
        "memory_gb": _memory_gb(),
        "gpu": _gpu(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else 0.0,
    }


def sentence(facts: Mapping[str, Any]) -> str:
    """The machine in one line."""
    if not facts:
        return "unknown"
    gpu = facts["gpu"] or "no GPU"
    packages = ", ".join(f"{name} {found}" for name, found in facts["packages"].items())
    return (
        f"{facts['cpu']}, {facts['cores']} cores ({' '.join(facts['flags'])}), {facts['memory_gb']} GiB, {gpu}; "
        f"{facts['platform']}, Python {facts['python']}, {packages}; load at the start {facts['load']}"
    )


def _cpu_line(key: str) -> str:
    """The first such line of /proc/cpuinfo, "" where there is none."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        return ""
    return next((" ".join(line.split(":", 1)[1].split()) for line in lines if line.startswith(key)), "")


def _memory_gb() -> float:
    import psutil

    return float(round(psutil.virtual_memory().total / 2**30, 1))


def _gpu() -> str | None:
    """Asked of the driver: importing torch for it would take seconds and memory."""
    if not shutil.which("nvidia-smi"):
        return None
    query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    ended = subprocess.run(query, capture_output=True, text=True, check=False)
    return ended.stdout.strip().splitlines()[0] if ended.returncode == 0 and ended.stdout.strip() else None


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
