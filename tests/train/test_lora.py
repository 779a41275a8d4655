"""Adapters on a small vision transformer: nothing else moves, and merging keeps the function."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from xenograft.backbones.build import Backbone, build
from xenograft.backbones.catalog import lookup
from xenograft.errors import MissingPackage, UsageError
from xenograft.train.lora import Adapters, targets

SPEC = lookup("timm:test_vit")


def backbone() -> Backbone:
    return build(SPEC, tensors=None, seed=0)


def images() -> Tensor:
    return torch.randn(3, 3, SPEC.size, SPEC.size, generator=torch.Generator().manual_seed(1))


def adapted(seed: int = 0) -> tuple[Backbone, Adapters]:
    made = backbone()
    adapters = Adapters(made, rank=4, alpha=8.0, seed=seed)
    made.freeze("lora")
    return made, adapters


def perturbed(made: Backbone) -> None:
    """Adapters as training leaves them: neither factor is 0."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.requires_grad:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))


def test_the_layers_of_attention_are_found() -> None:
    assert targets(backbone()) == [f"blocks.{k}.attn.{layer}" for k in range(6) for layer in ("qkv", "proj")]


def test_layers_that_are_never_called_get_no_adapter() -> None:
    """BEiT multiplies by the weights of `qkv` itself, and only calls `proj`."""
    made = backbone()
    for block in made.trunk.blocks:
        block.attn.forward = _without_calling(block.attn)
    assert targets(made) == [f"blocks.{k}.attn.proj" for k in range(6)]


def _without_calling(attention: Any) -> Callable[..., Tensor]:
    def forward(tokens: Tensor, **_more: object) -> Tensor:
        weights = attention.qkv.weight, attention.qkv.bias
        queries = torch.nn.functional.linear(tokens, *weights).chunk(3, dim=-1)[0]
        output: Tensor = attention.proj(queries)
        return output

    return forward


def test_new_adapters_change_no_output_and_no_global_generator() -> None:
    state = torch.get_rng_state()
    made, _ = adapted()
    assert torch.equal(torch.get_rng_state(), state)
    with torch.no_grad():
        torch.testing.assert_close(made(images()), backbone()(images()), rtol=0, atol=0)


def test_only_adapters_learn_and_each_of_them_gets_a_gradient() -> None:
    made, _ = adapted()
    learning = {name: p for name, p in made.named_parameters() if p.requires_grad}
    assert len(learning) == 2 * 12
    assert {name.split(".lora_")[1].split(".")[0] for name in learning} == {"A", "B"}
    width = made.trunk.blocks[0].attn.proj.base_layer.in_features
    assert sum(p.numel() for p in learning.values()) == 6 * 4 * ((width + 3 * width) + (width + width))
    perturbed(made)
    made.train()
    made(images()).square().sum().backward()
    assert all(p.grad is not None and bool((p.grad != 0).any()) for p in learning.values())


def test_merging_keeps_the_function_and_gives_back_the_names() -> None:
    made, adapters = adapted()
    perturbed(made)
    base = {name: t.clone() for name, t in made.state_dict().items() if ".lora_" not in name}
    for name, tensor in backbone().state_dict().items():
        stored = next(t for key, t in base.items() if key.replace(".base_layer", "") == name)
        assert torch.equal(tensor, stored), name  # bit-equal before merging
    made.eval()
    with torch.no_grad():
        expected = made(images())
    factors = {name: p.detach().clone() for name, p in made.named_parameters() if p.requires_grad}
    adapters.merge()
    plain = backbone()
    assert list(made.state_dict()) == list(plain.state_dict())
    with torch.no_grad():
        assert float((made(images()) - plain(images())).abs().max()) > 1e-2
        torch.testing.assert_close(made(images()), expected, atol=1e-5, rtol=1e-5)
    again = backbone()
    again.load_state_dict(made.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(again(images()), expected, atol=1e-5, rtol=1e-5)
    for name, tensor in plain.state_dict().items():
        layer = name.removesuffix(".weight")
        if f"{layer}.lora_A.default.weight" in factors and name.endswith(".weight"):
            product = factors[f"{layer}.lora_B.default.weight"] @ factors[f"{layer}.lora_A.default.weight"]
            torch.testing.assert_close(made.state_dict()[name], tensor + 8.0 / 4 * product)
        else:
            assert torch.equal(made.state_dict()[name], tensor), name


def test_equal_seeds_give_equal_adapters() -> None:
    one, same, other = (dict(adapted(seed)[0].named_parameters()) for seed in (1, 1, 2))
    name = "trunk.blocks.0.attn.qkv.lora_A.default.weight"
    assert torch.equal(one[name], same[name])
    assert not torch.equal(one[name], other[name])


def test_a_convolutional_network_is_refused_in_one_line() -> None:
    with pytest.raises(UsageError, match=r"^E-USAGE-27 resnet18 has no attention") as caught:
        Adapters(build(lookup("resnet18"), tensors=None, seed=0), rank=4, alpha=4.0, seed=0)
    assert "\n" not in str(caught.value)


def test_without_peft_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingPackage, match=r"E-PACKAGE-01 .*xenograft\[lora\]"):
        targets(backbone())


def test_adapters_cannot_learn_where_there_are_none() -> None:
    with pytest.raises(UsageError, match="E-USAGE-26 timm:test_vit has no adapter"):
        backbone().freeze("lora")
