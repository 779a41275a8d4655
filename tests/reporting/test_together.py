"""Tables of ensembles and of variation: their figures are the record's, as text and as CSV."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from xenograft.reporting import tables
from xenograft.reporting.groups import View

from .conftest import Rendered

Made = Callable[[str], Rendered]


def rows_of(table: tables.Table | None) -> list[dict[str, object]]:
    assert table is not None
    header, rows = table.csv()
    return [dict(zip(header, row, strict=True)) for row in rows]


def test_ensembles_are_those_of_the_record_in_the_order_of_other_tables(rendered: Made) -> None:
    study = rendered("backbones").study
    rows = rows_of(tables.ensembles(View.of(study)))
    assert [(row["kind"], row["backbone"]) for row in rows] == [
        ("runs", "resnet18"),
        ("runs", "mobilenet_v2"),
        ("runs", "squeezenet1_1"),
        ("backbones", ""),
    ]
    assert list(rows[0]) == [
        "kind", "backbone", "recipe", "lr_scale", "members",
        *(f"{m}{end}" for m in ("auroc", "accuracy", "recall", "specificity", "f1") for end in ("", "_low", "_high")),
        "difference", "difference_low", "difference_high", "p", "p_holm",
    ]  # fmt: skip
    for row in rows:
        own = next(
            e for e in study.record.ensembles if (e["kind"], e["backbone"] or "") == (row["kind"], row["backbone"])
        )
        assert row["members"] == " ".join(own["members"])
        metrics = own["test"]["policies"]["fixed"]["metrics"]
        assert row["auroc_low"] == pytest.approx(metrics["auroc"]["low"], abs=1e-6)
        assert row["recall"] == pytest.approx(metrics["recall"]["value"], abs=1e-6)
        assert row["difference"] == pytest.approx(own["against"]["difference"], abs=1e-6)
        assert row["p_holm"] == pytest.approx(own["against"]["p_holm"], abs=1e-6)


def test_a_study_of_single_runs_has_neither(rendered: Made) -> None:
    view = View.of(rendered("one").study)
    assert tables.ensembles(view) is None
    assert tables.variation(view) is None


def test_variation_by_seeds_and_folds_is_the_record_s(rendered: Made) -> None:
    study = rendered("stamped").study
    view = View.of(study)
    rows = rows_of(tables.variation(view))
    assert [row["recipe"] for row in rows] == ["scratch", "probe"]
    for row, group in zip(rows, view.groups, strict=True):
        found = group.variation["auroc"]
        assert row["runs"] == found["runs"] == 4
        for name in ("sd", "sd_seed", "sd_data"):
            assert row[name] == pytest.approx(found[name], abs=1e-6)
        score = group.score("fixed", "auroc")
        assert score is not None
        assert row["half_width"] == pytest.approx((score.high - score.low) / 2, abs=1e-6)
        assert (row["lowest"], row["highest"]) == pytest.approx((min(score.values), max(score.values)), abs=1e-6)


def test_without_folds_there_is_one_standard_deviation(rendered: Made) -> None:
    from dataclasses import replace

    study = rendered("stamped").study
    record = replace(study.record, data=study.record.data | {"folds": None})
    table = tables.variation(View.of(replace(study, record=record)))
    assert table is not None
    assert [column.label for column in table.columns].count("SD") == 1
    assert not any("between" in column.label or "within" in column.label for column in table.columns)
