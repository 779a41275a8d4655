"""A learning curve's view -> sentences: patients to a target, whether more labels would help, how scratch compares."""

from __future__ import annotations

from xenograft.reporting import style
from xenograft.reporting.learning_view import Json, LearningView, exact, largest

_MATTERS = 0.01  # of AUROC; only the words depend on it, the interval stands beside them

_REPEATS = 3


def answers(view: LearningView) -> list[tuple[str, str]]:
    """(question or empty, sentence), the most wanted first."""
    found = [("How many labels?", sentence) for sentence in targets(view)]
    found += [("Would more labels help?", sentence) for sentence in doubling(view)]
    found += [("How many would scratch need?", sentence) for sentence in catching_up(view)]
    told: set[str] = set()
    return [("" if q in told or told.add(q) else q, sentence) for q, sentence in found]  # type: ignore[func-returns-value]


def targets(view: LearningView) -> list[str]:
    """For each curve, what reaches each target."""
    lines = []
    for name, _, curve in view.curves:
        said = [f"{_target(entry['target'])}: {view.reached(entry, largest(curve))}" for entry in curve["targets"]]
        if said:
            lines.append(f"{view.unit.capitalize()} that {name} needs for {'; for '.join(said)}{_levels_off(curve)}.")
    return lines


def doubling(view: LearningView) -> list[str]:
    """What twice the patients would add, for each curve that has a law."""
    lines = []
    for name, _, curve in view.curves:
        if curve["law"] is None:
            lines.append(f"{name}: four sizes or more are needed to say.")
            continue
        entry = curve["law"]["doubling"]
        verdict = ""
        if entry["high"] is not None and entry["high"] < _MATTERS:
            verdict = f"little, less than {_MATTERS:g}: "
        elif entry["low"] is not None and entry["low"] > _MATTERS:
            verdict = "yes: "
        lines.append(
            f"{name}: {verdict}twice as many ({exact(entry['from'])} to {exact(entry['to'])} {view.unit}) are expected "
            f"to change {view.metric} by {style.number(entry['gain'], signed=True)} "
            f"({view.level} interval {style.interval(entry['low'], entry['high'], signed=True)}), by the fitted law."
        )
    return lines


def catching_up(view: LearningView) -> list[str]:
    """What random weights need to equal pretrained ones, and the other way round."""
    curves = {(c["backbone"], c["recipe"]): c for _, _, c in view.curves}
    lines = []
    for pair in view.record["catch_up"]:
        ahead, behind = (curves[pair["backbone"], pair[key]] for key in ("ahead", "behind"))
        first, second = (view.name(c["backbone"], c["recipe"]) for c in (ahead, behind))
        # where both were measured, or the nearest there is: the question is about patients that one has
        reachable = [row for row in pair["needs"] if row["size"] <= largest(behind)] or pair["needs"][:1]
        for row in dict.fromkeys((0, len(reachable) - 1)):
            entry = reachable[row]
            lines.append(
                f"To equal {first} with {exact(entry['size'])} {view.unit} ({style.number(entry['target'])}), {second} "
                f"needs {view.reached(entry, largest(behind))}{_levels_off(behind, entry)}."
            )
        entry = pair["saves"][-1]
        lines.append(
            f"What {second} reaches with {exact(entry['size'])} {view.unit} ({style.number(entry['target'])}), {first} "
            f"reaches with {view.reached(entry, largest(ahead))}.{_trained(second, behind)}"
        )
    if not any(not curve["transfer"] for curve in curves.values()):
        lines.append(
            "Training from scratch was not measured; the same command with --recipes scratch and the sizes that this "
            "machine can train adds it to the same folder."
        )
    return lines


