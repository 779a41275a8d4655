import base64
import gzip
import zlib
from functools import partial

import nibabel
import numpy as np
import pytest

from xenograft.data.importers.volumes import SliceRule

from .volume_makers import affine, mha, nii, noise, of, with_a_sound_one

ALL = SliceRule(take="all")


@pytest.fixture
def one(write, tmp_path):
    """The listing of a folder with this volume and a sound one of another class."""
    return partial(with_a_sound_one, write, tmp_path / "cache")


def displayed(canonical, axis, index):
    """One slice of an RAS+ array as a radiologist looks at it, pixel by pixel."""
    sides = [side for k, side in enumerate(canonical.shape) if k != axis]
    made = np.empty((sides[1], sides[0]))
    for row in range(sides[1]):
        for column in range(sides[0]):
            place = [sides[0] - 1 - column, sides[1] - 1 - row]
            place.insert(axis, index)
            made[row, column] = canonical[tuple(place)]
    return made


def mapped(values, whole):
    return np.rint((values - whole.min()) / (whole.max() - whole.min()) * 65535)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("codes", ["RAS", "LPS", "LAS", "PIR", "SLA", "ASR", "IPL"])
def test_slices_are_those_of_nibabel_turned(one, codes, axis):
    data = nii(noise(5, 4, 3), affine(codes, (0.5, 2, 3)))
    found = of(one(data, slices=SliceRule(axis=axis, take="all")))
    canonical = nibabel.as_closest_canonical(nibabel.Nifti1Image.from_bytes(data)).get_fdata()
    assert len(found) == canonical.shape[axis]
    for index, picture in enumerate(found):
        assert picture.dtype == np.uint16
        np.testing.assert_array_equal(picture, mapped(displayed(canonical, axis, index), canonical))


def test_slightly_turned_volumes_are_not_interpolated(one):
    angle = np.deg2rad(20)
    turned = affine("LPS")
    turned[:3, :3] = (
        np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]) @ (turned[:3, :3])
    )
    values = noise(5, 4, 3)
    np.testing.assert_array_equal(np.stack(of(one(nii(values, turned)))), np.stack(of(one(nii(values, affine("LPS"))))))


@pytest.mark.parametrize("codes", ["RAS", "LPS", "ILP"])
def test_where_right_front_and_head_come_to_lie(one, codes):
    """One bright voxel at the patient's right, front and head, found by its place in millimetres."""
    matrix = affine(codes)
    values = np.zeros((16, 16, 16), np.uint8)
    places = np.indices(values.shape).reshape(3, -1)
    world = matrix[:3, :3] @ places + matrix[:3, 3:]
    values[tuple(places[:, world.sum(axis=0).argmax()])] = 200
    data = nii(values, matrix)
    for axis, (slice_number, what) in enumerate([(15, "right"), (15, "front"), (15, "head")]):
        found = of(one(data, slices=SliceRule(axis=axis, take="all")))
        rows, columns = np.nonzero(found[slice_number])
        assert (rows.tolist(), columns.tolist()) == ([0], [0]), what  # up; right or, in sagittal slices, front at left
        assert sum(int(picture.any()) for picture in found) == 1


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "f4", "f8"])
def test_every_type_of_numbers(one, dtype, kind, order):
    values = noise(6, 5, 4, dtype=np.dtype(dtype).newbyteorder("="))
    data = nii(values, kind=kind, order=order)
    for packed, name in ((data, "p1.nii"), (gzip.compress(data), "p1.nii.gz")):
        found = of(one(packed, name), name)
        want = [mapped(displayed(values.astype(float), 2, k), values.astype(float)) for k in range(4)]
        np.testing.assert_array_equal(np.stack(found), np.stack(want))


@pytest.mark.parametrize("slope", [(1, -1024), (0.25, 3), (-2, 10), (0, 5), (np.nan, 0), (np.inf, 5)], ids=str)
def test_stored_numbers_are_scaled_as_the_file_says(one, slope):
    data = nii(noise(6, 5, 4), slope=slope)
    real = nibabel.Nifti1Image.from_bytes(data).get_fdata()
    found = of(one(data))
    for k in range(4):
        np.testing.assert_allclose(found[k], mapped(displayed(real, 2, k), real), atol=1)
    assert (int(np.min(found)), int(np.max(found))) == (0, 65535)
    bright = np.unravel_index(real.argmax(), real.shape)  # also where the slope is negative
    assert found[bright[2]][4 - bright[1], 5 - bright[0]] == 65535


def test_no_gray_level_is_lost(one):
    ramp = np.arange(4096, dtype=np.int16).reshape(64, 64, 1) - 1024
    (picture,) = of(one(nii(ramp)))
    assert len(np.unique(picture)) == 4096


