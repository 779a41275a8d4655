import copy

import pytest
import torch
from torch import nn

from xenograft.backbones.build import build
from xenograft.backbones.catalog import CATALOG, HALF, IMAGENET_MEAN, IMAGENET_STD, lookup
from xenograft.backbones.convert import load_tensors
from xenograft.backbones.weights import find
from xenograft.errors import UsageError

from .makers import (
    REAL_IMAGES,
    REAL_WEIGHTS,
    difference,
    images,
    knowing,
    original,
    original_features,
    real,
    write_weights,
)


@pytest.fixture(scope="module", params=CATALOG.values(), ids=lambda spec: spec.name)
def case(request):
    """(spec, the publisher's whole network, our backbone with the same weights)"""
    spec = request.param
    network = original(spec)
    return spec, network, build(spec, tensors=network.state_dict(), seed=0)


def test_features_are_what_the_original_gives_to_its_classifier(case):
    spec, network, backbone = case
    batch = images(spec)
    with torch.no_grad():
        ours, maps, theirs = backbone(batch), backbone.maps(batch), original_features(spec, network, batch)
    assert ours.shape == (2, spec.width)
    assert difference(theirs[0], theirs[1]) > 0.02  # the features depend on the image
    assert maps.shape[:2] == (2, spec.width)
    assert maps.shape[2] == maps.shape[3]
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5 * float(theirs.abs().max()))
    torch.testing.assert_close(maps.mean((2, 3)), ours, rtol=1e-4, atol=1e-5 * float(ours.abs().max()))


def test_stages_cover_every_parameter_once_from_input_to_output(case):
    spec, _, backbone = case
    stages = backbone.stages()
    assert tuple(name for name, _ in stages) == spec.stages
    assert all(parameters for _, parameters in stages)
    in_stages = [id(parameter) for _, parameters in stages for parameter in parameters]
    assert in_stages == [id(parameter) for parameter in backbone.parameters()]


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_are_found_and_loaded_back(case, suffix, tmp_path):
    spec, network, backbone = case
    name = next(file for file in spec.files if file.endswith(suffix))
    path = write_weights(tmp_path / name, network.state_dict())
    found = find(knowing(spec, path), weights_dir=tmp_path, cache=tmp_path / "cache", offline=True)
    again = build(spec, tensors=load_tensors(found.path), seed=1)
    path.unlink()  # some are hundreds of megabytes, and pytest keeps its folders
    assert (found.path, found.origin) == (path, "weights-dir")
    batch = images(spec, 1)
    with torch.no_grad():
        torch.testing.assert_close(again(batch), backbone(batch), rtol=0, atol=0)


def test_frozen_stages_keep_their_statistics_bit_for_bit(case):
    spec, _, backbone = case
    backbone = copy.deepcopy(backbone)
    backbone.freeze(1)
    before = {name: buffer.clone() for name, buffer in backbone.named_buffers()}
    last = {id(parameter) for parameter in backbone.stages()[-1][1]}
    assert {id(parameter) for parameter in backbone.parameters() if parameter.requires_grad} == last
    backbone.train()
    with torch.no_grad():
        backbone(images(spec) + 3)
    changed = {name for name, buffer in backbone.named_buffers() if not torch.equal(buffer, before[name])}
    learning = {
        f"{name}.{key}"
        for name, module in backbone.named_modules()
        if isinstance(module, nn.BatchNorm2d) and id(module.weight) in last
        for key in ("running_mean", "running_var", "num_batches_tracked")
    }
    assert changed == learning


@pytest.fixture
def small():
    return build(lookup("resnet18"), tensors=None, seed=3)


def test_freeze_by_word_and_by_number(small):
    for trainable, expected in (("none", 0), (0, 0), (2, 2), ("all", 5), (5, 5)):
        small.freeze(trainable)
        learning = [any(parameter.requires_grad for parameter in parameters) for _, parameters in small.stages()]
        assert learning == [False] * (5 - expected) + [True] * expected


@pytest.mark.parametrize("name", ["mobilenet_v2", "timm:test_resnet", "timm:test_vit", "timm:test_convnext"])
def test_normalisation_layers_alone(name):
    backbone = build(lookup(name), tensors=None, seed=0)
    backbone.freeze("norm")
    learning = {key for key, parameter in backbone.named_parameters() if parameter.requires_grad}
    assert learning
    norms = {key.rpartition(".")[0] for key in learning}
    modules = dict(backbone.named_modules())
    kinds = ("BatchNorm2d", "BatchNormAct2d", "LayerNorm", "LayerNorm2d")
    assert norms == {key for key, module in modules.items() if type(module).__name__ in kinds}
    backbone.train()
    before = {key: tensor.clone() for key, tensor in backbone.named_buffers() if "running_" in key}
    with torch.no_grad():
        backbone(torch.randn(2, 3, backbone.spec.size, backbone.spec.size) + 3)
    after = dict(backbone.named_buffers())
    assert not any(torch.equal(tensor, after[key]) for key, tensor in before.items())


