import importlib.util
import time
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from xenograft.data.readers import NOTE_TEXT, decode_picture, photo
from xenograft.errors import FileError

_spec = importlib.util.spec_from_file_location("reader_faults", Path(__file__).with_name("faults.py"))
faults = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(faults)


def code_of(data, **options):
    with pytest.raises(FileError) as caught:
        decode_picture(data, **options)
    assert "\n" not in str(caught.value)
    return caught.value.code


def same(picture, reference, mode, notes=()):
    assert picture.pixels.dtype == reference.dtype
    np.testing.assert_array_equal(picture.pixels, reference)
    assert picture.pixels.flags.c_contiguous
    assert picture.pixels.flags.writeable
    assert (picture.mode, picture.notes, picture.bits) == (mode, tuple(notes), 8 * reference.dtype.itemsize)


# Faults, one by one


def test_f1_zero_bytes():
    assert code_of(b"") == "S-FILE-01"


@pytest.mark.parametrize("share", [0.5, 0.99])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "GIF", "WEBP", "BMP"])
def test_f2_cut(kind, share):
    data = faults.saved(faults.noise(200, 220), kind)
    assert decode_picture(data).pixels.shape == (200, 220)
    assert code_of(faults.cut(data, share)) == "S-FILE-02"


@pytest.mark.parametrize("share", [0.5, 0.99])
@pytest.mark.parametrize("packed", [False, True])
def test_f2_cut_sixteen_bit_colour(share, packed):
    pixels = faults.noise(60, 70, 3, np.uint16)
    assert code_of(faults.cut(faults.png(pixels), share)) == "S-FILE-02"
    assert code_of(faults.cut(faults.tiff(pixels, packed=packed), share)) == "S-FILE-02"


def test_f2_tiff_strip_outside_the_file():
    data = faults.tiff(faults.noise(), order=">")
    assert code_of(data[:8] + data[-300:]) in {"S-FILE-02", "S-FILE-04"}
    assert code_of(data.replace((64 * 48).to_bytes(4, "big"), (1 << 30).to_bytes(4, "big"))) == "S-FILE-02"


def test_f2_png_with_a_flipped_pixel_byte():
    data = bytearray(faults.png(faults.noise()))
    data[len(data) // 2] ^= 1
    assert code_of(bytes(data)) == "S-FILE-02"


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", "", ".001"])
def test_f3_other_endings_are_no_contradiction(suffix):
    assert decode_picture(faults.jpeg(), suffix=suffix).notes == ()


def test_f4_random_bytes():
    assert code_of(faults.noise().tobytes()) == "S-FILE-04"


def test_f5_cmyk_jpeg_becomes_rgb():
    ink = np.zeros((32, 40, 4), np.uint8)
    ink[:, :20, 0], ink[:, 20:, 2] = 255, 255  # cyan, then yellow
    picture = decode_picture(faults.jpeg(Image.frombytes("CMYK", (40, 32), ink.tobytes()), quality=100, subsampling=0))
    assert (picture.mode, picture.notes, picture.pixels.shape) == ("cmyk", ("W-FILE-05",), (32, 40, 3))
    np.testing.assert_allclose(picture.pixels[:, 2].mean(axis=0), [0, 255, 255], atol=3)
    np.testing.assert_allclose(picture.pixels[:, -2].mean(axis=0), [255, 255, 0], atol=3)


RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packed", [False, True])
def test_f6_twelve_bit_ramp_in_tiff_is_exact(order, packed):
    same(decode_picture(faults.tiff(RAMP, order=order, packed=packed)), RAMP, "gray")


def test_f6_twelve_bit_ramp_in_png_is_exact():
    same(decode_picture(faults.png(RAMP)), RAMP, "gray")
    same(decode_picture(faults.saved(RAMP, "PNG")), RAMP, "gray")
    same(decode_picture(faults.saved(RAMP, "TIFF", compression="tiff_lzw")), RAMP, "gray")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packed", [False, True])
def test_f6_sixteen_bit_colour_is_exact(order, packed):
    pixels = faults.noise(20, 30, 3, np.uint16)
    same(decode_picture(faults.tiff(pixels, order=order, packed=packed)), pixels, "rgb")
    same(decode_picture(faults.png(pixels)), pixels, "rgb")


def test_f6_sixteen_bit_gray_stored_as_colour_collapses():
    gray = faults.noise(20, 30, dtype=np.uint16)
    colour = np.repeat(gray[..., None], 3, axis=2)
    same(decode_picture(faults.png(colour)), gray, "rgb")
    colour[0, 0, 0] ^= 1
    same(decode_picture(faults.png(colour)), colour, "rgb")


@pytest.mark.parametrize("order", ["<", ">"])
def test_f6_sixteen_bit_white_is_zero_is_inverted(order):
    if order == ">":
        assert code_of(faults.tiff(RAMP, order=order, photometric=0)) == "S-FILE-04"
    else:
        same(decode_picture(faults.tiff(RAMP, order=order, photometric=0)), 65535 - RAMP, "gray")


@pytest.mark.parametrize("order", ["<", ">"])
def test_f6_signed_sixteen_bit_is_shifted(order):
    pixels = (faults.noise(dtype=np.uint16).astype(np.int32) - 32768).astype(np.int16)
    picture = decode_picture(faults.tiff(pixels, order=order))
    same(picture, (pixels.astype(np.int32) + 32768).astype(np.uint16), "gray", ["W-FILE-13"])


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.uint32])
def test_wide_tiff_is_scaled_to_its_own_range(dtype, order):
    pixels = (np.arange(65536).reshape(256, 256) * 3).astype(dtype)
    picture = decode_picture(faults.tiff(pixels, order=order))
    same(picture, np.arange(65536, dtype=np.uint16).reshape(256, 256), "gray", ["W-FILE-13"])


