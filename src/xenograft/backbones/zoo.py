"""``torchvision.models`` and ``timm`` without torch's compiler: four seconds for parts of them not used here."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from types import ModuleType
from typing import Any

_COMPILER = "torch._dynamo"
_ASKED = f"{_COMPILER}.utils"


def zoo(name: str) -> ModuleType:
    """``torchvision.models`` or ``timm``."""
    if _COMPILER in sys.modules:  # nothing left to save
        return importlib.import_module(name)
    with _compiler_later():
        return importlib.import_module(name)


@contextmanager
def _compiler_later() -> Iterator[None]:
    """The compiler's modules are stand-ins for a while; using any of them, then or later, loads the real ones."""
    names = (_COMPILER, _ASKED)
    sys.modules.update({name: _StandIn(name) for name in names})
    try:
        yield
    finally:
        for name in names:
            if isinstance(sys.modules.get(name), _StandIn):
                del sys.modules[name]


class _StandIn(ModuleType):
    def __getattr__(self, name: str) -> Any:
        # what is taken from them while torchvision and timm are imported: as good as the real ones once it is called
        if self.__name__ == _ASKED and name == "is_compile_supported":
            return lambda *args: _real(_ASKED).is_compile_supported(*args)
        if self.__name__ == _COMPILER and name == "disable":
            return _disabled_later
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(_real(self.__name__), name)


def _disabled_later(function: Callable[..., Any] | None = None, *args: Any, **options: Any) -> Callable[..., Any]:
    """``torch.compiler.disable``, which loads the compiler when the function is first called instead of now."""
    if function is None:
        return lambda later: _disabled_later(later, *args, **options)

    @wraps(function)
    def disabled(*given: Any, **named: Any) -> Any:
        return _real(_COMPILER).disable(function, *args, **options)(*given, **named)

    return disabled


def _real(name: str) -> ModuleType:
    for stood_in in (_COMPILER, _ASKED):
        if isinstance(sys.modules.get(stood_in), _StandIn):
            del sys.modules[stood_in]
    return importlib.import_module(name)
