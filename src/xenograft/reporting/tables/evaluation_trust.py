"""An evaluation's view -> the tables of what can be trusted: calibration, abstention, prediction sets, prevalence."""

from __future__ import annotations

from xenograft.reporting import style
from xenograft.reporting.calibration_words import verdict
from xenograft.reporting.evaluation_view import EvaluationView
from xenograft.reporting.tables.evaluation_cells import (
    Cells,
    cell,
    count,
    named,
    numbers,
    ratio,
    rest,
    single,
    table,
    words,
)
from xenograft.reporting.tables.model import Cell, Table

RECALIBRATED = {"platt": "recalibrated (Platt)", "temperature": "recalibrated (temperature)"}


def calibration(view: EvaluationView) -> Table:
    """Before and after recalibration; of findings, one after the other."""
    two = view.binary or view.multi_label
    columns = {"log_loss": "Log-loss", "brier": "Brier"}
    columns |= {"slope": "Slope", "in_the_large": "In the large"} if two else {}
    error = "smooth_ece" if two else "top_label_smooth_ece"
    rows: list[Cells] = []
    for finding, name, entry, _ in view.parts:
        cards = [("as given", entry["calibration"]["metrics"])]
        if (after := entry["recalibration"]) is not None:
            method = after["fitted"]["method"]
            cards.append((RECALIBRATED.get(method, method), after["calibration"]["metrics"]))
        for i, (what, found) in enumerate(cards):
            cells = [cell(found[m], signed=m == "in_the_large") for m in columns]
            floor = found[error]["if_calibrated"]
            cells.append(cell(found[error], note=f"{style.number(floor)} if calibrated"))
            of = [named(finding, i == 0)] if view.multi_label else []
            rows.append((*of, named(name, i == 0), what, *cells, *([verdict(found)] if two else [])))
    who, ends = [words("Finding")] if view.multi_label else [], [words("Reading")] if two else []
    label = "SmoothECE" if two else "SmoothECE of the answer"
    resamples = next(entry["calibration"]["resamples"] for _, _, entry, _ in view.parts)
    return table(
        "calibration",
        "Calibration on the test images",
        "Log-loss, Brier and SmoothECE: lower is better. Beside SmoothECE stands what a perfectly calibrated model "
        f"with the same scores would show on as many images. {view.size}; {view.level} intervals by patient-cluster "
        f"bootstrap without strata of class, {resamples:,} resamples.",
        [
            *who,
            words("Model"),
            words("Scores"),
            *(numbers(c) for c in columns.values()),
            numbers(label, "smooth_ece"),
            *ends,
        ],
        rows,
    )


def answered(view: EvaluationView) -> Table | None:
    """Performance at fixed shares answered; None for findings."""
    if view.multi_label:
        return None
    recall = "Sensitivity (%)" if view.binary else "Recall, mean (%)"
    names = {"accuracy": "Accuracy (%)", "recall": recall, "specificity": "Specificity (%)"}
    rows: list[Cells] = []
    for name, _, model in view.models:
        for i, point in enumerate(model["abstention"]["at"]):
            cells = [cell(point[metric], metric=metric) for metric in names]
            rows.append((named(name, i == 0), f"{100 * point['coverage']:g} %", *cells))
    cut = "the threshold chosen on validation, or 0.5 without one" if view.binary else "the highest probability"
    return table(
        "answered",
        "Performance on the images that are answered",
        f"The most confident images first; answers by {cut}. The shares are of test and show the trade, not a rule for "
        f"new images. {view.size}; {view.bootstrap}, each ranked anew.",
        [words("Model"), single("Answered"), *(numbers(label) for label in names.values())],
        rows,
    )


