import gzip
import os
import struct
import tracemalloc
import zlib
from contextlib import suppress
from functools import partial

import nibabel
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xenograft.data.importers import read_listing, volumes
from xenograft.data.importers.volumes import SliceRule
from xenograft.data.ingest import IngestOptions, ingest
from xenograft.errors import DataError, LabelError, MissingPackage, UsageError

from .volume_makers import mha, nii, noise, of, pictures, with_a_sound_one

ALL = SliceRule(take="all")


@pytest.fixture
def one(write, tmp_path):
    """The listing of a folder with this volume and a sound one of another class."""
    return partial(with_a_sound_one, write, tmp_path / "cache")


def skip(listing):
    (found,) = listing.skipped
    assert found.path.startswith("sick/")
    assert [row.path for row in listing.rows] == [f"well/p2.nii/{k:04}.png" for k in range(16)]
    assert "\n" not in found.reason
    return found.code


@pytest.mark.parametrize(
    ("rule", "depth", "want"),
    [
        (SliceRule(), 5, [2]),
        (SliceRule(), 1, [0]),
        (SliceRule(take="all"), 4, [0, 1, 2, 3]),
        (SliceRule(take=1), 3, [0, 1, 2]),
        (SliceRule(take=3), 9, [1, 4, 7]),
        (SliceRule(take=4), 9, [2, 6]),
        (SliceRule(take=100), 9, [4]),
    ],
)
def test_which_slices(rule, depth, want):
    assert list(rule.indices(depth)) == want


@pytest.mark.parametrize(
    "options", [{"axis": 3}, {"axis": -1}, {"take": 0}, {"take": "some"}, {"take": 1.5}, {"take": True}]
)
def test_rules_that_are_none(options):
    with pytest.raises(UsageError, match="take middle, all or a number") as caught:
        SliceRule(**options)
    assert caught.value.code == "E-USAGE-18"


def test_what_a_row_says(write, tmp_path):
    root = write(
        {
            "train/sick/a/p1.v2.nii.gz": gzip.compress(nii()),
            "test/well/P3.NII": nii(),
            "test/well/p4.mha": mha(noise(16, 17, 8)),
            "test/well/notes.txt": b"by hand",
        }
    )
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in root.rglob("*.*") if p.is_file()}
    listing = read_listing(root, cache=tmp_path / "cache", slices=SliceRule(axis=0, take=10))
    rows = [(r.id, r.path, r.label, r.split, r.patient, r.where) for r in listing.rows]
    assert rows[1:] == [
        (f"{at}/{k}", f"{at}/{k:04}.png", label, split, patient, f"{at} slice {k}")
        for at, k, label, split, patient in (
            ("test/well/P3.NII", 15, "well", "test", "P3"),
            ("test/well/p4.mha", 5, "well", "test", "p4"),
            ("test/well/p4.mha", 15, "well", "test", "p4"),
            ("train/sick/a/p1.v2.nii.gz", 5, "sick", "train", "p1.v2"),
            ("train/sick/a/p1.v2.nii.gz", 15, "sick", "train", "p1.v2"),
        )
    ]
    assert listing.declared_splits == {"train", "test"}
    assert listing.declared_labels == {"sick", "well"}
    assert [(n.code, n.count) for n in listing.notices] == [("W-DATA-08", 1), ("W-FILE-28", 3)]
    assert before == {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in before}


def test_without_a_rule_the_middle_axial_slice_is_taken_and_said(write, tmp_path):
    root = write({"a/1.nii": nii(noise(16, 16, 9)), "b/2.nii": nii(noise(16, 16, 4))})
    listing = read_listing(root, cache=tmp_path)
    assert [row.id for row in listing.rows] == ["a/1.nii/4", "b/2.nii/2"]
    (said, scaled) = listing.notices
    assert (said.code, scaled.code) == ("W-FILE-27", "W-FILE-28")
    assert "middle one across axis 2" in said.message


def test_converted_once(one, monkeypatch):
    first = one(nii())
    with monkeypatch.context() as patch:
        patch.setattr(volumes, "_convert", lambda *given, **options: pytest.fail("converted again"))
        assert one(nii()) == first
    assert one(nii(), slices=SliceRule(take=2)).root != first.root
    assert one(nii(noise(20, 18, 16, seed=1))).root != first.root


