"""(arms, image counts, rates, what is stored) -> how long a study takes, by stage and backbone, and in plain lines."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from xenograft.data.preprocess import Preprocess
from xenograft.study.arm import Arm
from xenograft.study.rates import Basis, Rate

VALIDATION = 3.0
"""How many times as quickly an image is looked at as it is trained on."""

STAGES = {
    "read": "reading",
    "embed": "embedding",
    "fit": "heads",
    "train": "training",
    "evaluate": "evaluating",
}
"""The stages of a study in order, and their names in sentences."""

# Orders of magnitude from a study of 5,840 images on two cores; the network is nearly all of the time.
_FILES_PER_SECOND = 1500.0  # small ones, decoded by two threads
_BYTES_PER_SECOND = 60e6  # of compressed images, per core
_BUILD = 3.0  # seconds to compile one network for its engine
_HEAD = 0.5  # seconds to fit one head
_EVALUATE = 0.5  # seconds for scores, intervals and files of one run


class Images(NamedTuple):
    """How many images each split has."""

    train: int
    val: int
    test: int

    @classmethod
    def of(cls, count: int, *, val: float = 0.15, test: float = 0.2) -> Images:
        """A data set of `count` images in shares, as `IngestOptions` splits one that is not split."""
        held = round(count * test)
        chosen = round((count - held) * val)
        return cls(count - held - chosen, chosen, held)


class Features(NamedTuple):
    """A set of features that several arms may share: of one split through one frozen network.

    Args:
        seed: of random weights or random views; None where nothing is random. views: 0 for the images themselves.
    """

    backbone: str
    pretrained: bool
    preprocess: Preprocess
    split: str
    augment: str = "none"
    views: int = 0
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Pace:
    """What the arms' speeds are.

    Args:
        embedding, training: images per second of an arm's frozen network, and of its training steps.
    """

    embedding: Callable[[Arm], Rate]
    training: Callable[[Arm], Rate]


@dataclass(frozen=True, slots=True)
class Row:
    """One backbone's part of a forecast; `seconds` by stage, `basis` of the stages that rest on a rate."""

    backbone: str
    seconds: Mapping[str, float]
    basis: Mapping[str, frozenset[Basis]]

    @property
    def total(self) -> float:
        """Seconds."""
        return sum(self.seconds.values())