def test_unsigned_thirty_two_bit_above_the_signed_range():
    pixels = np.zeros((20, 20), np.uint32)
    pixels[0, 0] = 2**32 - 1
    assert decode_picture(faults.tiff(pixels)).pixels[0, 0] == 65535


def test_float_tiff_of_extreme_range_does_not_overflow():
    pixels = (np.linspace(-1, 1, 400) * 1.7e308).reshape(20, 20)
    picture = decode_picture(faults.tiff(pixels))
    assert (picture.pixels[0, 0], picture.pixels[-1, -1]) == (0, 65535)


def test_f7_palette():
    image = Image.fromarray(faults.noise()).convert("P")
    image.putpalette([value for i in range(256) for value in (i, 255 - i, 7)])
    index = np.asarray(image)
    expected = np.stack([index, 255 - index, np.full_like(index, 7)], axis=2)
    for kind in ("PNG", "TIFF", "BMP", "GIF"):
        picture = decode_picture(faults.saved(image, kind))
        same(picture, expected, "palette", ["W-FILE-07"])


def test_f7_gray_palette_collapses():
    image = Image.fromarray(faults.noise()).convert("P")
    image.putpalette([255 - i // 3 for i in range(768)])
    same(decode_picture(faults.saved(image, "PNG")), 255 - np.asarray(image), "palette", ["W-FILE-07"])


def test_f7_transparent_palette_entry_turns_black():
    image = Image.fromarray(np.full((20, 20), 3, np.uint8)).convert("P")
    image.putpalette([200] * 768)
    picture = decode_picture(faults.saved(image, "PNG", transparency=3))
    assert picture.pixels.max() == 0
    assert picture.notes == ("W-FILE-07", "W-FILE-20")


def test_f7_opaque_alpha_is_dropped():
    pixels = faults.noise(channels=4)
    pixels[..., 3] = 255
    same(decode_picture(faults.saved(pixels, "PNG")), pixels[..., :3], "rgba", ["W-FILE-07"])


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_f7_alpha_is_composited_on_black(kind):
    pixels = faults.noise(channels=4)
    wide = pixels.astype(np.float64)
    expected = np.rint(wide[..., :3] * wide[..., 3:] / 255).astype(np.uint8)
    same(decode_picture(faults.saved(pixels, kind)), expected, "rgba", ["W-FILE-07"])


def test_f7_sixteen_bit_alpha():
    pixels = faults.noise(channels=4, dtype=np.uint16)
    wide = pixels.astype(np.float64)
    expected = np.rint(wide[..., :3] * wide[..., 3:] / 65535).astype(np.uint16)
    same(decode_picture(faults.png(pixels)), expected, "rgba", ["W-FILE-07"])
    same(decode_picture(faults.tiff(pixels, extra=2)), expected, "rgba", ["W-FILE-07"])
    same(decode_picture(faults.tiff(pixels, extra=0)), pixels[..., :3], "rgba", ["W-FILE-07"])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_f7_gray_alpha(dtype):
    pixels = faults.noise(channels=2, dtype=dtype)
    wide = pixels.astype(np.float64)
    expected = np.rint(wide[..., 0] * wide[..., 1] / np.iinfo(dtype).max).astype(dtype)
    same(decode_picture(faults.png(pixels)), expected, "gray_alpha", ["W-FILE-07"])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [0, 3])
def test_f7_key_colour_turns_black(dtype, channels):
    pixels = faults.noise(channels=channels, dtype=dtype)
    key = pixels[5, 5].copy()
    expected = pixels.copy()
    clear = pixels == key
    expected[clear.all(axis=2) if channels else clear] = 0
    chunk = faults.chunk(b"tRNS", np.atleast_1d(key).astype(">u2").tobytes())
    picture = decode_picture(faults.png(pixels, extra=[chunk]))
    same(picture, expected, "rgb" if channels else "gray", ["W-FILE-07"])


@pytest.mark.parametrize("orientation", range(2, 9))
def test_f8_exif_rotation(orientation):
    upright = {
        2: lambda a: a[:, ::-1],
        3: lambda a: np.rot90(a, 2),
        4: lambda a: a[::-1],
        5: lambda a: a.T,
        6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(a, 2).T,
        8: lambda a: np.rot90(a, 1),
    }[orientation]
    gray = faults.noise(30, 40)
    same(decode_picture(faults.saved(gray, "PNG", exif=faults.exif(orientation))), upright(gray), "gray", ["W-FILE-08"])
    same(decode_picture(faults.tiff(gray, tags={274: orientation})), upright(gray), "gray", ["W-FILE-08"])
    deep = faults.noise(30, 40, 0, np.uint16)
    same(decode_picture(faults.tiff(deep, tags={274: orientation})), upright(deep), "gray", ["W-FILE-08"])
    plain = decode_picture(faults.jpeg(gray)).pixels
    same(decode_picture(faults.jpeg(gray, exif=faults.exif(orientation))), upright(plain), "gray", ["W-FILE-08"])


def test_f8_broken_exif_costs_nothing():
    data = faults.jpeg(exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert decode_picture(data).notes == ()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "GIF", "WEBP", "BMP"])