def cautions(view: LearningView) -> list[str]:
    """What the numbers do not mean."""
    unit = view.unit
    lines = [
        f"Intervals of points are for other test {unit} of the same kind; the spread beside them is over training "
        f"subsets and seeds. It shrinks towards the largest size because subsets then share most of their {unit}: it "
        "understates how much another training set would change the result.",
        "Intervals of what is concluded from a whole curve draw test patients and repeats anew, and fit the law anew. "
        "They do not cover that the true curve may be no power law; beyond the data that is an assumption.",
    ]
    few = [name for name, _, curve in view.curves if min(point["repeats"] for point in curve["points"]) < _REPEATS]
    if few:
        lines.append(
            f"Fewer than {_REPEATS} repeats at some sizes ({', '.join(few)}): their spread can hardly be told, and the "
            "intervals of the whole curve are too narrow."
        )
    if any(point["steps"] is not None for _, _, curve in view.curves for point in curve["points"]):
        lines.append(steps(view))
    if view.data["multi_label"]:
        lines.append(
            "Findings are counted as they come: a small subset may have no image with a rare finding, or none without. "
            "Nothing can then be learned of it, and its AUROC, near 0.5, counts in the mean all the same."
        )
    return lines


def steps(view: LearningView) -> str:
    """How long small sizes were trained, and what that means."""
    least = view.record["conduct"]["least_steps"]
    if least is None:
        return (
            "A recipe keeps its epochs at every size, so small subsets are trained in fewer steps (last column of "
            "Table 1). Part of what a curve gains with more labels is gained by more steps, above all from random "
            "weights, which need many; --least-steps trains small sizes longer."
        )
    return (
        f"Sizes that would take fewer than {least:,} steps in the recipe's epochs were trained for more epochs "
        "(last column of Table 1). Above that, part of what a curve gains with more labels is gained by more steps."
    )


def checks(view: LearningView) -> list[str]:
    """How each law would have done at the largest size, had it not been measured."""
    lines = []
    for name, _, curve in view.curves:
        found = curve["law"] and curve["law"]["checked"]
        if found:
            lines.append(
                f"{name}: fitted without its largest size, the law predicts {style.number(found['predicted'])} at "
                f"{exact(found['size'])} {view.unit}; measured {style.number(found['measured'])}."
            )
    return lines


def sizes(view: LearningView) -> str:
    """How sizes were chosen."""
    conduct, unit = view.record["conduct"], view.unit
    if not conduct["chosen"]:
        return f"Sizes were given; all {unit} of train are {exact(conduct['whole'])}."
    return (
        f"Sizes are chosen by the program: about doubling, from the smallest that has {conduct['enough']} {unit} of "
        f"every class in every repeat (or an eighth of all, where classes are rarer), to all {exact(conduct['whole'])}."
    )


def validation(view: LearningView) -> str:
    """How large validation is, and why."""
    conduct, unit = view.record["conduct"], view.unit
    return (
        f"Validation, which chooses the epoch, grows along: it has the share that it has with all {unit} "
        f"({exact(conduct['whole_val'])} to {exact(conduct['whole'])} of train), nested as well, and at least "
        f"{conduct['needed']} {unit} of every class ({exact(conduct['least_val'])} in all). These {unit} need labels "
        "too and are not counted in the size."
    )


def _trained(name: str, curve: Json) -> str:
    """How long a curve was trained: a few steps are no fair trial of random weights."""
    found = sorted({point["steps"] for point in curve["points"] if point["steps"] is not None})
    if not found:
        return ""
    span = f"{found[0]:,}" if len(found) == 1 else f"{found[0]:,} to {found[-1]:,}"
    return f" {name} was trained for {span} steps at its sizes."


def _levels_off(curve: Json, entry: Json | None = None) -> str:
    """Where the law ends, if something is said never to be reached."""
    entries = curve["targets"] if entry is None else [entry]
    if curve["law"] is None or not any(e["status"] == "never" for e in entries):
        return ""
    floor = curve["law"]["floor"]
    high = None if floor["low"] is None else 1 - floor["low"]
    low = None if floor["high"] is None else 1 - floor["high"]
    return f" (it levels off at {style.number(1 - floor['value'])}, interval {style.interval(low, high)})"


def _target(value: float) -> str:
    return f"AUROC {value:g}" if len(f"{value:g}") > 3 else f"AUROC {value:.2f}"
