"""A study's view -> sentences about its measures, their intervals and what was compared. None: not in the record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xenograft.errors import printable
from xenograft.reporting import style
from xenograft.reporting.citations import mark
from xenograft.reporting.data_words import joined
from xenograft.reporting.groups import Group, View

_HEADLINE = ("auroc", "average_precision", "accuracy", "f1")
_DIAGNOSTIC = ("recall", "specificity", "precision")
_POLICIES = {
    "fixed": "at a threshold of 0.5",
    "youden": "at the threshold that validation chose",
    "argmax": "by the most probable class",
}
_MOST_KINDS = 4
_SPOKEN = {"AUROC": "AUROC", "F1": "F1", "G-mean": "G-mean"}


def measures(view: View) -> str:
    """Which measures the scorecards hold, and at which thresholds."""
    names = dict.fromkeys(m for run in view.study.runs for p in run.test["policies"].values() for m in p["metrics"])
    at = joined(map(_at, view.policies))
    mean = ", each for every finding and as a mean over findings" if view.multi_label else ""
    mean = ", averaged over classes where they are of one class against the rest" if view.multiclass else mean
    return f"Measures were {joined(map(spoken, names))}{mean}. Decisions were made {at}."


def uncertainty(view: View) -> str | None:
    """How intervals were made; None where the scorecards do not say."""
    resamples = view.card.get("resamples")
    if not resamples:
        return None
    strata = "" if view.multi_label else ", stratified by class"
    return (
        f"{view.level.replace(chr(160), ' ')} confidence intervals are percentile intervals of a bootstrap"
        f"{mark('bootstrap')} that draws patients, not images{mark('clusters')}{strata}, with {int(resamples):,} "
        "resamples."
    )


def seeds(view: View) -> str | None:
    """How several seeds of one arm became one number; None with one seed."""
    if view.most_seeds < 2:
        return None
    differ = "seed or fold" if view.data.get("folds") else "seed"
    pooled = "the interval is that of this mean" if view.study.record.arms else "interval ends are averaged over them"
    return (
        f"Results are means over {view.most_seeds} runs that differ in their {differ} alone; {pooled}, and the spread "
        "over these runs is reported beside it, not within it."
    )


def comparisons(view: View) -> str | None:
    """How many paired comparisons were made, of what, and how their p was adjusted; None where there were none."""
    rows: list[dict[str, Any]] = view.study.record.comparisons
    if not rows:
        return None
    names = joined(map(spoken, dict.fromkeys(str(row["metric"]) for row in rows)))
    families = [str(name) for name in dict.fromkeys(row.get("family") or "recipes" for row in rows)]
    tests = dict.fromkeys(_test(row) for row in rows)
    adjusted = all("p_holm" in row for row in rows)
    number = "the number of comparisons by the same measure" if all("of" in row for row in rows) else "their number"
    holm = f" p values were adjusted by Holm's method{mark('holm')} for {number}." if adjusted else ""
    return (
        f"In all, {style.plural(len(rows), 'paired difference')} between {joined(map(printable, families))}, in "
        f"{names}, {'was' if len(rows) == 1 else 'were'} measured on the same test images, by {joined(tests)}.{holm}"
    )


def _test(row: Mapping[str, Any]) -> str:
    name = str(row.get("test") or "bootstrap").casefold()
    if "delong" in name:
        return f"the test of DeLong and colleagues{mark('delong')} for clustered data{mark('obuchowski')}"
    if "mcnemar" in name:
        return f"McNemar's exact test{mark('mcnemar')}"
    return f"a paired bootstrap of patients{mark('bootstrap', 'clusters')}"


def evidence_parts(view: View) -> frozenset[str]:
    """Which analyses the record's evidence holds: keys such as ``calibration`` or ``subgroups`` that are not empty."""
    found = view.study.record.evidence or {}
    models = found.get("models", [found])
    entries = models.values() if isinstance(models, dict) else models
    return frozenset(key for model in entries if isinstance(model, dict) for key, value in model.items() if value)


def further(view: View) -> list[str]:
    """Sentences on calibration, net benefit, abstention and the rest, as far as the record holds them."""
    parts = evidence_parts(view)
    said = []
    if "calibration" in parts:
        said.append(f"Calibration was measured on test{mark('calibration')}.")
    if "recalibration" in parts:
        how = (
            f"Platt scaling{mark('platt')}"
            if len(view.classes) == 2 or view.multi_label
            else f"a temperature{mark('temperature')}"
        )
        said.append(f"Recalibration by {how} was fitted on validation and measured on test.")
    if "decision_curve" in parts:
        said.append(f"Net benefit is shown as a decision curve{mark('decision')}.")
    if "abstention" in parts:
        said.append(f"Abstention is described by a risk-coverage curve{mark('abstention')}.")
    if "conformal" in parts:
        said.append(f"Conformal prediction sets{mark('conformal')} were fitted on validation patients.")
    if "subgroups" in parts:
        said.append("Results were also computed within subgroups.")
    if view.study.record.ensembles:
        said.append("Averaged answers of several models were measured as ensembles.")
    perturbed = robustness(view)
    return [*said, perturbed] if perturbed else said


