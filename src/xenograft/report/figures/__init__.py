"""A study's view -> drawings: SVG for the page, SVG and PDF beside it."""

from xenograft.report.figures.canvas import Drawing
from xenograft.report.figures.confusion import confusion
from xenograft.report.figures.curves import curves
from xenograft.report.figures.examples import examples
from xenograft.report.figures.forest import forest
from xenograft.report.figures.results import results
from xenograft.report.figures.training import training

__all__ = ["Drawing", "confusion", "curves", "examples", "forest", "results", "training"]
