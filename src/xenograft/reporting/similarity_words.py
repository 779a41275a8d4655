"""The record of `xenograft similarity` -> sentences: which readings of Propositions 4 and 5 it supports or refutes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from xenograft.errors import printable
from xenograft.reporting import style
from xenograft.reporting.phrases import and_
from xenograft.reporting.similarity_view import (
    MAPS,
    MEASURES,
    PAIRS,
    SETS,
    Json,
    Measure,
    SimilarityView,
    Verdict,
    at,
    closer,
    distinct,
    last,
    measured,
    moved,
    than_halves,
    than_noise,
)

SIMILAR = "Are features of natural and medical images similar (Proposition 4)?"
WEIGHTS = "Is it the ImageNet weights that make them similar?"
WHERE = "Where in the network?"
TUNED = "Does fine-tuning bring them closer (Proposition 5)?"

_D, _RATIO, _AUROC = (MEASURES[key] for key in ("distance", "ratio", "two_sample_auroc"))
Votes = Mapping[Measure, Verdict]

_BESIDE = {
    "yes": "closer with ImageNet weights by",
    "no": "closer with random weights by",
    "mixed": "it depends on the seed of the random weights by",
    "untold": "cannot be told by",
}
_FEW_SEEDS = 3
_APART = 0.95  # AUROC from which a probe "tells them apart" without a hedge; the number stands beside it


def answers(record: Json) -> list[tuple[str, str]]:
    """(question or empty, sentence), the most wanted first."""
    view = SimilarityView(record)
    found = [
        *((SIMILAR, sentence) for sentence in similar(view)),
        *((WEIGHTS, sentence) for sentence in weights(view)),
        *((WHERE, sentence) for sentence in where(view)),
        *((TUNED, sentence) for sentence in tuned(view)),
    ]
    asked = ["", *(question for question, _ in found)]
    return [
        ("" if question == before else question, sentence)
        for (question, sentence), before in zip(found, asked, strict=False)
    ]


def similar(view: SimilarityView) -> list[str]:
    """Proposition 4: a verdict, its three readings, and the numbers of each network."""
    stages = {view.backbone(s) if s["state"] == "imagenet" else view.name(s): last(s) for s in view.asked}
    noise = {name: _votes(stage, than_noise) for name, stage in stages.items()}
    natural = {name: _votes(stage, _than_natural) for name, stage in stages.items()}
    apart = {name: [m for m in measured([stage]) if distinct(stage, m) == "yes"] for name, stage in stages.items()}
    lines = [
        _verdict([_overall(votes) for votes in noise.values()], [bool(found) for found in apart.values()]),
        f"Closer to each other than either is to noise (yes supports the proposition loosely): {_grouped(noise)}.",
        f"As close as two natural images are to each other: {_grouped(natural)}.",
        _strictly(apart, stages),
    ]
    if any(_torn(votes) for found in (noise, natural) for votes in found.values()):
        lines.append(
            "D and the ratio say opposite things because D between two sets holds the spread of both: a set that "
            "varies little, as noise does, has a small D to anything. The ratio takes the spread out."
        )
    if any(_overall(noise[name]) == "yes" and _AUROC in apart[name] for name in stages):
        lines.append(
            "Closer than noise and yet told apart is no contradiction: D averages over all directions of the features, "
            "and in most of them both sets spread widely; a probe needs a single direction in which they differ."
        )
    if not any(s["state"] == "imagenet" for s in view.asked):
        lines.append("Only random weights were measured: this says nothing about features learnt from ImageNet.")
    return [*lines, *(_numbers(name, stage) for name, stage in stages.items())]


def weights(view: SimilarityView) -> list[str]:
    """ImageNet weights beside random weights, last stage, by the measures that compare networks."""
    lines = []
    for subject in view.asked:
        others = view.random_of(subject)
        if subject["state"] != "imagenet" or not others:
            continue
        mine, theirs = last(subject), [last(other) for other in others]
        by: dict[str, list[str]] = {}
        for m in (m for m in measured([mine]) if m.scale_free):
            entry = at(mine, m.key, "natural_medical")
            found = _agreed([closer(m, entry, at(stage, m.key, "natural_medical")) for stage in theirs])
            by.setdefault(found, []).append(m.short)
        said = [f"{words} {and_(by[key])}" for key, words in _BESIDE.items() if key in by]
        ratios = [_value(_RATIO, at(stage, "ratio", "natural_medical")) for stage in theirs]
        lines.append(
            f"{view.backbone(subject)}: {'; '.join(said)}. Distance ratio "
            f"{_value(_RATIO, at(mine, 'ratio', 'natural_medical'))} with ImageNet weights, {and_(ratios)} with random "
            "weights."
        )
    return lines or ["Cannot be told: only one kind of weights was measured."]


def where(view: SimilarityView) -> list[str]:
    """How the distance ratio goes from input to output, and at how many stages the sets are closer than noise."""
    lines = []
    for subject in view.asked:
        stages = [s for s in subject["stages"] if at(s, "ratio", "natural_medical")["value"] is not None]
        if len(stages) < 2:
            continue
        entries = [at(stage, "ratio", "natural_medical") for stage in stages]
        trend = {
            "yes": "closer at the end than at the beginning",
            "no": "further apart at the end than at the beginning",
            "untold": "end and beginning cannot be told apart",
        }[closer(_RATIO, entries[-1], entries[0])]
        least = min(range(len(stages)), key=lambda i: entries[i]["value"])
        nearest = ""
        if 0 < least < len(stages) - 1:
            nearest = (
                f", with its lowest, {_RATIO.text(entries[least]['value'])}, after stage {least + 1} "
                f"({printable(stages[least]['name'])})"
            )
        near = [sum(than_noise(stage, m) == "yes" for stage in stages) for m in (_D, _RATIO)]
        lines.append(
            f"{view.name(subject)}: the distance ratio is {_value(_RATIO, entries[0])} after the first stage and "
            f"{_value(_RATIO, entries[-1])} after the last{nearest}: {trend}. The sets are closer to each other than "
            f"either is to noise after {near[0]} of {style.plural(len(stages), 'stage')} by D, {near[1]} by the ratio."
        )
    return lines or ["One stage was measured; there is no depth to compare."]


def tuned(view: SimilarityView) -> list[str]:
    """Proposition 5, for each network and recipe, by the measures without unit; empty if nothing was fine-tuned."""
    lines = []
    for name, changes in view.trainings:
        asked = [m for m in measured([last(changes[0])]) if m.scale_free]
        ways = {m.key: [moved(m, last(c)["measures"][m.key]["difference"]) for c in changes] for m in asked}
        lines.append(f"{name}, {style.plural(len(changes), 'seed')}: {_concluded(ways)}.")
        lines += [_moves(m, changes, ways[m.key]) for m in asked]
        lines.append(_raw(changes))
    if not lines:
        return []
    fewest = min(len(changes) for _, changes in view.trainings)
    if fewest < _FEW_SEEDS:
        lines.append(
            f"Intervals are of images, for one trained network each; with {style.plural(fewest, 'seed')} how much "
            "another training run would change the answer is hardly known."
        )
    return lines


def cautions(view: SimilarityView) -> list[str]:
    """What the numbers do not mean."""
    record = view.record
    lines = [
        f"Two sets stand for two kinds of images: {style.plural(record['natural']['used'], 'image')} of "
        f"{printable(record['natural']['name'])} and {record['medical']['used']:,} of "
        f"{printable(record['medical']['name'])}. Other sets may answer otherwise.",
        "D has the unit of the features: another network, another stage or a rescaled layer gives another D for the "
        "same images. D alone says nothing; it is read beside D within each set and D to noise.",
        "Noise is a low bar. That two sets of images are closer to each other than to noise is not yet a reason "
        "to expect that features of one serve the other.",
        "D between two sets holds the spread of both. A set that varies much has a large D to everything, itself "
        "included; a set that varies little, a small one. That is why D within both sets, the ratio, and measures of "
        "distributions stand beside it.",
        f"Yes and no are said where {view.level} intervals lie apart, and that two sets are not one distribution where "
        "an interval lies above the value of equal sets (a probe's AUROC also above what halves of either set give). "
        "Nothing is adjusted for the number of networks, stages and measures: among many comparisons, some say yes or "
        "no by chance. Everything else cannot be told from these images. Intervals of halves are the range over random "
        "halvings of one set: what two samples of the same images give.",
        "Similar features do not prove that transfer works, nor do different ones prove that it fails. What transfer "
        "is worth is measured by training: xenograft compare.",
    ]
    unknown = [kind for kind in SETS if not record[kind]["patients_known"]]
    if "medical" in unknown:
        lines.append(
            "Patients of the medical images are not known, so every image counts as a patient of its own. If some "
            "have several images, its intervals are too narrow."
        )
    return lines


def mapped(facts: Json) -> str:
    """How a map was made and what to beware of."""
    name = MAPS[facts["method"]]
    if facts["method"] == "pca":
        shares = facts.get("explained")
        told = "" if shares is None else f" ({and_([f'{100 * share:.0f} %' for share in shares])} of the variance)"
        return f"{name}: the first two principal components of both sets together{told}. {facts['caution']}"
    return (
        f"{name}: perplexity {facts['perplexity']:g}, seed {facts['seed']}, started from the first principal "
        f"components. {facts['caution']}"
    )


def _verdict(near: Sequence[str], differ: Sequence[bool]) -> str:
    """The first sentence: the loose and the strict reading, over all networks and measures."""
    loose = {
        "yes": "Loosely, yes",
        "no": "Not even loosely",
        "untold": "Loosely, it cannot be told",
        "split": "Loosely, it depends on the measure",
        "mixed": "Loosely, it depends on the network",
    }[near[0] if len(set(near)) == 1 else "mixed"]
    strict = "no" if all(differ) else "no for some networks" if any(differ) else "not refuted by these images"
    return (
        f"{loose}; strictly, {strict}. Loosely: closer to each other than either is to noise. Strictly: one and the "
        "same distribution."
    )


def _votes(stage: Json, ask: Callable[[Json, Measure], Verdict]) -> Votes:
    return {m: ask(stage, m) for m in measured([stage])}


def _than_natural(stage: Json, measure: Measure) -> Verdict:
    return than_halves(stage, measure, "natural")


def _overall(votes: Votes) -> str:
    """What all measures say that can tell: yes, no, untold, or split."""
    known = {vote for vote in votes.values() if vote != "untold"}
    return "split" if len(known) == 2 else "".join(known) or "untold"


def _torn(votes: Votes) -> bool:
    return {votes.get(_D), votes.get(_RATIO)} == {"yes", "no"}


def _grouped(found: Mapping[str, Votes]) -> str:
    """``yes by D and ratio, no by KID for A and B; ...``: networks of which all measures say the same, together."""
    groups: dict[str, list[str]] = {}
    for name, votes in found.items():
        by: dict[str, list[str]] = {
            word: [m.short for m, vote in votes.items() if vote == key]
            for key, word in (("yes", "yes by"), ("no", "no by"), ("untold", "cannot be told by"))
        }
        said = [f"{word} {and_(names)}" for word, names in by.items() if names]
        groups.setdefault(", ".join(said), []).append(name)
    return "; ".join(f"{said} for {_counted(names, len(found))}" for said, names in groups.items())


def _strictly(apart: Mapping[str, Sequence[Measure]], stages: Mapping[str, Json]) -> str:
    """The strict reading: one distribution. It can be refuted and never proved."""
    differ = [name for name, found in apart.items() if found]
    same = [name for name in apart if name not in differ]
    parts = []
    if differ:
        probes = [e for name in differ if (e := at(stages[name], "two_sample_auroc", "natural_medical"))["value"]]
        values = [e["value"] for e in probes]
        span = ""
        if values and min(values) >= _APART:
            span = f": a linear probe tells natural from medical images, AUROC {_range(values)}"
        elif values:
            span = f"; a linear probe reaches AUROC {_range(values)}"
        parts.append(f"refuted for {_counted(differ, len(apart))}{span}")
    if same:
        parts.append(f"not refuted for {_counted(same, len(apart))}, which does not prove it")
    return f"One and the same distribution: {'; '.join(parts)}."


def _numbers(name: str, stage: Json) -> str:
    """D of each pair, the ratio and the probe, with intervals."""
    found = {pair: _value(_D, at(stage, "distance", pair)) for pair in PAIRS}
    return (
        f"{name}: D {found['natural_medical']} between the sets; within natural {found['natural_natural']}, within "
        f"medical {found['medical_medical']}; to noise {found['natural_noise']} and {found['medical_noise']}. Ratio "
        f"of D to the distance within the sets {_value(_RATIO, at(stage, 'ratio', 'natural_medical'))}, probe AUROC "
        f"{_value(_AUROC, at(stage, 'two_sample_auroc', 'natural_medical'))}."
    )


def _concluded(ways: Mapping[str, Sequence[Verdict]]) -> str:
    """What the measures without unit say together; measure -> verdict of each seed."""
    every = [way for verdicts in ways.values() for way in verdicts]
    known, count = set(every), len(every)
    if known == {"untold"}:
        return "cannot be told"
    if known == {"yes"}:
        return "yes, closer by every measure without unit and in every seed"
    if known == {"no"}:
        return "no, further apart by every measure without unit and in every seed"
    rest = f"in {count - every.count('untold')} of {count} comparisons (measures without unit by seeds)"
    if "no" not in known:
        return f"closer {rest}; the others cannot tell"
    if "yes" not in known:
        return f"no, further apart {rest}; the others cannot tell"
    torn = any({"yes", "no"} <= set(verdicts) for verdicts in ways.values())
    return (
        f"{'seeds' if torn else 'measures'} disagree: closer in {every.count('yes')}, further apart in "
        f"{every.count('no')} of {count} comparisons (measures without unit by seeds)"
    )


def _moves(m: Measure, changes: Sequence[Json], ways: Sequence[Verdict]) -> str:
    """One measure: before, after, and how many seeds went which way."""
    entries = [last(c)["measures"][m.key] for c in changes]
    if all(entry["difference"]["value"] is None for entry in entries):
        return f"{m.name}: undefined."
    before, after = ([e[key] for e in entries if e[key] is not None] for key in ("before", "after"))
    counts = [
        f"{words} in {ways.count(way)}"
        for way, words in (("yes", "closer"), ("no", "further apart"), ("untold", "cannot be told"))
        if way in ways
    ]
    change = ""
    if len(entries) == 1:
        found = entries[0]["difference"]
        change = f", change {m.text(found['value'], signed=True)} ({m.span(found, signed=True)})"
    return (
        f"{m.name}: {_range(before, m.key)} before, {_range(after, m.key)} after{change}; {', '.join(counts)} of "
        f"{style.plural(len(entries), 'seed')}."
    )


def _raw(changes: Sequence[Json]) -> str:
    """D, with the reason why it decides nothing here."""
    entries = [e for c in changes if (e := last(c)["measures"].get("distance")) and e["before"] is not None]
    if not entries:
        return "D is not known before and after."
    before, after = ([e[key] for e in entries] for key in ("before", "after"))
    return (
        f"D itself: {_range(before, 'distance')} before, {_range(after, 'distance')} after. Training changes the size "
        "of all features, and D with it, so D alone decides nothing here."
    )


def _value(m: Measure, entry: Json) -> str:
    """A value with its interval: ``1.183 (1.170–1.195)``."""
    ends = m.span(entry)
    return f"{m.text(entry['value'])} ({ends})" if ends else m.text(entry["value"])


def _range(values: Sequence[float], key: str = "two_sample_auroc") -> str:
    texts = list(dict.fromkeys(MEASURES[key].text(value) for value in (min(values), max(values))))
    return " to ".join(texts)


def _agreed(verdicts: Sequence[str]) -> str:
    """What all say; untold where none says more, mixed where they differ."""
    return verdicts[0] if len(set(verdicts)) == 1 else "mixed"


def _counted(names: Sequence[str], every: int) -> str:
    return f"all {every} networks" if len(names) == every > 1 else and_(names)
