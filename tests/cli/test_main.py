from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from xenograft.cli import main as cli
from xenograft.cli.main import build_parser, main
from xenograft.cli.options import VERBS


def test_help_loads_neither_torch_nor_numpy() -> None:
    code = (
        "import sys\nfrom xenograft.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print(sorted({'torch', 'numpy', 'rich', 'pyarrow', 'cv2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_help_is_quick() -> None:
    """The quickest of five starts under 0.15 s, or under four times the interpreter's own on a slow machine."""

    def quickest(*command: str) -> float:
        times = []
        for _ in range(5):
            started = time.perf_counter()
            subprocess.run([sys.executable, *command], capture_output=True, check=True)
            times.append(time.perf_counter() - started)
        return min(times)

    assert quickest("-m", "xenograft", "--help") < max(0.15, 4 * quickest("-c", "pass"))


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_examples(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([verb, "--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert f"xenograft {verb}" in shown
    assert "examples:" in shown


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.startswith("xenograft 0.")


def test_errors_are_one_line_with_a_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(tmp_path / "nothing"), "-o", str(tmp_path / "s")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("E-DATA-06 ")
    assert len(error.splitlines()) == 1


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="E-DATA-03"):
        main(["report", str(tmp_path), "--debug"])


def test_p13_ctrl_c_is_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(_args: object) -> None:
        raise KeyboardInterrupt

    parser = build_parser("doctor")
    arguments = parser.parse_args(["doctor"])
    arguments.run = interrupted
    monkeypatch.setattr(cli.argparse.ArgumentParser, "parse_args", lambda *_: arguments)
    assert main([]) == 130
    assert "goes on from there" in capsys.readouterr().err


def test_p13_sigterm_is_143(phantom_folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "xenograft", "compare", str(phantom_folder), "--recipes", "scratch"]
    process = subprocess.Popen(
        [*command, "-o", str(tmp_path / "s")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ
    )
    assert process.stdout is not None
    process.stdout.readline()  # it has begun
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 143, error


def test_options_are_never_guessed_from_a_beginning(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["compare", "x", "--seed", "7"])
    assert "--seed" in capsys.readouterr().err
