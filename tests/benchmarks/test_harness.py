"""The arithmetic that every verdict rests on, and one benchmark run for real."""

from __future__ import annotations

import importlib
import json
import math
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return _load("harness", monkeypatch)


def _load(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module(name)


def test_median_keeps_every_value_in_order(harness):
    found = harness.median_of(3, iter([5.0, 1.0, 2.0]).__next__)
    assert found.median == 2.0
    assert found.values == (5.0, 1.0, 2.0)


def test_interleaved_measures_in_turn(harness):
    order = []

    def note(name):
        order.append(name)
        return float(len(order))

    found = harness.interleaved(2, {"a": lambda: note("a"), "b": lambda: note("b")})
    assert order == ["a", "b", "a", "b"]
    assert found["b"].median == 3.0


def test_geometric_mean_of_a_gain_and_the_same_loss_is_one(harness):
    assert harness.geometric_mean([4.0, 0.25]) == pytest.approx(1.0)
    assert harness.geometric_mean([10.0, 1000.0]) == pytest.approx(100.0)


@pytest.mark.parametrize(("value", "met"), [(9.99, False), (10.0, True), (10.01, True), (math.nan, False)])
def test_at_least(harness, value, met):
    assert harness.row("rate", value, "s", bound=harness.at_least(10)).met is met


@pytest.mark.parametrize(("value", "met"), [(3.9, True), (4.0, True), (4.1, False), (math.nan, False)])
def test_at_most(harness, value, met):
    line = harness.row("start", value, "s", bound=harness.at_most(4))
    assert (line.met, line.bound) == (met, "≤ 4")


def test_the_ratio_is_judged_where_there_is_one(harness):
    line = harness.row("start", 200.0, "ms", ratio=3.0, bound=harness.at_most(4))
    assert line.met is True


def test_a_row_without_bound_has_no_verdict(harness):
    line = harness.row("start", 200.0, "ms", ratio=3.0)
    assert (line.bound, line.met) == ("", None)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.01234, "0.0123"), (1.5, "1.5"), (99.96, "100"), (123.4, "123"), (12345.6, "12,346"), (-2.0, "-2")],
)
def test_numbers_have_three_digits(harness, value, text):
    assert harness.number(value) == text


def test_markdown_names_the_missed_bound(harness):
    rows = [
        harness.row("a|b", 12.0, "s", against="usual 120 s", ratio=10.0, bound=harness.at_least(5)),
        harness.row("slow", 1.0, "s", bound=harness.at_most(0.5)),
        harness.row("said only", 1.0, "s"),
    ]
    made = harness.Report("x", "title", rows=rows, notes=["a note"], settings={"repeats": 3}, machine=harness.machine())
    text = made.markdown()
    assert "**1 of 2 bounds are missed: slow.**" in text
    assert "| a\\|b | 12 s | usual 120 s | 10 × | ≥ 5 | yes |" in text
    assert "| slow | 1 s |  |  | ≤ 0.5 | **no** |" in text
    assert "- a note" in text
    assert "Settings: repeats 3." in text


def test_results_are_written_and_a_missed_bound_ends_with_its_own_status(harness, tmp_path, capsys):
    args = harness.parse(harness.options("x"), ["-o", str(tmp_path / "out")])
    made = harness.report("x", "title", args)
    made.rows = [harness.row("slow", 1.0, "s", bound=harness.at_most(0.5))]
    assert harness.finish(made, args) == harness.MISSED
    stored = json.loads((tmp_path / "out" / "x.json").read_text())
    assert stored["met"] is False
    assert stored["rows"][0]["value"] == 1.0
    assert {"cpu", "cores", "flags", "memory_gb", "gpu", "packages", "load"} <= stored["machine"].keys()
    assert str(tmp_path) not in (tmp_path / "out" / "x.json").read_text()
    assert (tmp_path / "out" / "x.md").read_text() in capsys.readouterr().out


def test_a_quick_run_measures_once_and_spares_real_results(harness):
    args = harness.parse(harness.options("x"), ["--quick"])
    assert args.repeats == 1
    assert args.out != harness.RESULTS


def test_a_failed_command_tells_its_end(harness):
    with pytest.raises(RuntimeError, match="the reason"):
        harness.wall([sys.executable, "-c", "raise SystemExit('the reason')"])


def test_a_fresh_process_answers_and_tells_its_peak(monkeypatch):
    fresh = _load("fresh", monkeypatch)
    answer = fresh.call("ours:import_seconds", modules=["wave", "no.such.module"])
    assert answer["seconds"] > 0
    assert 5 < answer["peak_mb"] < 200


def test_a_line_is_found_through_its_points(monkeypatch):
    scaling = _load("scaling", monkeypatch)
    rows = scaling.rows({1000: 3.0, 2000: 5.0, 4000: 9.0})
    assert rows[-3].value == pytest.approx(1.0)
    assert rows[-2].value == pytest.approx(2.0)
    assert rows[-1].value == pytest.approx(0.0, abs=1e-6)
    assert rows[-1].met is True


def test_a_curve_is_no_line(monkeypatch):
    scaling = _load("scaling", monkeypatch)
    assert scaling.rows({1000: 1.0, 2000: 4.0, 4000: 16.0, 8000: 64.0})[-1].met is False


def test_steps_reported_in_parts_are_joined(monkeypatch):
    ours = _load("ours", monkeypatch)
    marks = [(0.0, 0), (1.0, 2), (2.0, 4), (2.5, 6), (4.0, 8)]
    assert ours._step_seconds(marks, 4) == [2.0, 2.0]


def test_made_images_all_differ(monkeypatch, tmp_path):
    from PIL import Image

    made = _load("made", monkeypatch)
    made.many(str(tmp_path), 90, 64)
    pictures = [Image.open(path).tobytes() for path in tmp_path.rglob("*.jpg")]
    assert len(set(pictures)) == 90
    assert sum(made.sizes(tmp_path).values()) == 90


def test_startup_runs(tmp_path):
    command = [sys.executable, str(BENCHMARKS / "startup.py"), "--quick", "-o", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    stored = json.loads((tmp_path / "startup.json").read_text())
    assert stored["rows"][0]["unit"] == "ms"
    assert len(stored["values"]["help"]) == 1
    assert "Quick run" in (tmp_path / "startup.md").read_text()
