import json
import re
import struct
import zipfile
from pathlib import Path

import pytest
import torch

from xenograft.backbones.build import build
from xenograft.backbones.catalog import CATALOG, lookup
from xenograft.backbones.convert import load_tensors
from xenograft.backbones.weights import find
from xenograft.errors import WeightsError

from .makers import Marker, original, write_weights


def safetensors_bytes(header, body=b"\0" * 4):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def entry(shape=(1,), offsets=(0, 4), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


HOSTILE = {
    "empty": b"",
    "page": b"<html>404 not found</html>",
    "header longer than the file": struct.pack("<Q", 1 << 40) + b"{}",
    "no json": safetensors_bytes(b"{{"),
    "claims 4 TiB": safetensors_bytes({"a": entry((1 << 40,))}),
    "shape overflows": safetensors_bytes({"a": entry((1 << 33, 1 << 33), (0, 4))}),
    "cut": safetensors_bytes({"a": entry()}, b""),
    "overlapping": safetensors_bytes({"a": entry(), "b": entry()}),
    "unknown type": safetensors_bytes({"a": entry(dtype="PY")}),
    "outside": safetensors_bytes({"a": entry(offsets=(1 << 20, (1 << 20) + 4))}),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_m5_hostile_safetensors_are_refused(tmp_path, data):
    path = tmp_path / "resnet18.imagenet1k.safetensors"
    path.write_bytes(data)
    with pytest.raises(WeightsError) as caught:
        load_tensors(path)
    assert caught.value.code == "E-MODEL-05"
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("new_format", [True, False])
def test_m3_malicious_pickle_is_never_run(tmp_path, new_format):
    marker = tmp_path / "marker"
    path = tmp_path / "resnet18-f37072fd.pth"
    torch.save({"conv1.weight": Marker(marker)}, path, _use_new_zipfile_serialization=new_format)
    with pytest.raises(WeightsError, match=r"convert it to \.safetensors") as caught:
        load_tensors(path)
    assert caught.value.code == "E-MODEL-03"
    assert not marker.exists()
    assert "\n" not in str(caught.value)


def test_m3_the_marker_works_when_opened_carelessly(tmp_path):
    torch.save(Marker(tmp_path / "marker"), tmp_path / "bad.pth")
    torch.load(tmp_path / "bad.pth", weights_only=False)
    assert (tmp_path / "marker").exists()


def test_damaged_pth_is_refused(tmp_path):
    whole = write_weights(tmp_path / "whole.pth", {"a": torch.ones(3000)}).read_bytes()
    for name, data in {"cut": whole[: len(whole) // 2], "empty": b"", "page": b"<html>"}.items():
        path = tmp_path / f"{name}.pth"
        path.write_bytes(data)
        with pytest.raises(WeightsError) as caught:
            load_tensors(path)
        assert caught.value.code in {"E-MODEL-03", "E-MODEL-05"}


@pytest.mark.parametrize("value", [torch.ones(2), {"a": 1}, {}, ["a"]])
def test_pth_without_named_tensors_is_refused(tmp_path, value):
    torch.save(value, tmp_path / "odd.pth")
    with pytest.raises(WeightsError, match=r"E-MODEL-05.*no table of named tensors"):
        load_tensors(tmp_path / "odd.pth")


def test_other_files_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "odd.zip", "w") as archive:
        archive.writestr("data.pkl", b"")
    for path in (tmp_path / "odd.zip", tmp_path / "absent.pth", tmp_path / "absent.safetensors"):
        with pytest.raises(WeightsError) as caught:
            load_tensors(path)
        assert caught.value.code == "E-MODEL-05"


def test_checkpoints_of_training_runs_are_opened(tmp_path):
    torch.save({"state_dict": {"module.a": torch.ones(2)}, "epoch": 3}, tmp_path / "run.pth")
    assert list(load_tensors(tmp_path / "run.pth")) == ["a"]


def test_files_from_before_torch_1_6_are_read(tmp_path):
    torch.save({"a": torch.ones(2)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert load_tensors(tmp_path / "old.pth")["a"].tolist() == [1, 1]


@pytest.mark.parametrize("foreign", ["resnet50", "mobilenet_v2", "efficientnet_lite0"])
def test_m1_weights_of_another_architecture_show_the_first_mismatches(foreign):
    with pytest.raises(WeightsError, match=r"not weights of resnet18: .*(missing|has shape)") as caught:
        build(lookup("resnet18"), tensors=original(CATALOG[foreign]).state_dict(), seed=0)
    assert caught.value.code == "E-MODEL-01"
    assert str(caught.value).count(";") == 3
    assert re.search(r"and \d+ more", str(caught.value))


def test_m1_deeper_relative_that_contains_every_tensor_is_refused():
    from torchvision import models

    with pytest.raises(WeightsError, match=r"E-MODEL-01.*layer1\.2\.conv1\.weight has no place"):
        build(lookup("resnet18"), tensors=models.resnet34(weights=None).state_dict(), seed=0)


def test_densenet_keys_of_old_files_are_renamed():
    spec = CATALOG["densenet161"]
    network = original(spec)
    old = {
        re.sub(r"(denselayer\d+\.(?:norm|relu|conv))([12]\.)", r"\1.\2", key): value
        for key, value in network.state_dict().items()
        if not key.endswith("num_batches_tracked")  # torch wrote none at that time
    }
    assert any(".norm.1." in key for key in old)
    ours = build(spec, tensors=old, seed=1).trunk.state_dict()
    counters = {key for key in ours if key.endswith("num_batches_tracked")}
    theirs = network.state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours.keys() - counters)


def packaged():
    return load_tensors(find(lookup("efficientnet_lite0"), weights_dir=None, cache=Path("absent"), offline=True).path)


def test_packaged_efficientnet_is_mapped_by_position():
    tensors = packaged()
    ours = build(lookup("efficientnet_lite0"), tensors=tensors, seed=0).trunk.state_dict()
    assert len(tensors) == 296
    assert torch.equal(ours["conv_stem.weight"], tensors["_conv_stem.weight"])
    assert torch.equal(ours["bn2.running_var"], tensors["_bn1.running_var"])


def test_packaged_tensors_in_another_order_are_refused():
    tensors = dict(sorted(packaged().items()))
    with pytest.raises(WeightsError, match="E-MODEL-01"):
        build(lookup("efficientnet_lite0"), tensors=tensors, seed=0)