def robustness(view: View) -> str | None:
    """Which changes of the test images were tried; None where none was."""
    found = view.study.record.robustness
    if not found:
        return None
    names = [printable(change["name"]).replace("_", " ") for change in found.get("changes") or [] if "name" in change]
    listed = f" ({joined(names)})" if names else ""
    return f"The model that validation chose was also tested on changed test images{listed}."


def mistakes(view: View) -> str | None:
    """How many mistakes the list of failures holds, by kind; None where there is no list."""
    found = view.study.record.failures
    if not found or "mistakes" not in found:
        return None
    kinds = [
        f"{printable(kind['truth'])} taken for {printable(kind['answer'])} {kind['count']:,} of {kind['of']:,}"
        for kind in (found.get("kinds") or [])[:_MOST_KINDS]
    ]
    most = f"; the most frequent: {'; '.join(kinds)}" if kinds else ""
    return f"The list of mistakes holds {style.plural(int(found['mistakes']), 'answer')}{most}."


def baseline(view: View, *, measured: bool = True) -> str | None:
    """The classifier that sees no anatomy, with its result unless `measured` is False; None where there is none."""
    found = view.data.get("baseline")
    if not found:
        return None
    families = joined(map(printable, found.get("families") or []))
    score = view.baseline(view.main_policy, "auroc") if measured else None
    value = f" (AUROC on test {text(score)})" if score is not None else ""
    return (
        f"As a check for shortcuts, a logistic regression on {families}, fitted on the same training images, stands "
        f"beside the networks{value}."
    )


def spoken(metric: str) -> str:
    """A measure's name within a sentence."""
    name = style.metric_name(metric)
    return _SPOKEN.get(name, name.lower())


def text(score: Any, metric: str = "auroc") -> str:
    """``0.951 (0.932-0.968)``, with the interval where there is one."""
    unit = " %" if metric in style.PERCENT else ""
    value = f"{style.number(score.value, metric=metric)}{unit}"
    ends = style.interval(score.low, score.high, metric=metric)
    return f"{value} ({ends})" if ends else value


def headline(view: View) -> str | None:
    """The results on test of the arm that validation rates highest."""
    return _line(view, _HEADLINE)


def diagnostic(view: View) -> str | None:
    """Sensitivity, specificity and precision of the same arm, at each threshold."""
    return _line(view, _DIAGNOSTIC)


def _line(view: View, metrics: tuple[str, ...]) -> str | None:
    group = view.chosen()
    found = {policy: _values(group, policy, metrics) for policy in view.policies}
    parts = [f"{_at(p)}: {', '.join(values)}" for p, values in found.items() if values]
    if not parts:
        return None
    mean = " (means over findings)" if view.multi_label else " (means over classes)" if view.multiclass else ""
    return f"{group.label}, which validation rates highest; test, {view.test_size()}{mean}; {'; '.join(parts)}."


def _values(group: Group, policy: str, metrics: tuple[str, ...]) -> list[str]:
    scores = {metric: group.score(policy, metric) for metric in metrics}
    return [f"{spoken(m)} {text(score, m)}" for m, score in scores.items() if score is not None]


def width(view: View) -> str | None:
    """How wide the interval of that arm's AUROC is; None where there is none."""
    score = view.chosen().score(view.main_policy, "auroc")
    if score is None or score.low is None or score.high is None:
        return None
    reach = f"{score.high - score.low:.3f}"
    return f"the {view.level.replace(chr(160), ' ')} interval of the AUROC of {view.chosen().label} is {reach} wide"


def confusion(view: View) -> str | None:
    """How many test images one run of that arm gets wrong, by class; None where no matrix was recorded."""
    run = view.chosen().typical(view.main_policy)
    matrix = run.test["policies"].get(view.main_policy, {}).get("confusion") if run is not None else None
    if run is None or not matrix or view.multi_label:
        return None
    wrong = [
        f"{sum(row) - row[k]:,} of {sum(row):,} {name}"
        for k, (row, name) in enumerate(zip(matrix, view.classes, strict=True))
    ]
    return f"Run {printable(run.id)} answers wrongly, {_at(view.main_policy)}: {joined(wrong)}."


def _at(policy: str) -> str:
    return _POLICIES.get(policy, f"at the threshold of {printable(policy)}, chosen on validation")
