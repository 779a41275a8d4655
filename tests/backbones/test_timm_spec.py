import pytest
import torch

from xenograft.backbones.build import build
from xenograft.backbones.catalog import lookup, parse_backbones
from xenograft.backbones.convert import load_tensors
from xenograft.backbones.weights import find
from xenograft.errors import UsageError, WeightsError

from .makers import write_weights

# one each: convolutional, class token, NHWC maps, features wider than the maps, no class token
MODELS = ["timm:resnet10t", "timm:test_vit", "timm:test_convnext", "timm:mobilenetv3_small_050", "timm:mixer_s32_224"]


@pytest.mark.parametrize("name", MODELS)
def test_any_timm_model_gives_features_maps_and_stages(name):
    spec = lookup(name)
    backbone = build(spec, tensors=None, seed=0)
    images = torch.randn(1, 3, spec.size, spec.size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features, maps = backbone(images), backbone.maps(images)
    assert features.shape == (1, spec.width)
    assert maps.ndim == 4
    assert maps.shape[2] == maps.shape[3] > 1
    stages = backbone.stages()
    assert tuple(stage for stage, _ in stages) == spec.stages
    identities = [id(parameter) for _, parameters in stages for parameter in parameters]
    assert sorted(identities) == sorted(id(parameter) for parameter in backbone.parameters())
    assert stages[0][0] == "stem"
    assert stages[0][1][0] is next(backbone.parameters())


def test_swin_maps_have_channels_second():
    spec = lookup("timm:swin_tiny_patch4_window7_224")
    with torch.no_grad():
        maps = build(spec, tensors=None, seed=0).maps(torch.zeros(1, 3, 224, 224))
    assert maps.shape == (1, 768, 7, 7)


def test_vit_row():
    spec = lookup("timm:vit_tiny_patch16_224")
    assert (spec.width, spec.size, spec.mean, spec.interpolation) == (192, 224, (0.5, 0.5, 0.5), "bicubic")
    assert spec.licence == "apache-2.0"
    assert spec.stages == ("stem", *(f"blocks.{number}" for number in range(12)))
    assert spec.url == (
        "https://huggingface.co/timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k/resolve/main/model.safetensors"
    )
    assert spec.files == (
        "vit_tiny_patch16_224.safetensors",
        "vit_tiny_patch16_224/model.safetensors",
        "vit_tiny_patch16_224.pth",
    )
    assert parse_backbones("timm:vit_tiny_patch16_224,resnet18") == ("timm:vit_tiny_patch16_224", "resnet18")


def test_tokens_of_a_vit_become_a_grid_in_reading_order():
    spec = lookup("timm:test_vit")
    backbone = build(spec, tensors=None, seed=0)
    images = torch.randn(2, 3, spec.size, spec.size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        ours = backbone.maps(images)
        theirs = backbone.trunk.forward_intermediates(images, indices=1, norm=True, intermediates_only=True)[0]
    torch.testing.assert_close(ours, theirs)


def test_weights_in_a_folder_named_like_the_model_work_offline(tmp_path):
    import timm

    spec = lookup("timm:resnet10t")
    network = timm.create_model("resnet10t", pretrained=False).eval()
    write_weights(tmp_path / "resnet10t" / "model.safetensors", network.state_dict())
    found = find(spec, weights_dir=tmp_path, cache=tmp_path / "cache", offline=True)
    assert found.path == tmp_path / "resnet10t" / "model.safetensors"
    backbone = build(spec, tensors=load_tensors(found.path), seed=0)
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        theirs = network.forward_head(network.forward_features(images), pre_logits=True)
        torch.testing.assert_close(backbone(images), theirs)


def test_missing_timm_weights_name_their_address(tmp_path):
    with pytest.raises(WeightsError, match=r"E-MODEL-20.*huggingface\.co/timm/resnet10t\.c3_in1k"):
        find(lookup("timm:resnet10t"), weights_dir=None, cache=tmp_path, offline=True)


@pytest.mark.parametrize("name", ["timm:resnet18x", "timm:", "timm:../../etc/passwd", "timm:resnet10t.no_such_tag"])
def test_unknown_timm_names_are_refused(name):
    with pytest.raises(UsageError) as caught:
        lookup(name)
    assert caught.value.code == "E-USAGE-03"
    assert "\n" not in str(caught.value)


def test_nearest_timm_name_is_offered():
    with pytest.raises(UsageError, match=r"did you mean.*vit_tiny_patch16_224"):
        lookup("timm:vit_tiny_patch16_2244")


def test_a_model_without_square_maps_says_so():
    backbone = build(lookup("timm:test_vit"), tensors=None, seed=0)
    for odd in ([torch.zeros(1, 4, 8)], torch.zeros(1, 6, 8)):  # several scales (as coat_tiny), no square
        backbone.trunk.forward_features = lambda _, odd=odd: odd
        with pytest.raises(UsageError, match="no square spatial maps"):
            backbone.maps(torch.zeros(1, 3, 160, 160))
