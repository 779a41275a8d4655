import csv
import dataclasses
import subprocess
import sys

import pytest

from xenograft.backbones.catalog import CATALOG, PAPER, lookup, parse_backbones
from xenograft.errors import UsageError

from .makers import SHARED, real

QUICK = """
import sys, time
started = time.perf_counter()
import xenograft.backbones.catalog, xenograft.backbones.weights
print(time.perf_counter() - started)
assert not {"torch", "timm", "numpy", "torchvision"} & set(sys.modules)
"""


def test_paper_names_the_eight_in_its_order():
    assert PAPER == (
        "resnet18",
        "resnet50",
        "densenet161",
        "shufflenet_v2_x1_0",
        "mobilenet_v2",
        "resnext50_32x4d",
        "wide_resnet50_2",
        "inception_v3",
    )


@pytest.mark.realdata
def test_titles_are_those_of_the_papers_tables():
    with (real(SHARED / "reference") / "paper_tables.csv").open() as stream:
        published = {row["model"] for row in csv.DictReader(stream)}
    assert {CATALOG[name].title for name in PAPER} == published


@pytest.mark.parametrize("spec", [CATALOG[name] for name in CATALOG if CATALOG[name].source == "torchvision"])
def test_row_agrees_with_torchvision(spec):
    from torchvision import models

    weights = models.get_model_weights(spec.name).IMAGENET1K_V1
    assert spec.url == weights.url
    assert spec.files[0] == weights.url.rsplit("/", 1)[1]
    assert spec.params_m == pytest.approx(weights.meta["num_params"] / 1e6, abs=0.051)
    assert spec.size == weights.transforms.keywords["crop_size"]
    assert weights.url.endswith(f"-{spec.sha256_prefix}.pth")
    assert f"{spec.name}.imagenet1k.safetensors" in spec.files


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["mobilenet_v2", "squeezenet1_1"])
def test_known_hashes_are_the_listed_ones(name):
    listed = (real(SHARED / "weights") / "SHA256SUMS").read_text()
    assert f"{CATALOG[name].sha256}  {name}.imagenet1k.safetensors" in listed


def test_rows_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        CATALOG["resnet18"].width = 1


def test_catalog_and_weights_import_without_torch():
    done = subprocess.run([sys.executable, "-c", QUICK], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 2


def test_unknown_name_offers_the_nearest():
    with pytest.raises(UsageError, match=r"E-USAGE-03 unknown backbone 'resnet81'; did you mean resnet18.*timm:NAME"):
        lookup("resnet81")


def test_names_are_parsed_in_order_without_duplicates():
    assert parse_backbones(" squeezenet1_1, paper,resnet18,") == ("squeezenet1_1", *PAPER)


@pytest.mark.parametrize("text", ["", " , ", "paper,resnet"])
def test_bad_lists_are_refused(text):
    with pytest.raises(UsageError) as caught:
        parse_backbones(text)
    assert caught.value.code == "E-USAGE-03"


@pytest.mark.parametrize("name", list(CATALOG))
def test_rows_know_their_depthwise_convolutions(name):
    import torch

    from xenograft.backbones.build import build

    convolutions = [m for m in build(CATALOG[name], tensors=None, seed=0).modules() if isinstance(m, torch.nn.Conv2d)]
    assert CATALOG[name].depthwise == any(m.groups == m.in_channels > 1 for m in convolutions)


@pytest.mark.parametrize("name", list(CATALOG))
def test_multiply_adds_are_those_of_the_network(name):
    import torch

    from xenograft.backbones.build import _random

    spec, counted = CATALOG[name], 0

    def count(module, _inputs, output):
        nonlocal counted
        counted += module.weight[0].numel() * output.numel()

    with torch.device("meta"), torch.no_grad():
        network = _random(spec, pretrained=True).eval()
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
                module.register_forward_hook(count)
        network(torch.empty(1, 3, spec.size, spec.size))
    assert counted / 1e9 == pytest.approx(spec.gmacs, rel=0.05)
