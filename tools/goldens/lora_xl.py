# SPDX-License-Identifier: Apache-2.0
"""A LoRA for the tiny XL model as kohya's trainer writes it (U-Net with Stability's names, both text encoders), and what
diffusers draws with PEFT's adapters of the same numbers: tests/goldens/lora/xl_kohya.safetensors, xl_latents.safetensors.

usage: lora_xl.py REPOSITORY
"""
import os
import sys

import torch
from diffusers import StableDiffusionXLPipeline
from peft import LoraConfig
from safetensors.torch import load_file, save_file

GOLDENS = os.path.join(sys.argv[1], "tests", "goldens")
OUT = os.path.join(GOLDENS, "lora")
RANK, ALPHA = 2, 3.0
PARTS = {"unet": (["to_q", "to_k", "to_v", "to_out.0", "proj_in", "ff.net.0.proj", "conv1", "time_emb_proj"], "lora_unet_"),
         "text_encoder": (["q_proj", "out_proj"], "lora_te1_"), "text_encoder_2": (["v_proj", "fc1"], "lora_te2_")}
RESNET = {"conv1": "in_layers.2", "time_emb_proj": "emb_layers.1"}


def pipeline():
    pipe = StableDiffusionXLPipeline.from_pretrained(f"{GOLDENS}/families/sdxl", torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def draw(pipe):
    return pipe(["a red disc"], negative_prompt=["grey"], num_inference_steps=3, guidance_scale=3.0, width=64, height=64,
                output_type="latent", generator=[torch.Generator().manual_seed(4)]).images


def of_stability(module, layers=1):
    """down_blocks.1.attentions.0.… → input_blocks.3.1.…, for blocks of so many layers."""
    block, *rest = module.split(".")
    if block == "mid_block":
        place = {"resnets.0": "0", "attentions.0": "1", "resnets.1": "2"}[".".join(rest[:2])]
        out, inner = f"middle_block.{place}", rest[2:]
    else:
        first, (i, kind, j, *inner) = ("input_blocks", rest) if block == "down_blocks" else ("output_blocks", rest)
        n = int(i) * (layers + 1) + int(j) + (block == "down_blocks")
        out = f"{first}.{n}.{0 if kind == 'resnets' else 1}"
    return ".".join([out, *([RESNET[inner[0]]] if inner[0] in RESNET else inner)])


pipe = pipeline()
plain = draw(pipe)
file, g = {}, torch.Generator().manual_seed(3)
for part, (targets, prefix) in PARTS.items():
    model = getattr(pipe, part)
    model.add_adapter(LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=targets, init_lora_weights=False), adapter_name="xl")
    for key, p in model.named_parameters():
        if ".lora_" not in key:
            continue
        p.data = torch.randn(p.shape, generator=g) * (0.6 if "lora_A" in key else 0.3) * p[0].numel() ** -0.5
        module = key.split(".lora_")[0]
        if part == "unet":
            module = of_stability(module)
        elif not module.startswith("text_model."):
            module = "text_model." + module
        name = prefix + module.replace(".", "_")
        file[f"{name}.{'lora_down' if 'lora_A' in key else 'lora_up'}.weight"] = p.data.clone().contiguous()
        file[f"{name}.alpha"] = torch.tensor(ALPHA)
latents = dict(plain=plain, xl=draw(pipe))
distance = lambda x, y: float((x - y).norm() / y.norm())
# The way users take, as far as diffusers 0.42.1 goes with transformers 5: the U-Net alone.
for part in ("text_encoder", "text_encoder_2"):
    getattr(pipe, part).disable_adapters()
unet_alone, fresh = draw(pipe), pipeline()
fresh.load_lora_weights({k: v.clone() for k, v in file.items() if k.startswith("lora_unet_")}, adapter_name="xl")
assert distance(draw(fresh), unet_alone) < 1e-5, distance(draw(fresh), unet_alone)
assert distance(unet_alone, latents["xl"]) > 1e-3 and distance(latents["xl"], plain) > 1e-2
save_file(file, f"{OUT}/xl_kohya.safetensors", {"ss_network_module": "networks.lora"})
save_file({k: v.contiguous() for k, v in latents.items()}, f"{OUT}/xl_latents.safetensors")
print({k: distance(v, plain) for k, v in latents.items()}, len(file), "tensors")
