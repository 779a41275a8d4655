"""Makers of valid, odd and damaged image files, as functions that return bytes; for the tests of several modules."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

TEXT = b"patient,label\n17,normal\n"
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\nshowpage\n"
PDF = b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n"
SVG = b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"/>\n'
HTML = b"<!DOCTYPE html>\n<html><title>Please log in</title></html>\n"


def noise(height=48, width=64, channels=0, dtype=np.uint8, seed=0):
    shape = (height, width, channels) if channels else (height, width)
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def smooth(height=48, width=64):
    """A gray picture that JPEG keeps well."""
    rows, columns = np.mgrid[0:height, 0:width]
    return (40 + rows + columns).astype(np.uint8)


def saved(pixels, kind, **options):
    """A file written by Pillow; `pixels` is an array or a Pillow image."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def jpeg(pixels=None, **options):
    return saved(smooth() if pixels is None else pixels, "JPEG", **{"quality": 95, **options})


def cut(data, share):
    """The first part of a file."""
    return data[: int(len(data) * share)]


def exif(orientation):
    entry = Image.Exif()
    entry[0x0112] = orientation
    return entry.tobytes()


def animated(kind, frames=3):
    images = [Image.fromarray(noise(seed=seed)) for seed in range(frames)]
    return saved(images[0], kind, save_all=True, append_images=images[1:])


def chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(pixels, *, colour=None, extra=(), size=None, rows=None, depth=None):
    """An unfiltered PNG of any depth and colour type; `rows` overrides the raw scan lines."""
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels] if colour is None else colour
    width, height = size or (pixels.shape[1], pixels.shape[0])
    header = struct.pack(">IIBBBBB", width, height, depth or 8 * pixels.dtype.itemsize, colour, 0, 0, 0)
    if rows is None:
        big = pixels.astype(pixels.dtype.newbyteorder(">"))
        rows = b"".join(b"\0" + row.tobytes() for row in big)
    parts = [chunk(b"IHDR", header), *extra, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def png_bomb(side):
    """A valid PNG of side x side black pixels, one bit each: 300 KB for 50,000, 20 KB for 13,000."""
    row = b"\0" + b"\0" * ((side + 7) // 8)
    packer = zlib.compressobj(9)
    body = b"".join([*(packer.compress(row) for _ in range(side)), packer.flush()])
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def tiff(pixels, *, order="<", photometric=None, packed=False, extra=None, pages=1, tags=None):
    """An uncompressed or deflated single-strip TIFF of any dtype and byte order; `tags` overrides SHORT values."""
    samples = 1 if pixels.ndim == 2 else pixels.shape[2]
    body = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    body = zlib.compress(body) if packed else body
    bits, form = 8 * pixels.dtype.itemsize, {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]
    chosen = (2 if samples >= 3 else 1) if photometric is None else photometric
    start = 8
    data = body + b"\0" * (len(body) % 2)
    directories = b""
    for page in range(pages):
        short = {256: pixels.shape[1], 257: pixels.shape[0], 259: 8 if packed else 1, 262: chosen, 277: samples}
        short |= {
            278: pixels.shape[0],
            284: 1,
            339: form,
            **({338: extra} if extra is not None else {}),
            **(tags or {}),
        }
        at = start + len(data) + len(directories)
        values = short.keys() | {258, 273, 279}
        after = at + 2 + 12 * len(values) + 4
        entries = b""
        for tag in sorted(values):
            if tag == 258 and samples > 2:
                entries += struct.pack(order + "HHII", tag, 3, samples, after)
            elif tag == 258:
                entries += struct.pack(order + "HHIHH", tag, 3, samples, bits, bits if samples == 2 else 0)
            elif tag in {273, 279}:
                entries += struct.pack(order + "HHII", tag, 4, 1, start if tag == 273 else len(body))
            else:
                entries += struct.pack(order + "HHIHH", tag, 3, 1, short[tag], 0)
        depths = struct.pack(f"{order}{samples}H", *[bits] * samples) if samples > 2 else b""
        depths += b"\0" * (len(depths) % 2)
        following = after + len(depths) if page + 1 < pages else 0
        directories += struct.pack(order + "H", len(values)) + entries + struct.pack(order + "I", following) + depths
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", start + len(data))
    return head + data + directories


def mutated(data, edits):
    """Damage: each edit is (kind, position 0..1, bytes): flip, cut or insert."""
    out = bytearray(data)
    for kind, place, content in edits:
        at = int(place * max(len(out) - 1, 0))
        if kind == "flip":
            for step, byte in enumerate(content):
                if at + step < len(out):
                    out[at + step] ^= byte
        elif kind == "cut":
            del out[at : at + 1 + 40 * len(content)]
        elif kind == "end":
            del out[at:]
        else:
            out[at:at] = content
    return bytes(out)
