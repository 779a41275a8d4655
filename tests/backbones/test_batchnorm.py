import copy

import pytest
import torch

from xenograft.backbones.batchnorm import identity_batchnorm, unfold_batchnorm
from xenograft.backbones.build import build
from xenograft.backbones.catalog import lookup
from xenograft.backbones.convert import load_tensors
from xenograft.backbones.weights import find
from xenograft.errors import UsageError

from .makers import REAL_WEIGHTS, difference, folded_mobilenet, original, real


def batches(count=4, size=32, side=64):
    generator = torch.Generator().manual_seed(7)
    return [torch.randn(size, 3, side, side, generator=generator) * 0.5 + 0.3 for _ in range(count)]


def test_folded_network_is_recognised():
    assert identity_batchnorm(folded_mobilenet())
    assert not identity_batchnorm(original(lookup("mobilenet_v2")))
    assert not identity_batchnorm(build(lookup("mobilenet_v2"), tensors=None, seed=0))  # fresh, not folded
    assert not identity_batchnorm(build(lookup("squeezenet1_1"), tensors=None, seed=0))  # has no batch norm


def test_unfolding_keeps_eval_and_brings_train_near_it_on_other_images():
    network, (unseen, *data) = folded_mobilenet(), batches(3, 128)
    with torch.no_grad():
        before = network(unseen)
        broken = copy.deepcopy(network).train()(unseen)
        unfold_batchnorm(network, data)
        after = network(unseen)
        trained = copy.deepcopy(network).train()(unseen)
    assert difference(before[0], before[1]) > 0.1  # the features depend on the image
    assert difference(after, before) < 1e-4
    assert not identity_batchnorm(network)
    # what remains is the sampling noise of batch norm itself: it shrinks with the batch
    assert difference(trained, before) < difference(broken, before) / 2


def test_unfolding_one_batch_is_exact_in_train_mode():
    network, data = folded_mobilenet(), batches(1)
    with torch.no_grad():
        before = network(data[0])
        unfold_batchnorm(network, data)
        trained = network.train()(data[0])
    assert difference(trained, before) < 1e-3


def test_batches_add_up():
    (whole,) = batches(1, 12)
    one, other = folded_mobilenet(), folded_mobilenet()
    unfold_batchnorm(one, [whole])
    unfold_batchnorm(other, whole.split(5))
    for key, value in one.state_dict().items():
        torch.testing.assert_close(other.state_dict()[key], value, rtol=1e-4, atol=1e-5)


def test_unfolding_leaves_modes_and_hooks_as_they_were():
    network = folded_mobilenet().train()
    network.features[0].eval()
    modes = [module.training for module in network.modules()]
    unfold_batchnorm(network, batches(1, 2))
    assert [module.training for module in network.modules()] == modes
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_unfolding_on_nothing_is_refused():
    with pytest.raises(UsageError, match="at least one batch"):
        unfold_batchnorm(folded_mobilenet(), [])


@pytest.mark.realdata
def test_real_mobilenet_is_folded_and_can_be_unfolded(tmp_path):
    spec = lookup("mobilenet_v2")
    path = find(spec, weights_dir=real(REAL_WEIGHTS), cache=tmp_path, offline=True).path
    backbone = build(spec, tensors=load_tensors(path), seed=0)
    assert identity_batchnorm(backbone)
    (data,) = batches(1, 8, 96)
    with torch.no_grad():
        before = backbone(data)
        unfold_batchnorm(backbone, [data])
        assert difference(backbone(data), before) < 1e-4
        backbone.freeze("all")
        assert difference(backbone.train()(data), before) < 0.02
