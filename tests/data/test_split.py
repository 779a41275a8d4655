import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xenograft.data.split import assign, folds, holdout, linked_groups, strata_of
from xenograft.errors import LabelError

quick = settings(derandomize=True, max_examples=30, deadline=None)


@st.composite
def cohorts(draw, classes=2, least=8):
    """Labels and groups: patients of one class each with 1 to 3 images, in shuffled order."""
    sizes = [draw(st.lists(st.integers(1, 3), min_size=least, max_size=20)) for _ in range(classes)]
    labels = np.concatenate([np.full(sum(s), c) for c, s in enumerate(sizes)])
    groups = np.repeat(np.arange(sum(map(len, sizes))), np.concatenate(sizes))
    order = np.random.default_rng(draw(st.integers(0, 99))).permutation(len(labels))
    return labels[order], groups[order]


def naive_groups(*keys):
    """Union by relabelling until nothing changes."""
    group = list(range(len(keys[0])))
    for i in range(len(group)):
        for j in range(i):
            if group[i] != group[j] and any(k[i] == k[j] for k in keys):
                group = [group[j] if g == group[i] else g for g in group]
    return group


def same_partition(a, b):
    return len(set(zip(a, b, strict=True))) == len(set(a)) == len(set(b))


@quick
@given(st.lists(st.tuples(st.integers(0, 12), st.sampled_from("abcdefghij")), min_size=1, max_size=25))
def test_linked_groups_are_those_of_a_union_find(pairs):
    keys = list(zip(*pairs, strict=True))
    assert same_partition(linked_groups(*keys).tolist(), naive_groups(*keys))


def test_one_picture_under_two_patients_ties_both():
    groups = linked_groups(["p1", "p1", "p2", "p2", "p3"], ["a", "b", "b", "c", "d"])
    assert len(set(groups[:4])) == 1
    assert groups[4] != groups[0]


@quick
@given(cohorts(), st.integers(0, 5))
def test_no_group_is_cut_and_every_image_has_a_split(cohort, seed):
    labels, groups = cohort
    splits, said = assign(labels, groups, [""] * len(labels), val=0.3, test=0.3, seed=seed)
    assert set(splits) == {"train", "val", "test"}
    assert all(len({s for s, g in zip(splits, groups, strict=True) if g == group}) == 1 for group in set(groups))
    assert f"(seed {seed})" in said


@quick
@given(cohorts(classes=3, least=6), st.integers(2, 6))
def test_every_image_is_in_one_fold_and_no_group_in_two(cohort, k):
    labels, groups = cohort
    fold = folds(labels, groups, k=k, seed=0)
    assert set(fold) <= set(range(k))
    assert fold.min() == 0
    assert len(set(zip(fold, groups, strict=True))) == len(set(groups))


@pytest.mark.parametrize("share", [0.1, 0.37, 0.5])
def test_classes_keep_their_shares_when_patients_are_many(share):
    rng = np.random.default_rng(1)
    groups = rng.integers(0, 600, 1500)
    labels = (rng.random(600) < share).astype(np.int64)[groups]
    for fold in range(5):
        inside = folds(labels, groups, k=5, seed=3) == fold
        assert labels[inside].mean() == pytest.approx(labels.mean(), abs=0.02)
        assert inside.mean() == pytest.approx(0.2, abs=0.02)


def test_the_seed_decides():
    labels, groups = np.arange(200) % 2, np.arange(200)
    first, again, other = (holdout(labels, groups, fraction=0.2, seed=seed) for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()
    assert first.sum() == 40
    assert (first == (folds(labels, groups, k=5, seed=0) == 0)).all()


def test_a_validation_split_is_carved_out_of_train_by_patient():
    groups = np.arange(120) // 2
    labels = groups % 2
    given_splits = ["train"] * 100 + ["test"] * 20
    splits, said = assign(labels, groups, given_splits, val=0.2)
    assert splits[100:] == ["test"] * 20
    assert splits[:100].count("val") == 20
    assert not set(groups[np.array(splits) == "val"]) & set(groups[np.array(splits) == "train"])
    assert said == "splits as given; validation: 20% of the training images, by patient, stratified by class (seed 0)"


def test_complete_splits_stay():
    labels = np.array([0, 1] * 3)
    given_splits = ["train", "train", "val", "val", "test", "test"]
    assert assign(labels, np.arange(6), given_splits) == (given_splits, "splits as given (seed 0)")


def test_some_splits_given_and_some_not():
    with pytest.raises(LabelError, match="1 of 4 images have no split") as caught:
        assign(np.array([0, 1, 0, 1]), np.arange(4), ["train", "train", "", "test"])
    assert caught.value.code == "E-LABEL-20"


def test_l11_no_training_images():
    with pytest.raises(LabelError, match="split train holds no image") as caught:
        assign(np.array([0, 1]), np.arange(2), ["test", "test"])
    assert caught.value.code == "E-LABEL-11"


def test_l12_a_class_with_fewer_patients_than_folds():
    labels, groups = np.array([0] * 8 + [1] * 8), np.array([*range(8), 8, 8, 8, 8, 9, 9, 9, 9])
    with pytest.raises(LabelError, match="class ill has 2 patients, 5 folds need at least 5; add patients") as caught:
        folds(labels, groups, k=5, seed=0, classes=["well", "ill"])
    assert caught.value.code == "E-LABEL-12"


@pytest.mark.parametrize(("fraction", "expected"), [(0.4, 0.4), (0.35, 0.35), (0.2, 0.2), (0.15, 1 / 7), (0.5, 0.5)])
def test_the_share_held_out_is_the_share_asked_for(fraction: float, expected: float) -> None:
    from xenograft.data.split import holdout

    labels = np.tile([0, 1], 400)
    held = holdout(labels, np.arange(800), fraction=fraction, seed=0)
    assert held.mean() == pytest.approx(expected, abs=0.01)


# Several findings an image

_SHARES = [0.18, 0.12, 0.1, 0.06, 0.05, 0.05, 0.04, 0.03, 0.025, 0.02, 0.02, 0.015, 0.013, 0.005]  # a long tail


def findings(images=2000, *, seed=0):
    """(N, 14) findings of patients with 3 to 4 images on average, half of them by patient; a few labels unknown."""
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, int(images / 3.6), images)
    prone = np.where(rng.random((groups.max() + 1, 14)) < 0.2, 3, 0.5)
    labels = (rng.random((images, 14)) < _SHARES * prone[groups]).astype(np.int64)
    labels[rng.random((images, 14)) < 0.03] = -1
    return labels, groups


