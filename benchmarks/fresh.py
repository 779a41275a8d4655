"""(module:function, arguments) -> its answer from a process of its own, with that process's peak memory.

Baselines and our own code never share a process: threads, allocator and memory of one would change the other.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

_MARK = "=== answer "
_ENVIRONMENT = {"PYTHONUNBUFFERED": "1", "HF_HUB_OFFLINE": "1"}


def call(what: str, **arguments: Any) -> dict[str, Any]:
    """Call ``module:function`` of this folder in a fresh interpreter.

    Args:
        what: the function returns a mapping that JSON can hold. arguments: paths become strings.

    Returns:
        The mapping, and ``peak_mb``, the highest resident memory of that process in MiB.

    Raises:
        RuntimeError: the process failed; carries the end of what it said.
    """
    ended = subprocess.run(
        [sys.executable, str(Path(__file__).resolve()), what],
        input=json.dumps(arguments, default=str),
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | _ENVIRONMENT,
    )
    answers = [line for line in ended.stdout.splitlines() if line.startswith(_MARK)]
    if ended.returncode or not answers:
        raise RuntimeError(f"{what} ended with {ended.returncode}: {ended.stderr[-4000:]}")
    found: dict[str, Any] = json.loads(answers[-1].removeprefix(_MARK))
    return found


def peak_mb() -> float:
    """Highest resident memory of this process so far, in MiB.

    On Linux from the kernel's own mark: getrusage also counts what the parent held when it started this process.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def _answer(what: str) -> None:
    module, _, function = what.partition(":")
    arguments = json.load(sys.stdin)
    found = getattr(importlib.import_module(module), function)(**arguments)
    print(f"\n{_MARK}{json.dumps({**found, 'peak_mb': round(peak_mb(), 1)}, default=str)}", flush=True)


if __name__ == "__main__":
    _answer(sys.argv[1])
