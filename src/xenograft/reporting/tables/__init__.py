"""A study's view -> tables: HTML by the page's template, CSV and LaTeX beside it."""

from xenograft.reporting.tables.conduct import runs, settings, timings, weights
from xenograft.reporting.tables.counts import counts
from xenograft.reporting.tables.differences import differences
from xenograft.reporting.tables.findings import findingwise
from xenograft.reporting.tables.model import Block, Cell, Column, Row, Table
from xenograft.reporting.tables.results import classwise, results
from xenograft.reporting.tables.together import ensembles, variation

__all__ = [
    "Block",
    "Cell",
    "Column",
    "Row",
    "Table",
    "classwise",
    "counts",
    "differences",
    "ensembles",
    "findingwise",
    "results",
    "runs",
    "settings",
    "timings",
    "variation",
    "weights",
]
