"""The evidence on the model that validation chose -> one sentence on its probabilities, one on broken promises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xenograft.evaluation.rules import in_words
from xenograft.reporting import style
from xenograft.reporting.calibration_words import verdict
from xenograft.reporting.evaluation_view import EvaluationView, percent, span
from xenograft.reporting.groups import View
from xenograft.reporting.phrases import and_
from xenograft.study.chosen import ArmKey

Json = Mapping[str, Any]
_UNKNOWN = "no interval"
_MOST = 2  # broken promises that are told in full


def trusted(view: View) -> list[str]:
    """Whether the probabilities mean what they say, and whether the chosen threshold does on test what it promised.

    Empty where the record holds no evidence.
    """
    record = view.study.record.evidence
    if record is None:
        return []
    names = tuple(view.group(ArmKey.of(run)).label for run in record["runs"])
    shown = EvaluationView(record, names)
    runs = view.group(ArmKey.of(record["runs"][0])).runs
    middle = f" (its middle run of {len(runs)} by validation)" if len(runs) > 1 else ""
    who = f"The probabilities of {names[0]}{middle}"
    return [f"{who} {said}." for said in (_calibration(shown),) if said] + _unlike(shown)


def _calibration(view: EvaluationView) -> str:
    model = view.record["models"][0]
    if view.multi_label:
        found = [verdict(model["findings"][str(k)]["calibration"]["metrics"]) for k, _ in enumerate(view.classes)]
        known = [words for words in found if words != _UNKNOWN]
        wrong = sum(not words.startswith("no ") for words in known)
        return f"are shown to be off on test for {wrong} of {style.plural(len(known), 'finding')}" if known else ""
    metrics = model["calibration"]["metrics"]
    if not view.binary:
        return _of_answers(metrics["top_label_smooth_ece"])
    words = verdict(metrics)
    if words == _UNKNOWN:
        return ""
    told = f"calibration in the large {span(metrics['in_the_large'], signed=True)}, slope {span(metrics['slope'])}"
    if words.startswith("no "):
        return f"show no miscalibration on test: {told}"
    return f"are {words.replace(', ', ' and ')} on test and should not be read as risks: {told}"


def _of_answers(entry: Json) -> str:
    """Of several classes: how far the probability of the answer is from how often it is right."""
    limit = entry.get("if_calibrated_high")
    if entry["low"] is None or limit is None:
        return ""
    told = f"SmoothECE {span(entry)}; up to {style.number(limit)} if they were calibrated"
    return f"{'are off' if entry['low'] > limit else 'show no miscalibration'} on test: {told}"


def _unlike(view: EvaluationView) -> list[str]:
    """Where test lies wholly below what validation patients outside the choice of a threshold had."""
    broken = [
        (finding, what, policy, found, measured)
        for finding, name, entry, policies in view.parts
        if name == view.names[0]
        for policy, chosen in (entry.get("chosen") or {}).items()
        for what, metric in (("sensitivity", "recall"), ("specificity", "specificity"))
        if _below(found := chosen[what], measured := policies[policy][metric])
    ]
    if not broken:
        return []
    if len(broken) > _MOST:
        named = and_(list(dict.fromkeys(finding or what for finding, what, *_ in broken)))
        return [f"Test looks unlike validation: thresholds chosen there do not keep on test what they had, of {named}."]
    told = [
        f"{f'{finding}: ' if finding else ''}{what} at the threshold chosen there "
        f"({'Youden' if policy == 'youden' else in_words(policy)}) is {percent(measured)} on test, but was "
        f"{percent({**found, 'value': found['left_out']})} in validation patients who had no part in the choice"
        for finding, what, policy, found, measured in broken
    ]
    return [f"Test looks unlike validation: {and_(told)}."]


def _below(left_out: Json, measured: Json) -> bool:
    return None not in (left_out["low"], measured["high"]) and bool(measured["high"] < left_out["low"])
