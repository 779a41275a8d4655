"""An evaluation's view -> sentences: what a reader wants first, and what each section says before its figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from xenograft.reporting import promises, style
from xenograft.reporting.calibration_words import shifted
from xenograft.reporting.evaluation_view import EvaluationView, Json, percent, span
from xenograft.reporting.figures.decision import harms, helps
from xenograft.reporting.p_values import p_text

_NO_VERDICT = "inconclusive"
_MOST = 6  # pairs or ranges that a sentence lists
_NARROW = 0.025  # of threshold probability
_FEW = 3  # models of which everything is said at once


def in_short(view: EvaluationView) -> list[tuple[str, str]]:
    """(name in bold or empty, sentence): one for each model, then choices, comparisons and what warns."""
    found = [(name, _model(view, model)) for name, _, model in view.models]
    found.append(("", choices(view)))
    if view.several:
        found += [("", sentence) for sentence in compared(view, brief=True)]
    found += [("", sentence) for sentence in _warnings(view)]
    return found


def choices(view: EvaluationView) -> str:
    """What was chosen, and on which images."""
    if view.validated:
        counts = sorted({model["validation"]["images"] for model in view.record["models"]})
        images = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
        each = " for each model" if view.several else ""
        what = "Thresholds other than 0.5, recalibration" if view.binary else "Recalibration"
        return (
            f"{what}, the cut-off for abstaining and the prediction sets were chosen on validation images ({images}"
            f"{each}), none of a test patient; test was only measured."
        )
    given = any("given" in model["thresholds"] for model in view.record["models"])
    measured = (
        f"only 0.5{' and a threshold named in the table are' if given else ' is'} measured as threshold"
        if view.binary
        else "answers are the class of highest probability"
    )
    return f"Validation tables: not supplied. So {measured}, and nothing was chosen or recalibrated here."


def compared(view: EvaluationView, *, brief: bool = False) -> list[str]:
    """Which models differ, by which test; never that they are equal.

    Args:
        brief: of more than a few models only the one of highest AUROC is compared with each other one.
    """
    if not view.binary:
        return _by_interval(view)
    tested = [(a, b, pair) for a, b, pair in view.pairs if pair["adjusted_p"] is not None]
    shown, rest = tested, ""
    if brief and len(view.names) > _FEW:
        areas = {name: model["auroc"]["patients_as_clusters"]["value"] for name, _, model in view.models}
        best = max(areas, key=lambda name: areas[name] or 0)
        shown = [row for row in tested if best in row[:2]]
        rest = f"{best} has the highest AUROC on test; all {len(tested)} comparisons stand in section 2."
    alpha = 1 - view.record["level"]
    sure = [_ordered(*row) for row in shown if row[2]["adjusted_p"] < alpha]
    others = [f"{a} and {b} ({_p(pair['adjusted_p'])})" for a, b, pair in shown if pair["adjusted_p"] >= alpha]
    adjusted = f", p adjusted by Holm for {len(tested)} comparisons" if len(tested) > 1 else ""
    test = f" (Obuchowski's test, {_basis(view)}{adjusted})"
    sentences = [rest] if rest else []
    if sure:
        sentences.append(f"AUROC differs{test}: {'; '.join(sure)}.")
    if others:
        sentences.append(
            f"No difference of AUROC is shown{'' if sure else test} between {'; '.join(others)}. "
            "That is not evidence that they are equal."
        )
    if len(tested) < len(view.pairs):
        sentences.append(f"{style.plural(len(view.pairs) - len(tested), 'comparison')} could not be tested.")
    return sentences + margins(view, brief=brief)


def _by_interval(view: EvaluationView) -> list[str]:
    """Of more than two classes: what the paired bootstrap of the mean AUROC shows, as no adjusted test is made."""
    drawn = [(a, b, pair["metrics"]["auroc"]) for a, b, pair in view.pairs]
    above = [(a, b, entry) for a, b, entry in drawn if _above(entry, 0)]
    above += [(b, a, entry) for a, b, entry in drawn if _below(entry, 0)]
    rest = len(drawn) - len(above)
    adjusted = f", not adjusted for {len(drawn)} comparisons" if len(drawn) > 1 else ""
    basis = f" (paired patient-cluster bootstrap, {view.level} intervals{adjusted})"
    found = []
    if above:
        listed = "; ".join(f"{a} above {b}" for a, b, _ in above[:_MOST])
        more = f" and {len(above) - _MOST} more, see section 2" if len(above) > _MOST else ""
        found.append(f"Mean AUROC differs{basis}: {listed}{more}.")
    if rest:
        found.append(
            f"For {style.plural(rest, 'pair')} no difference of mean AUROC is shown{'' if above else basis}. "
            "That is not evidence that they are equal."
        )
    return found


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


def trust(view: EvaluationView) -> list[str]:
    """What recalibration did, model by model; that it was not possible, where it was not."""
    said = []
    for name, _, model in view.models:
        before, after = model["calibration"]["metrics"]["log_loss"], model["recalibration"]
        if after is None:
            continue
        then = after["calibration"]["metrics"]["log_loss"]
        if before["value"] is None or then["value"] is None:
            continue
        change = (
            f"{name}: recalibrated on validation, the log-loss on test goes from {_three(before)} to {_three(then)}"
        )
        if _three(then) == _three(before):
            said.append(f"{name}: recalibrated on validation, the log-loss on test stays {_three(then)}.")
        elif then["value"] < before["value"]:
            said.append(f"{change}.")
        else:
            unlike = view.binary and shifted(after["calibration"]["metrics"])
            said.append(f"{change}: it did not help{', as test looks unlike validation' if unlike else ''}.")
    if not said:
        why = "too few validation images of a class" if view.validated else "not supplied: validation tables"
        said.append(f"Recalibration: {why}.")
    return said


def gain(view: EvaluationView) -> list[str]:
    """For which thresholds each model helps, and on which scores the curve was drawn."""
    said = []
    for name, _, model in view.models:
        curve = model["decision_curve"]
        good, bad = helps(curve), harms(curve)
        first = f"better than acting on all or on none at {_ranges(good)}" if good else "nowhere shown to be better"
        last = f"; worse at {_ranges(bad)}" if bad else ""
        scores = "recalibrated on validation" if curve["recalibrated"] else "as given, not recalibrated"
        said.append(f"{name}: {first}{last} (scores {scores}).")
    return said


def caution_of_gain(view: EvaluationView) -> str:
    """What a decision curve supposes."""
    words = (
        "A decision curve takes the scores for probabilities: where they are too high or too low, it acts at another "
        "threshold than the one written below it."
    )
    if view.record["prevalence"] is not None:
        stated = f"{100 * view.record['prevalence']:g} %"
        if all(model["decision_curve"]["restated"] for _, _, model in view.models):
            words += f" The shares of the classes and the scores are restated at {stated}."
        else:
            words += (
                f" Here the shares of the classes are restated at {stated}, but the scores are not: they still speak "
                f"of the share where they were fitted. If that is not {stated} too, the curve understates what the "
                "model could gain, and where it is called worse, the scores may be at fault rather than the model."
            )
    return words


def abstaining(view: EvaluationView) -> list[str]:
    """What the cut-off chosen on validation does on test."""
    said = []
    for name, _, model in view.models:
        if (found := model["abstention"]["at_target"]) is None:
            continue
        chose, target = found["chosen"], f"{100 * found['chosen']['target']:g} %"
        if chose["share"] == 0:
            said.append(
                f"{name}: on validation no share could be shown to keep the target of {target}; it answers none."
            )
            continue
        risk = found["patient_risk"]
        said.append(
            f"{name}: cut for at most {target} of answered patients with a wrong answer, it answers "
            f"{percent(found['coverage'])} of test images, and {percent(risk)} of the answered patients get a wrong "
            f"answer{': the target is not kept, test looks unlike validation' if _over(view, found) else ''}."
        )
    return said or ["A cut-off for abstaining: not supplied, as it is chosen on validation tables."]


def promised(view: EvaluationView) -> list[str]:
    """Whether prediction sets hold what they promise on test."""
    said = []
    for name, _, model in view.models:
        if (found := model["conformal"]) is None:
            continue
        card = found["card"]
        short = [
            f"{label} {percent(card['per_class'][str(k)]['coverage'])}"
            for k, label in enumerate(view.classes)
            if k in _short(view, card)
        ]
        kept = f"; it misses the promised {100 * card['target']:g} % for {_and(short)}" if short else ""
        said.append(
            f"{name}: answers {percent(card['answered'])} of images by itself, of these {percent(card['accuracy'])} "
            f"right{kept}."
        )
    why = "too few validation patients of a class" if view.validated else "not supplied: validation tables"
    return said or [f"Prediction sets: {why}."]


def _model(view: EvaluationView, model: Json) -> str:
    policies = view.policies(model)
    metrics = policies[0][1]["metrics"]
    if not view.binary:
        return (
            f"mean AUROC {_with_level(metrics['auroc'], view)} over {len(view.classes)} classes, each against the rest "
            f"({_basis(view)}); {percent(metrics['accuracy'])} of images are named rightly."
        )
    area = model["auroc"]["patients_as_clusters"]
    parts = [
        f"at {policy}: sensitivity {percent(entry['metrics']['recall'])}, specificity "
        f"{percent(entry['metrics']['specificity'])}"
        for policy, entry in (policies if len(view.names) <= _FEW else policies[-1:])
    ]
    return f"AUROC {_with_level(area, view)}, {_basis(view)}; {'; '.join(parts)}."


def _basis(view: EvaluationView) -> str:
    return "patients as clusters" if view.record["patients_known"] else "each image as a patient of its own"


def _warnings(view: EvaluationView) -> list[str]:
    """Promises made on validation that test breaks."""
    broken: dict[str, list[str]] = {}
    for name, _, model in view.models:
        cut, sets, chosen = model["abstention"]["at_target"], model["conformal"], model["chosen"]
        if chosen is not None:
            measured = model["scorecard"]["policies"]["youden"]["metrics"]
            for what, metric in (("sensitivity", "recall"), ("specificity", "specificity")):
                if _lost(chosen[what], measured[metric]):
                    broken.setdefault(f"{what} at the chosen threshold", []).append(name)
        if cut is not None and _over(view, cut):
            broken.setdefault("the cut-off for abstaining", []).append(name)
        if sets is not None and _short(view, sets["card"]):
            broken.setdefault("the prediction sets", []).append(name)
    if not broken:
        return []
    everyone = len(view.names) if view.several else 0
    parts = [f"{what} of {'all models' if len(names) == everyone else _and(names)}" for what, names in broken.items()]
    return [f"Test looks unlike validation. Not kept on test is what validation promised of {'; of '.join(parts)}."]


def _lost(left_out: Json, measured: Json) -> bool:
    """Whether test lies wholly below what left-out validation patients had."""
    return None not in (left_out["low"], measured["high"]) and bool(measured["high"] < left_out["low"])


def _ordered(a: str, b: str, pair: Json) -> str:
    high, low = (a, b) if pair["clustered_delong"]["difference"] > 0 else (b, a)
    return f"{high} above {low} ({_p(pair['adjusted_p'])})"


def _margin(found: Json) -> str:
    extra = ", but worse" if found["worse"] and found["verdict"] in {"non-inferior", _NO_VERDICT} else ""
    both = ", and within the margin both ways" if found["equivalent"] else ""
    unshown = " (neither shown nor excluded)" if found["verdict"] == _NO_VERDICT else ""
    return f"{found['verdict']}{unshown}{extra}{both}"


def _over(view: EvaluationView, cut: Json) -> bool:
    """Whether a cut-off lets more patients get a wrong answer on test than its target."""
    risk, target = cut["patient_risk"], cut["chosen"]["target"]
    return promises.above(risk, target, checks=len(view.names), level=view.record["level"])


def _short(view: EvaluationView, card: Json) -> list[int]:
    """Classes whose prediction sets hold the truth less often on test than promised."""
    checks = len(view.names) * len(view.classes)
    return [
        int(k)
        for k, own in card["per_class"].items()
        if promises.below(
            own["coverage"],
            card["target"],
            patients=own["fitted_patients"],
            checks=checks,
            level=view.record["level"],
        )
    ]


def _above(entry: Json, limit: float) -> bool:
    return entry["low"] is not None and bool(entry["low"] > limit)


def _below(entry: Json, limit: float) -> bool:
    return entry["high"] is not None and bool(entry["high"] < limit)


def _with_level(entry: Json, view: EvaluationView) -> str:
    return span(entry).replace("(", f"({view.level} interval ", 1)


def _three(entry: Json) -> str:
    return style.number(entry["value"])


def _p(p: float) -> str:
    text = p_text(p)
    return (f"p {text}" if text.startswith("<") else f"p = {text}").replace(" ", "\u00a0")


def _ranges(found: Sequence[tuple[float, float]]) -> str:
    """Ranges of some width; the rest, which chance makes and unmakes, in a word."""
    wide = [f"{a:.2f} to {b:.2f}" for a, b in found if b - a > _NARROW][:_MOST]
    return _and(wide) + (" and at single points" if len(wide) < len(found) else "") if wide else "single points only"


def _and(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
