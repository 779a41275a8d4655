"""A study's view -> drawings: SVG for the page, SVG and PDF beside it."""

from xenograft.reporting.figures.canvas import Drawing
from xenograft.reporting.figures.confusion import confusion
from xenograft.reporting.figures.curves import curves
from xenograft.reporting.figures.examples import examples
from xenograft.reporting.figures.finding_curves import finding_precision_recall, finding_roc
from xenograft.reporting.figures.findings import finding_results
from xenograft.reporting.figures.flow import flow
from xenograft.reporting.figures.forest import forest
from xenograft.reporting.figures.results import results
from xenograft.reporting.figures.training import training

__all__ = [
    "Drawing",
    "confusion",
    "curves",
    "examples",
    "finding_precision_recall",
    "finding_results",
    "finding_roc",
    "flow",
    "forest",
    "results",
    "training",
]
