from __future__ import annotations

import subprocess
import sys

import pytest

from xenograft.train import allocator


def test_it_takes_effect_on_glibc_and_says_so() -> None:
    """In a process of its own, because it lasts."""
    code = "from xenograft.train.allocator import keep_freed_memory; print(keep_freed_memory())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(hasattr(allocator.ctypes.CDLL(None), "mallopt"))


def test_elsewhere_it_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator.sys, "platform", "win32")
    assert allocator.keep_freed_memory() is False
    monkeypatch.setattr(allocator.sys, "platform", "linux")
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda _name: object())
    assert allocator.keep_freed_memory() is False
