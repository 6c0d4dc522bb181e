# SPDX-License-Identifier: Apache-2.0
"""Writes limn/weights/testdata: small tensor files made by torch and safetensors, and expected.json, which holds every
tensor's type, shape and elements (bytes in hexadecimal, row-major) as those libraries read them.

    python tools/goldens/weights.py        (torch 2.13, safetensors 0.8, numpy)

Legacy files name storages after memory addresses, so their bytes differ from run to run; the tensors do not.
"""
import collections
import json
import pathlib
import sys
import types

import numpy
import safetensors
import safetensors.torch
import torch

OUT = pathlib.Path(__file__).resolve().parents[2] / "limn" / "weights" / "testdata"
SEED = 20
EXPECTED = {}


def describe(tensor):
    dense = tensor.detach().contiguous()
    raw = dense.reshape(-1).view(torch.uint8).numpy().tobytes() if dense.numel() else b""
    return {"dtype": str(dense.dtype).removeprefix("torch."), "shape": list(dense.shape), "bytes": raw.hex()}


def expect(name, tensors, metadata=None, format=None):
    EXPECTED[name] = {
        "format": format,
        "metadata": metadata or {},
        "tensors": {key: describe(value) for key, value in tensors.items()},
    }


def of_every_type():
    real = torch.randn(2, 3, dtype=torch.float64)
    types_ = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16,
              torch.int8, torch.float8_e4m3fn, torch.float8_e5m2]
    tensors = {f"type.{str(t).removeprefix('torch.')}": (real * 8).to(t) for t in types_}
    tensors["type.uint8"] = (real * 8).abs().to(torch.uint8)
    tensors["type.bool"] = real > 0
    tensors["scalar"] = torch.tensor(1.5)
    tensors["empty"] = torch.empty(0, 3)
    return tensors


def views():
    base = torch.randn(4, 6)
    return {
        "view.base": base,
        "view.transposed": base.t(),
        "view.row": base[2],
        "view.column": base[:, 1],
        "view.part": base[1:3, 2:5],
        "view.permuted": torch.randn(2, 3, 4).permute(2, 0, 1),
        "view.position_ids": torch.arange(5).expand(1, -1),
        "parameter": torch.nn.Parameter(torch.randn(3)),
    }


def save_torch_files():
    tensors = of_every_type() | views()
    state = collections.OrderedDict(tensors)
    state._metadata = {"": {"version": 1}}  # as Module.state_dict() leaves it
    for name, options in {
        "zip.pt": {},
        "protocol1.pt": {"pickle_protocol": 1},
        "protocol4.pt": {"pickle_protocol": 4},
        "protocol5.pt": {"pickle_protocol": 5},
        "legacy.pt": {"_use_new_zipfile_serialization": False},
        "legacy4.pt": {"_use_new_zipfile_serialization": False, "pickle_protocol": 4},
    }.items():
        torch.save(state, OUT / name, **options)
        expect(name, tensors, format="pickle (legacy)" if "legacy" in name else "pickle (zip)")


