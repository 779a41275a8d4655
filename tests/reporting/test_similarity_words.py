"""What is said of Propositions 4 and 5: every outcome has its words, and each follows from the record alone."""

from __future__ import annotations

from typing import Any

import pytest

from xenograft.reporting import similarity_words
from xenograft.reporting.similarity_view import MEASURES, SimilarityView, closer, moved, than_noise
from xenograft.reporting.similarity_words import SIMILAR, TUNED, WEIGHTS, WHERE, answers

from .similarity_makers import LAID, change, record, subject, value


def said(made: dict[str, Any], question: str) -> list[str]:
    """Sentences under one question."""
    found: dict[str, list[str]] = {}
    current = ""
    for asked, sentence in answers(made):
        current = asked or current
        found.setdefault(current, []).append(sentence)
    return found.get(question, [])


def alike(**laid: float) -> dict[str, Any]:
    """A network that sees no difference between the sets, but one between them and noise."""
    same = {f"{m}_natural_medical": pairs["natural_natural"] for m, pairs in LAID.items()}
    return subject(**{**same, **laid})


def spread(laid: float) -> dict[str, float]:
    """The same value between the sets for every measure where less is closer; the overlap goes the other way."""
    return {
        f"{m}_natural_medical": v["natural_noise"] * laid if m != "neighbour_overlap" else 0.0 for m, v in LAID.items()
    }


def test_each_question_is_asked_once_and_in_order() -> None:
    asked = [question for question, _ in answers(record(changes=[change()])) if question]
    assert asked == [SIMILAR, WEIGHTS, WHERE, TUNED]


def test_closer_than_noise_and_told_apart_are_both_said() -> None:
    lines = said(record(), SIMILAR)
    assert lines[0].startswith("Loosely, yes; strictly, no.")
    assert "yes by D, ratio, cosine ratio, Fréchet, KID and overlap, cannot be told by AUROC" in lines[1]
    assert "refuted for MobileNet v2: a linear probe tells natural from medical images, AUROC 0.999" in lines[3]
    assert any("no contradiction" in line for line in lines)
    assert "D 18.20 (18.02–18.38) between the sets; within natural 17.90" in lines[-1]


def test_one_distribution_is_never_proved() -> None:
    lines = said(record([alike()]), SIMILAR)
    assert lines[0].startswith("Loosely, yes; strictly, not refuted by these images.")
    assert "not refuted for MobileNet v2, which does not prove it" in " ".join(lines)
    assert "no contradiction" not in " ".join(lines)


def test_as_far_as_noise_refutes_even_the_loose_reading() -> None:
    laid = spread(2.0)
    stage = subject(**laid, two_sample_auroc_natural_noise=0.7, two_sample_auroc_medical_noise=0.7)
    lines = said(record([stage]), SIMILAR)
    assert lines[0].startswith("Not even loosely; strictly, no.")
    assert lines[1].count("yes by") == 0


def test_overlapping_intervals_cannot_tell() -> None:
    made = alike()
    for pairs in made["stages"][-1]["measures"].values():
        for entry in pairs.values():
            entry |= {"low": entry["value"] - 1e6, "high": entry["value"] + 1e6}
    assert said(record([made]), SIMILAR)[0].startswith("Loosely, it cannot be told; strictly, not refuted")


def test_d_and_ratio_that_disagree_are_explained() -> None:
    made = subject(distance_medical_noise=12.0)  # noise varies so little that D to it is small
    lines = said(record([made]), SIMILAR)
    assert lines[0].startswith("Loosely, it depends on the measure")
    assert "no by D" in lines[1]
    assert any("holds the spread of both" in line for line in lines)
    assert not any("holds the spread of both" in line for line in said(record([alike()]), SIMILAR))


def test_networks_that_disagree_are_named() -> None:
    bad = subject("squeezenet1_1", **spread(2.0))
    lines = said(record([subject(), bad]), SIMILAR)
    assert lines[0].startswith("Loosely, it depends on the network")
    assert "for MobileNet v2;" in lines[1]
    assert "for SqueezeNet 1.1" in lines[1]


def test_all_networks_that_agree_are_said_once() -> None:
    lines = said(record([subject(), subject("resnet18")]), SIMILAR)
    assert lines[1].count("all 2 networks") == 1


@pytest.mark.parametrize(
    ("ratios", "words"),
    [
        ((1.5,), "MobileNet v2: closer with ImageNet weights by ratio; cannot be told by"),
        ((1.05,), "MobileNet v2: closer with random weights by ratio; cannot be told by"),
        ((1.181,), "MobileNet v2: cannot be told by ratio, cosine ratio, AUROC and overlap."),
        ((1.5, 1.05), "it depends on the seed of the random weights by ratio; cannot"),
    ],
)
def test_random_weights_stand_beside(ratios: tuple[float, ...], words: str) -> None:
    others = [subject(state="random", seed=k, ratio_natural_medical=r) for k, r in enumerate(ratios)]
    line = said(record([subject(), *others]), WEIGHTS)[0]
    assert words in line
    assert all(f"{ratio:.3f} (" in line for ratio in ratios)