def test_two_dimensions_and_trailing_ones(one):
    values = noise(20, 18, 1, 1)
    (flat,) = of(one(nii(values[..., 0, 0])))
    (deep,) = of(one(nii(values)))
    np.testing.assert_array_equal(flat, deep)
    np.testing.assert_array_equal(flat, mapped(displayed(values[..., 0].astype(float), 2, 0), values.astype(float)))


def test_a_constant_volume_is_kept_black(one):
    listing = one(nii(np.full((16, 16, 2), 7, np.uint8)))
    assert [int(picture.max()) for picture in of(listing)] == [0, 0]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dtype", ["i1", "u1", "<i2", ">i2", "u2", "i4", "f4", ">f8"])
def test_metaimage_against_nifti(one, dtype, packed):
    values = noise(6, 5, 4, dtype=np.dtype(dtype).newbyteorder("=")).astype(dtype)
    nifti = of(
        one(
            nii(
                values.astype(values.dtype.newbyteorder("=")) if "1" not in dtype else values.astype("i2"),
                affine("LPS"),
            )
        )
    )
    np.testing.assert_array_equal(of(one(mha(values, packed=packed), "p1.mha"), "p1.mha"), nifti)


def test_metaimage_directions(one):
    """The first index runs to the head, the second to the front, the third to the right; the file speaks of LPS."""
    values = noise(5, 4, 3)
    lines = {"TransformMatrix": "0 0 1 0 -1 0 -1 0 0", "ElementSpacing": "3 0.5 0.7", "Offset": "1 2 3"}
    found = of(one(mha(values, lines), "p1.mha"), "p1.mha")
    np.testing.assert_array_equal(found, of(one(nii(values, affine("SAR")))))


# one image of three turned axes, tilted by 15 degrees, as SimpleITK 2.5 wrote it in both formats
BY_ITK_MHA = base64.b85decode(
    "Phx6iV{}w`aAhDpAW3auXJrabL}_hvAUz;63PNdaVRCsyVRT_2Js?zab!7@dX>MV1c|>7!VM2LyWlwTsWpYhZLLfaLMqzAoWeP)YZE$jBb8}"
    "^6L}7GcAUz;da&=`2LvL+xa%FRKWn@HQbYW9zdSxIzATcpC3RH4oZgXaDa&1jvbaH8UAUz;0FfKARI5;smFf=tWFfuhVFgG+HFfKVZH90ahI"
    "5IXeI5{vjI5ROIFd#4>Fd!{4AT2O1IW{#pGBr3dHZnLlFg7?dF(554E;2PZI59aeG&M0WGBq+VH#8tH3QuNcb7gcOJs>eKAT2U5ATuxuLuGD"
    "sWpYnuQg3u&bZKvHAUz;3ATS^>3PEmRbZ>2GV_|Gha%p95bYXO9Z*CwxAVE`13Po&XZDnqBQ*dEpX>MmAJs>bHH6St|GYUj$ZBuD_WgtBuH6"
    "Sz~GYUm)Wo>0{bX0k8WgtBuO+{2+Q%FxzR0>6GWo>0{bVOlvVMb|eWgtBuOix2WObU2j1;Mcj0RaF2&__f@T~;4(KcQriZ=hr`-*Sr#hATcm"
    "7IMoCx8HiRZX|xdVz4NK&3iW|YeN$qT@9g1>S<-~qi~eic^Ro>n7i9*D;2InJr7NZz*uZ)p{1s;F0*kqa8R0w{9JrZ<=#?%#^xO`"
)
BY_ITK_NII = zlib.decompress(
    base64.b85decode(
        "c-o6$WFP_*F)%Z*GOz$iMkquDEDQo*y1^bufUpA)IbfQz!5OLs1h^Om7=Zk-e-8hCt<*bqK)jEELE#_+!vaSJh7XSKnpx~XY79y(9YEr*+`j"
        "Jv@t+=bvxlewg98xigCn}xdD@0x`U=B*hI$5P1|Ohzg@ECt&2XAw5yKOPT88NipBT0=%wuS0=w^7y;0hF94pg7SaE+mhfrDW`Q0_8NwHU*7V"
        "92*Kh%k6DR4`;Rq%g1pT`kYR1XSJ3un-u~Gl6R38HyQxGMr@i$`Hq}n&B<b1_0mJHu3"
    )
)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_metaimage_and_nifti_as_itk_writes_them(one, axis):
    rule = SliceRule(axis=axis, take="all")
    found = of(one(BY_ITK_MHA, "p1.mha", rule), "p1.mha")
    np.testing.assert_array_equal(found, of(one(BY_ITK_NII, slices=rule)))
    assert len(found) == (3, 5, 4)[axis]
