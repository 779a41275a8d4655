"""A study's view -> answers to what CLAIM and TRIPOD+AI both ask for; each is computed from the record."""

from __future__ import annotations

from xenograft.errors import printable
from xenograft.reporting import data_words, model_words, statistic_words, style
from xenograft.reporting.checklist_item import NOT_APPLICABLE, NOT_RECORDED, Answer, fact
from xenograft.reporting.data_words import joined
from xenograft.reporting.groups import View

# file stems of tables and figures, which a page numbers in its own order, and names of its sections
FLOW, DATA, RESULTS, DIFFERENCES = "figure-flow", "table-data", "table-results", "table-differences"
RUNS, WEIGHTS, SETTINGS = "table-runs", "table-weights", "table-settings"
TRAINING, RESULTS_DRAWN, CONFUSION = "figure-training", "figure-results", "figure-confusion"
SUBGROUPS, ENSEMBLES, ROBUSTNESS = "subgroups", "table-ensembles", ("robustness", "robustness-table")
CALIBRATION, DRAWN = "calibration", ("reliability", "decision", "coverage")
REPRODUCE, METHODS, FAILURES = "conduct", "methods", "failures"


def technology(view: View) -> Answer:
    """The kind of method, for a title."""
    started = [
        words
        for transfer, words in ((True, "transfer from pretrained weights"), (False, "random weights"))
        if any(group.transfer is transfer for group in view.groups)
    ]
    networks = joined(style.backbone_name(name) for name in view.backbones)
    return fact(
        f"Image classification by deep neural networks ({networks}), starting from {joined(started)}.",
        f"Title of this study: {printable(view.study.record.title)}.",
        still="target population, and the wording of the title",
    )


def data_source(view: View) -> Answer:
    """What the data are."""
    return fact(
        data_words.warnings(view),
        data_words.source(view),
        data_words.terms(view),
        data_words.identity(view),
        where=(DATA,),
        still="why these data, how they were collected, and whom they stand for",
    )


def preprocessing(view: View) -> Answer:
    """From a file to a network's input."""
    return fact(*model_words.preprocessing(view), where=(SETTINGS,))


def data_preparation(view: View) -> Answer:
    """Preprocessing and the checks of the data."""
    return fact(
        *model_words.preprocessing(view),
        data_words.audit(view),
        where=(SETTINGS,),
        still="whether preparation was alike across sociodemographic groups",
    )


def predictors(view: View) -> Answer:
    """What enters a model: the pixels of one image."""
    said = model_words.preprocessing(view)
    return fact("The pixels of one image are all that enters a model." if said else None, *said, where=(SETTINGS,))


def missing(view: View) -> Answer:
    """Unknown labels, and what was left out."""
    return fact(data_words.missing(view), data_words.excluded(view), where=(DATA, FLOW))


def partitions(view: View) -> Answer:
    """How images came into the splits."""
    return fact(data_words.split_rule(view), data_words.split_sizes(view), data_words.folds(view), where=(DATA, FLOW))


def disjoint(view: View) -> Answer:
    """At which level the splits share nothing."""
    known = data_words.patients_known(view)
    if view.data.get("leak_allowed"):
        level: str | None = data_words.LEAK
    elif known is None or "leak_allowed" not in view.data:
        level = None
    elif known:
        level = "No patient and no identical picture lies in two splits, as far as the patient keys tell."
    else:
        level = "Splits are disjoint by image and by identical pictures; whether by patient is not known."
    return fact(level, data_words.patients(view), where=(DATA,))


def sample_size(view: View) -> Answer:
    """How large the splits are, and how wide an interval that gives."""
    width = statistic_words.width(view)
    return fact(
        data_words.split_sizes(view),
        f"With the test images there are, {width}." if width else None,
        where=(DATA, RESULTS),
        still="the intended sample size and how it was determined",
    )


def software(view: View) -> Answer:
    """Programs, versions, machine."""
    return fact(versions(view), machine(view), where=(REPRODUCE,))


def versions(view: View) -> str | None:
    """Python and packages with their versions."""
    found = view.study.record.environment
    packages = found.get("packages") or {}
    if not packages:
        return None
    listed = joined(f"{printable(name)} {printable(version)}" for name, version in packages.items())
    return f"The software was Python {printable(found.get('python') or 'of an unknown version')}, {listed}."


def machine(view: View) -> str | None:
    """Processor, memory, GPU and the engine of the networks."""
    found = view.study.record.environment
    if not found.get("cpu"):
        return None
    parts = [printable(found["cpu"])]
    parts += [style.plural(int(found["cores"]), "core")] if found.get("cores") else []
    parts += [f"{found['memory_gb']:g} GB of memory"] if found.get("memory_gb") else []
    parts.append(printable(found["gpu"]) if found.get("gpu") else "no GPU")
    engines = model_words.engines(view)
    ran = f", the networks with {engines}" if engines else ""
    return f"It ran on a machine with {', '.join(parts)}{ran}."


