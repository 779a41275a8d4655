"""The page as a whole: what it says, what it must not do, and what an interruption leaves."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from xenograft import storage
from xenograft.errors import DataError, ProcessError
from xenograft.reporting import page
from xenograft.reporting.checklist import CHECKLISTS
from xenograft.reporting.figures import canvas
from xenograft.reporting.groups import View
from xenograft.study.record import Study, write_study

from .makers import make_study
from .reading import Page

HOSTILE = '<img src=x onerror="alert(1)">'


def text_of(study: Study) -> str:
    return page.render(study).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, str]:
    study = make_study(tmp_path_factory.mktemp("plain") / "study", epochs=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(canvas, "_pdf", lambda _: b"%PDF")
        return study, text_of(study)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No PDF files: embedding fonts takes most of the time, and these tests read the page."""
    monkeypatch.setattr(canvas, "_pdf", lambda _: b"%PDF")


def test_page_is_self_contained(plain: tuple[Study, str]) -> None:
    found = Page.of(plain[1])
    assert not {"script", "link", "iframe", "object", "embed", "base"} & set(found.tags)
    local = ("#", "data:image/png;base64,", "figures/", "tables/", "methods.txt", "checklist-")
    assert [load for load in found.loads if not load.startswith(local)] == []
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in plain[1]
    assert not re.search(r"@import|url\(['\"]?http", plain[1])


def test_ids_are_unique_and_links_lead_somewhere(plain: tuple[Study, str]) -> None:
    study, html = plain
    found = Page.of(html)
    assert len(found.ids) == len(set(found.ids))
    assert {load[1:] for load in found.loads if load.startswith("#")} <= set(found.ids)
    files = [load for load in found.loads if load.startswith(("figures/", "tables/"))]
    assert files
    assert all((study.folder / "report" / file).is_file() for file in files)


def test_page_stays_small(plain: tuple[Study, str]) -> None:
    assert len(plain[1].encode()) < 5_000_000


def test_sections_stand_in_order(plain: tuple[Study, str]) -> None:
    titles = re.findall(r"<h2 id=\"\w+\">(\d+)\. ([^<]+)</h2>", plain[1])
    assert [title for _, title in titles] == [
        "Is there a difference?",
        "How good is it?",
        "Can the probabilities be trusted?",
        "Where does it fail?",
        "Is it a shortcut?",
        "What was done to the data?",
        "How was it trained?",
        "How to make it again",
        "Reporting guidelines",
    ]
    assert [int(number) for number, _ in titles] == list(range(1, 10))


def test_facts_of_conduct_are_printed(plain: tuple[Study, str]) -> None:
    for words in (
        "ab" * 32,
        "0f" * 32,
        "BSD-3-Clause",
        "2026-07-01 10:10:03 UTC",
        "12 min 34 s",
        "train/normal/._IM-1",
    ):
        assert words in plain[1]
    for name, rows in ((name, make(View.of(plain[0]), {})) for name, _, make in CHECKLISTS.values()):
        missing = sum(row.status == "not supplied" for row in rows)
        assert missing > 5
        assert f"{name}: {len(rows)} items, of which {missing} only people can answer" in plain[1]


