"""Makers of NIfTI and MetaImage files as bytes, for the tests of `volumes`, `nifti` and `metaimage`."""

import struct
import zlib

import nibabel
import numpy as np

from xenograft.data.importers import read_listing
from xenograft.data.importers.volumes import SliceRule
from xenograft.data.readers import read_picture

ALL = SliceRule(take="all")


def noise(*shape, dtype=np.int16, seed=0):
    low, high = (np.iinfo(dtype).min, np.iinfo(dtype).max) if np.dtype(dtype).kind in "iu" else (-1000, 1000)
    return np.random.default_rng(seed).integers(low, high, shape, endpoint=True).astype(dtype)


def affine(codes="RAS", spacing=(1, 1, 1)):
    """From indices whose axes point as `codes` say to millimetres in RAS+."""
    turn = nibabel.orientations.axcodes2ornt(codes)
    matrix = np.eye(4)
    matrix[:3, :3] = 0
    for index, (world, sign) in enumerate(turn):
        matrix[int(world), index] = sign * spacing[index]
    matrix[:3, 3] = (-90, 70, 12)
    return matrix


def nii(values=None, matrix=None, *, kind=nibabel.Nifti1Image, slope=None, order="<"):
    """Bytes of a NIfTI file; `slope`: (scl_slope, scl_inter) put into the finished header."""
    values = noise(20, 18, 16) if values is None else values
    header = kind.header_class(endianness=order)
    header.set_data_dtype(values.dtype.newbyteorder(order))
    data = kind(values, affine() if matrix is None else matrix, header).to_bytes()
    if slope is not None:
        data = data[:112] + struct.pack(f"{order}2f", *slope) + data[120:]
    return data


def mha(values, lines=(), *, packed=False, local=True):
    """Bytes of a MetaImage, or (header, values) of an .mhd whose values lie in ``v.raw``."""
    kinds = {"i1": "CHAR", "u1": "UCHAR", "i2": "SHORT", "u2": "USHORT", "i4": "INT", "f4": "FLOAT", "f8": "DOUBLE"}
    raw = values.tobytes(order="F")
    given = {
        "ObjectType": "Image",
        "NDims": values.ndim,
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": str(values.dtype.byteorder == ">"),
        "CompressedData": str(packed),
        "DimSize": " ".join(map(str, values.shape)),
        "ElementType": f"MET_{kinds[values.dtype.str[1:]]}",
        **dict(lines),
    }
    given["ElementDataFile"] = given.pop("ElementDataFile", "LOCAL" if local else "v.raw")
    text = "".join(f"{name} = {value}\n" for name, value in given.items()).encode()
    raw = zlib.compress(raw) if packed else raw
    return text + raw if local else (text, raw)


def pictures(listing):
    return {row.id: read_picture(listing.root / row.path, root=listing.root, min_side=1).pixels for row in listing.rows}


def of(listing, name="p1.nii"):
    return [pixels for key, pixels in pictures(listing).items() if key.startswith(f"sick/{name}/")]


def with_a_sound_one(write, cache, data, name="p1.nii", slices=ALL):
    """The listing of a folder with this volume and a sound one of another class."""
    root = write({f"sick/{name}": data, "well/p2.nii": nii(noise(16, 16, 16))})
    return read_listing(root, cache=cache, slices=slices)