def test_f9_below_the_minimum_side(kind):
    data = faults.saved(faults.noise(20, 15), kind)
    assert code_of(data) == "S-FILE-09"
    assert decode_picture(data, min_side=15).pixels.shape[:2] == (20, 15)


@pytest.mark.parametrize(("side", "code", "most"), [(50_000, "S-FILE-10", 400_000), (13_000, "S-FILE-11", 40_000)])
def test_f10_f11_decompression_bombs(side, code, most):
    data = faults.png_bomb(side)
    assert len(data) < most
    started = time.perf_counter()
    assert code_of(data) == code
    assert time.perf_counter() - started < 0.2


@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "GIF", "WEBP", "BMP"])
def test_f10_declared_size_alone_decides(kind):
    data = faults.saved(faults.noise(32, 32), kind, **({"lossless": True} if kind == "WEBP" else {}))
    side = {"JPEG": 65_500, "WEBP": 16_384}.get(kind, 60_000)
    small = (32).to_bytes(2, "big" if kind == "JPEG" else "little")
    large = side.to_bytes(2, "big" if kind == "JPEG" else "little")
    if kind == "JPEG":
        at = data.index(b"\xff\xc0") + 5
        data = data[:at] + 2 * large + data[at + 4 :]
    elif kind == "WEBP":
        data = data[:21] + ((side - 1) | (side - 1) << 14).to_bytes(4, "little") + data[25:]
    elif kind == "BMP":
        data = data[:18] + 2 * side.to_bytes(4, "little") + data[26:]
    elif kind == "GIF":
        data = data[:6] + 2 * large + data[10:]
    else:
        data = faults.tiff(faults.noise(32, 32), tags={256: side, 257: side})
    assert small != large
    assert code_of(data) == "S-FILE-10"


def test_f10_tiff_tiles_larger_than_the_image():
    assert code_of(faults.tiff(faults.noise(), tags={322: 50_000, 323: 50_000})) == "S-FILE-10"


def test_f10_out_of_memory(monkeypatch):
    def fail(*args):
        raise MemoryError

    monkeypatch.setattr(photo, "_jpeg", fail)
    assert code_of(faults.jpeg()) == "S-FILE-10"


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_f12_several_frames(kind):
    data = faults.animated(kind)
    with pytest.raises(FileError, match="holds 3 frames") as caught:
        decode_picture(data)
    assert caught.value.code == "E-FILE-12"


def test_f12_one_frame_is_an_image():
    assert decode_picture(faults.tiff(faults.noise(), pages=1)).pixels.shape == (48, 64)
    assert code_of(faults.tiff(faults.noise(), pages=2)) == "E-FILE-12"
    thumbnails = faults.tiff(faults.noise(), pages=3, tags={254: 1})  # reduced-size copies are no pages
    assert decode_picture(thumbnails).pixels.shape == (48, 64)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_f13_not_finite(value):
    pixels = np.ones((20, 20), np.float32)
    pixels[3, 4] = value
    assert code_of(faults.tiff(pixels)) == "S-FILE-13"


@pytest.mark.parametrize("channels", [0, 3])
def test_f20_constant_image(channels):
    pixels = np.full((48, 64, channels) if channels else (48, 64), 9, np.uint8)
    assert decode_picture(faults.saved(pixels, "PNG")).notes == ("W-FILE-20",)
    pixels[47, 63] = 10
    assert decode_picture(faults.saved(pixels, "PNG")).notes == ()