@pytest.mark.parametrize("seed", range(3))
def test_every_finding_keeps_its_share_and_no_patient_is_cut(seed):
    labels, groups = findings(seed=seed)
    splits, said = assign(labels, groups, [""] * len(labels), seed=seed)
    assert "by patient, stratified by the rarest finding of an image" in said
    names = np.array(splits)
    present = labels == 1
    for split, size in (("train", 0.69), ("val", 0.11), ("test", 0.2)):
        inside = names == split
        assert inside.mean() == pytest.approx(size, abs=0.01)
        np.testing.assert_allclose(present[inside].mean(axis=0), present.mean(axis=0), atol=0.04)
        assert present[inside].any(axis=0).all()
    assert len(set(zip(splits, groups, strict=True))) == len(set(groups))


def test_findings_are_spread_more_evenly_than_by_chance():
    def off(held, present):
        return np.mean(np.abs(present[held].mean(axis=0) / present.mean(axis=0) - 1))

    ours, chance = [], []
    for seed in range(4):
        labels, groups = findings(seed=seed)
        ours.append(off(holdout(labels, groups, fraction=0.2, seed=seed), labels == 1))
        drawn = np.random.default_rng(seed).permutation(groups.max() + 1)[: groups.max() // 5]
        chance.append(off(np.isin(groups, drawn), labels == 1))
    assert np.mean(ours) < 0.5 * np.mean(chance)


def test_the_rarest_finding_that_enough_patients_have_is_the_stratum():
    labels = np.zeros((40, 3), dtype=np.int64)
    labels[:20, 0] = 1  # the commonest
    labels[4:10, 1] = 1
    labels[[5, 6], 2] = 1  # two patients only
    labels[30:, 1] = -1  # unknown is not present
    strata = strata_of(labels, np.arange(40), least=5)
    assert strata.tolist() == [1] * 4 + [2] * 6 + [1] * 10 + [0] * 20
    assert strata_of(labels, np.arange(40), least=2)[4:8].tolist() == [2, 3, 3, 2]


def test_images_of_too_few_patients_join_the_largest_stratum():
    labels = np.ones((12, 2), dtype=np.int64)
    labels[:3] = 0
    labels[:8, 1] = 0
    assert strata_of(labels, np.arange(12), least=4).tolist() == [1] * 8 + [2] * 4


def test_classes_are_their_own_strata():
    labels = np.array([2, 0, 1])
    assert strata_of(labels, np.arange(3), least=99) is labels


@quick
@given(st.integers(0, 200), st.integers(1, 6), st.floats(0, 1), st.integers(6, 30), st.integers(2, 6))
def test_any_findings_can_be_dealt(seed, width, share, patients, k):
    rng = np.random.default_rng(seed)
    groups = np.concatenate([np.arange(patients), rng.integers(0, patients, 20)])
    labels = np.where(rng.random((len(groups), width)) < share, 1, rng.integers(-1, 1, (len(groups), width)))
    fold = folds(labels, groups, k=k, seed=0)
    assert set(fold.tolist()) <= set(range(k))
    assert fold.min() == 0
    assert len(set(zip(fold, groups, strict=True))) == patients


def test_l12_findings_of_fewer_patients_than_folds():
    with pytest.raises(LabelError, match="5 folds need at least 5 patients, there are 3") as caught:
        folds(np.ones((9, 2), dtype=np.int64), np.arange(9) % 3, k=5, seed=0)
    assert caught.value.code == "E-LABEL-12"


def test_l12_one_patient_of_a_class_and_a_share_that_no_fold_makes():
    with pytest.raises(LabelError) as caught:
        holdout(np.array([0] * 9 + [1]), np.arange(10), fraction=0.37, seed=0)
    assert caught.value.code == "E-LABEL-12"