def cuts(view: EvaluationView) -> Table | None:
    """Cut-offs chosen on validation for a target, and what they do on test; None where none answers anything."""
    rows: list[Cells] = []
    level = 0.0
    for name, _, model in view.models:
        found = model["abstention"] and model["abstention"]["at_target"]
        if found is None or found["chosen"]["share"] == 0:
            continue
        chose = found["chosen"]
        level = chose["level"]
        rows.append(
            (
                name,
                f"{100 * chose['target']:g} %",
                f"{100 * chose['share']:.1f}",
                *(cell(found[what], metric="accuracy") for what in ("coverage", "patient_coverage")),
                *(cell(found[what], metric="accuracy") for what in ("risk", "patient_risk")),
            )
        )
    if not rows:
        return None
    return table(
        "cuts",
        "A cut-off chosen on validation, and what it does on test",
        "Target: at most this share of the answered patients gets a wrong answer; chosen so that for patients like "
        f"those of validation it is kept with probability {level:g} (exact binomial bound on patients, over all shares "
        f"tried). Other columns but the third: test, {view.size}; {view.bootstrap}.",
        [
            words("Model"),
            single("Target"),
            single("Answered of validation (%)"),
            numbers("Images answered (%)"),
            numbers("Patients answered (%)"),
            numbers("Wrong of answered images (%)"),
            numbers("Wrong of answered patients (%)"),
        ],
        rows,
    )


def sets(view: EvaluationView) -> Table | None:
    """Conformal prediction sets, overall and by class; None where none were fitted."""
    rows: list[Cells] = []
    target = 0.0
    for name, _, model in view.models:
        if (found := model["conformal"]) is None:
            continue
        card, target = found["card"], found["card"]["target"]
        shares = [cell(card[what], metric="accuracy") for what in ("coverage", "answered", "refer", "accuracy")]
        split = f"{100 * card['several']['value']:.1f} several, {100 * card['empty']['value']:.1f} none"
        shares[2] = Cell(shares[2].text, (*shares[2].notes, split))
        rows.append((name, "all", count(card["n"]), *shares))
        for k, label in enumerate(view.classes):
            own = card["per_class"][str(k)]
            coverage, answers, right = (cell(own[w], metric="accuracy") for w in ("coverage", "answered", "recall"))
            rows.append(
                (
                    named(name, False),
                    label,
                    count(own["n"]),
                    coverage,
                    answers,
                    cell(rest(own["answered"]), metric="accuracy"),
                    right,
                )
            )
    if not rows:
        return None
    return table(
        "sets",
        f"Prediction sets made to hold the truth in {100 * target:g} % of patients of each class",
        "A set of one class is an answer; a set of several classes, or of none, goes to a human. Truth in the set: "
        "each patient counts once. Answers right: of the answered images. The promise is on average over patients who "
        f"are exchangeable with those of validation. {view.size}; {view.bootstrap}.",
        [
            words("Model"),
            words("Images of"),
            single("Images"),
            numbers("Truth in the set (%)"),
            numbers("Answered (%)"),
            numbers("To a human (%)"),
            numbers("Answers right (%)"),
        ],
        rows,
    )


def predictive(view: EvaluationView) -> Table | None:
    """Predictive values at the stated prevalence; None where none is stated."""
    prevalence = view.record["prevalence"]
    if prevalence is None or not view.binary:
        return None
    rows: list[Cells] = []
    for name, _, model in view.models:
        for i, ((policy, _), found) in enumerate(
            zip(view.policies(model), model["predictive_values"].values(), strict=True)
        ):
            values = [cell(found[what], metric="precision") for what in ("ppv", "npv")]
            ratios = [ratio(found[what]) for what in ("lr_positive", "lr_negative")]
            rows.append((named(name, i == 0), policy, *values, *ratios))
    return table(
        "predictive",
        f"Predictive values where {100 * prevalence:g} % of images are {view.classes[1]}",
        f"From sensitivity and specificity on test by Bayes' rule, supposing that both are the same at that "
        f"prevalence. PPV: of images called {view.classes[1]}, the share that is; NPV: of those called "
        f"{view.classes[0]}. LR: likelihood ratios, the factor by which an answer changes the odds. {view.size}; "
        f"{view.bootstrap}, or the adjusted logit interval where no image was called wrongly.",
        [words("Model"), words("Threshold"), numbers("PPV (%)"), numbers("NPV (%)"), numbers("LR+"), numbers("LR−")],
        rows,
    )