def save_lightning():
    module = types.ModuleType("pytorch_lightning.callbacks.model_checkpoint")
    ModelCheckpoint = type("ModelCheckpoint", (), {"__module__": module.__name__})
    module.ModelCheckpoint = ModelCheckpoint
    for part in ("pytorch_lightning", "pytorch_lightning.callbacks"):
        sys.modules[part] = types.ModuleType(part)
    sys.modules[module.__name__] = module
    callback = ModelCheckpoint()
    callback.best = torch.tensor(0.25)
    tensors = {"model.diffusion_model.out.weight": torch.randn(2, 2), "betas": torch.linspace(0, 1, 5)}
    counts = collections.defaultdict(int, {"a": 1})
    checkpoint = {
        "epoch": 3,
        "global_step": 470000,
        "pytorch-lightning_version": "1.4.2",
        "learning_rate": 0.5,
        "done": True,
        "state_dict": collections.OrderedDict(tensors),
        "loss": numpy.float64(0.125),
        "callbacks": {ModelCheckpoint: {"monitor": "val/loss", "best_model_score": torch.tensor(0.5)}, "object": callback},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.randn(2)}}, "param_groups": [{"betas": (0.9, 0.999)}]}],
        "counts": counts,
        "names": {"x", "y"},
        "blob": b"\x00\xff",
        "device": torch.device("cpu"),
        "size": torch.Size([1, 2]),
    }
    metadata = {"epoch": "3", "global_step": "470000", "pytorch-lightning_version": "1.4.2", "learning_rate": "0.5",
                "done": "true", "loss": "0.125"}
    for name, options in {"lightning.ckpt": {}, "lightning_legacy.ckpt": {"_use_new_zipfile_serialization": False}}.items():
        torch.save(checkpoint, OUT / name, **options)
        expect(name, tensors, metadata, "pickle (legacy)" if "legacy" in name else "pickle (zip)")


def save_nested():
    tensors = {"unet.0.weight": torch.randn(2), "unet.1.weight": torch.randn(3), "te.inner.7": torch.randn(1)}
    nested = {
        "unet": [{"weight": tensors["unet.0.weight"]}, {"weight": tensors["unet.1.weight"]}],
        "te": {"inner": {7: tensors["te.inner.7"]}},
    }
    torch.save(nested, OUT / "nested.bin")
    expect("nested.bin", tensors, format="pickle (zip)")
    torch.save(torch.arange(4.0), OUT / "bare.pt")
    expect("bare.pt", {"tensor": torch.arange(4.0)}, format="pickle (zip)")

    vector = torch.nn.Parameter(torch.randn(2, 4))
    torch.save({"string_to_token": {"*": 265}, "string_to_param": torch.nn.ParameterDict({"*": vector}), "name": "cat",
                "step": 500}, OUT / "embedding.pt")
    expect("embedding.pt", {"string_to_param.*": vector}, {"name": "cat", "step": "500"}, "pickle (zip)")


def save_safetensors():
    metadata = {"format": "pt", "note": 'ε "quoted"'}
    tensors = of_every_type() | {"ключ": torch.randn(3)}
    safetensors.torch.save_file(tensors, OUT / "types.safetensors", metadata)
    expect("types.safetensors", tensors, metadata, "safetensors")

    tensors = {f"block.{i}.weight": torch.randn(i + 1, 3) for i in range(3)}
    safetensors.torch.save_file(tensors, OUT / "float32.safetensors", {"format": "pt"})
    expect("float32.safetensors", tensors, {"format": "pt"}, "safetensors")


def save_sharded():
    shards = {"model-00001-of-00002.safetensors": {"a": torch.randn(2), "b": torch.randn(2)},
              "model-00002-of-00002.safetensors": {"c": torch.randn(2, 2)}}
    (OUT / "sharded").mkdir(exist_ok=True)
    weight_map, tensors = {}, {}
    for name, shard in shards.items():
        safetensors.torch.save_file(shard, OUT / "sharded" / name)
        weight_map |= {key: name for key in shard}
        tensors |= shard
    index = {"metadata": {"total_size": 32}, "weight_map": weight_map}
    (OUT / "sharded" / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")
    expect("sharded/model.safetensors.index.json", tensors, {"total_size": "32"}, "safetensors")


def main():
    torch.manual_seed(SEED)
    OUT.mkdir(exist_ok=True)
    save_torch_files()
    save_lightning()
    save_nested()
    save_safetensors()
    save_sharded()
    made_by = {"script": "tools/goldens/weights.py", "seed": SEED, "torch": torch.__version__,
               "safetensors": safetensors.__version__, "numpy": numpy.__version__}
    text = json.dumps({"made_by": made_by, "files": EXPECTED}, indent=1, ensure_ascii=False)
    (OUT / "expected.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
