"""An evaluation's view -> sentences on which models differ, by which test; never that they are equal."""

from __future__ import annotations

from collections import Counter

from xenograft.reporting import style
from xenograft.reporting.evaluation_view import EvaluationView, Json
from xenograft.reporting.phrases import p_phrase

_NO_VERDICT = "inconclusive"
_FEW = 3  # models of which everything is said at once
_MOST = 6  # differences that a sentence lists


def basis(view: EvaluationView) -> str:
    """What counts as independent."""
    return "patients as clusters" if view.record["patients_known"] else "each image as a patient of its own"


def compared(view: EvaluationView, *, brief: bool = False) -> list[str]:
    """Which models differ, and which findings.

    Args:
        brief: of more than a few models only the one of highest AUROC is compared with each other one.
    """
    tested = [(a, b, pair) for a, b, pair in view.pairs if pair["adjusted_p"] is not None]
    shown, rest = tested, ""
    if brief and len(view.names) > _FEW:
        areas = {name: _area(view, model) for name, _, model in view.models}
        best = max(areas, key=lambda name: areas[name])
        shown = [row for row in tested if best in row[:2]]
        rest = f"{best} has the highest {_what(view)} on test; all {len(tested)} comparisons stand in section 2."
    alpha = 1 - view.record["level"]
    sure = [_ordered(*row) for row in shown if row[2]["adjusted_p"] < alpha]
    others = [f"{a} and {b} ({p_phrase(pair['adjusted_p'])})" for a, b, pair in shown if pair["adjusted_p"] >= alpha]
    adjusted = f", p adjusted by Holm for {len(tested)} comparisons" if len(tested) > 1 else ""
    test = f" ({_test(view)}, {basis(view)}{adjusted})"
    sentences = [rest] if rest else []
    if sure:
        sentences.append(f"{_what(view, first=True)} differs{test}: {'; '.join(sure)}.")
    if others:
        sentences.append(
            f"No difference of {_what(view)} is shown{'' if sure else test} between {'; '.join(others)}. "
            "That is not evidence that they are equal."
        )
    if len(tested) < len(view.pairs):
        sentences.append(f"{style.plural(len(view.pairs) - len(tested), 'comparison')} could not be tested.")
    return sentences + _by_finding(view) + margins(view, brief=brief)


def _what(view: EvaluationView, *, first: bool = False) -> str:
    mean = "" if view.binary else "Mean " if first else "mean "
    return f"{mean}AUROC"


def _test(view: EvaluationView) -> str:
    if view.binary:
        return "Obuchowski's test"
    return f"paired bootstrap, whose p cannot be below 2/{view.record['resamples'] + 1:,} before adjusting"


def _area(view: EvaluationView, model: Json) -> float:
    entry = (
        model["auroc"]["patients_as_clusters"]
        if view.binary
        else next(iter(model["scorecard"]["policies"].values()))["metrics"]["auroc"]
    )
    return entry["value"] or 0.0


def _by_finding(view: EvaluationView) -> list[str]:
    """Of findings: how many differ, and the surest."""
    if not view.multi_label:
        return []
    alpha = 1 - view.record["level"]
    number = view.record["adjusted"]["findings"]["comparisons"]
    found = [
        (entry["adjusted_p"], finding, a, b, entry)
        for k, finding in enumerate(view.classes)
        for a, b, pair in view.pairs
        if (entry := pair["findings"][str(k)])["adjusted_p"] is not None
    ]
    sure = sorted((row for row in found if row[0] < alpha), key=lambda row: row[0])
    tests = f"Obuchowski's test, p adjusted by Holm for all {number}"
    if not sure:
        return [f"By finding, no difference is shown in {style.plural(number, 'comparison')} ({tests})."]
    words = []
    for p, finding, a, b, entry in sure[:_MOST]:
        high, low = (a, b) if entry["difference"] > 0 else (b, a)
        words.append(f"{finding}: {high} above {low} ({p_phrase(p)})")
    more = f" and {len(sure) - _MOST} more" if len(sure) > _MOST else ""
    return [
        f"By finding, AUROC differs in {len(sure)} of {style.plural(number, 'comparison')} ({tests}): "
        f"{'; '.join(words)}{more}."
    ]


def margins(view: EvaluationView, *, brief: bool = False) -> list[str]:
    """What each pair's interval says about the margin, or a count of verdicts; nothing without a margin."""
    margin = view.record["margin"]
    if margin is None:
        return []
    found = [f"{a} against {b}: {_margin(pair['margin'])}" for a, b, pair in view.pairs if pair["margin"]]
    if brief and len(view.names) > _FEW:
        tally = Counter(pair["margin"]["verdict"] for _, _, pair in view.pairs if pair["margin"])
        found = [f"{verdict} in {count} of {tally.total()} pairs" for verdict, count in tally.most_common()]
    return [
        f"Against a margin of {margin:g} AUROC, by the {view.level} interval of the difference: {'; '.join(found)}."
    ]


def _ordered(a: str, b: str, pair: Json) -> str:
    tested = pair["clustered_delong"] or pair["metrics"]["auroc"]
    high, low = (a, b) if tested["difference"] > 0 else (b, a)
    return f"{high} above {low} ({p_phrase(pair['adjusted_p'])})"


def _margin(found: Json) -> str:
    extra = ", but worse" if found["worse"] and found["verdict"] in {"non-inferior", _NO_VERDICT} else ""
    both = ", and within the margin both ways" if found["equivalent"] else ""
    unshown = " (neither shown nor excluded)" if found["verdict"] == _NO_VERDICT else ""
    return f"{found['verdict']}{unshown}{extra}{both}"