def test_rendering_again_gives_the_same_bytes(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", seeds=1, recipes=("probe",), backbones=("resnet18",), epochs=3)
    page.render(study)
    before = {p: p.read_bytes() for p in (study.folder / "report").rglob("*") if p.is_file()}
    page.render(Study.load(study.folder))
    after = {p: p.read_bytes() for p in (study.folder / "report").rglob("*") if p.is_file()}
    assert before == after
    assert {p.suffix for p in before} == {".html", ".svg", ".pdf", ".csv", ".tex", ".txt"}


@pytest.mark.usefixtures("quick")
def test_interrupted_rendering_leaves_the_old_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = make_study(tmp_path / "study", seeds=1, backbones=("resnet18",))
    old = study.folder / "report" / "index.html"
    storage.atomic_write(old, "the old page")
    publish = storage._publish

    def full(temporary: Path, target: Path) -> None:
        if target.name == "index.html":
            raise OSError(28, "No space left on device")
        publish(temporary, target)

    monkeypatch.setattr(storage, "_publish", full)
    with pytest.raises(ProcessError, match="No space left"):
        page.render(study)
    assert old.read_text(encoding="utf-8") == "the old page"
    assert not list((study.folder / "report").rglob("*.tmp"))


@pytest.mark.usefixtures("quick")
def test_stale_files_of_ours_go_and_foreign_ones_stay(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", seeds=1, backbones=("resnet18",))
    folder = study.folder / "report"
    (folder / "tables").mkdir(parents=True)
    (folder / "tables" / "table-results-inception.csv").write_text("old")
    (folder / "tables" / "my notes.csv").write_text("mine")
    page.render(study)
    assert not (folder / "tables" / "table-results-inception.csv").exists()
    assert (folder / "tables" / "my notes.csv").read_text() == "mine"


@pytest.mark.usefixtures("quick")
def test_out_names_another_folder(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", seeds=1, backbones=("resnet18",))
    made = page.render(study, out=tmp_path / "elsewhere")
    assert made == tmp_path / "elsewhere" / "index.html"
    assert not (study.folder / "report").exists()


def test_study_without_runs_is_refused(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", seeds=0)
    with pytest.raises(DataError, match="no finished run"):
        page.render(study)


@pytest.mark.usefixtures("quick")
def test_hostile_names_stay_text(tmp_path: Path) -> None:
    study = _hostile(tmp_path)
    html = text_of(study)
    found = Page.of(html)
    assert found.handlers == []
    assert "x" not in found.loads
    assert "<img src=x" not in html
    assert "\x1b" not in html
    for drawing in (study.folder / "report" / "figures").glob("*.svg"):
        assert "<img src=x" not in drawing.read_text(encoding="utf-8")


def _hostile(tmp_path: Path) -> Study:
    study = make_study(tmp_path / "study", seeds=1, backbones=("resnet18",), classes=("normal $\\frac{$", HOSTILE))
    record = study.record
    data = record.data | {
        "skipped": [{"path": f"a/{HOSTILE}\x1b[31m", "code": "S-FILE-01", "reason": HOSTILE}],
        "notices": [{"code": "W-1", "message": HOSTILE, "count": 2, "items": [HOSTILE]}],
        "facts": [HOSTILE],
        "name": HOSTILE,
        "examples": {HOSTILE: ["../../etc/passwd", "missing.png", record.data["examples"][HOSTILE][0]]},
    }
    write_study(study.folder, dataclasses.replace(record, title=HOSTILE, command=HOSTILE, data=data))
    return Study.load(study.folder)


@pytest.mark.usefixtures("quick")
def test_names_the_figures_font_lacks_pass(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", seeds=1, backbones=("resnet18",), classes=("正常", "肺炎 🫁"))
    assert "肺炎" in text_of(study)


@pytest.mark.usefixtures("quick")
def test_synthetic_images_are_called_so_everywhere(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", seeds=1, backbones=("resnet18",), data={"synthetic": True})
    html = text_of(study)
    assert 'class="banner synthetic"' in html
    captions = re.findall(r"<figcaption>.*?</figcaption>|<div class=\"caption\".*?</div>", html, flags=re.DOTALL)
    assert len(captions) > 8
    assert all("Synthetic phantom images, not patients." in caption for caption in captions)
    for drawing in (study.folder / "report" / "figures").glob("*.svg"):
        assert "synthetic phantom images, not patients" in drawing.read_text(encoding="utf-8")


@pytest.mark.usefixtures("quick")
def test_allowed_leak_is_stamped_on_every_section(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", seeds=1, backbones=("resnet18",), data={"leak_allowed": True})
    html = text_of(study)
    assert '<div class="banner">LEAK ALLOWED' in html
    headings = re.findall(r"<h2 id=.*?</h2>", html)
    assert len(headings) == 9
    assert all("LEAK ALLOWED" in heading for heading in headings)
    assert "@top-center" in html  # and on every printed page


def test_ordinary_study_has_no_banner(plain: tuple[Study, str]) -> None:
    assert 'class="banner' not in plain[1]
    assert "LEAK" not in plain[1]


@pytest.mark.usefixtures("quick")
def test_facts_stand_beside_every_headline(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", seeds=1, backbones=("resnet18",), data={"facts": ["One hospital only."]})
    assert (
        text_of(study).count("One hospital only.") == 4
    )  # the answer, and with how good it is, whether it can be trusted, and where it fails


@pytest.mark.usefixtures("quick")
def test_four_classes_render(tmp_path: Path) -> None:
    study = make_study(
        tmp_path / "study",
        seeds=1,
        backbones=("resnet18",),
        recipes=("scratch", "logistic"),
        classes=("cyst", "normal", "stone", "tumour"),
    )
    html = text_of(study)
    assert "Test results of each class against the rest" in html
    assert "Class with the largest probability" in html
    assert (study.folder / "report" / "tables" / "table-classes.csv").is_file()


@pytest.mark.usefixtures("quick")
def test_one_run_without_epochs_renders(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", backbones=("resnet18",), recipes=("logistic",), seeds=1)
    html = text_of(study)
    assert "No run was trained in epochs" in html
    assert "Nothing was compared in this study" in html
    assert "No run without pretrained weights is there to compare it with." in html


@pytest.mark.usefixtures("quick")
def test_run_without_chosen_threshold_renders(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", seeds=1, backbones=("resnet18",), recipes=("probe",), epochs=3, youden=False)
    assert "chosen on validation images (Youden" not in text_of(study)


@pytest.mark.usefixtures("quick")
def test_bare_records_render(tmp_path: Path) -> None:
    """No predictions, no counts, no examples, no intervals: what is missing is left out or called so."""
    study = make_study(tmp_path / "study", seeds=1, backbones=("resnet18",), examples=0)
    for file in study.folder.glob("runs/*/predictions.parquet"):
        file.unlink()
    record = dataclasses.replace(study.record, data={"name": "bare"}, environment={}, comparisons=[], config={})
    for run in study.runs:
        for policy in run.test["policies"].values():
            policy["confusion"] = None
            policy["metrics"] = dict.fromkeys(policy["metrics"]) | {
                "accuracy": {"value": 0.5, "low": None, "high": None}
            }
    html = text_of(dataclasses.replace(study, record=record))
    assert "how patients were identified was not recorded" in html
    assert "reached accuracy 50.0 %" in html


def test_a_page_is_drawn_again_only_when_its_records_changed(
    tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study(tmp_path / "study", epochs=0)
    drawn: list[Path] = []
    real = page.render
    monkeypatch.setattr(page, "render", lambda given: drawn.append(given.folder) or real(given))
    first = page.refresh(study)
    assert page.refresh(study) == first
    assert len(drawn) == 1
    write_study(study.folder, dataclasses.replace(study.record, title="another"))
    page.refresh(Study.load(study.folder))
    assert len(drawn) == 2
    first.unlink()
    assert page.refresh(Study.load(study.folder)).is_file()
    assert len(drawn) == 3
