"""An evaluation's view -> the tables of its page, except that of the comparisons, which holds drawings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from xenograft.errors import printable
from xenograft.reporting import style
from xenograft.reporting.calibration_words import verdict
from xenograft.reporting.evaluation_view import EvaluationView, Json, flat
from xenograft.reporting.p_values import p_text
from xenograft.reporting.tables.model import Block, Cell, Column, Row, Table

_RECALIBRATED = {"platt": "recalibrated (Platt)", "temperature": "recalibrated (temperature)"}


def results(view: EvaluationView) -> Table:
    """A row for each model and threshold."""
    mean = "" if view.binary else ", mean"
    metrics = (
        ("auroc", f"AUROC{mean}"),
        ("average_precision", f"Average precision{mean}"),
        ("recall", "Sensitivity (%)" if view.binary else "Recall, mean (%)"),
        ("specificity", f"Specificity{mean} (%)"),
        ("precision", f"Precision{mean} (%)"),
        ("f1", f"F1{mean}"),
        ("accuracy", "Accuracy (%)"),
    )
    rows: list[Sequence[str | Cell]] = []
    for name, _, model in view.models:
        for i, (policy, entry) in enumerate(view.policies(model)):
            counts = _counts(entry["confusion"]) if view.binary else {}
            cells = [
                _cell(entry["metrics"][m], metric=m, note=counts.get(m, ""))
                if i == 0 or m not in {"auroc", "average_precision"}
                else Cell("")
                for m, _ in metrics
            ]
            rows.append((name if i == 0 else "", policy, *cells))
    if view.binary:
        positive, negative = view.classes[1], view.classes[0]
        words = (
            f"Sensitivity: of images that are {positive}; specificity: of those that are {negative}; precision: of "
            f"those called {positive}, at the {100 * view.share:.1f} % {positive} of these images."
        )
    else:
        words = "Means over classes, each against the rest; a rare class counts as much as a frequent one."
    return _table(
        "results",
        "Results on the test images",
        f"{words} {view.size}; {view.bootstrap}.",
        [_words("Model"), _words("Threshold" if view.binary else "Answer"), *(Column(label) for _, label in metrics)],
        rows,
    )


def areas(view: EvaluationView) -> Table | None:
    """AUROC with three intervals; two classes only."""
    if not view.binary:
        return None
    rows: list[Sequence[str | Cell]] = []
    for name, _, model in view.models:
        found, drawn = model["auroc"], next(iter(model["scorecard"]["policies"].values()))["metrics"]["auroc"]
        clustered, single = found["patients_as_clusters"], found["images_independent"]
        ends = [style.interval(entry["low"], entry["high"]) for entry in (clustered, drawn, single)]
        rows.append((name, style.number(clustered["value"]), *ends))
    return _table(
        "areas",
        "AUROC and three intervals of it",
        f"{view.size}; {view.level} intervals. By patient: Obuchowski's variance on the logit scale, the one quoted on "
        f"this page. Bootstrap: patients drawn anew, {view.record['resamples']:,} resamples. By image: DeLong, which "
        "takes images of one patient for independent and is printed because papers print it.",
        [_words("Model"), Column("AUROC"), Column("By patient"), Column("Bootstrap"), Column("By image")],
        rows,
    )


def per_class(view: EvaluationView) -> Table | None:
    """Each class against the rest; more than two classes only."""
    if view.binary:
        return None
    names = {"auroc": "AUROC", "recall": "Recall (%)", "specificity": "Specificity (%)", "precision": "Precision (%)"}
    names |= {"f1": "F1"}
    counts = list(view.record["counts"].values())
    rows: list[Sequence[str | Cell]] = []
    for name, _, model in view.models:
        for k, label in enumerate(view.classes):
            card = model["scorecard"]["per_class"][str(k)]
            cells = [_cell(card[metric], metric=metric) for metric in names]
            rows.append((name if k == 0 else "", label, f"{counts[k]:,}", *cells))
    return _table(
        "classes",
        "Each class against the rest",
        f"Answer: the class with the highest probability. {view.size}; {view.bootstrap}.",
        [_words("Model"), _words("Class"), Column("Images"), *(Column(label) for label in names.values())],
        rows,
    )


def chosen(view: EvaluationView) -> Table | None:
    """How firmly validation chose each threshold; None where it chose none."""
    rows: list[Sequence[str | Cell]] = []
    for name, _, model in view.models:
        if (found := model["chosen"]) is None:
            continue
        card = model["scorecard"]["policies"]["youden"]["metrics"]
        rows.append(
            (
                name,
                _cell(found["threshold"]),
                *(_cell(found[what], metric="recall", key="left_out") for what in ("sensitivity", "specificity")),
                *(_cell(card[what], metric="recall") for what in ("recall", "specificity")),
            )
        )
    return _table(
        "chosen",
        "The threshold that validation chose, and how far it would move",
        f"Rule: largest sensitivity + specificity (Youden). Threshold: range over {view.record['resamples']:,} draws "
        "of validation patients. Left out: on validation patients outside each draw, who had no part in the choice, "
        f"with the central {100 * view.record['level']:g} % of draws. Test: {view.size}, {view.level} intervals by "
        "patient-cluster bootstrap. Where test lies outside the range of the left-out patients, test looks unlike "
        "validation.",
        [
            _words("Model"),
            Column("Threshold"),
            Column("Sensitivity, left out (%)"),
            Column("Specificity, left out (%)"),
            Column("Sensitivity, test (%)"),
            Column("Specificity, test (%)"),
        ],
        rows,
    ) if rows else None  # fmt: skip


def subgroups(view: EvaluationView) -> Table | None:
    """Each level of each fact and its gap to the rest; None where no facts were asked for."""
    rows: list[Sequence[str | Cell]] = []
    policy, fewest, comparisons = "", 0, 0
    for name, _, model in view.models:
        card = model.get("subgroups")
        if card is None:
            continue
        fewest, comparisons = card["fewest"], card["comparisons"]
        first = name
        for fact, of in card["groups"].items():
            for level, entry in of["levels"].items():
                nothing: tuple[str, Json] = (policy, {"metrics": {}, "gap": {}})
                policy, found = next(iter(entry["policies"].items()), nothing)
                metrics = [_cell(found["metrics"].get(m), metric=m) for m in ("auroc", "recall", "specificity")]
                gap = found["gap"].get("auroc")
                if not entry["policies"]:
                    metrics = [Cell("too few"), Cell(""), Cell("")]
                size = Cell(f"{entry['n']:,}", (style.plural(entry["patients"], "patient"),))
                difference = _cell(gap, key="difference", signed=True) if gap else Cell("")
                p = p_text(gap["p_holm"]) if gap else ""
                rows.append((first, f"{printable(fact)}: {printable(level)}", size, *metrics, difference, p))
                first = ""
    if not rows:
        return None
    rule = (
        f"threshold {view.record['models'][0]['thresholds']['fixed']:g}" if policy == "fixed" else "the first threshold"
    )
    at = f" at {rule}" if view.binary else ", means over classes"
    return _table(
        "subgroups",
        "Results in subgroups",
        f"Sensitivity and specificity{at}. Gap: AUROC of the group minus that of all other images; its p is of the "
        f"same resamples and adjusted by Holm over the {comparisons} comparisons of each model. Too few: under "
        f"{fewest} patients of a class. A gap that is not shown is not one that is absent. {view.size}; "
        f"{view.bootstrap}.",
        [
            _words("Model"),
            _words("Group"),
            Column("Images"),
            Column("AUROC"),
            Column("Sensitivity (%)" if view.binary else "Recall (%)"),
            Column("Specificity (%)"),
            Column("Gap of AUROC"),
            Column("p, Holm"),
        ],
        rows,
    )


def calibration(view: EvaluationView) -> Table:
    """Before and after recalibration."""
    columns = {"log_loss": "Log-loss", "brier": "Brier"}
    columns |= {"slope": "Slope", "in_the_large": "In the large"} if view.binary else {}
    error = "smooth_ece" if view.binary else "top_label_smooth_ece"
    rows: list[Sequence[str | Cell]] = []
    for name, _, model in view.models:
        cards = [("as given", model["calibration"]["metrics"])]
        if (after := model["recalibration"]) is not None:
            method = after["fitted"]["method"]
            cards.append((_RECALIBRATED.get(method, method), after["calibration"]["metrics"]))
        for i, (what, found) in enumerate(cards):
            cells = [_cell(found[m], signed=m == "in_the_large") for m in columns]
            floor = found[error]["if_calibrated"]
            cells.append(_cell(found[error], note=f"{style.number(floor)} if calibrated"))
            rows.append((name if i == 0 else "", what, *cells, *([verdict(found)] if view.binary else [])))
    ends = [_words("Reading")] if view.binary else []
    label = "SmoothECE" if view.binary else "SmoothECE of the answer"
    return _table(
        "calibration",
        "Calibration on the test images",
        "Log-loss, Brier and SmoothECE: lower is better. Beside SmoothECE stands what a perfectly calibrated model "
        f"with the same scores would show on as many images. {view.size}; {view.level} intervals by patient-cluster "
        f"bootstrap without strata of class, {view.record['resamples']:,} resamples.",
        [_words("Model"), _words("Scores"), *(Column(c) for c in columns.values()), Column(label), *ends],
        rows,
    )


def answered(view: EvaluationView) -> Table:
    """Performance at fixed shares answered."""
    recall = "Sensitivity (%)" if view.binary else "Recall, mean (%)"
    names = {"accuracy": "Accuracy (%)", "recall": recall, "specificity": "Specificity (%)"}
    rows: list[Sequence[str | Cell]] = []
    for name, _, model in view.models:
        for i, point in enumerate(model["abstention"]["at"]):
            cells = [_cell(point[metric], metric=metric) for metric in names]
            rows.append((name if i == 0 else "", f"{100 * point['coverage']:g} %", *cells))
    cut = "the threshold chosen on validation, or 0.5 without one" if view.binary else "the highest probability"
    return _table(
        "answered",
        "Performance on the images that are answered",
        f"The most confident images first; answers by {cut}. The shares are of test and show the trade, not a rule for "
        f"new images. {view.size}; {view.bootstrap}, each ranked anew.",
        [_words("Model"), Column("Answered"), *(Column(label) for label in names.values())],
        rows,
    )


def cuts(view: EvaluationView) -> Table | None:
    """Cut-offs chosen on validation for a target, and what they do on test; None where none answers anything."""
    rows: list[Sequence[str | Cell]] = []
    level = 0.0
    for name, _, model in view.models:
        found = model["abstention"]["at_target"]
        if found is None or found["chosen"]["share"] == 0:
            continue
        chose = found["chosen"]
        level = chose["level"]
        rows.append(
            (
                name,
                f"{100 * chose['target']:g} %",
                f"{100 * chose['share']:.1f}",
                *(_cell(found[what], metric="accuracy") for what in ("coverage", "patient_coverage")),
                *(_cell(found[what], metric="accuracy") for what in ("risk", "patient_risk")),
            )
        )
    if not rows:
        return None
    return _table(
        "cuts",
        "A cut-off chosen on validation, and what it does on test",
        "Target: at most this share of the answered patients gets a wrong answer; chosen so that for patients like "
        f"those of validation it is kept with probability {level:g} (exact binomial bound on patients, over all shares "
        f"tried). Other columns but the third: test, {view.size}; {view.bootstrap}.",
        [
            _words("Model"),
            Column("Target"),
            Column("Answered of validation (%)"),
            Column("Images answered (%)"),
            Column("Patients answered (%)"),
            Column("Wrong of answered images (%)"),
            Column("Wrong of answered patients (%)"),
        ],
        rows,
    )


def sets(view: EvaluationView) -> Table | None:
    """Conformal prediction sets, overall and by class; None where none were fitted."""
    rows: list[Sequence[str | Cell]] = []
    target = 0.0
    for name, _, model in view.models:
        if (found := model["conformal"]) is None:
            continue
        card, target = found["card"], found["card"]["target"]
        shares = [_cell(card[what], metric="accuracy") for what in ("coverage", "answered", "refer", "accuracy")]
        split = f"{100 * card['several']['value']:.1f} several, {100 * card['empty']['value']:.1f} none"
        shares[2] = Cell(shares[2].text, (*shares[2].notes, split))
        rows.append((name, "all", f"{card['n']:,}", *shares))
        for k, label in enumerate(view.classes):
            own = card["per_class"][str(k)]
            coverage, answers, right = (_cell(own[w], metric="accuracy") for w in ("coverage", "answered", "recall"))
            rows.append(
                ("", label, f"{own['n']:,}", coverage, answers, _cell(_rest(own["answered"]), metric="accuracy"), right)
            )
    if not rows:
        return None
    return _table(
        "sets",
        f"Prediction sets made to hold the truth in {100 * target:g} % of patients of each class",
        "A set of one class is an answer; a set of several classes, or of none, goes to a human. Truth in the set: "
        "each patient counts once. Answers right: of the answered images. The promise is on average over patients who "
        f"are exchangeable with those of validation. {view.size}; {view.bootstrap}.",
        [
            _words("Model"),
            _words("Images of"),
            Column("Images"),
            Column("Truth in the set (%)"),
            Column("Answered (%)"),
            Column("To a human (%)"),
            Column("Answers right (%)"),
        ],
        rows,
    )


def predictive(view: EvaluationView) -> Table | None:
    """Predictive values at the stated prevalence; None where none is stated."""
    prevalence = view.record["prevalence"]
    if prevalence is None or not view.binary:
        return None
    rows: list[Sequence[str | Cell]] = []
    for name, _, model in view.models:
        for i, ((policy, _), found) in enumerate(
            zip(view.policies(model), model["predictive_values"].values(), strict=True)
        ):
            values = [_cell(found[what], metric="precision") for what in ("ppv", "npv")]
            ratios = [_ratio(found[what]) for what in ("lr_positive", "lr_negative")]
            rows.append((name if i == 0 else "", policy, *values, *ratios))
    return _table(
        "predictive",
        f"Predictive values where {100 * prevalence:g} % of images are {view.classes[1]}",
        f"From sensitivity and specificity on test by Bayes' rule, supposing that both are the same at that "
        f"prevalence. PPV: of images called {view.classes[1]}, the share that is; NPV: of those called "
        f"{view.classes[0]}. LR: likelihood ratios, the factor by which an answer changes the odds. {view.size}; "
        f"{view.bootstrap}, or the adjusted logit interval where no image was called wrongly.",
        [_words("Model"), _words("Threshold"), Column("PPV (%)"), Column("NPV (%)"), Column("LR+"), Column("LR−")],
        rows,
    )


def _table(
    name: str, title: str, caption: str, columns: Sequence[Column], rows: Iterable[Sequence[str | Cell]]
) -> Table:
    made = tuple(Row(tuple(cell if isinstance(cell, Cell) else Cell(cell) for cell in row)) for row in rows)
    return Table(
        name=f"table-{name}",
        number="",
        title=title,
        caption=caption[:1].upper() + caption[1:],
        columns=tuple(columns),
        blocks=(Block("", made),),
    )


def _words(label: str) -> Column:
    return Column(label, words=True)


def _cell(
    entry: Mapping[str, Any] | None, *, metric: str = "", signed: bool = False, key: str = "value", note: str = ""
) -> Cell:
    if entry is None or entry.get(key) is None:
        return Cell(style.MISSING)
    ends = style.interval(entry.get("low"), entry.get("high"), metric=metric, signed=signed)
    ends = "no interval*" if flat(entry) else ends
    notes = tuple(text for text in (ends, note) if text)
    return Cell(style.number(entry[key], metric=metric, signed=signed), notes)


def _ratio(entry: Json) -> Cell:
    if entry["value"] is None:
        above = "" if entry["low"] is None else f"{entry['low']:.2f} or more"
        return Cell("no bound" if entry["unbounded"] else style.MISSING, (above,) if above else ())
    low, high = (None if entry[end] is None else f"{entry[end]:.2f}" for end in ("low", "high"))
    ends = f"{low}–{high}" if low and high else f"{low} or more" if low else ""
    return Cell(f"{entry['value']:.2f}", (ends,) if ends else ())


def _rest(entry: Json) -> dict[str, float | None]:
    """One minus a share."""
    value, low, high = (None if entry[k] is None else 1 - entry[k] for k in ("value", "low", "high"))
    return {"value": value, "low": high, "high": low}


def _counts(confusion: Sequence[Sequence[int]]) -> dict[str, str]:
    """How many of how many, rows of the matrix being the truth."""
    (tn, fp), (fn, tp) = confusion
    return {
        "recall": f"{tp:,} of {tp + fn:,}",
        "specificity": f"{tn:,} of {tn + fp:,}",
        "precision": f"{tp:,} of {tp + fp:,}",
        "accuracy": f"{tp + tn:,} of {tp + tn + fp + fn:,}",
    }
