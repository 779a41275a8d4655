"""Studies of many kinds, made and rendered once for all tests that read them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from xenograft.reporting import page
from xenograft.reporting.figures import canvas
from xenograft.study.record import Study

from .completing import complete
from .finding_makers import SIX, make_findings_study
from .makers import make_study
from .reading import Page
from .test_robustness_page import record as robustness

HOSTILE = '<img src=x onerror="alert(1)">'
STAMPED = {"leak_allowed": True, "synthetic": True, "facts": ["One hospital only."]}


@dataclass(frozen=True)
class Rendered:
    """A study, the text of its page, and the page parsed."""

    study: Study
    html: str
    page: Page

    @property
    def folder(self) -> Path:
        """Of the page."""
        return self.study.folder / "report"


def _one(folder: Path) -> Study:
    """One run, of a head that is solved in one go; nothing is known of the patients but who they are."""
    return complete(
        make_study(folder, backbones=("resnet18",), recipes=("logistic",), seeds=1, n=60, examples=1), facts=False
    )


def _recipes(folder: Path) -> Study:
    """One backbone, several recipes, two learning rates; scratch and the random control among them."""
    recipes = ("scratch", "random", "probe")
    made = make_study(
        folder, backbones=("resnet18",), recipes=recipes, scales=(1.0, 0.1), seeds=1, n=80, epochs=2, examples=0
    )
    return complete(made)


def _backbones(folder: Path) -> Study:
    """Several backbones by one recipe, with folds that test on different images."""
    names = ("resnet18", "mobilenet_v2", "squeezenet1_1")
    made = make_study(
        folder, backbones=names, recipes=("probe",), seeds=1, folds=3, rotating=True, n=60, epochs=2, examples=0
    )
    return complete(made)


def _stamped(folder: Path) -> Study:
    """Scratch and probe, two seeds in each of two folds that share their test; leak allowed, data made."""
    made = make_study(folder, backbones=("resnet18",), seeds=2, folds=2, n=90, epochs=2, baseline=1.0, data=STAMPED)
    return complete(made, robustness=robustness(changes=("blur", "noise")))


def _classes(folder: Path) -> Study:
    """Five classes, one of them with a name that is markup."""
    names = ("cyst", "normal", "stone", "tumour", HOSTILE)
    made = make_study(
        folder, backbones=("resnet18",), recipes=("scratch", "probe"), classes=names, seeds=1, n=150, epochs=2,
        examples=1, baseline=0.4,
    )  # fmt: skip
    return complete(made, robustness=robustness("multiclass", changes=("blur",)))


def _findings(folder: Path) -> Study:
    """Six findings, some of them unknown."""
    made = make_findings_study(folder, findings=SIX, backbones=("resnet18",), seeds=1, n=300, examples=1)
    return complete(made, robustness=robustness("multilabel", changes=("blur",)))


def _older(folder: Path) -> Study:
    """Interrupted before anything was said of its runs together."""
    return make_study(folder, seeds=2, n=60, epochs=2, examples=1)


KINDS: dict[str, Callable[[Path], Study]] = {
    make.__name__.removeprefix("_"): make
    for make in (_one, _recipes, _backbones, _stamped, _classes, _findings, _older)
}


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Rendered]]:
    """Kind -> the study and its page, without PDF files: embedding fonts takes most of the time."""

    @cache
    def made(kind: str) -> Rendered:
        study = KINDS[kind](tmp_path_factory.mktemp(kind) / "study")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(canvas, "_pdf", lambda _: b"%PDF")
            html = page.render(study).read_text(encoding="utf-8")
        return Rendered(study, html, Page.of(html))

    yield made
    made.cache_clear()


@pytest.fixture(params=KINDS)
def each(request: pytest.FixtureRequest, rendered: Callable[[str], Rendered]) -> Rendered:
    """Every kind of study in turn."""
    return rendered(request.param)
