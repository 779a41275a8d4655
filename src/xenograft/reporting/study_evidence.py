"""The evidence in a study's record -> the parts of its page on calibration, decisions, abstention and subgroups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from xenograft.reporting import style
from xenograft.reporting.evaluation_view import EvaluationView
from xenograft.reporting.figures.decision import decision_panels
from xenograft.reporting.figures.panels import Panels
from xenograft.reporting.figures.reliability import reliability_panels
from xenograft.reporting.figures.risk_coverage import risk_coverage_panels
from xenograft.reporting.figures.robustness import robustness_panels
from xenograft.reporting.groups import View
from xenograft.reporting.tables.evaluation import chosen
from xenograft.reporting.tables.evaluation_groups import subgroups
from xenograft.reporting.tables.evaluation_trust import answered, calibration, cuts, sets
from xenograft.reporting.tables.model import Table
from xenograft.reporting.tables.robustness import summary as robustness_summary
from xenograft.study.chosen import ArmKey

_TABLES = (calibration, chosen, answered, cuts, sets, subgroups)
_FIGURES = {"reliability": reliability_panels, "decision": decision_panels, "coverage": risk_coverage_panels}


@dataclass(frozen=True, slots=True)
class StudyEvidence:
    """What can be said of the run that stands for the chosen combination, and of its reference.

    Args:
        view: as the page of an evaluation sees it. panels, tables: by name, those that apply.
    """

    view: EvaluationView
    panels: dict[str, Panels]
    tables: dict[str, Table]

    @classmethod
    def of(cls, view: View) -> Self | None:
        """Drawn within `style.drawing`; None where the record holds no evidence."""
        record = view.study.record.evidence
        if record is None:
            return None
        groups = [view.group(ArmKey.of(run)) for run in record["runs"]]
        shown = EvaluationView(record, tuple(group.label for group in groups))
        panels = {name: make(shown) for name, make in _FIGURES.items()}
        made = {make.__name__: make(shown) for make in _TABLES}
        if view.study.record.robustness is not None:
            panels["robustness"] = robustness_panels(view.study.record.robustness)
            made["robustness_summary"] = robustness_summary(view.study.record.robustness)
        return cls(
            shown,
            {name: panel for name, panel in panels.items() if panel is not None},
            {name: table for name, table in made.items() if table is not None},
        )

    def who(self, view: View) -> str:
        """Which runs these are."""
        runs = self.view.record["runs"]
        several = " and ".join(self.view.names)
        of = f", the one of {style.plural(view.most_seeds, 'run')} whose validation is nearest the median" if (
            view.most_seeds > 1
        ) else ""  # fmt: skip
        kind = "one trained model" if len(runs) == 1 else "one trained model each"
        rotating = (view.data.get("folds") or {}).get("test") == "rotating"
        images = f", on the {style.plural(self.view.record['images'], 'test image')} of its fold" if rotating else ""
        return f"{several}: {kind}{of}{images}."
