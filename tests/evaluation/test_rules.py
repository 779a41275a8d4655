import numpy as np
import pytest

from xenograft.errors import UsageError
from xenograft.evaluation.operating_points import Cost, Sensitivity, Specificity, Youden, choose
from xenograft.evaluation.rules import check_usable, in_words, parse_rule
from xenograft.evaluation.threshold import MIN_PER_CLASS, policy_in_use, thresholds_for


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("youden", Youden()),
        ("Youden", Youden()),
        ("sensitivity=0.95", Sensitivity(0.95)),
        ("sensitivity = .9", Sensitivity(0.9)),
        ("specificity=1", Specificity(1.0)),
        ("cost=10:1", Cost(10, 1)),
        ("cost=2.5:0.5@0.05", Cost(2.5, 0.5, 0.05)),
    ],
)
def test_what_can_be_written(text, rule):
    found = parse_rule(text)
    assert found.rule == rule
    assert found.name == text.replace(" ", "").lower()
    assert parse_rule(found.name) == found
    assert str(found) == str(rule)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("sensitivty=0.9", "did you mean sensitivity"),
        ("sens=0.9", "did you mean sensitivity"),
        ("youdn", "did you mean youden"),
        ("sensitivity=95", r"did you mean sensitivity=0\.95"),
        ("specificity=90%", r"did you mean specificity=0\.9"),
        ("sensitivity=0", "write youden"),
        ("sensitivity=nan", "write youden"),
        ("sensitivity", "write youden"),
        ("cost=10", "write youden"),
        ("cost=0:1", "costs are above 0"),
        ("cost=1e999:1", "costs are above 0"),
        ("cost=1:1@1", "a prevalence is between"),
        ("", "write youden"),
        ("=", "write youden"),
        ("fixed", "write youden"),
        ("sensitivity=0.9;\nrm", "write youden"),
    ],
)
def test_anything_else_is_one_line(text, hint):
    with pytest.raises(UsageError, match=hint) as caught:
        parse_rule(text)
    assert caught.value.code == "E-USAGE-30"
    assert "\n" not in str(caught.value)


def sample(n=200, seed=0):
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.3).astype(np.int64)
    return labels, np.clip(0.3 * labels + 0.7 * rng.random(n), 0, 1)


@pytest.mark.parametrize("text", ["sensitivity=0.95", "specificity=0.9", "cost=10:1", "cost=10:1@0.01"])
def test_the_rule_is_one_policy_more_under_its_own_name(text):
    labels, scores = sample()
    rule = parse_rule(text)
    table = np.stack([1 - scores, scores], axis=1)
    found = thresholds_for(labels, table, rule)
    assert list(found) == ["fixed", "youden", text]
    assert found[text] == choose(rule.rule, labels, scores).threshold
    assert {k: v for k, v in found.items() if k != text} == thresholds_for(labels, table)
    assert policy_in_use(found) == text


def test_what_is_in_use_without_a_rule():
    labels, scores = sample()
    table = np.stack([1 - scores, scores], axis=1)
    assert thresholds_for(labels, table, parse_rule("youden")) == thresholds_for(labels, table)
    assert policy_in_use(thresholds_for(labels, table)) == "youden"
    assert policy_in_use({"fixed": 0.5}) == "fixed"


def test_a_target_that_no_threshold_reaches_is_left_out():
    labels, scores = sample()
    scores[labels == 0] = 1.0
    found = thresholds_for(labels, np.stack([1 - scores, scores], axis=1), parse_rule("specificity=0.9"))
    assert list(found) == ["fixed", "youden"]


def test_each_finding_has_its_own_threshold_by_the_rule_and_a_rare_one_keeps_a_half():
    pairs = [sample(seed=k) for k in range(2)]
    rare = np.zeros(200, dtype=np.int64)
    rare[: MIN_PER_CLASS - 1] = 1
    labels = np.stack([*(labels for labels, _ in pairs), rare], axis=1)
    labels[::5, 0] = -1
    scores = np.stack([*(scores for _, scores in pairs), pairs[0][1]], axis=1)
    rule = parse_rule("sensitivity=0.8")
    known = labels[:, 0] >= 0
    expected = [choose(rule.rule, labels[known, 0], scores[known, 0]), choose(rule.rule, labels[:, 1], scores[:, 1])]
    found = thresholds_for(labels, scores, rule)
    assert found["sensitivity=0.8"] == [*(point.threshold for point in expected), 0.5]
    assert thresholds_for(labels[:, 2:], scores[:, 2:], rule) == {"fixed": 0.5}


def test_several_classes_have_no_threshold():
    labels = np.arange(60) % 3
    for refused in (
        lambda rule: thresholds_for(labels, np.full((60, 3), 1 / 3), rule),
        lambda rule: check_usable(rule, labels, 3),
    ):
        with pytest.raises(UsageError, match="3 classes have none") as caught:
            refused(parse_rule("sensitivity=0.9"))
        assert caught.value.code == "E-USAGE-30"


def test_too_small_a_validation_set_is_refused_before_training():
    rule = parse_rule("sensitivity=0.9")
    check_usable(rule, np.repeat([0, 1], [10, 10]), 2)
    with pytest.raises(UsageError, match="there are 9 of the rarer"):
        check_usable(rule, np.repeat([0, 1], [50, 9]), 2)
    one_is_enough = np.stack([np.repeat([0, 1], 10), np.full(20, -1)], axis=1)
    check_usable(rule, one_is_enough, 2)
    with pytest.raises(UsageError, match="there are 0 of the rarer"):
        check_usable(rule, one_is_enough[:, 1:], 1)


def test_words():
    assert in_words("fixed") == "fixed at 0.5"
    assert in_words("youden") == "Youden's J"
    assert in_words("sensitivity=0.95") == "sensitivity of at least 0.95"
