from __future__ import annotations

import pytest

import xenograft


@pytest.mark.parametrize("name", [name for name in xenograft.__all__ if not name.startswith("__")])
def test_every_public_name_resolves_and_is_described(name: str) -> None:
    assert getattr(xenograft, name).__doc__
    assert name in dir(xenograft)


def test_verbs_stay_functions_after_their_packages_were_imported() -> None:
    import xenograft.reporting.page

    for verb in (
        "cache_clear",
        "cache_info",
        "cache_verify",
        "compare",
        "demo",
        "doctor",
        "export",
        "fit",
        "predict",
        "report",
        "weights",
    ):
        assert callable(getattr(xenograft, verb)), verb


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        _ = xenograft.nonsense
