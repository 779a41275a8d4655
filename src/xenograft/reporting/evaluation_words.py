"""An evaluation's view -> sentences: what a reader wants first, and what each section says before its figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from xenograft.errors import printable
from xenograft.evaluation.rules import in_words
from xenograft.reporting import promises, style
from xenograft.reporting.calibration_words import shifted, verdict
from xenograft.reporting.comparison_words import basis, compared
from xenograft.reporting.evaluation_view import EvaluationView, Json, percent, span
from xenograft.reporting.figures.decision import harms, helps
from xenograft.reporting.phrases import and_, p_phrase, ranges

_MOST_GAPS = 6  # that a sentence lists
_FEW = 3  # models of which everything is said at once


def in_short(view: EvaluationView) -> list[tuple[str, str]]:
    """(name in bold or empty, sentence): one for each model, then choices, comparisons and what warns."""
    describe = _findings if view.multi_label else _model
    found = [(name, describe(view, model)) for name, _, model in view.models]
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
        what += ", the cut-off for abstaining and the prediction sets"
        if view.multi_label:
            what = "Thresholds other than 0.5 and recalibration"
        return (
            f"{what} were chosen on validation images ({images}{each}), none of a test patient; test was only "
            f"measured.{_unreached(view)}"
        )
    given = any("given" in model["thresholds"] for model in view.record["models"])
    measured = (
        f"only 0.5{' and a threshold named in the table are' if given else ' is'} measured as threshold"
        if view.binary or view.multi_label
        else "answers are the class of highest probability"
    )
    return f"Validation tables: not supplied. So {measured}, and nothing was chosen or recalibrated here."


def _unreached(view: EvaluationView) -> str:
    """That the rule which was asked for chose nothing."""
    rule = view.record.get("rule")
    lacking = [name for name, _, model in view.models if rule is not None and rule not in model["thresholds"]]
    if rule is None or not lacking:
        return ""
    return f" No threshold with a {in_words(rule)} was found for {and_(lacking)}: too few images, or none reaches it."


def trust(view: EvaluationView) -> list[str]:
    """What recalibration did, model by model; that it was not possible, where it was not."""
    if view.multi_label:
        return _trust_findings(view)
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


def _trust_findings(view: EvaluationView) -> list[str]:
    """Of each model, which findings are miscalibrated, and for how many recalibration lowers the log-loss."""
    said = []
    for name, _, _ in view.models:
        own = [(finding, entry) for finding, model, entry, _ in view.parts if model == name]
        shown = [_readings(own, what) for what in ("too high as a whole", "too low as a whole", "too extreme",
                                                   "not extreme enough")]  # fmt: skip
        words = "; ".join(text for text in shown if text) or "no miscalibration is shown for any finding"
        sentence = f"{name}: {words}"
        both = [
            (entry["calibration"]["metrics"]["log_loss"], entry["recalibration"]["calibration"]["metrics"]["log_loss"])
            for _, entry in own
            if entry["recalibration"] is not None
        ]
        if both:
            lower = sum(after["value"] < before["value"] for before, after in both)
            sentence += f"; recalibrated on validation, the log-loss on test is lower for {lower} of {len(both)}"
        said.append(f"{sentence}.")
    if not view.validated:
        said.append("Recalibration: not supplied: validation tables.")
    return said


def _readings(own: Sequence[tuple[str, Json]], what: str) -> str:
    """For which findings the scores are read as this: names, or of many how many."""
    found = [finding for finding, entry in own if what in verdict(entry["calibration"]["metrics"]).split(", ")]
    if not found:
        return ""
    return f"{what} for {and_(found) if len(found) <= _FEW else f'{len(found)} of {len(own)} findings'}"


def one_at_a_time(view: EvaluationView) -> str:
    """Why a part of the page is missing for findings, and how to have it."""
    return (
        f"This part looks at one question of two classes at a time, and there are {len(view.classes)} findings. "
        f"It is made for one of them by --finding, for example --finding {view.classes[0]!r}."
    )


def gaps(view: EvaluationView) -> list[str]:
    """Which subgroups surely differ in AUROC from the rest; nothing without subgroups."""
    said = []
    alpha = 1 - view.record["level"]
    for name, _, model in view.models:
        if not model["subgroups"]:
            continue
        sure = [
            f"{printable(what)} ({style.number(gap['difference'], signed=True)}, {p_phrase(gap['p_holm'])})"
            for what, gap in _gaps(view, model["subgroups"])
            if gap["p_holm"] is not None and gap["p_holm"] < alpha
        ]
        more = f" and {len(sure) - _MOST_GAPS} more, see the table" if len(sure) > _MOST_GAPS else ""
        shown = f"is shown for {'; '.join(sure[:_MOST_GAPS])}{more}" if sure else "is shown for no group"
        said.append(f"{name}: after Holm, a gap of AUROC to all other images {shown}.")
    return said


def _gaps(view: EvaluationView, card: Json) -> Iterator[tuple[str, Json]]:
    """(group and finding, gap of AUROC) of all that were compared; of two levels the first, the other mirrors it."""
    for fact, of in card["groups"].items():
        levels = list(of["levels"].items())
        for level, entry in levels[:1] if len(levels) == 2 else levels:
            for k, one in entry["findings"].items() if view.multi_label else [("", entry)]:
                for found in list(one["policies"].values())[:1]:
                    if gap := found["gap"].get("auroc"):
                        yield f"{fact}: {level}{f', {view.classes[int(k)]}' if k else ''}", gap


def gain(view: EvaluationView) -> list[str]:
    """For which thresholds each model helps, and on which scores the curve was drawn."""
    said = []
    for name, _, model in view.models:
        curve = model["decision_curve"]
        good, bad = helps(curve), harms(curve)
        first = f"better than acting on all or on none at {ranges(good)}" if good else "nowhere shown to be better"
        last = f"; worse at {ranges(bad)}" if bad else ""
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
        kept = f"; it misses the promised {100 * card['target']:g} % for {and_(short)}" if short else ""
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
            f"({basis(view)}); {percent(metrics['accuracy'])} of images are named rightly."
        )
    area = model["auroc"]["patients_as_clusters"]
    parts = [
        f"at {policy}: sensitivity {percent(entry['metrics']['recall'])}, specificity "
        f"{percent(entry['metrics']['specificity'])}"
        for policy, entry in (policies if len(view.names) <= _FEW else policies[-1:])
    ]
    return f"AUROC {_with_level(area, view)}, {basis(view)}; {'; '.join(parts)}."


def _findings(view: EvaluationView, model: Json) -> str:
    """Of several findings the mean, the best and the worst."""
    metrics = next(iter(model["scorecard"]["policies"].values()))["metrics"]
    areas = {
        finding: model["findings"][str(k)]["auroc"]["patients_as_clusters"] for k, finding in enumerate(view.classes)
    }
    known = sorted(((entry["value"], finding) for finding, entry in areas.items() if entry["value"] is not None))
    (_, worst), (_, best) = known[0], known[-1]
    return (
        f"mean AUROC {_with_level(metrics['auroc'], view)} over {len(view.classes)} findings; highest for {best}, "
        f"{span(areas[best])}, lowest for {worst}, {span(areas[worst])} ({basis(view)})."
    )


def _warnings(view: EvaluationView) -> list[str]:
    """Promises made on validation that test breaks."""
    broken: dict[str, list[str]] = {}
    for finding, name, entry, policies in view.parts:
        who = f"{name}, {finding}" if finding else name
        for policy, found in (entry.get("chosen") or {}).items():
            for what, metric in (("sensitivity", "recall"), ("specificity", "specificity")):
                if _lost(found[what], policies[policy][metric]) and who not in broken.get(_at(what), ()):
                    broken.setdefault(_at(what), []).append(who)
        cut, sets = entry.get("abstention"), entry.get("conformal")
        if cut is not None and cut["at_target"] is not None and _over(view, cut["at_target"]):
            broken.setdefault("the cut-off for abstaining", []).append(who)
        if sets is not None and _short(view, sets["card"]):
            broken.setdefault("the prediction sets", []).append(who)
    if not broken:
        return []
    everyone = len(view.names) if view.several else 0
    parts = [f"{what} of {'all models' if len(names) == everyone else and_(names)}" for what, names in broken.items()]
    return [f"Test looks unlike validation. Not kept on test is what validation promised of {'; of '.join(parts)}."]


def _at(what: str) -> str:
    return f"{what} at a chosen threshold"


def _lost(left_out: Json, measured: Json) -> bool:
    """Whether test lies wholly below what left-out validation patients had."""
    return None not in (left_out["low"], measured["high"]) and bool(measured["high"] < left_out["low"])


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


def _with_level(entry: Json, view: EvaluationView) -> str:
    return span(entry).replace("(", f"({view.level} interval ", 1)


def _three(entry: Json) -> str:
    return style.number(entry["value"])