def test_skips_are_remembered(one, monkeypatch):
    first = one(gzip.compress(nii())[:-20], "p1.nii.gz")
    monkeypatch.setattr(volumes, "_convert", lambda *given, **options: pytest.fail("converted again"))
    assert one(gzip.compress(nii())[:-20], "p1.nii.gz") == first
    assert len(first.skipped) == 1


def test_values_beside_their_header(write, tmp_path):
    values = noise(16, 17, 4)
    text, raw = mha(values, local=False)
    packed_text, packed = mha(values, {"ElementDataFile": "w.zraw"}, local=False, packed=True)
    late = mha(values, {"ElementDataFile": "x.raw", "HeaderSize": -1}, local=False)[0]
    skipping = mha(values, {"ElementDataFile": "x.raw", "HeaderSize": 7}, local=False)[0].rstrip(b"\n")
    root = write(
        {
            "a/1.mhd": text,
            "a/v.raw": raw,
            "b/2.mhd": packed_text.replace(b"\n", b"\r\n"),
            "b/w.zraw": zlib.compress(raw),
            "b/3.mhd": late,
            "b/4.mhd": skipping,
            "b/x.raw": b"header!" + raw,
        }
    )
    assert packed == zlib.compress(raw)
    found = pictures(read_listing(root, cache=tmp_path / "cache", slices=ALL))
    assert len(found) == 16
    for k in range(4):
        want = found[f"a/1.mhd/{k}"]
        for name in ("b/2.mhd", "b/3.mhd", "b/4.mhd"):
            np.testing.assert_array_equal(found[f"{name}/{k}"], want)


def test_a_header_cannot_lead_out_of_the_folder(write, tmp_path):
    values = noise(16, 16, 4)
    (tmp_path / "secret.raw").write_bytes(values.tobytes())
    names = ("../../secret.raw", str(tmp_path / "secret.raw"), "gone.raw", "LIST", "v%03d.raw 1 3 1", "pipe.raw")
    files = {f"a/{k}.mhd": mha(values, {"ElementDataFile": name}, local=False)[0] for k, name in enumerate(names)}
    root = write({**files, "b/1.nii": nii()})
    os.mkfifo(root / "a" / "pipe.raw")
    listing = read_listing(root, cache=tmp_path / "cache")
    codes = {"S-FILE-16", "S-FILE-15", "S-FILE-04", "S-FILE-17"}
    assert [s.code for s in listing.skipped] == [
        "S-FILE-16",
        "S-FILE-16",
        "S-FILE-15",
        "S-FILE-04",
        "S-FILE-04",
        "S-FILE-17",
    ]
    assert {s.code for s in listing.skipped} == codes


def _with(data, at, piece):
    return data[:at] + piece + data[at + len(piece) :]


def _bad_crc():
    data = gzip.compress(nii())
    return _with(data, len(data) - 8, bytes([data[-8] ^ 1]))


def _bad_deflate():
    data = gzip.compress(nii())
    return _with(data, 400, bytes(200))


def _nan():
    values = noise(16, 16, 4).astype(np.float32)
    values[3, 3, 3] = np.nan
    return values