@dataclass(frozen=True, slots=True)
class Forecast:
    """How long a study will take.

    Args:
        read: seconds to read files for the first time. rows: one per backbone, in the order of the arms.
        early: whether validation may end some training before its last epoch.
    """

    read: float
    rows: tuple[Row, ...]
    early: bool = False

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds by stage, see `STAGES`."""
        return {stage: sum(row.seconds.get(stage, 0.0) for row in self.rows) for stage in STAGES} | {"read": self.read}

    @property
    def total(self) -> float:
        """Seconds."""
        return sum(self.seconds.values())

    @property
    def basis(self) -> dict[str, frozenset[Basis]]:
        """What the stages that compute with a network rest on."""
        return {
            stage: found
            for stage in ("embed", "train")
            if (found := frozenset[Basis]().union(*(row.basis.get(stage, ()) for row in self.rows)))
        }

    @property
    def measured(self) -> bool:
        """Whether every rate in it was measured on this machine."""
        return all(found == {"measured"} for found in self.basis.values())


def forecast(
    arms: Sequence[Arm],
    images: Images,
    *,
    pace: Pace,
    stored: Callable[[Arm, Features], float] = lambda _arm, _features: 0.0,
    read: float = 0.0,
) -> Forecast:
    """How long these arms take, each set of features being computed once.

    Args:
        arms: those that still have to run.
        stored: share in [0, 1] of a set of features that needs no computing any more.
        read: seconds, see `reading_seconds`.
    """
    seen: set[Features] = set()
    gathered: dict[str, list[Row]] = {}
    for arm in arms:
        fresh = [features for features in features_of(arm) if features not in seen]
        seen.update(fresh)
        gathered.setdefault(arm.spec.name, []).append(_arm_row(arm, images, fresh, pace=pace, stored=stored))
    early = any(not arm.recipe.frozen and 0 < arm.recipe.patience < arm.recipe.epochs for arm in arms)
    return Forecast(read, tuple(_backbone_row(name, rows) for name, rows in gathered.items()), early)


def features_of(arm: Arm) -> list[Features]:
    """The sets of features that an arm needs: none where the whole network moves from the start."""
    recipe = arm.recipe
    if not recipe.frozen and not recipe.head_first:
        return []
    drawn = None if recipe.pretrained else arm.seed
    train = Features(arm.spec.name, recipe.pretrained, arm.preprocess, "train", seed=drawn)
    if recipe.frozen and recipe.views:
        train = train._replace(augment=recipe.augment, views=recipe.views, seed=arm.seed)
    plain = ("val", "test") if recipe.frozen else ("val",)
    held = [Features(arm.spec.name, recipe.pretrained, arm.preprocess, split, seed=drawn) for split in plain]
    return [train, *held]


def reading_seconds(files: int, size: int = 0, *, cores: int = 1) -> float:
    """Seconds to read and inspect files that no cache knows.

    Args:
        size: bytes of all of them; large files take their time by bytes, small ones by number.
    """
    return max(files / _FILES_PER_SECOND, size / (_BYTES_PER_SECOND * max(1, cores)))


def describe(found: Forecast) -> list[str]:
    """Lines for the user: the whole and its parts, then the backbones where there are several; none for no work."""
    if found.total <= 0:
        return []
    parts = sorted(found.seconds.items(), key=lambda part: -part[1])
    shown = ", ".join(f"{STAGES[stage]} {duration(seconds)}" for stage, seconds in parts if seconds >= 1)
    most = ", less where training stops early" if found.early else ""
    lines = [
        f"forecast: about {duration(found.total)}" + (f" ({shown})" if shown else "") + f"{most}; {_grounds(found)}"
    ]
    if len(found.rows) > 1:
        rows = sorted(found.rows, key=lambda row: -row.total)
        lines.append("by backbone: " + ", ".join(f"{row.backbone} {duration(row.total)}" for row in rows))
    return lines


def duration(seconds: float) -> str:
    """Two units at most, and no more digits than a forecast deserves: ``40 s``, ``6 min 30 s``, ``3 h 20 min``."""
    if seconds < 1:
        return "less than 1 s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    if seconds < 595:
        return _two(round(seconds / 10) * 10, 60, "min", "s")
    minutes = seconds / 60
    if minutes < 59.5:
        return f"{minutes:.0f} min"
    if minutes < 595:
        return _two(round(minutes / 10) * 10, 60, "h", "min")
    hours = minutes / 60
    return f"{hours:.0f} h" if hours < 47.5 else f"{hours / 24:.0f} days"


def _two(value: int, base: int, large: str, small: str) -> str:
    whole, rest = divmod(value, base)
    return f"{whole} {large}" + (f" {rest} {small}" if rest else "")


def _arm_row(
    arm: Arm,
    images: Images,
    fresh: Collection[Features],
    *,
    pace: Pace,
    stored: Callable[[Arm, Features], float],
) -> Row:
    """What one arm adds, given the sets of features that no arm before it computes."""
    missing = sum(_size(features, images) * (1.0 - stored(arm, features)) for features in fresh)
    seconds, basis = {"evaluate": _EVALUATE}, {}
    if missing > 0:
        rate = pace.embedding(arm)
        seconds["embed"] = _BUILD + missing / rate.images_per_second
        basis["embed"] = frozenset({rate.basis})
    if arm.recipe.frozen or arm.recipe.head_first:
        seconds["fit"] = _HEAD
    if not arm.recipe.frozen:
        rate = pace.training(arm)
        passed = arm.recipe.epochs * (images.train + images.val / VALIDATION) + images.test / VALIDATION
        seconds["train"] = passed / rate.images_per_second
        basis["train"] = frozenset({rate.basis})
    return Row(arm.spec.name, seconds, basis)


def _size(features: Features, images: Images) -> int:
    count: int = getattr(images, features.split)
    return count * max(1, features.views)


def _backbone_row(name: str, rows: Iterable[Row]) -> Row:
    rows = list(rows)
    seconds = {stage: sum(row.seconds.get(stage, 0.0) for row in rows) for stage in STAGES}
    basis = {stage: frozenset[Basis]().union(*(row.basis.get(stage, ()) for row in rows)) for stage in STAGES}
    return Row(name, seconds, basis)


def _grounds(found: Forecast) -> str:
    """Where the rates come from, for each stage on its own where the stages differ."""
    told = {
        stage: next(text for basis, text in _GROUNDS.items() if basis in used) for stage, used in found.basis.items()
    }
    if len(set(told.values())) <= 1:
        text = next(iter(told.values()), "nothing has to be computed but heads and scores")
    else:
        text = "; ".join(f"{STAGES[stage]}: {text}" for stage, text in told.items())
    return text.format(option=" --training" if "assumed" in found.basis.get("train", ()) else "")


# the weakest first
_GROUNDS: dict[Basis, str] = {
    "assumed": "rough, no rate was measured on this machine yet (xenograft doctor{option} measures)",
    "estimated": "rates estimated from others that were measured on this machine",
    "measured": "rates measured on this machine",
}