def test_a_backbone_without_normalisation_is_refused():
    with pytest.raises(UsageError, match=r"^E-USAGE-26 squeezenet1_1 has no normalisation layer"):
        build(lookup("squeezenet1_1"), tensors=None, seed=0).freeze("norm")


@pytest.mark.parametrize("trainable", [6, -1, "some"])
def test_impossible_freezing_is_refused(small, trainable):
    with pytest.raises(UsageError, match=r"E-USAGE-03.*0 to 5"):
        small.freeze(trainable)


def test_frozen_modules_stay_in_eval_mode_inside_a_training_model(small):
    small.freeze("none")
    model = nn.Sequential(small, nn.Dropout(), nn.Linear(512, 1)).train()
    assert not any(module.training for module in small.modules())
    assert model[1].training
    small.freeze("all")
    assert all(module.training for module in model.train().modules())


def test_frozen_dropout_stays_off():
    backbone = build(lookup("timm:test_vit"), tensors=None, seed=0)
    backbone.trunk.blocks[0].mlp.drop1.p = 0.5
    backbone.freeze(1)
    backbone.train()
    assert not backbone.trunk.blocks[0].mlp.drop1.training
    assert backbone.trunk.blocks[-1].mlp.drop1.training


def test_equal_seeds_give_equal_weights_and_touch_no_global_generator():
    spec = lookup("shufflenet_v2_x1_0")
    state = torch.get_rng_state()
    one, same, other = (build(spec, tensors=None, seed=seed).trunk.state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert not torch.equal(one["conv1.0.weight"], other["conv1.0.weight"])


def test_random_weights_are_the_models_own_initialisation():
    from torchvision import models

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(5)
        theirs = models.inception_v3(weights=None, aux_logits=False, init_weights=True).state_dict()
    ours = build(lookup("inception_v3"), tensors=None, seed=5).trunk.state_dict()
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items())


def test_inception_sees_what_torchvisions_transform_input_gives():
    spec = lookup("inception_v3")
    network = original(spec)
    network.transform_input = True  # as torchvision sets it with its pretrained weights
    backbone = build(spec, tensors=network.state_dict(), seed=0)
    pixels = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    assert (spec.mean, spec.std) == (HALF, HALF)
    with torch.no_grad():
        theirs = original_features(spec, network, (pixels - mean) / std)
        ours = backbone((pixels - 0.5) / 0.5)
        wrong = backbone((pixels - mean) / std)
    assert difference(wrong, theirs) > 0.01
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5 * float(theirs.abs().max()))


def natural_images(count, *, mean, std):
    """(N, 3, 224, 224) normalised and class indices, spread over the 1,000 classes."""
    import numpy as np
    from PIL import Image

    paths = sorted(real(REAL_IMAGES).glob("*.jpg"))
    chosen = range(0, len(paths), len(paths) // count)
    pixels = np.stack([np.asarray(Image.open(paths[index]).convert("RGB")) for index in chosen])
    batch = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    return (batch - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1), torch.tensor(list(chosen))


def real_backbone(name, tmp_path):
    spec = lookup(name)
    found = find(spec, weights_dir=real(REAL_WEIGHTS), cache=tmp_path, offline=True)
    tensors = load_tensors(found.path)
    return spec, found, tensors, build(spec, tensors=tensors, seed=0)


@pytest.mark.realdata
def test_real_mobilenet_loads_and_its_features_are_alive(tmp_path):
    _, found, _, backbone = real_backbone("mobilenet_v2", tmp_path)
    assert (found.origin, found.licence) == ("weights-dir", "Apache-2.0")
    batch, _ = natural_images(4, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    with torch.inference_mode():
        features = backbone(batch)
    assert features.std(0).gt(0.01).float().mean() > 0.5  # different images, different features


@pytest.mark.realdata
def test_real_squeezenet_recognises_natural_images(tmp_path):
    spec, _, tensors, backbone = real_backbone("squeezenet1_1", tmp_path)
    classifier = nn.Conv2d(512, 1000, 1)
    classifier.load_state_dict({key: tensors[f"classifier.1.{key}"] for key in ("weight", "bias")})
    batch, labels = natural_images(100, mean=spec.mean, std=spec.std)
    with torch.inference_mode():
        logits = classifier(backbone.maps(batch)).relu().mean((2, 3))
    assert logits.argmax(1).eq(labels).float().mean() > 0.5


@pytest.mark.realdata
def test_packaged_efficientnet_recognises_natural_images(tmp_path):
    spec, found, tensors, backbone = real_backbone("efficientnet_lite0", tmp_path)
    assert (found.origin, found.licence) == ("package", "Apache-2.0")
    classifier = nn.Linear(1280, 1000)
    classifier.load_state_dict({key: tensors[f"_fc.{key}"] for key in ("weight", "bias")})
    batch, labels = natural_images(50, mean=spec.mean, std=spec.std)
    with torch.inference_mode():
        logits = classifier(backbone(batch))
    assert logits.argmax(1).eq(labels).float().mean() > 0.7