@pytest.mark.parametrize(
    ("code", "data"),
    [
        ("S-FILE-01", b""),
        ("S-FILE-02", nii()[:-1]),
        ("S-FILE-02", gzip.compress(nii())[:-20]),
        ("S-FILE-02", gzip.compress(nii()[:-1])),
        ("S-FILE-25", _bad_crc()),
        ("S-FILE-25", _bad_deflate()),
        ("S-FILE-25", b"\x1f\x8b" + bytes(100)),
        ("S-FILE-02", b"\x1f\x8b"),
        ("S-FILE-26", gzip.compress(_with(nii(), 42, struct.pack("<3h", 1000, 1000, 1000)))),
        ("S-FILE-26", gzip.compress(nii() + bytes(4 << 20))),
        ("S-FILE-26", _with(nii(), 42, struct.pack("<3h", 32767, 32767, 32767))),
        ("S-FILE-02", _with(nii(), 42, struct.pack("<3h", 20, -18, 16))),
        ("S-FILE-02", _with(nii(), 40, struct.pack("<h", 9))),
        ("S-FILE-02", _with(nii(), 108, struct.pack("<f", 12))),
        ("S-FILE-02", _with(nii(), 108, struct.pack("<f", np.nan))),
        ("S-FILE-02", _with(nii(), 70, struct.pack("<h", 999))),
        ("S-FILE-02", _with(nii(), 280, bytes(48))),
        ("S-FILE-02", _with(nii(), 280, struct.pack("<f", np.inf))),
        ("S-FILE-02", nii(slope=(1, np.inf))),
        ("S-FILE-13", nii(_nan())),
        ("S-FILE-13", nii(np.nan_to_num(_nan(), nan=np.inf))),
        ("S-FILE-13", nii(np.array([-1.7e308, 1.7e308] * 128).reshape(16, 16, 1))),
        ("S-FILE-04", _with(nii(), 344, b"ni1\0")),
        ("S-FILE-04", b"not a volume at all" * 99),
        ("S-FILE-04", gzip.compress(b"not a volume at all" * 99)),
        ("S-FILE-04", nii(np.zeros((16, 16, 4), np.complex64))),
        ("S-FILE-04", nii(np.zeros((16, 16, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")]))),
        ("S-FILE-02", mha(noise(16, 16, 4))[:-1]),
        ("S-FILE-02", mha(noise(16, 16, 4), packed=True)[:-9]),
        ("S-FILE-25", mha(noise(16, 16, 4), packed=True)[:-1] + b"?"),
        ("S-FILE-26", mha(noise(16, 16, 4), {"DimSize": "16 16 3"}, packed=True)),
        ("S-FILE-26", mha(noise(16, 16, 4), {"DimSize": "9999999 16 9999999"})),
        ("S-FILE-02", mha(noise(16, 16, 4), {"DimSize": "16 16"})),
        ("S-FILE-02", mha(noise(16, 16, 4), {"DimSize": "16 16 many"})),
        ("S-FILE-02", mha(noise(16, 16, 4), {"TransformMatrix": "1 0 0"})),
        ("S-FILE-02", mha(noise(16, 16, 4), {"TransformMatrix": "1 0 0 1 0 0 0 0 1"})),
        ("S-FILE-02", mha(noise(16, 16, 4), {"ElementSpacing": "1 nan 1"})),
        ("S-FILE-02", b"NDims = 3\nDimSize = 16 16 4\n"),
        ("S-FILE-02", b"NDims = 3\nElementDataFile = LOCAL\n"),
        ("S-FILE-04", mha(noise(16, 16, 4), {"ElementNumberOfChannels": 3})),
        ("S-FILE-04", mha(noise(16, 16, 4), {"ElementType": "MET_USHORT_ARRAY"})),
        ("S-FILE-04", mha(noise(16, 16, 4), {"BinaryData": "False"})),
        ("S-FILE-13", mha(_nan())),
    ],
)
def test_damaged_and_hostile_volumes_are_skipped(one, code, data):
    assert skip(one(data)) == code


def test_f26_a_bomb_is_unpacked_to_the_declared_size_only(one):
    bomb = gzip.compress(nii() + bytes(80 << 20), 1)
    late = gzip.compress(_with(nii(), 42, struct.pack("<3h", 1000, 1000, 1000)) + bytes(16))
    tracemalloc.start()
    assert skip(one(bomb)) == "S-FILE-26"
    assert skip(one(late)) == "S-FILE-26"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 24 << 20


def test_memory_of_a_large_volume_is_that_of_its_stored_numbers(one):
    values = np.zeros((400, 256, 256), np.uint8)
    values[:, 3, 4] = np.arange(400) % 256
    data = gzip.compress(nii(values), 1)
    tracemalloc.start()
    listing = one(data, "p1.nii.gz", SliceRule(axis=0, take=50))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(of(listing, "p1.nii.gz")) == 8
    assert peak < 1.5 * values.nbytes


def test_f27_a_fourth_dimension(one):
    for data in (nii(noise(8, 8, 4, 3)), mha(noise(8, 8, 4, 3)), gzip.compress(nii(noise(8, 8, 1, 3)))):
        with pytest.raises(DataError, match=r"1 volumes have more than three dimensions.*sick/p1.nii \(8, 8") as caught:
            one(data)
        assert caught.value.code == "E-FILE-27"


def test_f15_to_f18_files_that_cannot_be_opened(write, tmp_path):
    root = write({"a/1.nii": nii(), "b/2.nii": nii(noise(16, 16, 16)), "a/x.txt": b""})
    (tmp_path / "outside.nii").write_bytes(nii())
    (root / "a" / "link.nii").symlink_to(tmp_path / "outside.nii")
    os.mkfifo(root / "a" / "pipe.nii")
    (root / "a" / "gone.nii").symlink_to(root / "nowhere")
    with open(os.fsencode(root) + b"/a/\xff.nii", "wb") as stream:  # noqa: PTH123 - no Path for it
        stream.write(nii())
    found = {s.path: s.code for s in read_listing(root, cache=tmp_path / "cache").skipped}
    assert found == {
        "a/gone.nii": "S-FILE-15",
        "a/link.nii": "S-FILE-16",
        "a/pipe.nii": "S-FILE-17",
        "a/\\udcff.nii": "S-FILE-18",
    }


def test_f19_a_volume_that_changes_meanwhile(write, tmp_path, monkeypatch):
    root, convert = write({"a/1.nii": nii(), "b/2.nii": nii()}), volumes._convert

    def changed(target, **options):
        (root / "a/1.nii").write_bytes(nii(noise(20, 18, 16, seed=5)))
        return convert(target, **options)

    monkeypatch.setattr(volumes, "_convert", changed)
    (found,) = read_listing(root, cache=tmp_path / "cache").skipped
    assert (found.path, found.code) == ("a/1.nii", "S-FILE-19")


def test_memory_that_is_not_there(one, monkeypatch):
    def greedy(data):
        raise MemoryError

    monkeypatch.setattr(volumes.nifti, "read", greedy)
    assert {s.code for s in one(nii()).skipped} == {"S-FILE-10"}


def test_volumes_beside_images(write, png, tmp_path):
    root = write({"a/1.nii": nii(), "b/2.png": png()})
    with pytest.raises(DataError, match=r"1 volumes in class folders beside 1 other files \(b/2.png\)") as caught:
        read_listing(root, cache=tmp_path / "cache")
    assert caught.value.code == "E-FILE-29"
    with pytest.raises(DataError, match=r"\(b/2.png, b/v.raw\)"):
        read_listing(write({"b/2.nii": nii(), "b/v.raw": b""}) and root, cache=tmp_path / "cache")


def test_layouts_as_for_images(write, tmp_path):
    with pytest.raises(LabelError, match=r"split test of .* holds no volume") as caught:
        read_listing(write({"train/a/1.nii": nii(), "test/a/x.txt": b""}), cache=tmp_path / "cache")
    assert caught.value.code == "E-LABEL-11"
    with pytest.raises(DataError, match=r"split folders \(test, train\) beside others \(more\)") as caught:
        read_listing(write({"more/a/1.nii": nii()}), cache=tmp_path / "cache")
    assert caught.value.code == "E-DATA-07"
    with pytest.raises(DataError, match="holds no volumes in class folders") as caught:
        volumes.read(write({"train/a/1.nii": b""}) / "test", cache=tmp_path / "cache")
    assert caught.value.code == "E-DATA-07"


def test_a_look_at_names_only(write):
    root = write({"a/1.png": b"", "b/deep/er/2.png": b"", "atlas.nii": b"", "b/.old/3.nii": b"", "b/._4.nii": b""})
    assert not volumes.holds_volumes(root)
    assert {row.path for row in read_listing(root).rows} == {"a/1.png", "b/deep/er/2.png"}
    with pytest.raises(UsageError, match="holds no volumes in class folders; slices") as caught:
        read_listing(root, slices=ALL)
    assert caught.value.code == "E-USAGE-18"
    for name in ("2.nii", "2.NII.GZ", "2.mha", "2.mhd"):
        (root / "b" / "deep" / name).write_bytes(b"")
        assert volumes.holds_volumes(root)
        (root / "b" / "deep" / name).unlink()


def test_a_closed_folder_is_said(write, monkeypatch):
    root, walk = write({"a/1.png": b""}), os.walk

    def closed(place, onerror):
        onerror(PermissionError(13, "Permission denied", str(place)))
        return walk(place, onerror=onerror)

    monkeypatch.setattr(os, "walk", closed)
    assert not volumes.holds_volumes(root)
    with pytest.raises(DataError, match="a cannot be opened: no permission"):
        volumes.read(root)


def test_nibabel_is_an_extra(write, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "nibabel", None)
    with pytest.raises(MissingPackage, match=r"xenograft\[nifti\]"):
        read_listing(write({"a/1.nii": nii()}))


def test_through_ingest_slices_of_a_volume_stay_together(write):
    values = [noise(20, 20, 4, seed=seed) for seed in range(40)]
    root = write({f"{'ab'[k % 2]}/p{k:02}.nii": nii(v) for k, v in enumerate(values)})
    manifest = ingest(root, IngestOptions(catalog="none"))
    assert len(manifest) == 40
    assert sorted(manifest.column("patient")) == [f"p{k:02}" for k in range(40)]
    assert set(manifest.column("bits")) == {16}
    assert {"W-FILE-27", "W-FILE-28"} <= {notice.code for notice in manifest.notices}


NAMED_ALIKE = [
    (["{}/p{:02}/t1.nii"], "p{:02}"),
    (["{}/p{:02}/anat/t1.nii", "{}/p{:02}/anat/t2.nii"], "p{:02}"),
    (["{}/raw/p{:02}/ses-1/t1.nii", "{}/raw/p{:02}/ses-2/t1.nii"], "p{:02}"),
    (["{0}/of-{0}/p{1:02}/t1.nii"], "p{:02}"),
    (["{}/p{:02}.nii"], "p{:02}"),
    (["{}/before/p{:02}.nii", "{}/after/p{:02}.nii"], "p{:02}"),
    (["{}/v{:02}/p{:02}.nii"], "p{:02}"),
]


@pytest.mark.parametrize(("layout", "patient"), NAMED_ALIKE, ids=str)
def test_the_folder_is_the_patient_where_a_few_names_come_back_in_many_folders(write, tmp_path, layout, patient):
    files = {
        place.format("ab"[k % 2], k, k): nii(noise(16, 16, 3, seed=2 * k + j))
        for k in range(8)
        for j, place in enumerate(layout)
    }
    listing = read_listing(write(files), cache=tmp_path / "cache")
    by_folder = "t1" in layout[0]
    assert {row.where.partition(" ")[0]: row.patient for row in listing.rows} == {
        path: patient.format(k) for k in range(8) for path in (p.format("ab"[k % 2], k, k) for p in layout)
    }
    assert listing.patient_rule.startswith("patient key: the folder" if by_folder else "patient key: the file name")


def test_progress_tells_how_many_volumes_are_done(write, tmp_path):
    root, told = write({f"{k}/p{k}.nii": nii(noise(16, 16, 3, seed=k)) for k in range(3)}), []
    for _ in range(2):  # the second time they are there
        read_listing(root, cache=tmp_path / "cache", progress=lambda *of: told.append(of))
    assert told == [(1, 3), (2, 3), (3, 3)]


SEEDS = {
    "p1.nii": nii(noise(6, 5, 4)),
    "p1.nii.gz": gzip.compress(nii(noise(6, 5, 4), kind=nibabel.Nifti2Image)),
    "p1.mha": mha(noise(6, 5, 4), {"TransformMatrix": "1 0 0 0 1 0 0 0 1", "ElementSpacing": "1 1 2"}, packed=True),
}
EDGE = st.one_of(
    st.integers(0, 352), st.sampled_from([40, 42, 44, 46, 70, 72, 108, 112, 252, 254, 280]), st.integers(-99, -1)
)


@given(
    name=st.sampled_from(sorted(SEEDS)),
    changes=st.lists(st.tuples(EDGE, st.binary(min_size=1, max_size=4)), min_size=1, max_size=4),
    cut=st.one_of(st.none(), st.none(), st.integers(0, 600)),
    inside=st.booleans(),
)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_fuzz_bad_volumes_become_skips(tmp_path, name, changes, cut, inside):
    packed = name.endswith("gz") and inside
    data = bytearray(gzip.decompress(SEEDS[name]) if packed else SEEDS[name])
    for place, piece in changes:
        at = place % len(data)
        data[at : at + len(piece)] = piece
    root = tmp_path / "data"
    for label, content in (("a", gzip.compress(data[:cut]) if packed else bytes(data[:cut])), ("b", SEEDS["p1.nii"])):
        (root / label).mkdir(parents=True, exist_ok=True)
        for old in (root / label).iterdir():
            old.unlink()
        (root / label / (name if label == "a" else "p1.nii")).write_bytes(content)
    with suppress(FourDimensionalError):
        listing = _read(root, tmp_path / "cache")
        assert "b/p1.nii/2" in {row.id for row in listing.rows}
        assert len({row.id for row in listing.rows}) + len(listing.skipped) == 2
        assert all((listing.root / row.path).is_file() for row in listing.rows)


class FourDimensionalError(Exception):
    """The one thing about a single volume that stops."""


def _read(root, cache):
    try:
        return read_listing(root, cache=cache)
    except DataError as error:
        if error.code == "E-FILE-27":
            raise FourDimensionalError from error
        raise