def training(view: View) -> Answer:
    """How the models were trained."""
    return fact(*model_words.training(view), model_words.imbalance(view), where=(SETTINGS, TRAINING))


def selection(view: View) -> Answer:
    """What validation chose."""
    return fact(
        model_words.selection(view),
        f"Of all combinations, validation rates {view.chosen().label} highest.",
        where=(RUNS,),
    )


def measures(view: View) -> Answer:
    """Measures, and what else is drawn."""
    return fact(statistic_words.measures(view), *statistic_words.further(view), where=(RESULTS, *drawn(view)))


def drawn(view: View) -> tuple[str, ...]:
    """What shows the evidence beyond the table of results."""
    return (CALIBRATION, *DRAWN) if view.study.record.evidence is not None else ()


def uncertainty(view: View) -> Answer:
    """Intervals, seeds, comparisons."""
    compared = view.study.record.comparisons
    return fact(
        statistic_words.uncertainty(view),
        statistic_words.seeds(view),
        statistic_words.comparisons(view),
        where=(RESULTS, DIFFERENCES) if compared else (RESULTS,),
    )


def performance(view: View) -> Answer:
    """The results of the arm that validation rates highest."""
    return fact(statistic_words.headline(view), where=(RESULTS, RESULTS_DRAWN))


def characteristics(view: View) -> Answer:
    """Classes of each split."""
    return fact(
        data_words.counts(view),
        where=(DATA,),
        still="demographic and clinical characteristics of the patients",
    )


def flow(view: View) -> Answer:
    """What was listed, left out, kept."""
    return fact(data_words.excluded(view), data_words.copies(view), data_words.split_sizes(view), where=(FLOW, DATA))


def outputs(view: View) -> Answer:
    """Probabilities and thresholds."""
    cuts = sorted(
        {
            (name, round(value, 3))
            for run in view.chosen().runs
            for name, value in run.thresholds.items()
            if isinstance(value, int | float)
        }
    )
    each = joined(f"{printable(name)} {value:g}" for name, value in cuts)
    said = f"Thresholds of {view.chosen().label}: {each}." if cuts else None
    return fact(model_words.outputs(view), model_words.selection(view), said, where=(RUNS,))


def open_data(view: View) -> Answer:
    """Where the data can be had."""
    return fact(
        data_words.terms(view),
        data_words.identity(view),
        where=(REPRODUCE,),
        still="whether and where the data are available",
    )


def open_code(view: View) -> Answer:
    """What made the study."""
    command = view.study.record.command
    return fact(
        versions(view),
        f"Command: {printable(command)}" if command else None,
        where=(REPRODUCE,),
        still="whether and where the code is available",
    )


def recalibration(view: View) -> Answer:
    """Recalibration on validation, if the record has any."""
    updating = [said for said in statistic_words.further(view) if said.startswith("Recalibration")]
    if not updating and view.study.record.evidence is not None:
        return Answer(f"{NOT_APPLICABLE}: no model was updated")
    return fact(*updating, where=(CALIBRATION,) if updating else ())


def subgroups(view: View, *, still: str) -> Answer:
    """Results within subgroups, if the record has any."""
    found = [said for said in statistic_words.further(view) if "subgroups" in said]
    return fact(*found, where=(SUBGROUPS,) if found else (), still=still)


def robustness(view: View) -> Answer:
    """Perturbed images, and variation over seeds."""
    several = view.most_seeds > 1
    found = statistic_words.robustness(view)
    untried = f"Changed test images: {NOT_RECORDED}." if several and not found else None
    return fact(
        found,
        f"Results vary over {view.most_seeds} seeds as stated beside them." if several else None,
        untried,
        where=(RESULTS, *(ROBUSTNESS if view.study.record.robustness else ())),
    )


def failures(view: View) -> Answer:
    """Which images were answered wrongly."""
    return fact(statistic_words.confusion(view), statistic_words.mistakes(view), where=(CONFUSION, FAILURES))


def ensembles(view: View) -> Answer:
    """Averaged answers of several runs."""
    found = view.study.record.ensembles
    if not found:
        return Answer(f"{NOT_APPLICABLE}: the record holds no ensemble")
    return fact(
        f"Averaged answers of several runs were measured: {style.plural(len(found), 'ensemble')}.", where=(ENSEMBLES,)
    )


def trained_models(view: View) -> str | None:
    """How many runs have their trained parameters on disk."""
    kept = [run for run in view.study.runs if (view.study.folder / "runs" / run.id / "model.safetensors").is_file()]
    if not kept:
        return None
    return (
        f"The trained parameters of {len(kept)} of {style.plural(len(view.study.runs), 'run')} lie beside their "
        "records (model.safetensors)."
    )
