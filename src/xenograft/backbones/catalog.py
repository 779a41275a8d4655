"""name -> BackboneSpec: every backbone with its weights, its preprocessing and its stages. Imports no torch."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Literal

from xenograft.errors import UsageError, listed, printable

Source = Literal["torchvision", "timm", "package"]
Triple = tuple[float, float, float]

TIMM_PREFIX = "timm:"
IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)
HALF: Triple = (0.5, 0.5, 0.5)

_TORCHVISION_ADDRESS = "https://download.pytorch.org/models/"
_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.pth$")


@dataclass(frozen=True, slots=True)
class WeightFile:
    """One file name under which weights of a backbone are accepted.

    Args:
        name: file name, or `folder/name` below a weights folder.
        sha256: the whole hash where it is known, else "".
        licence: where it differs from the backbone's.
    """

    name: str
    sha256: str = ""
    licence: str | None = None

    @property
    def expected(self) -> str:
        """Leading hexadecimal digits of the hash: all 64, the digits torch.hub keeps in the file name, or none."""
        found = _HASH_IN_NAME.search(self.name)
        return self.sha256 or (found[1] if found else "")


@dataclass(frozen=True, slots=True)
class BackboneSpec:
    """A pretrained network, its weights and the preprocessing these weights were trained with.

    Args:
        name: catalog name, or `timm:NAME`.
        source: who defines the network; "package" means that its weights come inside a Python package.
        title: the name in the paper's tables.
        width: length D of the pooled feature vector.
        stages: from input to output; a torchvision stage is named after the first module in it.
        accepted: weight files, tried in this order.
        params_m: parameters in millions, with the classifier for torchvision, without it for timm.
        size: side of the square input in pixels.
        mean: subtracted from pixels in [0, 1], per channel.
        std: divides the pixels after that.
        interpolation: how images were resized in training.
        url: address of the weights, where they can be downloaded.
        licence: of the weights.
        depthwise: whether it has depthwise convolutions, which gain nothing from bf16 without matrix tiles.
        gmacs: multiply-adds in 1e9 for one image of `size`, without the classifier; 0 where it is not known.
    """

    name: str
    source: Source
    title: str
    width: int
    stages: tuple[str, ...]
    accepted: tuple[WeightFile, ...]
    params_m: float
    size: int = 224
    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD
    interpolation: str = "bilinear"
    url: str | None = None
    licence: str = "BSD-3-Clause"
    depthwise: bool = False
    gmacs: float = 0.0

    @property
    def files(self) -> tuple[str, ...]:
        """Accepted weight file names, in the order they are tried."""
        return tuple(file.name for file in self.accepted)

    @property
    def sha256(self) -> str | None:
        """The whole hash, where the catalog knows it for one of the files."""
        return next((file.sha256 for file in self.accepted if file.sha256), None)

    @property
    def sha256_prefix(self) -> str | None:
        """The leading digits that the publisher keeps in the file name."""
        return next((found[1] for file in self.accepted if (found := _HASH_IN_NAME.search(file.name))), None)


def _torchvision(
    name: str,
    title: str,
    width: int,
    params_m: float,
    gmacs: float,
    *,
    file: str,
    stages: str,
    shared: str = "",
    size: int = 224,
    mean: Triple = IMAGENET_MEAN,
    std: Triple = IMAGENET_STD,
    depthwise: bool = False,
) -> BackboneSpec:
    """A torchvision row. `shared`: hash of the converted file that sealed machines carry (Apache 2.0)."""
    ours = WeightFile(f"{name}.imagenet1k.safetensors", shared, "Apache-2.0" if shared else None)
    return BackboneSpec(
        name=name,
        source="torchvision",
        title=title,
        width=width,
        stages=("stem", *stages.split()),
        accepted=(WeightFile(file), ours, WeightFile(f"{name}.imagenet1k.pth")),
        params_m=params_m,
        gmacs=gmacs,
        size=size,
        mean=mean,
        std=std,
        url=_TORCHVISION_ADDRESS + file,
        depthwise=depthwise,
    )


def _efficientnet_lite(
    number: int, digits: str, sha256: str, params_m: float, gmacs: float, *, size: int = 224
) -> BackboneSpec:
    """A row whose weights come inside a Python package of the same name."""
    name = f"efficientnet_lite{number}"
    return BackboneSpec(
        name=name,
        source="package",
        title=f"EfficientNet-Lite{number}",
        width=1280,
        stages=("stem", *(f"blocks.{block}" for block in range(7))),
        accepted=(
            WeightFile(f"efficientnet-lite{number}-{digits}.pth", sha256),
            WeightFile(f"{name}.imagenet1k.safetensors"),
            *_LITE_ELSEWHERE.get(number, ()),
        ),
        params_m=params_m,
        gmacs=gmacs,
        size=size,
        mean=HALF,
        std=HALF,
        interpolation="bicubic",
        licence="Apache-2.0",
        depthwise=True,
    )


_LITE_ELSEWHERE = {0: (WeightFile("tf_efficientnet_lite0-0aa007d2.pth"),)}
_RESNET = "layer1 layer2 layer3 layer4"
_ROWS = (
    _torchvision("resnet18", "ResNet18", 512, 11.7, 1.81, file="resnet18-f37072fd.pth", stages=_RESNET),
    _torchvision("resnet50", "ResNet50", 2048, 25.6, 4.09, file="resnet50-0676ba61.pth", stages=_RESNET),
    _torchvision(
        "densenet161",
        "DenseNet161",
        2208,
        28.7,
        7.73,
        file="densenet161-8d451a50.pth",
        stages="features.denseblock1 features.denseblock2 features.denseblock3 features.denseblock4",
    ),
    _torchvision(
        "shufflenet_v2_x1_0",
        "ShuffleNet v2",
        1024,
        2.3,
        0.14,
        file="shufflenetv2_x1-5666bf0f80.pth",
        stages="stage2 stage3 stage4 conv5",
        depthwise=True,
    ),
    _torchvision(
        "mobilenet_v2",
        "MobileNet v2",
        1280,
        3.5,
        0.30,
        file="mobilenet_v2-b0353104.pth",
        stages="features.2 features.4 features.7 features.14 features.18",
        depthwise=True,
        shared="010c5e64ed39cf5e03739b04b1a3b1a5bc51ad251a66dcbbddadcb116b5a1866",
    ),
    _torchvision(
        "resnext50_32x4d", "ResNeXt50 (32x4d)", 2048, 25.0, 4.23, file="resnext50_32x4d-7cdf4587.pth", stages=_RESNET
    ),
    _torchvision(
        "wide_resnet50_2", "Wide ResNet50-2", 2048, 68.9, 11.40, file="wide_resnet50_2-95faca4d.pth", stages=_RESNET
    ),
    _torchvision(
        "inception_v3",
        "Inception v3",
        2048,
        27.2,
        5.71,
        file="inception_v3_google-0cc3c7bd.pth",
        stages="Mixed_5b Mixed_6a Mixed_7a",
        size=299,
        # These weights were trained on (x - 0.5) / 0.5. torchvision takes ImageNet's normalisation and converts it
        # inside the network (transform_input); here the network is built without that step.
        mean=HALF,
        std=HALF,
    ),
    _torchvision(
        "squeezenet1_1",
        "SqueezeNet 1.1",
        512,
        1.2,
        0.26,
        file="squeezenet1_1-b8a52dc0.pth",
        stages="features.3 features.6 features.9",
        shared="102fa02ec826921aae2c3408f9f154381a466f8210fead01b8aa941ee607e4e8",
    ),
    _efficientnet_lite(0, "57934424", "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", 4.7, 0.38),
    _efficientnet_lite(
        1, "77cc7160", "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850", 5.4, 0.60, size=240
    ),
    _efficientnet_lite(
        2, "9656183e", "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d", 6.1, 0.86, size=260
    ),
)

CATALOG = MappingProxyType({spec.name: spec for spec in _ROWS})
PAPER: tuple[str, ...] = tuple(CATALOG)[:8]
PRESETS = MappingProxyType({"paper": PAPER})


@lru_cache(maxsize=256)
def lookup(name: str) -> BackboneSpec:
    """The row of a backbone; `timm:NAME` makes one on demand (and imports timm for it).

    Raises:
        UsageError: E-USAGE-03, no such backbone.
    """
    if name in CATALOG:
        return CATALOG[name]
    if name.startswith(TIMM_PREFIX):
        from xenograft.backbones.timm_spec import timm_spec

        return timm_spec(name)
    raise unknown_backbone(name, CATALOG, hint="see 'xenograft weights list', or take any timm model as timm:NAME")


def unknown_backbone(name: str, names: Iterable[str], *, hint: str) -> UsageError:
    """The error for a name that is none of `names`, with the nearest of them."""
    near = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.5)
    meant = f"did you mean {listed(near)}? " if near else ""
    return UsageError(f"unknown backbone {printable(name)!r}; {meant}{hint}", code="E-USAGE-03")


def parse_backbones(text: str) -> tuple[str, ...]:
    """`"paper,timm:vit_tiny_patch16_224"` -> names: presets opened, no duplicates, order kept.

    Raises:
        UsageError: E-USAGE-03, an unknown name or none at all.
    """
    words = [word for part in text.split(",") if (word := part.strip())]
    names = dict.fromkeys(name for word in words for name in PRESETS.get(word, (word,)))
    if not names:
        raise UsageError(
            f"no backbone in {printable(text)!r}; give names with commas between, or 'paper'", code="E-USAGE-03"
        )
    return tuple(lookup(name).name for name in names)
