"""The 27 items of TRIPOD+AI with their sub-items (52 rows), in our own words, each with what answers it.

Collins GS, Moons KGM, Dhiman P, et al. TRIPOD+AI statement: updated guidance for reporting clinical prediction models
that use regression or machine learning methods. BMJ 2024;385:e078378, doi:10.1136/bmj-2023-078378. Numbers and topics
were compared with a public copy of the checklist of 11 January 2024; the article itself was not at hand, so the report
sends its readers there. A study here develops models and evaluates them, so items of both kinds are listed.
"""

from __future__ import annotations

from xenograft.reporting import checklist_answers as given
from xenograft.reporting import data_words, model_words, statistic_words
from xenograft.reporting.checklist_item import NOT_APPLICABLE, Answer, Item, fact, people
from xenograft.reporting.groups import View

NAME = "TRIPOD+AI"
CITATION = (
    "Collins GS, Moons KGM, Dhiman P, et al. TRIPOD+AI statement: updated guidance for reporting clinical prediction "
    "models that use regression or machine learning methods. BMJ 2024;385:e078378. doi:10.1136/bmj-2023-078378"
)


def _no_reader(_: View) -> Answer:
    return Answer(f"{NOT_APPLICABLE}: what enters a model is pixels, which no reader assessed")


def _model(view: View) -> Answer:
    return fact(
        model_words.networks(view),
        model_words.initialisation(view),
        *model_words.training(view),
        model_words.selection(view),
        where=(given.SETTINGS, given.RUNS),
        still="why models of this kind",
    )


def _scaling(view: View) -> Answer:
    return fact(*model_words.preprocessing(view)[-1:], where=(given.SETTINGS,))


def _measures(view: View) -> Answer:
    compared = view.study.record.comparisons
    return fact(
        statistic_words.measures(view),
        statistic_words.uncertainty(view),
        *statistic_words.further(view),
        statistic_words.comparisons(view),
        where=(given.RESULTS, *([given.DIFFERENCES] if compared else []), *given.drawn(view)),
    )


def _predicted(view: View) -> Answer:
    engines = model_words.engines(view)
    return fact(f"Answers were computed with {engines}." if engines else None, given.trained_models(view))


def _imbalance(view: View) -> Answer:
    return fact(model_words.imbalance(view), data_words.counts(view), where=(given.DATA,))


def _fairness(view: View) -> Answer:
    found = given.subgroups(view, still="what was done about fairness, and why")
    return found if found.where else people(view)


def _differences(view: View) -> Answer:
    return fact(
        data_words.counts(view),
        where=(given.DATA,),
        still="differences in setting, eligibility and definition of the outcome",
    )


def _model_itself(view: View) -> Answer:
    return fact(
        given.trained_models(view),
        model_words.initialisation(view),
        where=(given.WEIGHTS,) if any(run.weights for run in view.study.runs) else (),
        still="how others may get and use the model",
    )


def _analysed(view: View) -> Answer:
    return fact(data_words.split_sizes(view), data_words.counts(view), where=(given.DATA, given.FLOW))


def _performance(view: View) -> Answer:
    found = [said for said in statistic_words.further(view) if "subgroups" in said]
    return fact(
        statistic_words.headline(view),
        statistic_words.diagnostic(view),
        *found,
        where=(given.RESULTS, given.RESULTS_DRAWN),
        still="" if found else "performance in key subgroups of patients",
    )


def _clusters(view: View) -> Answer:
    return given.subgroups(view, still="heterogeneity across hospitals or countries")


ITEMS = (
    Item("1", "Title", "Development or evaluation of a model; population; outcome", given.technology),
    Item("2", "Abstract", "The separate checklist for abstracts", people),
    Item("3a", "Introduction", "Healthcare context, reasons, earlier models", people),
    Item("3b", "Introduction", "Target population, purpose in care, users", people),
    Item("3c", "Introduction", "Known health inequalities", people),
    Item("4", "Introduction", "Objectives", people),
    Item("5a", "Methods: data", "Sources of the data, and whom they represent", given.data_source),
    Item("5b", "Methods: data", "Dates of the data", people),
    Item("6a", "Methods: participants", "Setting and centres", people),
    Item("6b", "Methods: participants", "Eligibility", people),
    Item("6c", "Methods: participants", "Treatments, and how they were handled", people),
    Item("7", "Methods: data preparation", "Preprocessing and quality checks", given.data_preparation),
    Item("8a", "Methods: outcome", "Definition of the outcome and how it was assessed", people),
    Item("8b", "Methods: outcome", "Who assessed it", people),
    Item("8c", "Methods: outcome", "Blinding of the assessment", people),
    Item("9a", "Methods: predictors", "How the first predictors were chosen", given.predictors),
    Item("9b", "Methods: predictors", "Definition and measurement of the predictors", people),
    Item("9c", "Methods: predictors", "Who assessed predictors that need judgement", _no_reader),
    Item("10", "Methods: sample size", "How the size was arrived at", given.sample_size),
    Item("11", "Methods: missing data", "How missing data were handled", given.missing),
    Item("12a", "Methods: analysis", "What the data were used for; splits", given.partitions),
    Item("12b", "Methods: analysis", "How predictors were transformed", _scaling),
    Item("12c", "Methods: analysis", "Kind of model, all steps of building it, internal validation", _model),
    Item("12d", "Methods: analysis", "Differences between clusters, such as hospitals", _clusters),
    Item("12e", "Methods: analysis", "Measures, plots, comparison of models", _measures),
    Item("12f", "Methods: analysis", "Updating of the model", given.recalibration),
    Item("12g", "Methods: analysis", "How predictions were computed", _predicted),
    Item("13", "Methods: class imbalance", "Whether and how imbalance was handled", _imbalance),
    Item("14", "Methods: fairness", "What was done about fairness", _fairness),
    Item("15", "Methods: output", "What the model answers; thresholds", given.outputs),
    Item("16", "Methods: training and evaluation", "How development and evaluation data differ", _differences),
    Item("17", "Methods: ethics", "Ethical approval and consent", people),
    Item("18a", "Open science", "Funding", people),
    Item("18b", "Open science", "Conflicts of interest", people),
    Item("18c", "Open science", "Protocol", people),
    Item("18d", "Open science", "Registration", people),
    Item("18e", "Open science", "Availability of the data", given.open_data),
    Item("18f", "Open science", "Availability of the code", given.open_code),
    Item("19", "Patients and public", "Their involvement", people),
    Item("20a", "Results: participants", "Flow of participants, with and without the outcome", given.flow),
    Item("20b", "Results: participants", "Characteristics of the participants", given.characteristics),
    Item("20c", "Results: participants", "Evaluation data beside development data", _differences),
    Item("21", "Results: development", "Participants and outcomes in each analysis", _analysed),
    Item("22", "Results: specification", "The full model, so that others can use it", _model_itself),
    Item("23a", "Results: performance", "Performance with intervals, also in key subgroups", _performance),
    Item("23b", "Results: performance", "Differences between clusters", _clusters),
    Item("24", "Results: updating", "The updated model and its performance", given.recalibration),
    Item("25", "Discussion", "Interpretation, with fairness", people),
    Item("26", "Discussion", "Limitations", people),
    Item("27a", "Discussion: use", "What to do about poor or missing input", people),
    Item("27b", "Discussion: use", "What users have to do and know", people),
    Item("27c", "Discussion: use", "Next steps", people),
)
