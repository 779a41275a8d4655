"""A study's view -> tables: HTML by the page's template, CSV and LaTeX beside it."""

from xenograft.report.tables.conduct import runs, settings, timings, weights
from xenograft.report.tables.counts import counts
from xenograft.report.tables.differences import differences
from xenograft.report.tables.model import Block, Cell, Column, Row, Table
from xenograft.report.tables.results import classwise, results

__all__ = [
    "Block",
    "Cell",
    "Column",
    "Row",
    "Table",
    "classwise",
    "counts",
    "differences",
    "results",
    "runs",
    "settings",
    "timings",
    "weights",
]
