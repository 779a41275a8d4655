"""Data sets of Hugging Face and Kaggle by name: what is asked, downloaded, said and remembered."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests
from huggingface_hub import errors as hf_errors

from xenograft import caching
from xenograft.data.importers import hub, hub_client, read_listing
from xenograft.data.ingest import IngestOptions, ingest
from xenograft.errors import MissingPackage, XenograftError
from xenograft.study.config import make_config

from .hub_makers import COMMIT, FakeHub, FakeKaggle, write_classes


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def installed(monkeypatch):
    """Let the client find fakes instead of the two libraries."""

    def installing(fake):
        types = SimpleNamespace(ApiGetDatasetRequest=SimpleNamespace)
        monkeypatch.setattr(
            hub_client, "require", lambda module, extra: types if module.startswith("kagglesdk") else fake
        )
        return fake

    return installing


@pytest.fixture
def pages(tmp_path, installed):
    """A Hugging Face repository with class folders, a README and a program."""
    source = tmp_path / "remote"
    write_classes(source / "data" / "train", 8)
    write_classes(source / "data" / "test", 4, seed=1)
    (source / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n")
    (source / "xray.py").write_text("raise SystemExit\n")
    return installed(FakeHub(source, card={"license": "cc-by-4.0", "pretty_name": "Some X-rays"}))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("hf:owner/name", ("hf", "owner/name", "", "")),
        ("hf:mnist", ("hf", "mnist", "", "")),
        ("hf:owner/na-me.2@refs/convert/parquet:sub set", ("hf", "owner/na-me.2", "refs/convert/parquet", "sub set")),
        ("hf:owner/name:plain", ("hf", "owner/name", "", "plain")),
        ("kaggle:owner/name", ("kaggle", "owner/name", "", "")),
        ("kaggle:owner/name/versions/3", ("kaggle", "owner/name", "3", "")),
    ],
)
def test_an_address_is_taken_apart_and_written_as_it_was(text, parts):
    address = hub.parse(Path(text))
    assert (address.host, address.name, address.revision, address.config) == parts
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    ["hf:", "hf:a/b/c", "hf:../x", "hf:a/..", "hf:a/b@../../x", "kaggle:name", "kaggle:a/b/versions/0", "kaggle:a/b@3"],
)
def test_what_names_no_data_set_is_refused(text):
    with pytest.raises(XenograftError, match="E-USAGE-21"):
        hub.parse(text)


def test_a_study_keeps_the_address_as_it_is_and_makes_paths_absolute():
    assert make_config({"data": "hf:owner/name@main"}).as_json()["data"] == "hf:owner/name@main"
    assert make_config({"data": Path("kaggle:owner/name")}).data == Path("kaggle:owner/name")
    assert make_config({"data": "folder"}).data.is_absolute()


def test_what_is_downloaded_is_said_before_and_programs_are_left_out(pages, cache):
    said = []
    copy = hub.fetch("hf:owner/xray", cache=cache, say=lambda line: said.append((line, len(pages.downloads))))
    first, before = said[0]
    assert before == 0
    assert "Some X-rays" in first
    assert "licence cc-by-4.0" in first
    assert COMMIT in first
    assert " MB" in first
    assert copy.size == sum(p.stat().st_size for p in pages.source.rglob("*") if p.is_file() and p.suffix != ".py")
    assert not list(Path(copy.folder).rglob("*.py"))
    assert Path(copy.folder).is_relative_to(cache)


def test_reading_a_copy_asks_no_network_and_names_source_revision_and_licence(pages, cache):
    hub.fetch("hf:owner/xray", cache=cache)
    pages.fail = OSError("no network")
    manifest = ingest(Path("hf:owner/xray"), IngestOptions(catalog="none"), cache=cache)
    assert manifest.name == "Some X-rays"
    assert manifest.classes == ("NORMAL", "PNEUMONIA")
    assert {split: sum(c["images"] for c in classes.values()) for split, classes in manifest.counts().items()}[
        "test"
    ] == 8
    (fact,) = manifest.facts
    for part in ("owner/xray", COMMIT, "cc-by-4.0", "https://huggingface.co/datasets/owner/xray/tree/"):
        assert part in fact


def test_a_copy_is_used_again_online_and_offline_without_asking(pages, cache):
    first = hub.fetch("hf:owner/xray", cache=cache)
    assert hub.fetch("hf:owner/xray", cache=cache) == first
    assert hub.fetch(f"hf:owner/xray@{COMMIT[:8]}", cache=cache, offline=True) == first
    assert len(pages.asked) == len(pages.downloads) == 1


def test_another_revision_is_another_copy(pages, cache):
    hub.fetch("hf:owner/xray", cache=cache)
    hub.fetch("hf:owner/xray@v2", cache=cache)
    assert pages.asked == [("owner/xray", None), ("owner/xray", "v2")]
    with pytest.raises(XenograftError, match="E-DATA-31"):
        hub.fetch("hf:owner/xray@v3", cache=cache, offline=True)


def test_a_pinned_copy_is_not_taken_for_the_newest(pages, cache):
    hub.fetch("hf:owner/xray@v2", cache=cache)
    with pytest.raises(XenograftError, match="run once without --offline"):
        hub.fetch("hf:owner/xray", cache=cache, offline=True)


@pytest.mark.parametrize("spoil", ["folder", "record"])
def test_a_copy_that_is_gone_or_has_no_sound_record_is_fetched_again(pages, cache, spoil):
    copy = hub.fetch("hf:owner/xray", cache=cache)
    if spoil == "folder":
        shutil.rmtree(copy.folder)
    else:
        (record,) = (cache / "hub/hf/owner--xray").glob("*.json")
        record.write_text('{"address": 3}')
    with pytest.raises(XenograftError, match="E-DATA-31"):
        read_listing(Path("hf:owner/xray"), cache=cache)
    hub.fetch("hf:owner/xray", cache=cache)
    assert len(read_listing(Path("hf:owner/xray"), cache=cache).rows) == 24


def test_the_cache_shows_copies_and_removes_them_only_when_asked(pages, cache):
    copy = hub.fetch("hf:owner/xray", cache=cache)
    (entry,) = caching.inventory(cache)
    assert (entry.kind, entry.what, entry.images, entry.bytes) == ("hub", "hf:owner/xray", 25, copy.size)
    assert caching.clear(cache).removed == ()
    assert caching.clear(cache, ["hub"]).bytes == copy.size
    assert not Path(copy.folder).exists()
    with pytest.raises(XenograftError, match="E-DATA-31"):
        hub.fetch("hf:owner/xray", cache=cache, offline=True)


def test_an_interrupted_download_leaves_no_copy(pages, cache, monkeypatch):
    def broken(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(pages, "snapshot_download", broken)
    with pytest.raises(KeyboardInterrupt):
        hub.fetch("hf:owner/xray", cache=cache)
    with pytest.raises(XenograftError, match="E-DATA-31"):
        hub.fetch("hf:owner/xray", cache=cache, offline=True)


def test_too_small_a_disk_is_said_before_anything_is_downloaded(pages, cache, monkeypatch):
    monkeypatch.setattr(hub.shutil, "disk_usage", lambda _: SimpleNamespace(free=100))
    with pytest.raises(XenograftError, match=r"E-PROC-05 .*--cache-dir"):
        hub.fetch("hf:owner/xray", cache=cache)
    assert pages.downloads == []


def test_the_licence_may_stand_in_the_tags_or_nowhere(pages, cache):
    pages.card, pages.tags = None, ["license:mit", "size:1K"]
    assert hub.fetch("hf:owner/xray@a", cache=cache).licence == "mit"
    pages.tags, said = [], []
    copy = hub.fetch("hf:owner/xray@b", cache=cache, say=said.append)
    assert "ask its owner" in said[0]
    assert "its page names no licence" in copy.fact


def test_a_subset_is_downloaded_alone_and_found_again(tmp_path, installed, cache):
    source = tmp_path / "remote"
    for name in ("small", "large"):
        write_classes(source / name / "train", 3)
        write_classes(source / name / "test", 2)
    card = {
        "configs": [
            {"config_name": name, "data_files": [{"split": "train", "path": f"{name}/train/*"}, f"{name}/test/*"]}
            for name in ("small", "large")
        ]
    }
    fake = installed(FakeHub(source, card=card))
    with pytest.raises(XenograftError, match=r"E-USAGE-22 .*small, large"):
        hub.fetch("hf:owner/two", cache=cache)
    with pytest.raises(XenograftError, match=r"E-USAGE-22 .*no subset 'huge'"):
        hub.fetch("hf:owner/two:huge", cache=cache)
    copy = hub.fetch("hf:owner/two:small", cache=cache)
    assert fake.downloads[0]["allow"] == ["small/train/*", "small/test/*", "README.md"]
    assert not (Path(copy.folder) / "large").exists()
    assert "subset small" in copy.fact
    assert len(read_listing(Path("hf:owner/two:small"), cache=cache).rows) == 10


def test_kaggle_says_version_and_licence_and_uses_its_librarys_folder(tmp_path, installed, cache):
    # the archive of the well-known chest X-rays holds itself twice, and what macOS adds
    for place in ("chest_xray", "chest_xray/chest_xray"):
        for split in ("train", "test", "val"):
            write_classes(tmp_path / "kept" / place / split, 3)
    (tmp_path / "kept/chest_xray/__MACOSX/train/NORMAL").mkdir(parents=True)
    (tmp_path / "kept/chest_xray/__MACOSX/train/NORMAL/._normal_0.png").write_bytes(b"x")
    fake = installed(FakeKaggle(tmp_path / "kept"))
    said = []
    copy = hub.fetch("kaggle:owner/chest-xray", cache=cache, say=said.append)
    assert "A set of X-rays; 0.0 MB; licence CC BY 4.0; revision 7; " in said[0]
    assert fake.downloads == ["owner/chest-xray/versions/7"]
    assert "Kaggle owner/chest-xray, version 7" in copy.fact
    listing = read_listing(Path("kaggle:owner/chest-xray"), cache=cache)
    assert listing.root == tmp_path / "kept/chest_xray/chest_xray"
    assert {row.split for row in listing.rows} == {"train", "val", "test"}
    assert len(listing.rows) == 18
    assert hub.fetch("kaggle:owner/chest-xray/versions/7", cache=cache, offline=True) == copy


def hf_error(kind):
    return kind.__new__(kind, "it said no")  # without the HTTP response that its constructor wants


def kaggle_error(status):
    return requests.HTTPError(f"{status} Client Error", response=SimpleNamespace(status_code=status))


@pytest.mark.parametrize(
    ("data", "error", "code", "remedy"),
    [
        ("hf:o/n", hf_error(hf_errors.GatedRepoError), "E-DATA-32", "hf auth login"),
        ("hf:o/n", hf_error(hf_errors.RepositoryNotFoundError), "E-DATA-33", "private"),
        ("hf:o/n", hf_error(hf_errors.RevisionNotFoundError), "E-DATA-33", "no such revision"),
        ("hf:o/n", hf_error(hf_errors.OfflineModeIsEnabled), "E-DATA-34", "network"),
        ("hf:o/n", OSError(errno.ENOSPC, "No space left on device"), "E-PROC-05", "free space"),
        ("kaggle:o/n", kaggle_error(403), "E-DATA-32", "kaggle.json"),
        ("kaggle:o/n", kaggle_error(404), "E-DATA-33", "https://www.kaggle.com/datasets/o/n,"),
        ("kaggle:o/n", requests.ConnectionError("a long\nstory"), "E-DATA-34", "no connection to www.kaggle.com"),
        ("kaggle:o/n", ValueError("odd"), "E-DATA-34", "odd"),
    ],
)
def test_what_a_host_refuses_is_one_line_with_a_remedy(tmp_path, installed, cache, data, error, code, remedy):
    installed((FakeHub if data.startswith("hf") else FakeKaggle)(tmp_path, fail=error))
    with pytest.raises(XenograftError) as caught:
        hub.fetch(data, cache=cache)
    assert caught.value.code == code
    assert remedy in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", ["hf:o/n", "kaggle:o/n"])
def test_without_the_extra_the_command_that_installs_it_is_named(monkeypatch, cache, data):
    for module in ("huggingface_hub", "kagglehub"):
        monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(MissingPackage, match=r"xenograft\[hub\]"):
        hub.fetch(data, cache=cache)


def test_images_are_not_given_beside_a_hubs_data_set(tmp_path):
    with pytest.raises(XenograftError, match="E-USAGE-08"):
        read_listing(Path("hf:owner/name"), images=tmp_path)


@pytest.mark.parametrize("name", ["chest_xray", "medmnist:pneumoniamnist", "PneumoniaMNIST"])
def test_a_name_from_the_catalog_says_where_to_get_it(tmp_path, name):
    with pytest.raises(XenograftError, match=r"E-DATA-06 .*https://doi.org/.*CC BY 4\.0"):
        read_listing(tmp_path / name)
    with pytest.raises(XenograftError, match="give a folder or a table"):
        read_listing(tmp_path / "nothing_known")


def test_the_record_of_a_copy_is_plain_json(pages, cache):
    copy = hub.fetch("hf:owner/xray", cache=cache)
    (record,) = (cache / "hub/hf/owner--xray").glob("*.json")
    kept = json.loads(record.read_text())
    assert kept["revision"] == COMMIT
    assert hub.Copy(**kept) == copy
