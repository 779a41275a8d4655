"""The 44 items of CLAIM 2024, in our own words, each with what answers it.

Tejani AS, Klontzas ME, Gatti AA, et al. Checklist for Artificial Intelligence in Medical Imaging (CLAIM): 2024 Update.
Radiol Artif Intell 2024;6(4):e240300, doi:10.1148/ryai.240300. Numbers and topics of the items were compared with two
independent public copies of the checklist; the article itself was not at hand, so the report sends its readers there.
"""

from __future__ import annotations

from xenograft.reporting import checklist_answers as given
from xenograft.reporting import data_words, model_words, statistic_words
from xenograft.reporting.checklist_item import Answer, Item, fact, people
from xenograft.reporting.groups import View

NAME = "CLAIM 2024"
CITATION = (
    "Tejani AS, Klontzas ME, Gatti AA, et al. Checklist for Artificial Intelligence in Medical Imaging (CLAIM): 2024 "
    "Update. Radiol Artif Intell 2024;6(4):e240300. doi:10.1148/ryai.240300"
)


def _subsets(view: View) -> Answer:
    return fact(data_words.chosen_images(view), data_words.excluded(view), where=(given.FLOW,))


def _privacy(view: View) -> Answer:
    return fact(data_words.privacy(view), still="how the images were de-identified")


def _model(view: View) -> Answer:
    return fact(
        model_words.networks(view),
        *model_words.preprocessing(view),
        model_words.outputs(view),
        where=(given.SETTINGS,),
    )


def _start(view: View) -> Answer:
    any_weights = any(run.weights for run in view.study.runs)
    return fact(model_words.initialisation(view), where=(given.WEIGHTS,) if any_weights else ())


def _internal(view: View) -> Answer:
    return fact(
        data_words.LEAK if view.data.get("leak_allowed") else None,
        f"Test split of the data set: {view.test_size()}.",
        statistic_words.baseline(view),
        where=(given.RESULTS,),
    )


def _diagnostic(view: View) -> Answer:
    return fact(statistic_words.diagnostic(view), where=(given.RESULTS,))


def _external(_: View) -> Answer:
    return fact(still="whether the test images come from another source than the training images")


def _details(view: View) -> Answer:
    return fact(
        f"Technical details: record of {view.study.record.created}, with every setting.",
        data_words.identity(view),
        where=(given.REPRODUCE, given.METHODS),
        still="the study protocol",
    )


def _availability(view: View) -> Answer:
    return fact(
        given.versions(view),
        given.trained_models(view),
        data_words.terms(view),
        where=(given.REPRODUCE,),
        still="whether and where code, models and data are available",
    )


def _explained(_: View) -> Answer:
    return fact()


ITEMS = (
    Item("1", "Title and abstract", "Says that AI is used, and of which kind", given.technology),
    Item("2", "Title and abstract", "Design, methods, results and conclusions in short", people),
    Item("3", "Introduction", "Background, and the role the method is meant to have", people),
    Item("4", "Introduction", "Aims and hypotheses", people),
    Item("5", "Study design", "Whether the study looks ahead or back", people),
    Item("6", "Study design", "What kind of study it is meant to be", people),
    Item("7", "Data", "Where the data are from", given.data_source),
    Item("8", "Data", "Who or what was eligible", people),
    Item("9", "Data", "How images were prepared", given.preprocessing),
    Item("10", "Data", "Whether parts of the data were picked out", _subsets),
    Item("11", "Data", "How identities were removed", _privacy),
    Item("12", "Data", "What was done about missing data", given.missing),
    Item("13", "Data", "How the images were acquired", people),
    Item("14", "Reference standard", "How the reference standard was obtained", people),
    Item("15", "Reference standard", "Why this reference standard", people),
    Item("16", "Reference standard", "Who or what supplied the annotations", people),
    Item("17", "Reference standard", "How the test images were annotated", people),
    Item("18", "Reference standard", "How far annotators agree with each other and themselves", people),
    Item("19", "Data partitions", "How images were assigned to the splits", given.partitions),
    Item("20", "Data partitions", "At which level the splits are disjoint", given.disjoint),
    Item("21", "Testing data", "The intended number of cases", given.sample_size),
    Item("22", "Model", "The model in detail, with input and output", _model),
    Item("23", "Model", "Software with versions", given.software),
    Item("24", "Model", "First values of the parameters", _start),
    Item("25", "Training", "How the models were trained", given.training),
    Item("26", "Training", "How the final model was chosen", given.selection),
    Item("27", "Training", "Ensembles", given.ensembles),
    Item("28", "Evaluation", "Measures of performance", given.measures),
    Item("29", "Evaluation", "Uncertainty and significance", given.uncertainty),
    Item("30", "Evaluation", "Robustness or sensitivity", given.robustness),
    Item("31", "Evaluation", "Methods that explain an answer", _explained),
    Item("32", "Evaluation", "Test on data of the same source", _internal),
    Item("33", "Evaluation", "Test on data of another source", _external),
    Item("34", "Evaluation", "Registration as a clinical trial", people),
    Item("35", "Results: data", "Numbers included and left out", given.flow),
    Item("36", "Results: data", "Characteristics of the cases in each split", given.characteristics),
    Item("37", "Results: performance", "Measures with their uncertainty", given.performance),
    Item("38", "Results: performance", "Diagnostic performance with its precision", _diagnostic),
    Item("39", "Results: performance", "What the wrong answers have in common", given.failures),
    Item("40", "Discussion", "Limitations", people),
    Item("41", "Discussion", "What follows for practice", people),
    Item("42", "Other information", "Protocol, or further technical details", _details),
    Item("43", "Other information", "Availability of software, models and data", _availability),
    Item("44", "Other information", "Funding, and the funders' part", people),
)
