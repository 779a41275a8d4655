"""The page of a similarity record: it loads nothing, its files are there, thumbnails lie where the map says."""

from __future__ import annotations

import csv
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xenograft.reporting import similarity_page
from xenograft.reporting.figures.similarity_map import ACROSS, thumbnails
from xenograft.reporting.similarity_view import SimilarityView

from .similarity_makers import change, lay_sheets, record, subject, value

HOSTILE = '<img src=x onerror="alert(1)">'


class Tags(HTMLParser):
    """Every start tag with its attributes, and how many are open."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, dict[str, Any]]:
    """A page with everything: text, folder, record."""
    folder = tmp_path_factory.mktemp("similarity")
    lay_sheets(folder)
    made = record(changes=[change(0), change(1, step=-0.2)])
    return similarity_page.render(made, folder).read_text(encoding="utf-8"), folder, made


def test_it_answers_first_and_loads_nothing(whole: tuple[str, Path, dict[str, Any]]) -> None:
    page, folder, _ = whole
    tags = Tags()
    tags.feed(page)
    assert not {"script", "link", "iframe", "img"} & {tag for tag, _ in tags.seen}
    assert not re.search(r"url\((?!data:|#)", page)
    ids = [a["id"] for _, a in tags.seen if "id" in a]
    assert len(ids) == len(set(ids))
    links = [str(a["href"]) for tag, a in tags.seen if tag == "a"]
    assert all(link[1:] in ids if link.startswith("#") else (folder / link).stat().st_size > 100 for link in links)
    order = [page.index(f'id="{name}"') for name in ("answer", "similar", "where", "maps", "tuned", "numbers")]
    assert order == sorted(order)
    assert len(page.encode()) < 5 << 20


def test_every_figure_and_table_is_a_file_and_is_shown(whole: tuple[str, Path, dict[str, Any]]) -> None:
    page, folder, _ = whole
    stems = {path.stem for kind in ("figures", "tables") for path in (folder / kind).iterdir()}
    assert len(stems) == 12
    for stem in stems:
        ends = ("svg", "pdf") if stem.startswith("figure") else ("csv", "tex")
        place = "figures" if stem.startswith("figure") else "tables"
        assert all(f'href="{place}/{stem}.{end}"' in page for end in ends), stem


def test_the_same_record_gives_the_same_bytes(tmp_path: Path) -> None:
    made = record([subject(stages=("head",), shown=4)])
    pages = []
    for name in "ab":
        lay_sheets(tmp_path / name, 4)
        pages.append(similarity_page.render(made, tmp_path / name).read_bytes())
    assert pages[0] == pages[1]


def test_a_small_record_leaves_out_what_it_does_not_have(tmp_path: Path) -> None:
    made = record([subject(stages=("head",), shown=4)])
    page = similarity_page.render(made, tmp_path).read_text(encoding="utf-8")
    assert 'id="where"' not in page
    assert 'id="tuned"' not in page
    assert "points and no thumbnails" in page  # the sheets are not there
    assert 'class="field"' not in page
    made["subjects"][0]["maps"] = {}
    page = similarity_page.render(made, tmp_path).read_text(encoding="utf-8")
    assert 'id="maps"' not in page
    assert not list((tmp_path / "figures").iterdir())  # those of the page before are gone


def test_undefined_values_say_why(tmp_path: Path) -> None:
    made = record([subject(stages=("a", "b"), shown=4)])
    for stage in made["subjects"][0]["stages"]:
        stage["measures"]["kid"] = dict.fromkeys(stage["measures"]["kid"], value(None))
        stage["measures"]["ratio"]["natural_noise"] = None
    page = similarity_page.render(made, tmp_path).read_text(encoding="utf-8")
    assert "undefined: the features do not vary" in page
    rows = read(tmp_path / "tables" / "table-similarity.csv")
    assert next(r for r in rows if r["measure"] == "kid")["natural_medical"] == ""


def test_names_cannot_break_out(tmp_path: Path) -> None:
    made = record([subject(HOSTILE, stages=(HOSTILE,), shown=4)], [change(recipe=HOSTILE, stages=("a",))])
    made["command"] = made["noise"]["what"] = made["medical"]["name"] = HOSTILE
    made["natural"]["notices"] = [HOSTILE]
    made["natural"]["thumbnails"] = "../" + HOSTILE
    page = similarity_page.render(made, tmp_path).read_text(encoding="utf-8")
    assert "<img" not in page
    assert "&lt;img" in page


def test_synthetic_images_and_unknown_patients_are_stamped(tmp_path: Path) -> None:
    made = record([subject(stages=("a",), shown=4)])
    made["medical"] |= {"synthetic": True, "patients_known": False, "skipped": 2}
    page = similarity_page.render(made, tmp_path).read_text(encoding="utf-8")
    assert page.count('class="banner"') == 1
    assert "SYNTHETIC" in (tmp_path / "figures" / "figure-similarity-map-pca.svg").read_text()
    assert "Patients are not known" in page
    assert "2 files could not be read" in page


def test_tables_hold_raw_values(whole: tuple[str, Path, dict[str, Any]]) -> None:
    _, folder, made = whole
    rows = read(folder / "tables" / "table-similarity.csv")
    assert len(rows) == 14
    laid = made["subjects"][0]["stages"][-1]["measures"]["frechet"]["medical_noise"]
    found = next(r for r in rows if r["measure"] == "frechet" and r["block"] == "mobilenet_v2-imagenet")
    assert [float(found[f"medical_noise{end}"]) for end in ("", "_low", "_high")] == pytest.approx(list(laid.values()))
    moved = read(folder / "tables" / "table-similarity-change.csv")
    ratio = [r for r in moved if r["measure"] == "ratio"]
    assert [(r["seed"], r["sets_are"]) for r in ratio] == [("0", "further apart"), ("1", "closer")]
    depth = read(folder / "tables" / "table-similarity-depth.csv")
    assert {r["stage"] for r in depth} == {s["name"] for s in made["subjects"][0]["stages"]}
    assert len(depth) == 2 * (3 * 4 + 7)
    deep = read(folder / "tables" / "table-similarity-change-depth.csv")
    assert len([r for r in deep if r["measure"] == "cka_natural"]) == 8
    assert all(r["stage"] for r in deep)


def test_seeds_of_random_weights_are_told_apart_and_imagenet_comes_first() -> None:
    made = record([subject(state="random", seed=1), subject(state="random", seed=0), subject()])
    view = SimilarityView(made)
    assert [view.name(s) for s in view.subjects] == [
        "MobileNet v2, ImageNet weights",
        "MobileNet v2, random weights, seed 0",
        "MobileNet v2, random weights, seed 1",
    ]


def test_thumbnails_lie_at_their_places_and_hide_no_other() -> None:
    rng = np.random.default_rng(0)
    found = {kind: rng.normal(size=(60, 2)).tolist() for kind in ("natural", "medical")}
    across, down = 10, 8
    shown = thumbnails(found, across=across, down=down)
    assert 10 < len(shown) < 120
    assert {t.kind for t in shown} == {"natural", "medical"}
    joint = np.array(found["natural"] + found["medical"])
    low, reach = joint.min(axis=0), np.ptp(joint, axis=0)
    for t in shown:
        x, y = (np.array(found[t.kind][t.row * ACROSS + t.column]) - low) / reach
        assert (t.left, t.top) == pytest.approx((100 * x * (1 - 1 / across), 100 * (1 - y) * (1 - 1 / down)), abs=0.01)
    for i, one in enumerate(shown):
        for other in shown[:i]:
            apart = (abs(one.left - other.left) * across / 100, abs(one.top - other.top) * down / 100)
            assert max(apart) > 0.69


def test_a_map_of_one_place_can_be_laid_out() -> None:
    shown = thumbnails({"natural": [[1.0, 2.0]], "medical": [[1.0, 2.0]]}, across=10, down=8)
    assert [(t.kind, t.left) for t in shown] == [("natural", 0.0)]


def test_thumbnails_on_the_page_are_those_of_the_map(whole: tuple[str, Path, dict[str, Any]]) -> None:
    page, _, made = whole
    first = thumbnails(made["subjects"][0]["maps"]["t-sne"], across=24, down=16)
    field = page[page.index('class="field"') :]
    placed = re.findall(r'<i class="([nm])" style="left:([\d.]+)%;top:([\d.]+)%;--c:(\d+);--r:(\d+)">', field)
    expected = [(t.kind[0], str(t.left), str(t.top), str(t.column), str(t.row)) for t in first]
    assert placed[: len(first)] == expected
    assert page.count("data:image/jpeg;base64,") == 2