# Depth and colour


def test_eight_bit_files_are_exact():
    gray, colour = faults.noise(), faults.noise(channels=3)
    for kind in ("PNG", "TIFF", "BMP"):
        same(decode_picture(faults.saved(gray, kind)), gray, "gray")
        same(decode_picture(faults.saved(colour, kind)), colour, "rgb")
    same(decode_picture(faults.saved(colour, "WEBP", lossless=True)), colour, "rgb")
    same(decode_picture(faults.saved(gray, "GIF")), gray, "gray")


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_one_bit_becomes_black_and_white(kind):
    bits = faults.noise() > 127
    picture = decode_picture(faults.saved(Image.fromarray(bits), kind))
    same(picture, bits.astype(np.uint8) * 255, picture.mode, picture.notes)


def test_four_bit_gray_is_spread():
    rows = b"".join(b"\0" + bytes([0x0F, 0x5A] * 8) for _ in range(32))
    picture = decode_picture(faults.png(np.empty((32, 32), np.uint8), rows=rows, depth=4))
    assert picture.pixels[0, :4].tolist() == [0, 255, 85, 170]


def test_gray_stored_as_rgb_collapses():
    gray = faults.noise()
    colour = np.repeat(gray[..., None], 3, axis=2)
    same(decode_picture(faults.saved(colour, "PNG")), gray, "rgb")
    colour[7, 9, 2] ^= 1
    same(decode_picture(faults.saved(colour, "PNG")), colour, "rgb")


def test_jpeg_chroma_noise_collapses_to_luminance():
    colour = np.repeat(faults.smooth(96, 96)[..., None], 3, axis=2)
    colour[..., 0] += 4
    picture = decode_picture(faults.jpeg(colour, quality=100, subsampling=0))
    expected = colour @ [0.299, 0.587, 0.114]
    assert picture.pixels.shape == (96, 96)
    assert np.abs(picture.pixels - expected).max() <= 2


def test_jpeg_with_a_coloured_patch_stays_colour():
    colour = np.repeat(faults.smooth(96, 96)[..., None], 3, axis=2)
    colour[1:5, 1:5] = [250, 10, 10]  # 16 of 9216 pixels: 0.17 %
    assert decode_picture(faults.jpeg(colour, quality=100, subsampling=0)).pixels.shape == (96, 96, 3)


def test_jpeg_equals_an_independent_decoder():
    data = faults.jpeg(faults.smooth(96, 96))
    reference = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.abs(decode_picture(data).pixels.astype(int) - reference).max() <= 1


def test_interlaced_and_annotated_png():
    gray = faults.noise()
    note = faults.chunk(b"zTXt", b"comment\0\0" + b"\xff" * 50)
    same(decode_picture(faults.png(gray, extra=[note])), gray, "gray")


def test_every_note_has_a_text():
    modules = (path for path in Path(photo.__file__).parent.glob("*.py") if path.name != "__init__.py")
    source = "\n".join(path.read_text() for path in modules)
    assert {part[:9] for part in source.split('"') if part.startswith("W-FILE-")} == {
        note for note in NOTE_TEXT if note.startswith("W-FILE-")
    }


# Anything else


SEEDS = (
    faults.jpeg(),
    faults.jpeg(faults.noise(24, 24, 3), progressive=True, exif=faults.exif(6)),
    faults.saved(faults.noise(24, 24), "PNG"),
    faults.png(faults.noise(20, 20, 3, np.uint16)),
    faults.tiff(faults.noise(20, 20, 0, np.uint16), order=">"),
    faults.tiff(faults.noise(20, 20, 3, np.uint16), packed=True),
    faults.tiff(faults.noise(20, 20).astype(np.float32)),
    faults.saved(faults.noise(24, 24, 3), "TIFF", compression="tiff_lzw"),
    faults.saved(faults.noise(24, 24), "GIF"),
    faults.saved(faults.noise(24, 24, 3), "WEBP"),
    faults.saved(faults.noise(24, 24, 3), "BMP"),
)
EDITS = st.tuples(st.sampled_from(["flip", "cut", "end", "insert"]), st.floats(0, 1), st.binary(min_size=1, max_size=6))


@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    seed=st.sampled_from(SEEDS), edits=st.lists(EDITS, min_size=1, max_size=4), working=st.sampled_from([None, 5, 12])
)
def test_fuzz_only_file_errors_leave(seed, edits, working):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            picture = decode_picture(faults.mutated(seed, edits), working=working)
        except FileError:
            pass
        else:
            assert picture.pixels.dtype in (np.uint8, np.uint16)
            assert picture.pixels.ndim in {2, 3}
    assert not seen
