"""A ranking's view -> sentences: which backbone, how sure that is, what it costs, and how far such scores go."""

from __future__ import annotations

from xenograft.errors import listed
from xenograft.evaluation.rank_agreement import LEAST_CANDIDATES
from xenograft.reporting import style
from xenograft.reporting.ranking_view import RankingView, score_text, speed
from xenograft.reporting.tables.ranking import undefined
from xenograft.study.ranking_reason import reason

_FEW = 4  # with three candidates the smallest p of Kendall's tau is 1/3


def answers(view: RankingView) -> list[tuple[str, str]]:
    """(question, sentence), the most wanted first."""
    return [
        ("Which backbone for these data?", which(view)),
        ("How sure is that?", sure(view)),
        ("What does each cost?", costs(view)),
    ]


def which(view: RankingView) -> str:
    """The choice and its reason."""
    if view.chosen is None:
        return f"None can be chosen: {view.candidates[0]['why']}."
    return f"{reason(view.record)}."


def sure(view: RankingView) -> str:
    """What can and cannot be told apart."""
    ranked = view.ranked
    if not ranked:
        return f"{view.heading} is undefined for every candidate."
    if len(ranked) == 1:
        return "There was one candidate with this score, so there is nothing to compare it with."
    best = view.name(ranked[0])
    tied = [view.name(row) for row in ranked[1:] if row["tied"]]
    behind = [row for row in ranked[1:] if row["tied"] is False]
    unknown = [view.name(row) for row in ranked[1:] if row["tied"] is None]
    parts = []
    if tied:
        parts.append(f"{listed(tied, most=8)} cannot be told apart from the best, {best}, on these {view.unit}")
    if behind:
        nearest = behind[0]
        gap, low = nearest["behind"]["value"], nearest["behind"]["low"]
        parts.append(
            f"{listed([view.name(row) for row in behind], most=8)} "
            f"{'is' if len(behind) == 1 else 'are'} behind {best} by more than chance explains "
            f"({'' if len(behind) == 1 else view.name(nearest) + ' '}by {score_text(gap)}, interval from "
            f"{score_text(low)} on)"
        )
    if unknown:
        parts.append(
            f"whether {listed(unknown, most=8)} {'is' if len(unknown) == 1 else 'are'} behind {best} by more than "
            f"chance explains is not known: too many halves of the {view.unit} leave the score undefined for an "
            "interval"
        )
    parts[0] = parts[0][0].upper() + parts[0][1:]
    return f"{'; '.join(parts)}. {agreement(view)}".strip()


def agreement(view: RankingView) -> str:
    """How many other scores put the same candidate first."""
    best, others, same = view.ranked[0]["backbone"], 0, 0
    for name in view.record["scores"]:
        known = {r["backbone"]: r["scores"][name]["value"] for r in view.ranked}
        if name == view.record["score"] or any(value is None for value in known.values()):
            continue
        others += 1
        same += known[best] == max(known.values())
    if not others:
        return ""
    puts = "puts" if same == 1 else "put"
    return f"Of {style.plural(others, 'other score')}, {same} {puts} {view.title(best)} first as well."


def costs(view: RankingView) -> str:
    """The quickest and the slowest."""
    rows = sorted(view.candidates, key=lambda row: -row["images_per_second"])
    quick, slow = rows[0], rows[-1]
    first = f"{view.name(quick)} embeds {speed(quick)} images/s ({quick['basis']})"
    if len(rows) == 1:
        return f"{first}, with {quick['params_m']:.1f} million parameters."
    ratio = quick["images_per_second"] / slow["images_per_second"]
    return (
        f"{first}, the slowest, {view.name(slow)}, {speed(slow)} ({slow['basis']}): {ratio:.1f} times as long. A "
        "head on cached features costs seconds with any of them."
    )


def trust(view: RankingView) -> list[str]:
    """What such a ranking is not."""
    count = len(view.ranked)
    lines = [
        f"{view.heading} predicts how well a simple head on the frozen features does. It is not a test result: nothing "
        "of test was looked at, and test alone says how good a model is. Fine-tuning changes the features, so that "
        "the order may change with it.",
        f"Intervals and differences say what other {view.unit} of the same kind could have given. Differences are each "
        "taken by themselves, not adjusted for how many candidates there are; and the best of several looks better "
        "than it is.",
    ]
    if LEAST_CANDIDATES <= count < _FEW:
        lines.append(
            f"{count} candidates are too few to show on one data set that a score predicts the order after training: "
            "even complete agreement (Kendall's tau 1) has p = 0.33 by chance."
        )
    elif count < LEAST_CANDIDATES:
        lines.append("Fewer than three candidates say nothing about whether a score predicts the order after training.")
    lines += [f"{label} is not given: {why}." for label, why in undefined(view)]
    return lines


def sampling(view: RankingView) -> str:
    """How the images were taken."""
    data, limit = view.data, view.record["limit"]
    if data["images"] == data["of_images"]:
        return f"Looked at: {view.images}."
    return (
        f"Looked at: {view.images}. At most {limit:,} images are taken (--limit), whole {view.unit} in a fixed random "
        "order, stratified by class."
    )