def test_measures_that_disagree_on_the_weights_are_named() -> None:
    random = subject(state="random", seed=0, ratio_natural_medical=1.5, neighbour_overlap_natural_medical=0.6)
    line = said(record([subject(), random]), WEIGHTS)[0]
    assert "closer with ImageNet weights by ratio; closer with random weights by overlap; cannot be told by" in line


def test_without_the_other_weights_nothing_is_claimed() -> None:
    assert said(record([subject()]), WEIGHTS) == ["Cannot be told: only one kind of weights was measured."]
    only = said(record([subject(state="random", seed=0)]), SIMILAR)
    assert any("nothing about features learnt from ImageNet" in line for line in only)


def test_depth_names_the_stage_of_the_lowest_ratio() -> None:
    made = subject()
    made["stages"][1]["measures"]["ratio"]["natural_medical"] = value(1.02)
    line = said(record([made]), WHERE)[0]
    assert "its lowest, 1.020, after stage 2 (features.1): closer at the end" in line
    assert "4 of 4 stages by D" in line
    assert said(record([subject(stages=("head",))]), WHERE) == ["One stage was measured; there is no depth to compare."]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ([change(k, step=-0.2) for k in range(3)], "3 seeds: yes, closer by every measure"),
        ([change(k, step=0.2) for k in range(3)], "3 seeds: no, further apart by every measure"),
        ([change(k, step=0.01) for k in range(3)], "3 seeds: cannot be told"),
        ([change(0, step=0.2), change(1, step=-0.2)], "2 seeds: seeds disagree: closer in 4, further apart in 4 of 8"),
        ([change(0, step=0.2), change(1, step=0.0)], "2 seeds: no, further apart in 4 of 8 comparisons"),
        ([change(0, step=-0.2, ratio=0.0)], "1 seed: closer in 3 of 4 comparisons"),
        ([change(0, step=-0.2, ratio=0.2)], "1 seed: measures disagree: closer in 3, further apart in 1 of 4"),
    ],
)
def test_fine_tuning_both_ways(changes: list[dict[str, Any]], words: str) -> None:
    assert words in said(record(changes=changes), TUNED)[0]


def test_d_never_decides_what_fine_tuning_did() -> None:
    lines = said(record(changes=[change(k, step=-0.2, distance=50.0) for k in range(3)]), TUNED)
    assert "yes, closer by every measure without unit" in lines[0]
    assert any("18.20 before, 68.20 after" in line and "decides nothing" in line for line in lines)


def test_few_seeds_are_told() -> None:
    assert "hardly known" in said(record(changes=[change()]), TUNED)[-1]
    assert "hardly known" not in said(record(changes=[change(k) for k in range(3)]), TUNED)[-1]


def test_each_recipe_has_its_own_answer() -> None:
    lines = said(record(changes=[change(), change(recipe="partial", step=-0.2)]), TUNED)
    assert any(line.startswith("MobileNet v2 full, 1 seed: no") for line in lines)
    assert any(line.startswith("MobileNet v2 partial, 1 seed: yes") for line in lines)


def test_the_overlap_goes_the_other_way() -> None:
    overlap, ratio = MEASURES["neighbour_overlap"], MEASURES["ratio"]
    less, more = value(0.2), value(0.9)
    assert (closer(ratio, less, more), closer(overlap, less, more)) == ("yes", "no")
    assert (moved(ratio, less), moved(overlap, less)) == ("no", "yes")
    assert closer(ratio, less, less) == "untold"


def test_what_is_undefined_cannot_be_told() -> None:
    made = subject()
    made["stages"][-1]["measures"]["distance"]["natural_noise"] = value(None)
    assert than_noise(made["stages"][-1], MEASURES["distance"]) == "untold"
    assert "to noise n/a and 26.10" in " ".join(said(record([made]), SIMILAR))


def test_a_probe_refutes_one_distribution_only_above_the_halves_of_both_sets() -> None:
    def asked(**laid: float | None) -> str:
        same = {"ratio_natural_medical": 1.0, "cosine_ratio_natural_medical": 1.0, "kid_natural_medical": 0.0}
        return " ".join(similarity_words.similar(SimilarityView(record([subject(**(same | laid))]))))  # type: ignore[arg-type]

    near = {"two_sample_auroc_natural_medical": 0.55}
    assert "One and the same distribution: refuted" in asked(**near)
    for name in ("natural_natural", "medical_medical"):
        for halves in (0.56, None):
            assert "distribution: not refuted" in asked(**near, **{f"two_sample_auroc_{name}": halves})


def test_cautions_follow_the_record() -> None:
    known = similarity_words.cautions(SimilarityView(record()))
    assert not any("patient of its own" in line for line in known)
    made = record()
    made["medical"]["patients_known"] = False
    assert any("patient of its own" in line for line in similarity_words.cautions(SimilarityView(made)))


@pytest.mark.parametrize(
    ("number", "expected"),
    [(1234.5, "1,234"), (18.2, "18.20"), (1.0, "1.000"), (0.1234, "0.1234"), (-0.01234, "−0.01234"), (0.0, "0"),
     (0.0000001, "1.0e−07"), (-2.73e-8, "−2.7e−08")],
)  # fmt: skip
def test_units_of_features_have_four_digits(number: float, expected: str) -> None:
    assert MEASURES["distance"].text(number) == expected
