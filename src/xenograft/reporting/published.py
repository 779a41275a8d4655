"""The numbers printed in Tables 2 to 4 of Gu & Lee 2024 (CC BY 4.0), to stand beside ours on the same data set."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources

from xenograft.reporting.style import backbone_key, backbone_name

CITATION = (
    "Gu & Lee. Deep Transfer Learning Using Real-World Image Features for Medical Image Classification, with a Case "
    "Study on Pneumonia X-ray Images. Bioengineering 2024, 11, 406. doi:10.3390/bioengineering11040406 (CC BY 4.0)."
)
G_MEAN_NOTE = (
    "The published G-mean column is not the square root of sensitivity times specificity: ResNet18 with transfer, for "
    "example, has the counts TP 384, FP 37, FN 6, TN 197 by its other figures, which give 0.910 where 0.904 is "
    "printed. Ours is the standard definition, so compare the other columns."
)
ARMS = {"scratch": "scratch", "probe": "transfer"}  # the paper's tables are read as the frozen setting (§5.4–5.5)


@dataclass(frozen=True, slots=True)
class Published:
    """One printed row; rates as fractions, as everywhere else."""

    table: int
    model: str
    arm: str
    metrics: dict[str, float]


@cache
def rows() -> tuple[Published, ...]:
    """All printed rows, in print order."""
    text = resources.files("xenograft.reporting").joinpath("paper_tables.csv").read_text(encoding="utf-8")
    return tuple(
        Published(
            table=int(row["table"]),
            model=row["model"],
            arm=row["arm"],
            metrics={
                "loss": float(row["test_loss"]),
                "accuracy": float(row["accuracy_pct"]) / 100,
                "precision": float(row["precision_pct"]) / 100,
                "recall": float(row["recall_pct"]) / 100,
                "f1": float(row["f1"]),
                "g_mean": float(row["g_mean"]),
            },
        )
        for row in csv.DictReader(text.splitlines())
    )


def find(backbone: str, recipe: str, lr_scale: float) -> Published | None:
    """The printed row of the same model and arm: Table 2 or 4 at the full learning rate, Table 3 at a tenth of it."""
    arm = ARMS.get(recipe)
    tables = {1.0: (2, 4), 0.1: (3,)}.get(lr_scale, ())
    key = backbone_key(backbone_name(backbone))
    matches = (row for row in rows() if row.arm == arm and row.table in tables and backbone_key(row.model) == key)
    return next(matches, None)
